"""Intervals by person."""

import numpy as np
import pytest

from sleeplib.analysis import metrics, statistics


def people(n=12, epochs=200, seed=0, spread=0.15):
    """Truth, predictions and persons; each person has an accuracy of their own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, (n, epochs))
    skill = np.clip(rng.normal(0.75, spread, (n, 1)), 0, 1)
    predicted = np.where(rng.random((n, epochs)) < skill, truth, rng.integers(0, 5, (n, epochs)))
    return truth.ravel(), predicted.ravel(), np.repeat([f"p{i:02d}" for i in range(n)], epochs)


def test_each_person_has_a_matrix_and_together_they_are_the_pooled_one():
    truth, predicted, person = people()
    c = statistics.confusions_by_person(truth, predicted, person)
    assert c.shape == (12, 5, 5) and (c.sum(0) == metrics.confusion(truth, predicted)).all()
    assert (c[3] == metrics.confusion(truth[600:800], predicted[600:800])).all()


def test_bootstrap_equals_a_naive_one_over_persons():
    truth, predicted, person = people()
    c = statistics.confusions_by_person(truth, predicted, person)
    value, low, high = statistics.bootstrap_by_person(metrics.kappa, c, n=200, seed=5)
    resampled = []
    for counts in statistics.resamples_by_person(12, 200, 5):
        drawn = [person == f"p{i:02d}" for i, times in enumerate(counts) for _ in range(times)]
        rows = np.concatenate([np.flatnonzero(mask) for mask in drawn])
        resampled.append(metrics.kappa(metrics.confusion(truth[rows], predicted[rows])))
    assert value == pytest.approx(metrics.kappa(c.sum(0)))
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))


def test_intervals_by_person_are_wider_than_those_that_pretend_epochs_are_independent():
    truth, predicted, person = people()
    by_person = statistics.bootstrap_by_person(
        metrics.accuracy, statistics.confusions_by_person(truth, predicted, person)
    )
    each = np.arange(len(truth))
    by_epoch = statistics.bootstrap_by_person(
        metrics.accuracy, statistics.confusions_by_person(truth, predicted, each), n=300
    )
    assert by_person[2] - by_person[1] > 2 * (by_epoch[2] - by_epoch[1])


@pytest.mark.slow
def test_intervals_cover_the_true_value_about_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        truth, predicted, person = people(n=30, epochs=60, seed=seed, spread=0.08)
        _, low, high = statistics.bootstrap_by_person(
            metrics.accuracy, statistics.confusions_by_person(truth, predicted, person), n=400, seed=seed
        )
        covered += low <= 0.75 + 0.25 / 5 <= high
    assert 0.88 < covered / 200 < 0.99


def test_a_paired_difference_is_sharper_than_two_intervals():
    truth, predicted, person = people()
    better = np.where(np.random.default_rng(9).random(len(truth)) < 0.1, truth, predicted)
    first, second = (statistics.confusions_by_person(truth, p, person) for p in (better, predicted))
    gain, low, high = statistics.paired_difference(metrics.accuracy, first, second)
    assert gain == pytest.approx((better == truth).mean() - (predicted == truth).mean())
    assert 0 < low < gain < high
    apart = [statistics.bootstrap_by_person(metrics.accuracy, c) for c in (first, second)]
    assert high - low < min(b[2] - b[1] for b in apart)
    same = statistics.paired_difference(metrics.kappa, first, first)
    assert same == (0, 0, 0)


def test_a_scored_row_has_everything_a_table_needs():
    truth, predicted, person = people()
    truth[:10] = 9
    row = statistics.score(truth, predicted, person)
    assert row["n_epochs"] == len(truth) - 10 and row["n_persons"] == 12
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert np.sum(row["confusion"]) == row["n_epochs"] and len(row["sensitivity"]) == 5
    absent = statistics.score(np.zeros(20), np.zeros(20), np.arange(20) // 5)
    assert absent["sensitivity"] == [1.0, None, None, None, None]
