"""Stages below 30 seconds against a state that is known at each sample, as only a simulator knows it.

The truth is a state for each sample, a prediction is a stage for each piece of a few samples, 30 s / `per_epoch` long.
Both are step functions of time and begin together, so that all counts come from the edges of their bouts: none of
them takes the samples one by one. Letters: T samples, N pieces, B bouts or boundaries.
"""

from dataclasses import dataclass

import numpy as np

from sleeplib.analysis import metrics
from sleeplib.errors import SleeplibError
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED, W


def piece(rate: float, per_epoch: int) -> int:
    """Samples of one of `per_epoch` pieces of an epoch.

    Raises
    ------
    SleeplibError
        If they are not a whole number.
    """
    size = rate * EPOCH_SECONDS / per_epoch if per_epoch >= 1 else 0.0
    if size < 1 or size != round(size):
        raise SleeplibError(
            f"{per_epoch} stages per epoch at {rate:g} Hz: pieces of {size:g} samples; "
            "choose a number that divides the samples of 30 s"
        )
    return round(size)


def edges(stages) -> np.ndarray:
    """Where the bouts begin and the last one ends, `(B + 1,)` positions in stages `(N,)`."""
    stages = np.asarray(stages)
    return np.flatnonzero(np.r_[True, stages[1:] != stages[:-1], True]) if stages.size else np.zeros(1, int)


def at_resolution(state, rate: float, per_epoch: int, unscored: bool = True) -> np.ndarray:
    """The state that fills most of each piece, `(N,)`, of a state `(T,)`; a last piece that is not whole is dropped.

    Of states that fill a piece alike the first of W, N1, N2, N3, REM, unscored is taken. Without `unscored` a piece is
    unscored only if all of it is. Pieces within one bout need no counting, and these are nearly all.
    """
    state, size = np.asarray(state), piece(rate, per_epoch)
    n = len(state) // size
    pieces = state[: n * size].reshape(n, size)
    stages = pieces[:, 0].copy()
    within = edges(pieces.ravel())
    mixed = np.unique(within[within % size > 0] // size)
    codes = np.array([*range(len(STAGES)), *[UNSCORED] * unscored], stages.dtype)
    counts = np.stack([(pieces[mixed] == code).sum(1) for code in codes], axis=1)
    stages[mixed] = codes[counts.argmax(1)]
    return stages


def confusion_held(state, stages, size: int) -> np.ndarray:
    """Counts `(5, 5)` of samples: the state `(T,)` in rows, stages `(N,)` held for `size` samples each in columns.

    What lies beyond the shorter of the two is left out, and so are samples whose state is unscored.

    Raises
    ------
    SleeplibError
        As `metrics.confusion`: if a scored sample is called unscored, or a code is no stage.
    """
    state, stages = np.asarray(state), np.asarray(stages)
    end = min(len(state), len(stages) * size)
    both = np.union1d(edges(state[:end]), np.append(size * edges(stages), end))
    both = both[both <= end]
    starts = both[:-1]
    return metrics.confusion(state[starts], stages[starts // size], weights=np.diff(both)).astype(int)


def confusions(state, stages, rate: float, per_epoch: int) -> np.ndarray:
    """Two confusion matrices `(2, 5, 5)` of stages `(N,)` at a resolution and a state `(T,)` at `rate`.

    First in pieces, against the truth at the same resolution; second in samples, each stage held for its piece. The
    two answer different questions: how well the network does what this resolution asks for, and how much of the night
    is called right. `confusion_held` of `at_resolution` is the ceiling of the second: nobody who answers `per_epoch`
    times in 30 s gets a higher accuracy (a higher macro F1 is possible).
    """
    truth = at_resolution(state, rate, per_epoch)
    n = min(len(truth), len(stages))
    same = metrics.confusion(truth[:n], np.asarray(stages)[:n])
    return np.stack([same, confusion_held(state, stages, piece(rate, per_epoch))])


def oracle(state, rate: float, per_epoch: int) -> np.ndarray:
    """Counts `(5, 5)` of samples of one who knows the state `(T,)` and may say one stage for each piece.

    The one that fills most of what is scored of it.
    """
    said = at_resolution(state, rate, per_epoch, unscored=False)
    return confusion_held(state, said, piece(rate, per_epoch))


def found(state, stages, rate: float, per_epoch: int, code: int = W) -> tuple[np.ndarray, np.ndarray]:
    """Length in seconds `(B,)` of each true bout of a stage, and the share of it `(B,)` that is called so.

    A bout that goes on beyond the predictions is left out. A network that says W at every piece finds all bouts of
    wake: look at the confusion matrix, or at the same stages moved in time (`np.roll`), as well.
    """
    state, stages = np.asarray(state), np.asarray(stages)
    size, ends = piece(rate, per_epoch), edges(state)
    bouts = np.stack([ends[:-1], ends[1:]], axis=1)[state[ends[:-1]] == code]
    bouts = bouts[bouts[:, 1] <= len(stages) * size]
    # Samples called so before each moment grow linearly within a piece.
    called = np.r_[0, np.cumsum(stages == code)] * size
    inside = np.diff(np.interp(bouts, size * np.arange(len(called)), called), axis=1)[:, 0]
    length = bouts[:, 1] - bouts[:, 0]
    return length / rate, inside / length


@dataclass(frozen=True)
class Transitions:
    """What became of the true boundaries between bouts.

    Attributes
    ----------
    delay : array (B,)
        Seconds from the true boundary to the predicted one, positive if that is later; NaN where none was found.
    before, after : arrays (B,)
        Stages on either side of the true boundary.
    n_true, n_predicted : int
        All boundaries, between bouts of any length.
    """

    delay: np.ndarray
    before: np.ndarray
    after: np.ndarray
    n_true: int
    n_predicted: int

    def summary(self) -> np.ndarray:
        """Share found, mean delay (s), mean absolute error (s), predicted boundaries for each true one `(4,)`.

        NaN where there is nothing to divide by.
        """
        hit = np.isfinite(self.delay)
        late = self.delay[hit]
        parts = [(hit.sum(), hit.size), (late.sum(), late.size), (np.abs(late).sum(), late.size)]
        parts.append((self.n_predicted, self.n_true))
        return np.array([a / b if b else np.nan for a, b in parts])


def transitions(
    state, stages, rate: float, per_epoch: int, least: float = 15.0, window: float = 30.0
) -> Transitions:
    """Match boundaries of a state `(T,)` with those of stages `(N,)` from the same stage to the same stage.

    Each true boundary has one predicted boundary at most, and the other way round. The closest pair goes first, then
    the closest of those that are left, while they are within the window. Many predicted boundaries find many true
    ones by chance: compare with the stages moved in time (`np.roll`) by more than the window.

    Parameters
    ----------
    least : seconds that both bouts beside a true boundary last
    window : seconds that a predicted boundary may be away
    """
    if least < 0 or window <= 0:
        raise SleeplibError(
            f"least {least:g} s and window {window:g} s: needed are 0 or more, and more than 0"
        )
    state, stages, size = np.asarray(state), np.asarray(stages), piece(rate, per_epoch)
    state = state[: len(stages) * size]
    stages = stages[: -(-len(state) // size)]
    at, before, after, shorter = _boundaries(state)
    theirs, *sides, _ = _boundaries(stages)
    long = shorter >= least * rate
    # One line for all kinds: those of a kind lie side by side, further from other kinds than any window.
    apart = len(stages) * size + int(window * rate) + 1
    true = at + apart * _kind(before, after)
    order = np.argsort(true[long], kind="stable")
    predicted = np.sort(size * theirs + apart * _kind(*sides))
    delay = np.full(order.size, np.nan)
    match = nearest_pairs(true[long][order], predicted, window * rate)
    hit = match >= 0
    delay[order[hit]] = (predicted[match[hit]] - true[long][order[hit]]) / rate
    return Transitions(delay, before[long], after[long], len(at), len(theirs))


def _boundaries(stages) -> tuple[np.ndarray, ...]:
    """Positions `(B,)` between bouts, the stages before and after, and the length of the shorter bout."""
    ends = edges(stages)
    at, lengths = ends[1:-1], np.diff(ends)
    return at, stages[at - 1], stages[at], np.minimum(lengths[:-1], lengths[1:])


def _kind(before, after) -> np.ndarray:
    return (UNSCORED + 1) * before.astype(int) + after


def nearest_pairs(first, second, window: float) -> np.ndarray:
    """For each of `first` `(A,)` the position in `second` `(C,)` of its partner, or -1; both are sorted.

    The closest pair of all goes first, then the closest of those left, up to a distance of `window`. That is what
    taking all pairs that are each other's nearest does, round after round. Of two as near, the earlier.
    """
    first, second = np.asarray(first), np.asarray(second)
    partner = np.full(len(first), -1)
    left, free = np.arange(len(first)), np.arange(len(second))
    while len(left) and len(free):
        nearest = _nearest(first[left], second[free])
        mutual = _nearest(second[free], first[left])[nearest] == np.arange(len(left))
        near = np.abs(first[left] - second[free[nearest]]) <= window
        pair = mutual & near
        partner[left[pair]] = free[nearest[pair]]
        free = np.delete(free, nearest[pair])
        left = left[near & ~pair]  # whose nearest is too far has nobody
    return partner


def _nearest(a, b) -> np.ndarray:
    """Position in the sorted `b` of the one nearest to each of `a`; of two as near, the earlier."""
    right = np.searchsorted(b, a).clip(1, max(len(b) - 1, 1))
    left = right - 1
    right = right.clip(max=len(b) - 1)
    return np.where(a - b[left] <= b[right] - a, left, right)
