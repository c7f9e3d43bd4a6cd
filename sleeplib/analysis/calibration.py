"""Are posteriors as sure as they are right? Everything comes from sums that can be added over nights and persons.

Of posteriors p `(N, 5)` and the truth y `(N,)`, six questions are asked: how sure the stage with the largest p is, and
how sure each of the five stages is. Their sums have one row for each, `TOP` first. Leading axes of sums are persons or
resamples, and every function keeps them, so that `statistics.bootstrap_by_person` takes them. N may be millions: rows
are taken in pieces.
"""

from collections.abc import Iterator

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.stages import STAGES, UNSCORED

TOP = 0  # the row of the stage that is said; those of W, N1, N2, N3, REM follow
ROWS = 2**17  # of posteriors that are looked at together
LEAST = 1e-7  # a smaller posterior counts as this in the log loss: float32 cannot tell it from 0


def edges(posteriors=None, bins: int = 15, by: str = "width") -> np.ndarray:
    """Edges of bins of confidence, `(6, bins + 1)` from 0 to 1.

    Parameters
    ----------
    posteriors : array (N, 5), for `by="mass"`
    by : "width", of equal width; or "mass", with as many of the posteriors in each, as far as ties allow

    Raises
    ------
    SleeplibError
        If `by` is unknown, there are no bins, or no posteriors for "mass".
    """
    if by not in ("width", "mass") or bins < 1:
        raise SleeplibError(f"{bins} bins by {by!r}: choose 1 or more by width or mass")
    even = np.linspace(0, 1, bins + 1)
    if by == "width":
        return np.tile(even, (1 + len(STAGES), 1))
    if posteriors is None or not len(posteriors):
        raise SleeplibError("bins of equal mass need posteriors; give some, or choose width")
    posteriors = np.asarray(posteriors)
    columns = (posteriors.max(1), *posteriors.T)
    found = np.stack([np.quantile(x, even) for x in columns]).astype(float)
    found[:, [0, -1]] = 0, 1
    return found


def counts(posteriors, truth, bins: np.ndarray) -> np.ndarray:
    """Sums `(6, 3, B)` in each bin: how many, their confidences, and how many of them are right.

    Parameters
    ----------
    posteriors : array (N, 5)
    truth : array (N,) of stages; unscored ones are left out
    bins : array (6, B + 1) of `edges`; a bin holds its lower edge, the last one both
    """
    n = np.shape(bins)[1] - 1
    sums = np.zeros((1 + len(STAGES), 3, n))
    for p, y in _pieces(posteriors, truth):
        said = p.argmax(1)
        sure = np.column_stack([p[np.arange(len(p)), said], p])
        right = np.column_stack([said == y, y[:, None] == np.arange(len(STAGES))])
        for row, (confidence, hit) in enumerate(zip(sure.T, right.T, strict=True)):
            bin_ = np.searchsorted(bins[row, 1:-1], confidence, side="right")
            for k, weights in enumerate((None, confidence, hit)):
                sums[row, k] += np.bincount(bin_, weights, n)
    return sums


def losses(posteriors, truth) -> np.ndarray:
    """Sums `(6, 3)`: how many, Brier scores, log losses. The first row is of the five stages together.

    Brier score: the sum over stages of (p - [y is the stage])^2, 0 to 2. Log loss: -ln p of the true stage, in nats.
    The other rows are those of each stage against the rest, with p and 1 - p; their Brier scores add up to the first.
    """
    sums = np.zeros((1 + len(STAGES), 3))
    for p, y in _pieces(posteriors, truth):
        is_ = y[:, None] == np.arange(len(STAGES))
        each = np.square(p - is_).sum(0)
        log = -np.log(np.maximum(np.where(is_, p, 1 - p), LEAST)).sum(0)
        of_true = -np.log(np.maximum(p[is_], LEAST)).sum()
        sums += np.column_stack([np.full(6, len(y)), [each.sum(), *each], [of_true, *log]])
    return sums


def _pieces(posteriors, truth) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scored rows of posteriors, as float64 that sum to 1, and their truth, some at a time."""
    posteriors, truth = np.asarray(posteriors), np.asarray(truth)
    if posteriors.shape != (*truth.shape, len(STAGES)):
        raise SleeplibError(
            f"posteriors {posteriors.shape} and truth {truth.shape}: needed are (N, {len(STAGES)}) and (N,)"
        )
    for first in range(0, len(truth), ROWS):
        y = truth[first : first + ROWS]
        scored = y != UNSCORED
        p = posteriors[first : first + ROWS][scored].astype(float)
        if not np.isfinite(p).all() or (p < 0).any() or (np.abs(p.sum(1) - 1) > 1e-3).any():
            raise SleeplibError(
                f"rows {first} to {first + len(y)}: posteriors have to be 0 or more and to sum to 1; "
                "take the softmax of logits"
            )
        yield p / p.sum(1, keepdims=True), y[scored]


def calibration_error(sums: np.ndarray) -> np.ndarray:
    """Expected calibration error `(..., 6)` from `counts` `(..., 6, 3, B)`: mean over bins of |right - sure|.

    Bins weigh as much as they hold. It is never negative, so that few epochs or many bins look worse than they are.
    """
    n, sure, right = np.moveaxis(sums, -2, 0)
    return _ratio(np.abs(right - sure).sum(-1), n.sum(-1))


def overconfidence(sums: np.ndarray) -> np.ndarray:
    """Mean confidence minus share that is right, `(..., 6)`: above 0 if surer than right."""
    n, sure, right = np.moveaxis(sums, -2, 0)
    return _ratio((sure - right).sum(-1), n.sum(-1))


def reliability(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence and share that is right of each bin, `(..., 6, B)`, NaN if it is empty; and how many it holds."""
    n, sure, right = np.moveaxis(sums, -2, 0)
    return _ratio(sure, n), _ratio(right, n), n


def brier(sums: np.ndarray) -> np.ndarray:
    """Mean Brier scores `(..., 6)` from `losses` `(..., 6, 3)`."""
    return _ratio(sums[..., 1], sums[..., 0])


def log_loss(sums: np.ndarray) -> np.ndarray:
    """Mean log losses `(..., 6)`, nats, from `losses` `(..., 6, 3)`."""
    return _ratio(sums[..., 2], sums[..., 0])


def _ratio(part, whole) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
