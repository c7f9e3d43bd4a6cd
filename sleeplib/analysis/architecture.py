"""Hypnograms in, sleep statistics out.

The statistics are those of a sleep report (AASM manual, chapter on reporting; Berry et al.), of a hypnogram that runs
from lights off to lights on. Unscored epochs are time in bed and nothing else: neither sleep nor wake, and no bout or
transition reaches across them. `sleep_statistics` is what the experiments compare; `report_statistics` is what a sleep
laboratory writes, under the names and by the definitions of YASA, and beside them those of the AASM where they differ.
"""

from typing import NamedTuple

import numpy as np

from sleeplib.analysis.arousals import runs
from sleeplib.errors import SleeplibError
from sleeplib.stages import EPOCH_SECONDS, N1, N3, REM, STAGES, UNSCORED, W, check


def sleep_statistics(stages, epoch_seconds: float = EPOCH_SECONDS) -> dict[str, float]:
    """The sleep report of one night.

    Parameters
    ----------
    stages : array (N,) of int
        0-4, and 9 for unscored epochs.

    Returns
    -------
    dict
        In minutes: `time in bed`; `total sleep time`; `sleep period` from the first epoch of sleep to the last;
        `sleep latency` to the first epoch of sleep; `wake after sleep onset`, until lights on; `REM latency` from the
        first epoch of sleep; `bout W` ... `bout REM`, mean length of an uninterrupted stage.
        In percent: `sleep efficiency` and `share W` of the time in bed; `share N1` ... `share REM` of the total sleep
        time. Counts: `awakenings`, bouts of wake after sleep. `transitions`: changes of stage per hour in bed.
        What a night cannot have (REM latency without REM sleep) is NaN.

    Raises
    ------
    SleeplibError
        If a code is no stage.
    """
    stages, minutes = check(stages), epoch_seconds / 60
    asleep = (stages > W) & (stages <= REM)
    bed, sleep = stages.size * minutes, asleep.sum() * minutes
    onset, rem = _first(asleep), _first(stages == REM)
    last = stages.size - _first(asleep[::-1])
    before, after = _neighbours(stages)
    return {
        "time in bed": bed,
        "total sleep time": sleep,
        "sleep period": (last - onset) * minutes,
        "sleep efficiency": 100 * _ratio(sleep, bed),
        "wake after sleep onset": (stages == W)[np.arange(stages.size) > onset].sum() * minutes
        if sleep
        else np.nan,
        "sleep latency": onset * minutes,
        "REM latency": (rem - onset) * minutes,
        "awakenings": float(((before > W) & (after == W)).sum()),
        "transitions": _ratio((before != after).sum(), bed / 60),
        "share W": 100 * _ratio((stages == W).sum() * minutes, bed),
        **{f"share {STAGES[k]}": 100 * _ratio((stages == k).sum() * minutes, sleep) for k in range(1, 5)},
        **{f"bout {name}": length * minutes for name, length in zip(STAGES, _bouts(stages), strict=True)},
    }


def transition_matrix(nights) -> np.ndarray:
    """Probability that an epoch of the row's stage is followed by one of the column's, (5, 5), over all nights.

    `nights` is an array (N,) of stages, or a list of such arrays, whose counts are pooled. Pairs with an unscored epoch
    are left out; the row of a stage that does not occur is NaN.
    """
    nights = [nights] if np.ndim(nights[0]) == 0 else nights
    before, after = np.concatenate([_neighbours(check(night)) for night in nights], axis=1)
    counts = np.bincount(5 * before + after, minlength=25).reshape(5, 5)
    return counts / np.where(counts.any(axis=1), counts.sum(axis=1), np.nan)[:, None]


def summary(nights, epoch_seconds: float = EPOCH_SECONDS) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over nights of each of the `sleep_statistics`, NaN left out; one night has no SD."""
    reports = [sleep_statistics(night, epoch_seconds) for night in nights]
    table = {name: np.array([report[name] for report in reports]) for name in reports[0]}
    known = {name: values[np.isfinite(values)] for name, values in table.items()}
    return {
        name: (float(v.mean()) if v.size else np.nan, float(v.std(ddof=1)) if v.size > 1 else np.nan)
        for name, v in known.items()
    }


def typical(nights, epoch_seconds: float = EPOCH_SECONDS) -> int:
    """Index of the night whose sleep statistics are nearest to the mean of all: an example that nobody picked.

    Nearest by the sum of absolute differences in standard deviations, over statistics that all nights have.
    """
    reports = [sleep_statistics(night, epoch_seconds) for night in nights]
    table = np.array([list(report.values()) for report in reports])
    table = table[:, np.isfinite(table).all(axis=0)]
    spread = table.std(axis=0)
    return int((np.abs(table - table.mean(axis=0)) / np.where(spread > 0, spread, 1)).sum(axis=1).argmin())


class Statistic(NamedTuple):
    """A number of the sleep report, its unit ("" for a count), and what it counts."""

    value: float
    unit: str
    meaning: str


# Names of YASA where it has the statistic; SOL and latencies count from lights off.
_REPORT = {
    "TIB": ("min", "time in bed, lights off to lights on"),
    "SPT": ("min", "sleep period time, first to last epoch of sleep"),
    "TST": ("min", "total sleep time"),
    "WASO": ("min", "wake within the sleep period"),
    "WASO_lights_on": ("min", "wake after sleep onset until lights on (AASM)"),
    "SE": ("%", "sleep efficiency, TST of TIB"),
    "SME": ("%", "sleep maintenance efficiency, TST of SPT"),
    "SOL": ("min", "sleep onset latency, to the first epoch of sleep"),
    "SOL_5min": ("min", "latency to the first 5 min of uninterrupted sleep"),
    "Lat_N1": ("min", "latency to N1, from lights off"),
    "Lat_N2": ("min", "latency to N2, from lights off"),
    "Lat_N3": ("min", "latency to N3, from lights off"),
    "Lat_REM": ("min", "latency to REM sleep, from lights off"),
    "Lat_REM_sleep": ("min", "REM latency, from the first epoch of sleep (AASM)"),
    "WAKE": ("min", "wake"),
    **{name: ("min", f"{name} sleep") for name in STAGES[1:]},
    "NREM": ("min", "N1, N2 and N3 sleep"),
    "UNS": ("min", "unscored, part of the time in bed"),
    **{f"%{name}": ("%", f"{name} sleep, of TST") for name in (*STAGES[1:], "NREM")},
    "awakenings": ("", "changes from sleep to wake"),
    "SFI": ("/h", "sleep fragmentation index, awakenings per hour of sleep"),
    "SFI_W_N1": ("/h", "changes from sleep to wake, or from deeper sleep to N1, per hour of sleep"),
    "shifts": ("", "changes of stage, wake included"),
    "SSI": ("/h", "stage shift index, changes of stage per hour of sleep"),
    "arousals": ("", "arousals between lights off and lights on"),
    "AI": ("/h", "arousal index, arousals per hour of sleep"),
    "AI_NREM": ("/h", "arousals that begin in NREM sleep, per hour of it"),
    "AI_REM": ("/h", "arousals that begin in REM sleep, per hour of it"),
}


def report_statistics(
    stages, epoch_seconds: float = EPOCH_SECONDS, arousals=None, lights=None
) -> dict[str, Statistic]:
    """The sleep report of one night in the field's names, equal to YASA's where it has the statistic.

    Three names tell apart what is often mixed up. `WASO` ends with the last epoch of sleep (YASA),
    `WASO_lights_on` with the night (AASM, and `wake after sleep onset` of `sleep_statistics`). `Lat_REM` begins at
    lights off (YASA), `Lat_REM_sleep` at sleep onset (AASM, and `REM latency`). `SSI` counts per hour of sleep,
    `transitions` per hour in bed. All arousals count for `AI`, those in wake too (AASM); `AI_NREM` and `AI_REM` go by
    the epoch in which an arousal begins.

    Parameters
    ----------
    stages : array (N,) of int
        0-4, and 9 for unscored epochs.
    arousals : array (n, 2), optional
        Beginnings and ends in s from the first epoch; without them there is no arousal index.
    lights : (off, on), optional
        Seconds from the first epoch; either may be None. Epochs whose middle lies outside are left out.

    Returns
    -------
    dict
        `Statistic`s. Without sleep, TST and SPT are 0, and what needs sleep is NaN (as in YASA); so is a latency to a
        stage that never comes.

    Raises
    ------
    SleeplibError
        If a code is no stage, the epochs have no length, arousals are no pairs, or lights go on before they go off.
    """
    stages, arousals = _in_bed(check(stages), epoch_seconds, arousals, lights)
    values = _amounts(stages, epoch_seconds / 60) | _latencies(stages, epoch_seconds)
    values |= _changes(stages, values["TST"] / 60)
    if arousals is not None:
        values |= _arousal_indices(stages, epoch_seconds, arousals, values)
    return {name: Statistic(float(values[name]), *_REPORT[name]) for name in _REPORT if name in values}


class Norm(NamedTuple):
    """What healthy sleepers of an age have: mean, and a band from `low` to `high`, NaN where none is known.

    `band` says what the band is; `sources` of the mean and of its change with age are keys of book/references.bib.
    """

    mean: float
    low: float
    high: float
    unit: str
    band: str
    sources: tuple[str, ...]


_SD = "mean +- 1 standard deviation of healthy adults (rule of thumb)"
_NO_BAND = "mean of healthy adults (level at 40 years a rule of thumb); spread unknown"
_GROUP = "mean of healthy adults of the age group; spread unknown"
_BOULOS, _OHAYON = "boulos2019normal", "ohayon2004meta"
# Mean at 40 years, change per decade, the age at which it ends, standard deviation between persons.
# The slopes of Boulos are as published (none for N2), and so is the direction of Ohayon's until 60; the rest is rules
# of thumb that no paper was read for. Wake until lights on, since with SOL it fills up what TST leaves of TST / SE.
_NORMS = {
    "TST": (395, -10.1, np.inf, 55, "min", (_BOULOS,)),
    "SE": (86, -2.1, np.inf, None, "%", (_BOULOS,)),
    "WASO_lights_on": (48, 9.7, np.inf, None, "min", (_BOULOS,)),
    "SOL": (15, 1.1, np.inf, None, "min", (_BOULOS,)),
    "%N1": (8, 0.5, np.inf, 4, "%", (_BOULOS,)),
    "%N2": (51, 0, np.inf, 7, "%", (_BOULOS,)),
    "%N3": (20, -2, 60, 6, "%", (_OHAYON,)),
    "%REM": (19, -0.6, 60, 5, "%", (_OHAYON,)),
}
_AROUSALS = {20: 14.7, 40: 17.8, 60: 27.1}  # per hour of sleep, from that age on (Boselli 1998)


def normative(age: float | None) -> dict[str, Norm]:
    """What healthy adults of an age have, under the names of `report_statistics`; nothing for unknown age or below 20.

    Means follow a change per decade (Boulos 2019; for N3 and REM sleep Ohayon 2004) from a mean at 40 years; that mean,
    the standard deviations, and how much N3 and REM sleep change are rules of thumb. A band of one standard deviation
    holds two thirds of healthy sleepers only: being outside of it is no finding.

    Raises
    ------
    SleeplibError
        If the age is no number from 0 to 120.
    """
    if age is None:
        return {}
    if not isinstance(age, int | float | np.number) or not 0 <= age <= 120:
        raise SleeplibError(f"age {age!r}: expected a number of years from 0 to 120")
    if age < 20:
        return {}
    norms = {}
    for name, (at_40, slope, until, sd, unit, sources) in _NORMS.items():
        mean = at_40 + slope * (min(age, until) - 40) / 10
        low, high = (max(mean - sd, 0.0), mean + sd) if sd else (np.nan, np.nan)
        norms[name] = Norm(mean, low, high, unit, _SD if sd else _NO_BAND, sources)
    norms["Lat_REM_sleep"] = Norm(
        97.0, 70.0, 120.0, "min", "usual range at any age (rule of thumb)", (_BOULOS,)
    )
    arousals = max((first, rate) for first, rate in _AROUSALS.items() if first <= age)[1]
    norms["AI"] = Norm(arousals, np.nan, np.nan, "/h", _GROUP, ("boselli1998arousals",))
    return norms


def _in_bed(stages, seconds: float, arousals, lights) -> tuple[np.ndarray, np.ndarray | None]:
    """Stages between lights off and on, and the arousals (n, 2) that begin there, in s from the first of them."""
    if not seconds > 0:
        raise SleeplibError(f"epochs of {seconds!r} s; expected a length above 0")
    off, on = lights or (None, None)
    off, on = (0.0 if off is None else off), (stages.size * seconds if on is None else on)
    if not off <= on:
        raise SleeplibError(f"lights on at {on:g} s, off at {off:g} s; expected them to go off first")
    first, last = (int(np.clip(np.ceil(t / seconds - 0.5 - 1e-9), 0, stages.size)) for t in (off, on))
    if arousals is not None:
        arousals = np.asarray(arousals, float)
        if arousals.shape[1:] != (2,) and arousals.size:
            raise SleeplibError(f"arousals of shape {arousals.shape}; expected (n, 2), beginnings and ends")
        arousals = arousals.reshape(-1, 2) - first * seconds
        arousals = arousals[(arousals[:, 0] >= 0) & (arousals[:, 0] < (last - first) * seconds)]
    return stages[first:last], arousals


def _amounts(stages, minutes: float) -> dict[str, float]:
    """How much of everything; minutes and percent."""
    slept = np.flatnonzero((stages > W) & (stages <= REM))
    period = stages[slept[0] : slept[-1] + 1] if slept.size else stages[:0]
    values = {"TIB": stages.size, "SPT": period.size, "TST": slept.size}
    values["WASO"] = (period == W).sum() if slept.size else np.nan
    values["WASO_lights_on"] = (stages[slept[0] :] == W).sum() if slept.size else np.nan
    values |= {name: (stages == k).sum() for k, name in enumerate(("WAKE", *STAGES[1:]))}
    values |= {"NREM": ((stages >= N1) & (stages <= N3)).sum(), "UNS": (stages == UNSCORED).sum()}
    values = {name: count * minutes for name, count in values.items()}
    shares = {f"%{name}": 100 * _ratio(values[name], values["TST"]) for name in (*STAGES[1:], "NREM")}
    efficiency = {"SE": "TIB", "SME": "SPT"}
    return (
        values | shares | {k: 100 * _ratio(values["TST"], values[whole]) for k, whole in efficiency.items()}
    )


def _latencies(stages, seconds: float) -> dict[str, float]:
    """Minutes until something happens first."""
    asleep, minutes = (stages > W) & (stages <= REM), seconds / 60
    start, end = runs(asleep).T
    lasting = start[end - start >= np.ceil(300 / seconds - 1e-9)]
    values = {f"Lat_{STAGES[k]}": _first(stages == k) * minutes for k in range(1, 5)}
    values["SOL"] = _first(asleep) * minutes
    values["SOL_5min"] = lasting[0] * minutes if lasting.size else np.nan
    return values | {"Lat_REM_sleep": values["Lat_REM"] - values["SOL"]}


def _changes(stages, hours: float) -> dict[str, float]:
    """Changes of stage between scored neighbours, and how many there are per hour of sleep."""
    before, after = _neighbours(stages)
    awakenings, shifts = ((before > W) & (after == W)).sum(), (before != after).sum()
    lighter = ((before > N1) & (after == N1)).sum()
    return {
        "awakenings": awakenings,
        "SFI": _ratio(awakenings, hours),
        "SFI_W_N1": _ratio(awakenings + lighter, hours),
        "shifts": shifts,
        "SSI": _ratio(shifts, hours),
    }


def _arousal_indices(stages, seconds: float, arousals, minutes: dict[str, float]) -> dict[str, float]:
    began = stages[np.minimum((arousals[:, 0] / seconds).astype(int), stages.size - 1)]
    in_nrem, in_rem = ((began >= N1) & (began <= N3)).sum(), (began == REM).sum()
    return {
        "arousals": len(arousals),
        "AI": _ratio(len(arousals), minutes["TST"] / 60),
        "AI_NREM": _ratio(in_nrem, minutes["NREM"] / 60),
        "AI_REM": _ratio(in_rem, minutes["REM"] / 60),
    }


def _first(mask) -> float:
    """Index of the first true element, NaN where there is none."""
    return float(mask.argmax()) if mask.any() else np.nan


def _ratio(part, whole) -> float:
    return float(part / whole) if whole > 0 else np.nan


def _neighbours(stages) -> np.ndarray:
    """Scored epochs whose next epoch is scored too, and those next epochs: (2, pairs) of int."""
    pairs = np.stack([stages[:-1], stages[1:]]).astype(int)
    return pairs[:, (pairs != UNSCORED).all(axis=0)]


def _bouts(stages) -> np.ndarray:
    """Mean length (5,) of the bouts of each stage, in epochs; NaN for a stage that does not occur."""
    starts = np.r_[True, stages[1:] != stages[:-1]][: stages.size]
    return np.array([_ratio((stages == k).sum(), (starts & (stages == k)).sum()) for k in range(5)])
