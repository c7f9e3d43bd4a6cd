"""How sure are we? Intervals and tests by persons, because epochs and nights of one person are not independent."""

import numpy as np
from scipy import stats

from sleeplib.analysis import metrics


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
    low, high = _interval(resampled, level, len(confusions))
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
    low, high = _interval(resampled, level, len(first))
    return metric(first.sum(0)) - metric(second.sum(0)), low, high


def difference(
    metric, first: np.ndarray, second: np.ndarray, n: int = 2000, level: float = 0.95, seed: int = 0
):
    """Difference of a pooled metric between two groups of other persons, with its interval.

    Returns
    -------
    difference, low, high : `metric(first) - metric(second)` and the bounds of its interval
    """
    drawn = [
        metric(np.einsum("np,p...->n...", resamples_by_person(len(c), n, seed + k), c))
        for k, c in enumerate((first, second))
    ]
    low, high = _interval(drawn[0] - drawn[1], level, min(len(first), len(second)))
    return metric(first.sum(0)) - metric(second.sum(0)), low, high


def welch(first, second, alternative: str = "greater") -> np.ndarray:
    """p-values `(...)` of Welch's t-test of two samples `(N, ...)`, `(M, ...)`, as in AnySleep (figure 1).

    It takes all values to be independent. Those of two networks on the same nights are not, nor are the nights of one
    person: see `sign_flips`.
    """
    return np.asarray(stats.ttest_ind(first, second, equal_var=False, alternative=alternative).pvalue)


def by_person(values, person) -> np.ndarray:
    """Means `(P, ...)` of the values `(N, ...)` of each person; those that are not numbers are left out."""
    values, people = np.asarray(values, float), np.unique(person, return_inverse=True)
    rows = [values[people[1] == p] for p in range(len(people[0]))]
    counted = [np.isfinite(x).sum(0) for x in rows]
    sums = [np.where(np.isfinite(x), x, 0).sum(0) for x in rows]
    return np.stack(
        [np.where(n > 0, s / np.maximum(n, 1), np.nan) for s, n in zip(sums, counted, strict=True)]
    )


def mean_of_persons(values: np.ndarray, n: int = 2000, level: float = 0.95, seed: int = 0):
    """Mean `(...)` of the values `(P, ...)` of P persons, and the bounds of its percentile interval over persons.

    Persons without a value (NaN) are left out of it.
    """
    known, values = np.isfinite(values), np.nan_to_num(np.asarray(values, float), posinf=0, neginf=0)
    weights = resamples_by_person(len(values), n, seed)
    sums, counts = (np.einsum("np,p...->n...", weights, x) for x in (values, known))
    low, high = _interval(_mean(sums, counts), level, known.sum(0))
    return _mean(values.sum(0), known.sum(0)), low, high


def _mean(sums, counts):
    """Sums over counts; NaN where nothing was counted."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)[()]


def sign_flips(differences, alternative: str = "greater", n: int = 9999, seed: int = 0) -> np.ndarray:
    """p-values `(...)` that the mean difference `(P, ...)` of P persons is as large only by chance.

    If two systems are equally good, each person's difference could as well have had the other sign. All signs are
    tried where there are at most `n` combinations, else `n` random ones. P persons give no p below 2^-P, `n` random
    combinations none below 1 / (n + 1) (`least_p`); one person gives none, NaN. Persons without a difference (NaN) are
    left out, column by column.
    """
    differences = np.asarray(differences, float)
    known = np.isfinite(differences)
    if not known.all():
        columns = zip(differences.reshape(len(known), -1).T, known.reshape(len(known), -1).T, strict=True)
        found = [sign_flips(column[there], alternative, n, seed) for column, there in columns]
        return np.reshape(found, differences.shape[1:])
    if len(differences) < 2:
        return np.full(differences.shape[1:], np.nan)
    rng = np.random.default_rng(seed)
    test = stats.permutation_test(
        (differences,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True, axis=0,
        n_resamples=n, alternative=alternative, rng=rng, batch=max(1, 2**22 // max(1, differences.size)),
    )  # fmt: skip
    return np.asarray(test.pvalue)


def least_p(persons: int, n: int = 9999) -> float:
    """The least one-sided p that `sign_flips` can give so many persons: all of them gain."""
    return 2.0**-persons if 2**persons <= n else 1 / (n + 1)


def holm(p) -> np.ndarray:
    """p-values corrected for their number by Holm's method (1979), in the shape given; NaN stays and is not counted.

    The smallest of m is multiplied by m, the next by m - 1, ...; none is less than the one before it, nor above 1.
    """
    p = np.asarray(p, float)
    known = np.isfinite(p)
    values, corrected = p[known], np.full(p.shape, np.nan)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    values[order] = np.minimum(steps, 1)
    corrected[known] = values
    return corrected


def _number(value) -> float | None:
    """A float for a record; None where the number is not defined."""
    return None if np.isnan(value) else float(value)


def _interval(resampled: np.ndarray, level: float, persons) -> np.ndarray:
    """Percentile bounds `(2, ...)` over the first axis; resamples in which the number is not defined are left out.

    One person gives none, NaN: nobody knows from them how much persons differ.
    """
    tail, bounds = (1 - level) / 2, np.full((2, *resampled.shape[1:]), np.nan)
    if not np.isnan(resampled).all():
        bounds = np.nanquantile(resampled, [tail, 1 - tail], axis=0)
    return np.where(np.asarray(persons) > 1, bounds, np.nan)


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
    row = score_counts(confusions, seed)
    if recording is not None:
        counts = transitions_by_person(truth, predicted, person, recording)
        for name in ("transition_error", "non_transition_error"):
            row |= _with_interval(name, metrics.REGISTRY[name], counts, seed)
    return row


def score_counts(confusions: np.ndarray, seed: int = 0) -> dict:
    """The numbers of `score` from the confusion matrices of P persons `(P, 5, 5)`; there are none about transitions."""
    row = {}
    for name, metric in metrics.HEADLINE.items():
        row |= _with_interval(name, metric, confusions, seed)
    pooled = confusions.sum(0)
    for name in ("sensitivity", "selectivity", "f1"):
        row[name] = [_number(v) for v in getattr(metrics, name)(pooled)]
    return row | {
        "confusion": pooled.tolist(), "n_epochs": int(pooled.sum()), "n_persons": len(confusions)
    }  # fmt: skip


def _with_interval(name: str, metric, counts: np.ndarray, seed: int) -> dict:
    """A number with its bounds, as a row of a record has them."""
    value, low, high = bootstrap_by_person(metric, counts, seed=seed)
    return {name: _number(value), f"{name}_low": _number(low), f"{name}_high": _number(high)}
