"""Arousals, told from stages that are shorter than 30 s, and counted against those of an expert.

An arousal is seen here as what it is often called, a short awakening: wake of 3 to 15 s after at least 10 s of
something else (AnySleep, section 4.5; facts A4.4). Neither the stage of sleep nor the chin is asked.
Events are arrays `(n, 2)`: beginning and end in seconds, in order of time. P predicted events, E of an expert.
"""

from collections.abc import Mapping

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.stages import EPOCH_SECONDS, STAGES, W


def detect(
    stages, per_epoch: int, gap: float = 0.1, asleep: float = 10.0, shortest: float = 3.0, longest: float = 15.0
) -> np.ndarray:  # fmt: skip
    """Arousals `(n, 2)` in seconds, from stages `(N,)` of which `per_epoch` fill 30 s (AnySleep, section 4.5).

    Runs of wake; runs that a short gap parts are one, as long as both together last 15 s at most; those that follow
    earlier wake, of any length, within 10 s are none; nor are those shorter than 3 s or longer than 15 s.

    Parameters
    ----------
    gap : the longest gap within an event, as a share of the event
    asleep : s without wake before an arousal
    shortest, longest : s, of an arousal; what is longer is never joined

    Raises
    ------
    SleeplibError
        If the stages are no row of codes, or the resolution is no whole number of 1 or more.
    """
    stages, per_epoch = _checked(stages, per_epoch)
    # In whole pieces: limits are multiplied first, so that none depends on rounding.
    least, most, before = (seconds * per_epoch / EPOCH_SECONDS for seconds in (shortest, longest, asleep))
    found = _merged(runs(stages == W), gap, most)
    start, end = found.T
    slept, length = start - np.r_[0, end[:-1]], end - start
    kept = (slept >= before) & (length >= least) & (length <= most)
    return found[kept] * EPOCH_SECONDS / per_epoch


def _checked(stages, per_epoch) -> tuple[np.ndarray, int]:
    stages = np.asarray(stages)
    if stages.ndim != 1 or (stages.size and (stages.dtype.kind not in "iu" or stages.min() < 0)):
        raise SleeplibError(f"stages {stages.dtype} {stages.shape}; expected one row of codes, 0 or more")
    if not isinstance(per_epoch, int | np.integer) or isinstance(per_epoch, bool) or per_epoch < 1:
        raise SleeplibError(f"{per_epoch!r} stages per epoch; expected a whole number, 1 or more")
    return stages, int(per_epoch)


def runs(mask: np.ndarray) -> np.ndarray:
    """Beginning and end `(n, 2)` of each run of true values."""
    edges = np.diff(mask.astype(np.int8), prepend=0, append=0)
    return np.stack([np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)], axis=1)


def _merged(runs: np.ndarray, gap: float, longest: float) -> np.ndarray:
    """Runs `(n, 2)` in pieces, each joined to the one before it where both may be one; from left to right."""

    def one(start, end, since, until):
        """Whether a run and the event before it may be one event."""
        return (end - since <= longest) & (start - until <= gap * (end - since))

    (starts, ends), merged = runs.T.tolist(), runs.copy()
    kept, free = np.ones(len(runs), bool), 0
    # What is joined first is two runs as they are, so that only such pairs can begin to grow.
    for i in np.flatnonzero(one(*runs[1:].T, *runs[:-1].T)).tolist():
        if i < free:  # part of the event before
            continue
        since, until, free = starts[i], ends[i], i + 1
        while free < len(ends) and one(starts[free], ends[free], since, until):
            until, free = ends[free], free + 1
        merged[i, 1], kept[i + 1 : free] = until, False
    return merged[kept]


def overlap(predicted, expert) -> np.ndarray:
    """Intersection over union `(P, E)` of each predicted event with each of an expert; the union has no gaps."""
    (a, b), (c, d) = _events(predicted).T[:, :, None], _events(expert).T
    return np.maximum(np.minimum(b, d) - np.maximum(a, c), 0) / (np.maximum(b, d) - np.minimum(a, c))


def match(predicted, expert, iou: float = 0.2, legacy: bool = False) -> dict[str, float]:
    """How well predicted events agree with those of an expert (AnySleep, section 4.5; facts A4.4).

    Each predicted event is held against the expert's event that it overlaps most, and is right if their intersection is
    more than `iou` of their union. Two right ones may share an event of the expert. The expert's events that no right
    one was held against are missed.

    Parameters
    ----------
    predicted, expert : arrays (P, 2), (E, 2)
        Beginnings and ends in s.
    legacy : bool
        Count as missed only those that no predicted event overlaps at all, whatever `iou`, as the authors' code did.

    Returns
    -------
    dict
        `tp` and `fp`, predicted events; `fn`, events of the expert; `precision`, `recall` and `f1`, 0 where they are
        not defined.

    Raises
    ------
    SleeplibError
        If events are no pairs of a beginning and a later end, or `iou` does not lie between 0 and 1.
    """
    if not 0 <= iou <= 1:
        raise SleeplibError(f"iou {iou!r}: expected a number from 0 to 1")
    shares = overlap(predicted, expert)  # (P, E)
    best = np.zeros((len(shares), 2))  # share, and number of the expert's event
    if shares.size:
        best = np.stack([shares.max(axis=1), shares.argmax(axis=1)], axis=1)
    right, met = best[:, 0] > iou, best[:, 0] > (0 if legacy else iou)
    tp, fn = int(right.sum()), shares.shape[1] - len(set(best[met, 1].tolist()))
    return {"tp": tp, "fp": len(right) - tp, "fn": fn} | scores(tp, len(right) - tp, fn)


def scores(tp, fp, fn) -> dict:
    """Precision, recall and F1 of counts (numbers, or arrays of one shape); 0 where there is nothing to divide by."""
    tp, fp, fn = (np.asarray(counts, float) for counts in (tp, fp, fn))
    found = {
        "precision": tp / np.maximum(tp + fp, 1),
        "recall": tp / np.maximum(tp + fn, 1),
        "f1": 2 * tp / np.maximum(2 * tp + fp + fn, 1),
    }
    return {name: values[()] for name, values in found.items()}


def time_by_stage(stages, per_epoch: int, events) -> np.ndarray:
    """Seconds `(5,)` of events that fall on each stage (figure 2b); time that two events share counts once.

    Parameters
    ----------
    stages : array (N,)
        `per_epoch` of them fill 30 s.
    events : array (n, 2)
        In s. What lies outside the stages, or on unscored ones, falls on no stage.

    Raises
    ------
    SleeplibError
        As `detect` and `match`.
    """
    stages, per_epoch = _checked(stages, per_epoch)
    spent = np.zeros(len(STAGES))  # pieces
    for start, end in np.clip(_union(_events(events)) * per_epoch / EPOCH_SECONDS, 0, len(stages)):
        i = np.arange(int(start), int(np.ceil(end)))
        inside = np.minimum(i + 1, end) - np.maximum(i, start)  # the part of each piece
        spent += np.bincount(stages[i], inside, len(STAGES))[: len(STAGES)]
    return spent * EPOCH_SECONDS / per_epoch


def _union(events: np.ndarray) -> np.ndarray:
    """Events `(n, 2)` that do not overlap and cover the same time."""
    events = events[events[:, 0].argsort()]
    reached = np.maximum.accumulate(np.r_[-np.inf, events[:, 1]])[:-1]  # the latest end so far
    first = np.flatnonzero(events[:, 0] > reached)
    if not len(first):
        return events
    return np.stack([events[first, 0], np.maximum.reduceat(events[:, 1], first)], axis=1)


def _events(events) -> np.ndarray:
    events = np.asarray(events, float)
    if not events.size:
        return np.empty((0, 2))
    if events.ndim != 2 or events.shape[1] != 2 or not (events[:, 1] > events[:, 0]).all():
        raise SleeplibError(
            f"events of shape {events.shape}; expected (n, 2), a beginning and a later end in seconds"
        )
    return events


def by_resolution(values: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and standard deviation `(F,)` of scores `(M, F, R)` of M models, F resolutions and R recordings.

    As in figure 2c: first the mean over models, then the mean and the standard deviation over recordings.
    """
    return {name: (v.mean(axis=0).mean(-1), v.mean(axis=0).std(-1)) for name, v in values.items()}
