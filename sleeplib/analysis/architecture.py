"""Hypnograms in, sleep statistics out.

The statistics are those of a sleep report (AASM manual, chapter on reporting; Berry et al.), of a hypnogram that runs
from lights off to lights on. Unscored epochs are time in bed and nothing else: neither sleep nor wake, and no bout or
transition reaches across them.
"""

import numpy as np

from sleeplib.stages import EPOCH_SECONDS, REM, STAGES, UNSCORED, W, check


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
        "wake after sleep onset": (stages == W)[np.arange(stages.size) > onset].sum() * minutes,
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
    """Mean and standard deviation over nights of each of the `sleep_statistics`, NaN left out."""
    reports = [sleep_statistics(night, epoch_seconds) for night in nights]
    table = {name: np.array([report[name] for report in reports]) for name in reports[0]}
    known = {name: values[np.isfinite(values)] for name, values in table.items()}
    return {
        name: (float(v.mean()), float(v.std(ddof=1))) if v.size > 1 else (np.nan, np.nan)
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
