"""How sure are we? Intervals by resampling persons, because epochs of one person are not independent."""

import numpy as np

from sleeplib.analysis import metrics
from sleeplib.stages import UNSCORED


def confusions_by_person(truth, predicted, person) -> np.ndarray:
    """One confusion matrix for each person, `(P, K, K)`."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    people, index = np.unique(person, return_inverse=True)
    return np.stack([metrics.confusion(truth[index == p], predicted[index == p]) for p in range(len(people))])


def transitions_by_person(truth, predicted, person, recording) -> np.ndarray:
    """Two confusion matrices for each person, at the truth's transitions and elsewhere, `(P, 2, K, K)`."""
    truth, predicted, recording = np.asarray(truth), np.asarray(predicted), np.asarray(recording)
    people, index = np.unique(person, return_inverse=True)
    rows = [index == p for p in range(len(people))]
    return np.stack([metrics.confusion_at_transitions(truth[r], predicted[r], recording[r]) for r in rows])


def resamples_by_person(n_persons: int, n: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each person is drawn in each of `n` bootstrap samples of persons, `(n, P)`."""
    return np.random.default_rng(seed).multinomial(n_persons, np.full(n_persons, 1 / n_persons), size=n)


def bootstrap_by_person(metric, confusions: np.ndarray, n: int = 2000, level: float = 0.95, seed: int = 0):
    """Percentile interval of a pooled metric when persons are drawn with replacement.

    Parameters
    ----------
    metric : function of counts, such as those of `metrics.REGISTRY`
    confusions : array (P, ...)
        Counts of each person: (P, K, K), or (P, 2, K, K) at transitions and elsewhere.

    Returns
    -------
    value, low, high : the metric of all persons pooled, and the bounds of its interval
    """
    weights = resamples_by_person(len(confusions), n, seed)
    resampled = metric(np.einsum("np,p...->n...", weights, confusions))
    low, high = _interval(resampled, level)
    return metric(confusions.sum(0)), low, high


def paired_difference(
    metric, first: np.ndarray, second: np.ndarray, n: int = 2000, level: float = 0.95, seed: int = 0
):
    """Difference of a pooled metric between two systems on the same persons, with its interval.

    Both systems are scored on the same resampled persons, so that differences between persons cancel.

    Returns
    -------
    difference, low, high : `metric(first) - metric(second)` and the bounds of its interval
    """
    weights = resamples_by_person(len(first), n, seed)
    resampled = metric(np.einsum("np,p...->n...", weights, first)) - metric(
        np.einsum("np,p...->n...", weights, second)
    )
    low, high = _interval(resampled, level)
    return metric(first.sum(0)) - metric(second.sum(0)), low, high


def _number(value) -> float | None:
    """A float for a record; None where the number is not defined."""
    return None if np.isnan(value) else float(value)


def _interval(resampled: np.ndarray, level: float) -> np.ndarray:
    """Percentile bounds `(2, ...)` over the first axis; resamples in which the number is not defined are left out."""
    if np.isnan(resampled).all():
        return np.full((2, *resampled.shape[1:]), np.nan)
    tail = (1 - level) / 2
    return np.nanquantile(resampled, [tail, 1 - tail], axis=0)


def score(truth, predicted, person, recording=None, seed: int = 0) -> dict:
    """All numbers about one system's predictions, pooled over epochs, as a row of a result record.

    Parameters
    ----------
    truth, predicted : arrays (N,)
        Stages; epochs with an unscored truth are left out.
    person : array (N,)
    recording : array (N,), optional
        Whose epochs are in their order and complete; needed for the errors at transitions.

    Returns
    -------
    dict
        The five of `metrics.HEADLINE` and, with `recording`, `transition_error` and `non_transition_error`, each with
        `_low` and `_high` (95 %, persons resampled); `sensitivity`, `selectivity` and `f1` per stage, `confusion`,
        `n_epochs`, `n_persons`.
    """
    confusions = confusions_by_person(truth, predicted, person)
    measured = [(name, metric, confusions) for name, metric in metrics.HEADLINE.items()]
    if recording is not None:
        counts = transitions_by_person(truth, predicted, person, recording)
        measured += [(n, metrics.REGISTRY[n], counts) for n in ("transition_error", "non_transition_error")]
    row = {}
    for name, metric, counts in measured:
        value, low, high = bootstrap_by_person(metric, counts, seed=seed)
        row |= {name: _number(value), f"{name}_low": _number(low), f"{name}_high": _number(high)}
    pooled = confusions.sum(0)
    for name in ("sensitivity", "selectivity", "f1"):
        values = getattr(metrics, name)(pooled)
        row[name] = [_number(v) for v in values]
    scored = np.asarray(truth) != UNSCORED
    return row | {"confusion": pooled.tolist(), "n_epochs": int(scored.sum()), "n_persons": len(confusions)}
