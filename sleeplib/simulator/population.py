"""Who takes part in a simulated cohort: ages, sexes, and how many have sleep apnea."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from sleeplib.errors import SleeplibError
from sleeplib.simulator.people import check_number

_OSA = 5.0  # apneas and hypopneas per hour of sleep: from here on it is a disorder
_MOST = 120.0
_HEALTHY = {"median": 1.8, "sigma": 0.7}  # AHI of those without; a guess
_PATIENTS = {"median": 15.0, "sigma": 0.8}  # of those with, unless the manifest knows better


@dataclass(frozen=True)
class Population:
    """A manifest's `simulation: ages`, `age_mean`, `age_sd`, `share_female` and `ahi`."""

    ages: tuple = (20, 75)  # years, the youngest and the oldest; drawn evenly ...
    age_mean: float | None = None  # ... or from a normal distribution that ends there
    age_sd: float | None = None
    share_female: float = 0.5
    # Apneas and hypopneas per hour of sleep. None: drawn by age and sex; a number: everybody's; or
    # {share_osa: 0.6, median: 20, sigma: 0.8}: that share of persons has sleep apnea, with a log-normal AHI of 5 or
    # more; the others stay below 5.
    ahi: float | dict | None = None

    def __post_init__(self):
        ages = self.ages
        if not isinstance(ages, list | tuple) or len(ages) != 2:
            raise SleeplibError(f"simulation: ages {ages!r}; expected the youngest and the oldest")
        for age in ages:
            check_number("simulation: ages", age, 5, 100)
        if ages[0] > ages[1]:
            raise SleeplibError(f"simulation: ages {ages!r}; expected the youngest first")
        if (self.age_mean is None) != (self.age_sd is None):
            raise SleeplibError("simulation: age_mean and age_sd go together")
        if self.age_mean is not None:
            check_number("simulation: age_mean", self.age_mean, *ages)
            check_number("simulation: age_sd", self.age_sd, 0.1, 100)
        check_number("simulation: share_female", self.share_female, 0, 1)
        _check_ahi(self.ahi)

    def draw(self, rng: np.random.Generator) -> dict:
        """Age, sex and AHI of one person, as `night` takes them."""
        even, mean = self.age_mean is None, self.age_mean
        age = rng.uniform(*self.ages) if even else _normal(rng, mean, self.age_sd, *self.ages)
        sex = "F" if rng.random() < self.share_female else "M"
        return {"age": round(float(age), 1), "sex": sex, "ahi": self._ahi(rng)}

    def _ahi(self, rng) -> float | None:
        if not isinstance(self.ahi, Mapping):
            return self.ahi
        ill = rng.random() < self.ahi["share_osa"]
        spread = _PATIENTS | self.ahi if ill else _HEALTHY
        low, high = (_OSA, _MOST) if ill else (0.1, _OSA - 0.1)
        logarithm = _normal(rng, np.log(spread["median"]), spread["sigma"], np.log(low), np.log(high))
        return round(float(np.exp(logarithm)), 1)


def _normal(rng, mean: float, sd: float, low: float, high: float) -> float:
    """A draw from a normal distribution that ends at `low` and `high`."""
    chance = rng.uniform(ndtr((low - mean) / sd), ndtr((high - mean) / sd))
    return float(np.clip(mean + sd * ndtri(chance), low, high))


def _check_ahi(ahi) -> None:
    if not isinstance(ahi, Mapping):
        if ahi is not None:
            check_number("simulation: ahi", ahi, 0, _MOST)
        return
    strange = sorted(map(str, set(ahi) - {"share_osa", "median", "sigma"}))
    if strange or "share_osa" not in ahi:
        what = f"unknown {', '.join(strange)}" if strange else "no share_osa"
        raise SleeplibError(f"simulation: ahi: {what}; expected share_osa, median, sigma")
    check_number("simulation: ahi: share_osa", ahi["share_osa"], 0, 1)
    check_number("simulation: ahi: median", ahi.get("median", _OSA), _OSA, _MOST)
    check_number("simulation: ahi: sigma", ahi.get("sigma", 1), 0.05, 3)
