"""A person: what the night and the signals inherit from age, sex, illness and chance.

Traits are drawn hierarchically: a population mean that depends on age and sex, and around it the person's own
deviation. The slopes per decade follow Boulos (2019) and Ohayon (2004); the spreads between persons are rules of thumb.
"""

from dataclasses import dataclass

import numpy as np

from sleeplib.errors import SleeplibError


@dataclass(frozen=True)
class Person:
    """Who sleeps. Factors are relative to the mean of forty-year-olds."""

    age: float  # years
    sex: str  # "F" or "M"
    ahi: float  # apneas and hypopneas per hour of sleep
    # the night
    latency: float  # sleep onset latency, min
    cycle: float  # length of a sleep cycle, min
    deep: float  # factor: slow-wave sleep
    dream: float  # factor: REM sleep
    restless: float  # factor: awakenings and lightening of sleep
    wakeful: float  # factor: awakenings that last
    arousals: float  # spontaneous arousals per hour of sleep
    # the electroencephalogram
    level: float  # dB of the whole EEG
    steepness: float  # added to the exponent of the 1/f background
    alpha_hz: float
    alpha_uv: float  # RMS at O1/O2 with eyes closed; 0 in the tenth of people who have none
    theta: float  # dB
    beta: float  # dB
    muscle: float  # dB of the scalp's muscle noise
    spindle_hz: float  # of fast spindles; slow ones are 1.7 Hz slower
    spindle_uv: float  # peak
    spindles: float  # per minute of N2
    k_complexes: float  # per minute of N2
    slow_wave_uv: float  # peak to peak, frontal, first cycle
    # eyes and chin
    eye_uv: float  # of a rapid eye movement, each eye
    eye_rate: float  # factor: rapid eye movements per minute of REM
    tone_uv: float  # chin EMG, RMS in wake
    tone: tuple[float, ...]  # chin EMG of each stage relative to wake


def check_number(what: str, value, low: float, high: float) -> None:
    """Raise a SleeplibError unless `value` is a number within `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= value <= high:
        raise SleeplibError(f"{what} {value!r}: expected a number from {low:g} to {high:g}")


def _check(age, sex, ahi) -> None:
    if age is not None:
        check_number("age", age, 5, 100)
    if ahi is not None:
        check_number("AHI", ahi, 0, 120)
    if sex not in (None, "F", "M"):
        raise SleeplibError(f"sex {sex!r}: expected 'F' or 'M'")


def draw(rng: np.random.Generator, age=None, sex=None, ahi=None) -> Person:
    """Draw a person; what is given is kept, and giving it does not change what else is drawn.

    Raises
    ------
    SleeplibError
        If age, sex or AHI is out of range.
    """
    _check(age, sex, ahi)
    chance = {"age": rng.uniform(20, 75), "sex": "FM"[rng.integers(2)], "ahi": rng.lognormal(0.8, 0.7)}
    age = float(chance["age"] if age is None else age)
    sex = chance["sex"] if sex is None else sex
    decades, male = (age - 40) / 10, float(sex == "M")
    # A wide spread is the person's own; the rest grows with age and is larger in men.
    ahi = float(chance["ahi"] * 1.25**decades * 1.6**male if ahi is None else ahi)
    return Person(age, sex, ahi, **_night(rng, decades, male, ahi), **_signals(rng, decades, male))


def _night(rng, decades: float, male: float, ahi: float) -> dict:
    z = rng.standard_normal(7)
    old = min(decades, 2.5)  # after 65 only the efficiency goes on falling
    return {
        "latency": float(max(12 + 1.1 * decades, 4) * np.exp(0.93 * z[0])),
        "cycle": float(np.clip(99 + 7 * z[1], 78, 115)),
        "deep": float(np.exp(0.31 * z[2] - 0.45 * old - 0.10 * male) * np.exp(-ahi / 80)),
        "dream": float(np.exp(0.22 * z[3] - 0.03 * old) * np.exp(-ahi / 150)),
        "restless": float(np.exp(0.34 * z[4] - 0.08 * decades) * np.exp(ahi / 50)),
        "wakeful": float(np.exp(0.80 * z[6] + 0.18 * decades)),
        # of women and men together; the slope is that of healthy sleepers
        "arousals": float(np.clip(13 + 1.9 * decades + 3 * (male - 0.5) + 3.5 * z[5], 4, 40)),
    }


def _signals(rng, decades: float, male: float) -> dict:
    z = rng.standard_normal(19)
    # The tone of all sleep varies together between persons, and each stage's a little by itself.
    tone = np.array([1.0, 0.62, 0.44, 0.38, 0.23])
    tone[1:] *= np.exp(0.22 * z[0] + np.array([0.12, 0.12, 0.12, 0.25]) * z[1:5])
    tone[4] = min(tone[4], 0.85 * tone[2])
    return {
        "level": 2.2 * z[5] - 0.5 * decades - 0.8 * male,
        "steepness": 0.38 * z[6] - 0.04 * decades,
        "alpha_hz": float(np.clip(10.0 + 0.8 * z[7] - 0.12 * decades, 8.2, 12.2)),
        "alpha_uv": float(11 * np.exp(0.4 * z[8])) if rng.random() > 0.1 else 0.0,
        "theta": 2.5 * z[9],
        "beta": 4.0 * z[18],
        "muscle": 6.0 * z[10],
        "spindle_hz": float(np.clip(13.9 + 0.45 * z[11] + 0.08 * decades, 12.6, 15.0)),
        "spindle_uv": float(33 * np.exp(0.22 * z[12] - 0.07 * decades - 0.06 * male)),
        "spindles": float(6.0 * np.exp(0.28 * z[13] - 0.13 * decades - 0.10 * male)),
        "k_complexes": float(1.4 * np.exp(0.3 * z[14] - 0.18 * decades)),
        "slow_wave_uv": float(180 * np.exp(0.18 * z[15] - 0.11 * decades - 0.08 * male)),
        "eye_uv": float(105 * np.exp(0.25 * z[16])),
        "eye_rate": float(np.exp(0.35 * z[17])),
        "tone_uv": float(10 * np.exp(0.4 * rng.standard_normal())),
        "tone": tuple(float(r) for r in tone),
    }
