"""Calibration against scikit-learn, loops, and posteriors whose calibration is known."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from sleeplib.analysis import calibration, statistics
from sleeplib.errors import SleeplibError
from sleeplib.stages import STAGES, UNSCORED


def honest(n=4000, seed=0, sharper=1.0):
    """Posteriors, and truths drawn from them; then the posteriors are made surer, or less sure, than they are."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(5, 0.4), n)
    truth = (rng.random((n, 1)) > p.cumsum(1)).sum(1).clip(max=4)
    q = np.maximum(p, 1e-9) ** sharper
    return q / q.sum(1, keepdims=True), truth


@pytest.mark.parametrize("by", ["width", "mass"])
def test_counts_are_those_of_loops(by):
    p, truth = honest(300)
    bins = calibration.edges(p, 7, by)
    sums = calibration.counts(p, truth, bins)
    naive = np.zeros((6, 3, 7))
    for row, y in zip(p, truth, strict=True):
        asked = [(row.max(), row.argmax() == y), *((row[k], k == y) for k in range(5))]
        for question, (sure, right) in enumerate(asked):
            b = next(i for i in range(7) if sure < bins[question, i + 1] or i == 6)
            naive[question, :, b] += 1, sure, right
    assert sums == pytest.approx(naive)
    _, sure, right = naive[0]
    error = sum(abs(r - s) for s, r in zip(sure, right, strict=True)) / 300
    assert calibration.calibration_error(sums)[calibration.TOP] == pytest.approx(error)
    assert calibration.overconfidence(sums)[0] == pytest.approx((p.max(1) - (p.argmax(1) == truth)).mean())


def test_the_diagram_is_that_of_another_library():
    p, truth = honest()
    sums = calibration.counts(p, truth, calibration.edges(bins=10))
    sure, right, n = calibration.reliability(sums)
    for k in range(5):
        theirs = calibration_curve(truth == k, p[:, k], n_bins=10)
        full = n[1 + k] > 0
        assert right[1 + k][full] == pytest.approx(theirs[0]) and sure[1 + k][full] == pytest.approx(
            theirs[1]
        )


def test_losses_are_those_of_another_library():
    p, truth = honest()
    sums = calibration.losses(p, truth)
    brier, log = calibration.brier(sums), calibration.log_loss(sums)
    assert log[0] == pytest.approx(log_loss(truth, p, labels=range(5)))
    assert brier[0] == pytest.approx(brier[1:].sum())
    for k in range(5):
        assert brier[1 + k] == pytest.approx(brier_score_loss(truth == k, p[:, k]))
        assert log[1 + k] == pytest.approx(log_loss(truth == k, p[:, k]))


def test_bins_of_equal_mass_hold_as_many():
    p, _ = honest(6000)
    n = calibration.counts(p, np.zeros(6000, int), calibration.edges(p, 12, "mass"))[:, 0]
    assert np.abs(n - 500).max() <= 1
    assert calibration.edges(p, 12, "mass").shape == calibration.edges(bins=12).shape == (6, 13)


def test_the_honest_are_calibrated_and_the_sure_are_not():
    bins = calibration.edges(bins=15)
    error = {
        s: calibration.calibration_error(calibration.counts(*honest(40_000, 1, s), bins)) for s in (1, 2)
    }
    assert (error[1] < 0.012).all() and error[2][0] > 0.08
    over = {
        s: calibration.overconfidence(calibration.counts(*honest(40_000, 1, s), bins))[0] for s in (0.5, 2)
    }
    assert over[0.5] < -0.05 and over[2] > 0.05
    # The best possible posteriors have the least loss.
    loss = {s: calibration.losses(*honest(40_000, 1, s)) for s in (0.5, 1, 2)}
    for score in (calibration.brier, calibration.log_loss):
        assert score(loss[1])[0] < min(score(loss[0.5])[0], score(loss[2])[0])


def test_shares_of_stages_are_calibrated_and_useless():
    truth = np.repeat(np.arange(5), [10, 20, 30, 25, 15])
    p = np.tile(np.bincount(truth) / 100, (100, 1))
    assert calibration.calibration_error(calibration.counts(p, truth, calibration.edges())) == pytest.approx(
        np.zeros(6), abs=1e-12
    )
    assert calibration.brier(calibration.losses(p, truth))[0] == pytest.approx(1 - (p[0] ** 2).sum())


@given(st.integers(1, 60), st.integers(0, 10**6), st.integers(1, 20))
def test_sums_add_up_over_nights_and_leave_out_the_unscored(n, seed, bins):
    p, truth = honest(n, seed)
    bins, cut = calibration.edges(p, bins, "mass"), n // 3
    whole = calibration.counts(p, truth, bins)
    parts = [calibration.counts(p[s], truth[s], bins) for s in (slice(cut), slice(cut, None))]
    assert sum(parts) == pytest.approx(whole)
    assert whole[:, 0].sum(1) == pytest.approx(n) and (calibration.calibration_error(whole) <= 1).all()
    more = np.vstack([p, np.full((4, 5), 0.2)]), np.append(truth, 4 * [UNSCORED])
    assert calibration.counts(*more, bins) == pytest.approx(whole)
    assert calibration.losses(*more) == pytest.approx(calibration.losses(p, truth))


def test_persons_are_resampled():
    people = [honest(500, seed, 1.5) for seed in range(8)]
    sums = np.stack([calibration.counts(*one, calibration.edges()) for one in people])
    value, low, high = statistics.bootstrap_by_person(calibration.calibration_error, sums, n=200)
    assert value.shape == (6,) and (low < high).all() and low[0] < value[0] < high[0]


def test_millions_of_rows_take_little_memory(monkeypatch):
    p, truth = honest(2**17 + 5)
    p = p.astype(np.float32)
    whole = calibration.counts(p, truth, calibration.edges()), calibration.losses(p, truth)
    monkeypatch.setattr(calibration, "ROWS", 2**12)
    tracemalloc.start()
    pieces = calibration.counts(p, truth, calibration.edges()), calibration.losses(p, truth)
    assert tracemalloc.get_traced_memory()[1] < p.nbytes
    tracemalloc.stop()
    assert pieces[0] == pytest.approx(whole[0]) and pieces[1] == pytest.approx(whole[1])


def test_sure_and_wrong_is_a_finite_loss():
    p = np.eye(5)[[1]]
    assert calibration.log_loss(calibration.losses(p, [0]))[0] == pytest.approx(-np.log(calibration.LEAST))
    assert calibration.brier(calibration.losses(p, [0]))[0] == 2


def test_nothing_scored_is_not_a_number():
    sums = calibration.counts(np.full((3, 5), 0.2), np.full(3, UNSCORED), calibration.edges())
    assert np.isnan(calibration.calibration_error(sums)).all()
    assert np.isnan(calibration.reliability(sums)[0]).all() and sums.shape == (6, 3, 15)
    assert len(sums) == 1 + len(STAGES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration.edges(by="size"), "15 bins by 'size'"),
        (lambda: calibration.edges(bins=0), "0 bins"),
        (lambda: calibration.edges(by="mass"), "need posteriors"),
        (lambda: calibration.losses(np.ones((2, 5)), [0, 1]), "softmax"),
        (lambda: calibration.losses(np.full((1, 5), np.nan), [0]), "softmax"),
        (lambda: calibration.losses(np.ones((2, 4)), [0, 1]), r"posteriors \(2, 4\)"),
        (lambda: calibration.counts(np.ones((2, 5)), [0], calibration.edges()), r"truth \(1,\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(SleeplibError, match=message):
        call()
