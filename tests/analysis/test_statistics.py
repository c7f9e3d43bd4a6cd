"""Intervals by person."""

import itertools

import numpy as np
import pytest
import scipy.stats

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


def test_welch_is_that_of_the_textbook():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.4, 1, (30, 2)), rng.normal(0, 3, (20, 2))
    variances = first.var(0, ddof=1) / 30, second.var(0, ddof=1) / 20
    t = (first.mean(0) - second.mean(0)) / np.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 29 + variances[1] ** 2 / 19)
    assert statistics.welch(first, second) == pytest.approx(scipy.stats.t.sf(t, freedom))
    assert statistics.welch(first, second, "less") == pytest.approx(1 - statistics.welch(first, second))


def test_signs_are_flipped_in_every_way():
    differences = np.array([[0.3, -1.0], [0.1, 0.2], [0.2, 0.1], [-0.05, 0.4]])
    every = np.array(list(itertools.product([1, -1], repeat=4)))
    means = every @ differences / 4
    naive = (means >= differences.mean(0) - 1e-12).mean(0)
    assert statistics.sign_flips(differences) == pytest.approx(naive)
    assert statistics.sign_flips(np.full(5, 0.2)) == pytest.approx(2**-5)  # nothing less is possible
    assert np.isnan(statistics.sign_flips(differences[:1])).all()  # one person says nothing about others
    both = statistics.sign_flips(differences, "two-sided")
    assert both[0] == pytest.approx(2 * naive[0])


def test_random_signs_find_what_all_signs_find():
    differences = np.random.default_rng(3).normal(0.3, 1, 12)
    every = statistics.sign_flips(differences)
    some = statistics.sign_flips(differences, n=2000)
    assert statistics.sign_flips(np.ones(6)) == statistics.least_p(6) == 2**-6
    assert statistics.sign_flips(np.ones(20), n=2000) == pytest.approx(statistics.least_p(20, 2000))
    assert 0 < every < 1 and some == pytest.approx(every, abs=0.03)
    assert some == statistics.sign_flips(differences, n=2000)


def test_equal_systems_are_called_different_as_often_as_the_level_says():
    rng = np.random.default_rng(1)
    p = statistics.sign_flips(rng.normal(size=(8, 2000)))
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_holm_against_its_definition():
    p = np.array([[0.01, 0.04], [np.nan, 0.03]])
    assert statistics.holm(p) == pytest.approx(np.array([[0.03, 0.06], [np.nan, 0.06]]), nan_ok=True)
    assert statistics.holm([0.5, 0.6]) == pytest.approx([1, 1])
    # A hypothesis is rejected at a level if all that have smaller p are, and its own is small enough for the rest.
    p = np.random.default_rng(0).uniform(0, 0.05, 9)
    ranked = np.sort(p)
    for level in (0.01, 0.05, 0.2):
        failing = np.flatnonzero(ranked > level / np.arange(9, 0, -1))
        n = failing[0] if len(failing) else 9
        assert (statistics.holm(p) <= level).sum() == n


def test_persons_have_one_value_each():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 4.0]])
    means = statistics.by_person(values, ["b", "b", "a"])
    assert means == pytest.approx(np.array([[5.0, 4.0], [2.0, 2.0]]))
    assert np.isnan(statistics.by_person([np.nan, 1.0], ["a", "b"])).tolist() == [True, False]
    value, low, high = statistics.mean_of_persons(means)
    assert value == pytest.approx([3.5, 3.0]) and (low <= value).all() and (value <= high).all()
    assert low == pytest.approx([2.0, 2.0]) and high == pytest.approx([5.0, 4.0])  # two persons: all of one


def test_groups_of_other_persons_are_compared():
    good, bad = (
        statistics.confusions_by_person(*people(14, seed=s, spread=w)) for s, w in ((0, 0.01), (1, 0.2))
    )
    value, low, high = statistics.difference(metrics.accuracy, good, bad)
    assert value == pytest.approx(metrics.accuracy(good.sum(0)) - metrics.accuracy(bad.sum(0)))
    one, other = (statistics.bootstrap_by_person(metrics.accuracy, c) for c in (good, bad))
    width = np.hypot(one[2] - one[1], other[2] - other[1])  # independent: variances add
    assert low < value < high and high - low == pytest.approx(width, rel=0.15)


def test_persons_without_a_value_are_left_out():
    rng = np.random.default_rng(3)
    values = rng.normal(-0.5, 1, (12, 3))
    values[4, 1], values[7, 2] = np.nan, np.inf
    columns = [column[np.isfinite(column)] for column in values.T]
    for alternative in ("greater", "two-sided"):
        alone = [statistics.sign_flips(column, alternative) for column in columns]
        assert np.array_equal(statistics.sign_flips(values, alternative), alone)
    mean, low, high = statistics.mean_of_persons(values)
    assert mean == pytest.approx([column.mean() for column in columns])
    assert (low < mean).all() and (mean < high).all()
    assert statistics.by_person([1.0, np.inf, 3.0], ["a", "a", "b"]).tolist() == [1.0, 3.0]
    nobody = np.full((5, 1), np.nan)
    assert np.isnan([statistics.sign_flips(nobody), *statistics.mean_of_persons(nobody)]).all()


def test_one_person_gives_no_interval():
    counts = np.eye(5)[None] * 9 + 1
    value, low, high = statistics.bootstrap_by_person(metrics.accuracy, counts)
    assert value == pytest.approx(50 / 70) and np.isnan([low, high]).all()
    for found in (
        statistics.paired_difference(metrics.accuracy, counts, counts),
        statistics.difference(metrics.accuracy, counts, np.repeat(counts, 3, 0)),
        statistics.mean_of_persons(np.array([0.7])),
    ):
        assert np.isfinite(found[0]) and np.isnan(found[1:]).all()
    row = statistics.score([0, 1, 2], [0, 1, 1], ["a"] * 3)
    assert row["accuracy_low"] is None and row["accuracy"] == pytest.approx(2 / 3)
