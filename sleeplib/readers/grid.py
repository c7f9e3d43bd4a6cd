"""Scored intervals laid on a grid: how long its epochs are, where they begin, how fast they follow each other."""

import numpy as np

from sleeplib import stages as vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram
from sleeplib.stages import EPOCH_SECONDS, LONGEST, UNSCORED

Interval = tuple[float, float, int]  # onset and duration in s, code

# Rechtschaffen & Kales was scored in 20-s epochs too. The first wins where both fit.
_EPOCHS = (EPOCH_SECONDS, 20.0)
_SHORTEST, _LONGEST = 1.0, 60.0  # s, of an epoch that nobody gave a duration
_NEAR = 0.1  # s by which times may err
_SAME = 0.5  # s between the onsets of one grid, at most; a clock that is off moves them from bout to bout
_DRIFT = 1e-5, 1e-3  # of an epoch's length: what a clock is off, at least and at most


def epoch_seconds(durations) -> float:
    """Length of the epochs that stage annotations were made of: 20 s if more durations are multiples of 20 than of 30.

    Counting forgives a last epoch that the end of the recording cuts off, and clocks that are off by some ms per epoch.
    """
    return max(_EPOCHS, key=lambda seconds: _multiples(durations, seconds).sum())


def _multiples(times, seconds: float) -> np.ndarray:
    times = np.asarray(times, float)
    return np.abs(times - seconds * np.round(times / seconds)) < _NEAR


def timed(path, intervals) -> tuple[list[Interval], float]:
    """Intervals of which some have no duration (0 or None), made an epoch long, and the length of their epochs.

    Where none has a duration, the onsets tell the length.

    Raises
    ------
    SleeplibError
        If the onsets do not lie on any epochs, naming the file.
    """
    durations = [duration or 0.0 for _, duration, _ in intervals]
    seconds = epoch_seconds(durations) if any(durations) else _apart(path, intervals)
    return [(onset, duration or seconds, code) for onset, duration, code in intervals], seconds


def _apart(path, intervals) -> float:
    """Length of epochs by the onsets alone: the most frequent difference, if most are whole multiples of it."""
    onsets = sorted(onset for onset, _, code in intervals if code != UNSCORED)
    steps = np.diff(onsets)
    steps = steps[steps > _NEAR]
    if not len(steps):
        return EPOCH_SECONDS
    lengths, counts = np.unique(np.round(steps, 1), return_counts=True)
    known = [s for s in (float(lengths[counts.argmax()]), *_EPOCHS) if _SHORTEST <= s <= _LONGEST]
    seconds = max(known, key=lambda seconds: _multiples(steps, seconds).sum())
    if _multiples(steps, seconds).mean() > 0.5:
        return seconds
    raise SleeplibError(
        f"{path}: its {len(onsets)} stages have no durations, and their onsets do not lie on epochs of "
        f"{_SHORTEST:g} to {_LONGEST:g} s; export it again with durations"
    )


def measured(intervals, seconds: float) -> float:
    """Length of the epochs by the clock of the signals: where stages stand epoch by epoch, and that clock is a little
    off, the distance of their onsets; else `seconds`."""
    scored = sorted(interval for interval in intervals if interval[2] != UNSCORED)
    onsets, durations, _ = np.array(scored, float).reshape(-1, 3).T
    epochs = np.round(np.diff(onsets, prepend=onsets[:1]) / seconds).cumsum()
    if not epochs.any() or (durations > seconds + _NEAR).any():
        return seconds
    slope = float((onsets[-1] - onsets[0]) / epochs[-1])
    least, most = _DRIFT
    off = np.abs(onsets - onsets[0] - slope * epochs).max() >= _NEAR
    seen = abs(slope - seconds) * epochs[-1] >= _NEAR  # what is less may be rounded onsets
    return slope if seen and not off and least < abs(slope / seconds - 1) < most else seconds


def anchor(intervals, seconds: float) -> float:
    """Onset of the first interval on the grid that most epochs with a stage lie on.

    An interval counts once, however long it is, and less if it is shorter than an epoch: what fills up the time before
    the first epoch, or marks something within one, does not move the grid.
    """
    onsets, durations, codes = map(np.array, zip(*intervals, strict=True))
    phases = onsets % seconds
    order = np.argsort(phases, kind="stable")
    groups = np.empty(len(onsets), int)
    groups[order] = np.cumsum(np.diff(phases[order], prepend=phases[order[0]]) > _SAME)
    if phases[order[0]] + seconds - phases[order[-1]] <= _SAME:  # round the clock
        groups[groups == groups[order[-1]]] = 0
    weights = np.bincount(groups, np.where(codes == UNSCORED, 0.0, np.minimum(durations, seconds)))
    return float(onsets[weights[groups] >= weights.max() - 1e-6].min())


def from_first(path, intervals) -> Hypnogram:
    """A hypnogram from scored intervals, whose grid starts at the first epoch that none of them precedes, wherever the
    recording does, but not before it.

    Raises
    ------
    SleeplibError
        If the intervals lie on no grid, or are longer than any night, naming the file they come from.
    """
    intervals, nominal = timed(path, intervals)
    seconds = measured(intervals, nominal)
    onsets, durations, codes = zip(*intervals, strict=True)
    first = anchor(intervals, seconds)
    first -= seconds * np.floor((first - min(onsets)) / seconds + 1e-6)
    first -= seconds * np.floor(min(first, 0.0) / seconds)
    end = float(np.max(np.array(onsets) + durations))
    _check(path, end, end - first, seconds)
    stages = vocabulary.from_intervals(np.array(onsets) - first, durations, codes, epoch_seconds=seconds)
    return Hypnogram(stages, seconds, float(first))


def on_grid(path, intervals, seconds: float = EPOCH_SECONDS) -> Hypnogram | None:
    """A hypnogram from scored `(onset, duration, code)`, in s; what no interval covers is unscored.

    The grid starts at the recording's start, or less than an epoch later where the intervals are shifted.

    Raises
    ------
    SleeplibError
        If the intervals are longer than any night, naming the file they come from.
    """
    if not intervals:
        return None
    onsets, durations, codes = zip(*intervals, strict=True)
    end = max(onset + duration for onset, duration, _ in intervals)
    _check(path, end, end, seconds)
    first = anchor(intervals, seconds)
    shift = first - seconds * np.floor(first / seconds)
    shift = 0.0 if min(shift, seconds - shift) < 0.01 else round(float(shift), 6)
    stages = vocabulary.from_intervals(np.array(onsets) - shift, durations, codes, epoch_seconds=seconds)
    return Hypnogram(stages, seconds, shift)


def _check(path, end: float, length: float, seconds: float) -> None:
    if length > LONGEST * seconds:
        raise SleeplibError(f"{path}: its stages end after {end / 86400:.0f} days; fetch or copy it again")
