"""How good is a stager? All numbers come from confusion matrices, so that thousands of resampled ones cost nothing.

A confusion matrix `(..., K, K)` counts epochs with the truth in rows and the prediction in columns; leading axes are
matrices of persons or resamples, and every function keeps them. What the order of the epochs decides is counted the
same way, in two matrices `(..., 2, K, K)`: epochs at the truth's transitions, and all others. `REGISTRY` says of each
number what it means, in which direction it is better, and what chance would score.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.stages import STAGES, UNSCORED


def confusion(truth, predicted, k: int = len(STAGES), weights=None) -> np.ndarray:
    """Counts `(K, K)` of scored epochs, or sums of their `weights` where some are given.

    Truth in rows, prediction in columns; unscored epochs of the truth are left out. SleeplibError if the shapes differ,
    or a scored epoch has a code outside of 0 to K - 1: what is predicted to be unscored is neither right nor wrong by
    itself, and left out it would flatter.
    """
    truth, predicted = np.asarray(truth).astype(int), np.asarray(predicted).astype(int)
    shapes = [np.shape(x) for x in (truth, predicted, weights) if x is not None]
    if len(set(shapes)) > 1:
        raise SleeplibError(f"truth, predictions (and weights) of shapes {shapes}; give one of each epoch")
    scored = truth != UNSCORED
    truth, predicted = truth[scored], predicted[scored]
    for name, codes in (("truth", truth), ("predictions", predicted)):
        if codes.size and not 0 <= codes.min() <= codes.max() < k:
            raise SleeplibError(
                f"{name}: codes {np.setdiff1d(codes, range(k))[:9].tolist()} where the truth is scored; expected are "
                f"0 to {k - 1}. Call these epochs a stage, or leave them out and say so"
            )
    weights = None if weights is None else np.asarray(weights)[scored]
    return np.bincount(k * truth + predicted, weights, k * k).reshape(k, k)


def at_transition(truth, recording) -> np.ndarray:
    """Epochs `(N,)` whose stage differs from that of the epoch before or after, by the truth.

    The first and last epoch of a recording have one neighbour, and no transition leads to or from an unscored epoch.
    The paper counts "transitioning" epochs without defining them (SeqSleepNet, section V-D2): 16.6 % of MASS. Both
    neighbours count here because that gives a share of this size (DOD-H: 17.6 %; with the epoch before alone, 10.8 %),
    and because both epochs at a border "contain information of two or three sleep stages", as it says of them.

    Parameters
    ----------
    truth : array (N,) of int
        Stages, recording after recording.
    recording : array (N,)
        Which recording each epoch belongs to.
    """
    truth, recording = np.asarray(truth), np.asarray(recording)
    scored = truth != UNSCORED
    changes = (truth[1:] != truth[:-1]) & scored[1:] & scored[:-1] & (recording[1:] == recording[:-1])
    at = np.zeros(truth.shape, bool)
    at[:-1] |= changes
    at[1:] |= changes
    return at


def distance_to_transition(truth, recording) -> np.ndarray:
    """How many epochs `(N,)` lie between each epoch and the nearest one `at_transition` in its recording.

    0 at a transition; infinite in a recording that has none. Arguments as of `at_transition`, epochs of a recording end
    to end.
    """
    recording, index = np.asarray(recording), np.arange(len(truth), dtype=float)
    at = at_transition(truth, recording)
    border = np.r_[True, recording[1:] != recording[:-1]]

    def since(at, border) -> np.ndarray:
        """Distance from the last transition of the same recording."""
        last = np.maximum.accumulate(np.where(at, index, -np.inf))
        begun = np.maximum.accumulate(np.where(border, index, -np.inf))
        return np.where(last >= begun, index - last, np.inf)

    return np.minimum(since(at, border), since(at[::-1], np.r_[border[1:], True][::-1])[::-1])


def error_by_distance(truth, predicted, recording, far: int = 10) -> np.ndarray:
    """Share of wrong epochs at each distance from a transition, `(far + 1,)`: 0, 1, ..., `far` and more.

    NaN where there is no scored epoch.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    scored = truth != UNSCORED
    distance = np.minimum(distance_to_transition(truth, recording), far).astype(int)[scored]
    wrong = np.bincount(distance, (truth != predicted)[scored], far + 1)
    return _ratio(wrong, np.bincount(distance, minlength=far + 1))


def confusion_at_transitions(truth, predicted, recording, k: int = len(STAGES)) -> np.ndarray:
    """Counts `(2, K, K)` of scored epochs: those `at_transition`, and the others; their sum is `confusion`."""
    truth, predicted, at = np.asarray(truth), np.asarray(predicted), at_transition(truth, recording)
    return np.stack([confusion(truth[rows], predicted[rows], k) for rows in (at, ~at)])


def _ratio(part, whole) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _diagonal(c: np.ndarray) -> np.ndarray:
    return np.diagonal(c, axis1=-2, axis2=-1)


def accuracy(c: np.ndarray) -> np.ndarray:
    """Share of epochs whose stage is right."""
    return _ratio(_diagonal(c).sum(-1), c.sum((-2, -1)))


def kappa(c: np.ndarray) -> np.ndarray:
    """Cohen's kappa: (observed - expected agreement) / (1 - expected), expected from the two marginals (Cohen 1960)."""
    total = c.sum((-2, -1))
    observed = accuracy(c)
    expected = _ratio((c.sum(-1).astype(float) * c.sum(-2)).sum(-1), np.square(total.astype(float)))
    return _ratio(observed - expected, 1 - expected)


def sensitivity(c: np.ndarray) -> np.ndarray:
    """Of the epochs that are a stage, the share found: recall, `(..., K)`; NaN for a stage that does not occur."""
    return _ratio(_diagonal(c), c.sum(-1))


def selectivity(c: np.ndarray) -> np.ndarray:
    """Of the epochs called a stage, the share that is right: precision, `(..., K)`; NaN for a stage never called."""
    return _ratio(_diagonal(c), c.sum(-2))


def specificity(c: np.ndarray) -> np.ndarray:
    """Of the epochs that are not a stage, the share not called it, `(..., K)`."""
    total = c.sum((-2, -1))[..., None]
    others = total - c.sum(-1)
    return _ratio(others - c.sum(-2) + _diagonal(c), others)


def f1(c: np.ndarray) -> np.ndarray:
    """Harmonic mean of sensitivity and selectivity, `(..., K)`.

    NaN only for a stage that neither occurs nor is called.
    """
    return _ratio(2 * _diagonal(c), c.sum(-1) + c.sum(-2))


def macro_f1(c: np.ndarray) -> np.ndarray:
    """Unweighted mean of the stages' F1; a stage that occurs and is never found counts 0, an absent one is left out."""
    present = (c.sum(-1) + c.sum(-2)) > 0
    return _ratio(np.nansum(f1(c), axis=-1), present.sum(-1))


def mean_sensitivity(c: np.ndarray) -> np.ndarray:
    """Unweighted mean of the stages' sensitivities; stages that do not occur are left out."""
    return _mean(sensitivity(c))


def mean_specificity(c: np.ndarray) -> np.ndarray:
    """Unweighted mean of the stages' specificities."""
    return _mean(specificity(c))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the stages that have a value."""
    return _ratio(np.nansum(values, axis=-1), np.isfinite(values).sum(-1))


def transition_error(parts: np.ndarray) -> np.ndarray:
    """Share of wrong epochs among those at transitions; `parts` (..., 2, K, K) of `confusion_at_transitions`."""
    return 1 - accuracy(parts[..., 0, :, :])


def non_transition_error(parts: np.ndarray) -> np.ndarray:
    """Share of wrong epochs among those away from transitions; `parts` (..., 2, K, K)."""
    return 1 - accuracy(parts[..., 1, :, :])


@dataclass(frozen=True)
class Metric:
    """A number about a stager, and what a reader has to know of it. Call it with counts.

    Attributes
    ----------
    name : str
        As in the registry and in the rows of records.
    meaning, unit, source : str
    better : str
        "higher" or "lower".
    chance : str
        Formula of `at_chance`, with p the shares of the K stages in the truth, q those among the epochs meant.
    function : function of counts
        To an array `(...)`, or `(..., K)` if `per_stage`.
    needs : str
        Which counts: "confusion", `(..., K, K)` of `confusion`; or "sequences", `(..., 2, K, K)` of
        `confusion_at_transitions`, which has to see whole recordings.
    per_stage : bool
    """

    name: str
    meaning: str
    unit: str
    better: str
    chance: str
    source: str
    function: Callable[[np.ndarray], np.ndarray]
    needs: str = "confusion"
    per_stage: bool = False

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """The number, from counts of the kind that it `needs`; leading axes are kept."""
        return self.function(counts)

    def at_chance(self, counts: np.ndarray) -> np.ndarray:
        """What dice with the truth's shares of stages score in the long run, from the same counts.

        Only the truth in `counts` plays a part; what was predicted does not.
        """
        there = np.asarray(counts).sum(-1, dtype=float)
        night = there.sum(-2, keepdims=True) if self.needs == "sequences" else there
        thrown = _ratio(night, night.sum(-1, keepdims=True))
        return self.function(there[..., None] * thrown[..., None, :])


_SHARE, _TABLE = "fraction of epochs", "SeqSleepNet, Table II"
_TRANSITIONS = "SeqSleepNet, section V-D2"
REGISTRY = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy", "epochs whose stage is right", _SHARE, "higher", "Σ p²", _TABLE, accuracy,
        ),
        Metric(
            "kappa", "agreement beyond chance, as a part of what is possible beyond chance",
            "none; 1 is full agreement", "higher", "0", "Cohen 1960", kappa,
        ),
        Metric(
            "macro_f1", "mean of the stages' F1: each stage has one vote, however rare", "none, 0 to 1",
            "higher", "1/K", _TABLE, macro_f1,
        ),
        Metric(
            "mean_sensitivity", "mean of the stages' sensitivities, also called balanced accuracy",
            "mean of fractions", "higher", "1/K", _TABLE, mean_sensitivity,
        ),
        Metric(
            "mean_specificity", "mean over stages: of the epochs that are not the stage, those not called it",
            "mean of fractions", "higher", "1 − 1/K", _TABLE, mean_specificity,
        ),
        Metric(
            "sensitivity", "of the epochs that are a stage, those found: recall", _SHARE, "higher",
            "p of the stage", _TABLE, sensitivity, per_stage=True,
        ),
        Metric(
            "selectivity", "of the epochs called a stage, those that are it: precision", _SHARE, "higher",
            "p of the stage", _TABLE, selectivity, per_stage=True,
        ),
        Metric(
            "f1", "harmonic mean of a stage's sensitivity and selectivity", "none, 0 to 1", "higher",
            "p of the stage", "its mean is SeqSleepNet's MF1", f1, per_stage=True,
        ),
        Metric(
            "transition_error", "of the epochs whose stage differs from that before or after, those that are wrong",
            _SHARE, "lower", "1 − Σ p q", _TRANSITIONS, transition_error,
            needs="sequences",
        ),
        Metric(
            "non_transition_error", "of all other epochs, those that are wrong", _SHARE, "lower",
            "1 − Σ p q", _TRANSITIONS, non_transition_error,
            needs="sequences",
        ),
    )
}  # fmt: skip
# The five overall columns of SeqSleepNet's Table II, in its order.
HEADLINE = {f.__name__: f for f in (accuracy, kappa, macro_f1, mean_sensitivity, mean_specificity)}


def measure(truth, predicted, recording=None) -> dict[str, np.ndarray]:
    """Every number of the registry; without `recording` those that need no sequences.

    Parameters
    ----------
    truth, predicted : arrays (N,) of stages
    recording : array (N,), optional
        Which recording each epoch belongs to; its epochs are in their order and complete, unscored ones included.
    """
    counts = {"confusion": confusion(truth, predicted)}
    if recording is not None:
        counts["sequences"] = confusion_at_transitions(truth, predicted, recording)
    return {name: metric(counts[metric.needs]) for name, metric in REGISTRY.items() if metric.needs in counts}


def describe():
    """The registry as a `DataFrame`: a line per metric with meaning, unit, better, chance and source."""
    import pandas as pd

    columns = ["meaning", "unit", "better", "chance", "source"]
    rows = [[getattr(metric, column) for column in columns] for metric in REGISTRY.values()]
    return pd.DataFrame(rows, index=pd.Index(REGISTRY, name="name"), columns=columns)
