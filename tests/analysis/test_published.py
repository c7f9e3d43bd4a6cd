"""The registry against the paper: the rows of SeqSleepNet's Table II follow from their own stage-wise columns.

Rounding decides how exactly. Counts `(5, 5)` that print a row's stage-wise columns, and the labels' counts, are all
linear conditions on the 25 entries; a row follows if some matrix that meets them prints the row's other columns too.
Where none does, the smallest excess over the half of a last digit, in units of that half, says how far off the row is.
"""

import json
from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from sleeplib.analysis import metrics

# Column of published_numbers.json: metric, factor and half of the last printed digit.
COLUMNS = {
    "acc": ("accuracy", 100, 0.05),
    "kappa": ("kappa", 1, 0.0005),
    "mf1": ("macro_f1", 100, 0.05),
    "sens": ("mean_sensitivity", 100, 0.05),
    "spec": ("mean_specificity", 100, 0.05),
}
STAGE_COLUMNS = {"class_sens": "sensitivity", "class_sel": "selectivity"}
ROWS = [
    "SeqSleepNet-30", "SeqSleepNet-20", "SeqSleepNet-10", "E2E-DeepSleepNet-30", "E2E-DeepSleepNet-20",
    "E2E-DeepSleepNet-10", "M-E2E-ARNN", "Multitask 1-max CNN", "E2E-ARNN", "1-max CNN", "Chambon", "DeepSleepNet1",
    "Tsinalis",
]  # fmt: skip
ENTRIES = np.eye(25).reshape(25, 5, 5)


@pytest.fixture(scope="module")
def published(shared):
    return json.loads((shared / "reference/vectors/published_numbers.json").read_text())


def conditions(row, labels, called=None, right=None):
    """What `linprog` is told of a matrix that prints the stage-wise columns.

    `called` (5,) and `right`, where given, are counts known exactly: of each stage's predictions, and of right ones.
    """
    found, correct = np.array(row["class_sens"]) / 100, np.array(row["class_sel"]) / 100
    half, diagonal = 0.0005, np.eye(5, dtype=bool)
    low, high = np.zeros((5, 5)), np.broadcast_to(labels[:, None], (5, 5)).astype(float)
    low[diagonal], high[diagonal] = labels * (found - half), labels * (found + half)
    into = ENTRIES.sum(1).T  # (stage called, entry)
    hits = ENTRIES[:, diagonal].T
    equal, to = [ENTRIES.sum(2).T], [labels]
    if called is not None:
        equal, to = [*equal, into, hits.sum(0, keepdims=True)], [*to, called, [right]]
    return {
        "A_ub": np.vstack([hits - (correct + half)[:, None] * into, (correct - half)[:, None] * into - hits]),
        "b_ub": np.zeros(10),
        "A_eq": np.vstack(equal),
        "b_eq": np.concatenate(to),
        "bounds": np.stack([low.ravel(), high.ravel()], axis=1),
    }


def excess(row, labels, **known):
    """How far from printing the row the best matrix is, and that matrix; None without any for the stage-wise columns.

    The excess is the largest distance of a printed number from the metric, in halves of its last digit; up to 1 is
    rounding. Kappa and macro F1 bend so little in these narrow bounds that a linear programme solved thrice meets them.
    """
    told = conditions(row, labels, **known)
    start = linprog(np.zeros(25), **told)
    if not start.success:
        return None
    c = start.x.reshape(5, 5)
    for _ in range(3):
        values, slopes = _distances(row, c), np.stack([_slope(row, c, e) for e in ENTRIES], axis=1)
        offset = values - slopes @ c.ravel()
        wide = np.hstack([np.vstack([slopes, -slopes]), -np.ones((10, 1))])
        solved = linprog(
            np.append(np.zeros(25), 1),
            A_ub=np.vstack([np.hstack([told["A_ub"], np.zeros((10, 1))]), wide]),
            b_ub=np.concatenate([told["b_ub"], -offset, offset]),
            A_eq=np.hstack([told["A_eq"], np.zeros((len(told["A_eq"]), 1))]),
            b_eq=told["b_eq"],
            bounds=np.vstack([told["bounds"], [0, np.inf]]),
        )
        c = solved.x[:-1].reshape(5, 5)
    return np.abs(_distances(row, c)).max(), c


def _distances(row, c):
    """Metrics minus printed numbers, in halves of their last digits, `(..., 5)`."""
    return np.stack(
        [
            (factor * metrics.REGISTRY[name](c) - row[column]) / half
            for column, (name, factor, half) in COLUMNS.items()
        ],
        axis=-1,
    )


def _slope(row, c, entry):
    return (_distances(row, c + entry) - _distances(row, c - entry)) / 2


def labels_of(published):
    return np.array(published["mass_reference_counts_estimate"]["counts"])


def test_all_full_mass_rows_are_there(published):
    assert sorted(ROWS) == sorted(published["seqsleepnet_table2"])


@pytest.mark.parametrize("name", ROWS)
def test_a_published_row_follows_from_its_stage_columns(published, name):
    row = published["seqsleepnet_table2"][name]
    far, c = excess(row, labels_of(published))
    assert far <= 1 + 1e-6, f"off by {far:.3f} halves of a last digit"
    for column, metric in STAGE_COLUMNS.items():
        assert np.abs(100 * metrics.REGISTRY[metric](c) - row[column]).max() <= 0.05 + 1e-6
    assert c.min() > -1e-6 and c.sum(1) == pytest.approx(labels_of(published))


@pytest.mark.parametrize(
    "column, by", [("acc", 0.2), ("kappa", 0.002), ("mf1", -0.2), ("sens", 0.2), ("spec", -0.2)]
)
def test_a_row_with_a_wrong_number_does_not_follow(published, column, by):
    row = published["seqsleepnet_table2"]["SeqSleepNet-20"]
    assert excess(row | {column: row[column] + by}, labels_of(published))[0] > 1.5


def test_sensitivity_and_selectivity_are_not_the_other_way_round(published):
    row = published["seqsleepnet_table2"]["SeqSleepNet-20"]
    other = row | {"class_sens": row["class_sel"], "class_sel": row["class_sens"]}
    found = excess(other, labels_of(published))
    assert found is None or found[0] > 5


def test_the_stored_predictions_of_e2e_arnn_print_its_row(published, shared):
    """Its predictions for all of MASS are known; of the labels, their counts and how many are met. That is enough."""
    stored = np.load(shared / "reference/vectors/cc-by-nc/e2e_arnn_mass.npz")
    labels, called = labels_of(published), np.bincount(stored["yhat"] - 1)
    right = np.sum(stored["fold_acc"] * stored["fold_n"]).round()
    assert called.sum() == labels.sum() == stored["fold_n"].sum()
    far, c = excess(published["seqsleepnet_table2"]["E2E-ARNN"], labels, called=called, right=right)
    assert far <= 1
    assert metrics.accuracy(c) == pytest.approx(0.8359592781928605, abs=1e-12)
    assert metrics.kappa(c) == pytest.approx(0.766, abs=0.0005)


def test_the_papers_numbers_of_transitions_fit_each_other():
    """Section V-D2: 16.6 % of the epochs; 34.5 % of them and 8.7 % of the others wrong; 44.0 % of all errors."""
    half = 0.0005
    share, at, away = np.array(list(product(*([v - half, v + half] for v in (0.166, 0.345, 0.087))))).T
    wrong = np.stack([share * at, (1 - share) * away], axis=-1)
    parts = np.zeros((8, 2, 5, 5))
    parts[..., 0, 1], parts[..., 0, 0] = wrong, np.stack([share, 1 - share], axis=-1) - wrong
    assert metrics.REGISTRY["transition_error"](parts) == pytest.approx(at)
    assert metrics.REGISTRY["non_transition_error"](parts) == pytest.approx(away)
    for values, printed in (
        (metrics.accuracy(parts.sum(-3)), 0.870),
        (wrong[:, 0] / wrong.sum(-1), 0.440),
    ):
        assert values.min() <= printed + half and printed - half <= values.max()
