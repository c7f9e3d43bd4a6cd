"""Metrics against scikit-learn, a worked example, and their definitions."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from sleeplib.analysis import metrics
from sleeplib.errors import SleeplibError

ROOT = Path(__file__).parents[2]

stages = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60)


@given(stages)
def test_numbers_equal_scikit_learns(pairs):
    truth, predicted = map(np.array, zip(*pairs, strict=True))
    c = metrics.confusion(truth, predicted)
    present = np.union1d(truth, predicted)
    assert (c == reference.confusion_matrix(truth, predicted, labels=range(5))).all()
    assert metrics.accuracy(c) == pytest.approx(reference.accuracy_score(truth, predicted))
    assert metrics.macro_f1(c) == pytest.approx(
        reference.f1_score(truth, predicted, labels=present, average="macro")
    )
    if len(present) > 1:
        assert metrics.kappa(c) == pytest.approx(reference.cohen_kappa_score(truth, predicted))
    else:
        assert np.isnan(metrics.kappa(c)), "agreement by chance is certain: kappa says nothing"
    recall, precision = (f(truth, predicted, labels=range(5), average=None, zero_division=np.nan)
                         for f in (reference.recall_score, reference.precision_score))  # fmt: skip
    assert np.allclose(metrics.sensitivity(c), recall, equal_nan=True)
    assert np.allclose(metrics.selectivity(c), precision, equal_nan=True)
    for stage in range(5):
        if (truth != stage).any():
            expected = reference.recall_score(truth != stage, predicted != stage)
            assert metrics.specificity(c)[stage] == pytest.approx(expected)


def test_the_worked_example_of_the_chapter():
    # The invented matrix that "How good is a stager?" reads aloud; figures/draw.py draws it.
    c = np.array(
        [[104, 10, 2, 0, 4], [12, 24, 18, 0, 6], [4, 14, 432, 22, 8], [0, 0, 28, 112, 0], [6, 8, 10, 0, 176]]
    )
    chapter = (ROOT / "book/how_good_is_a_stager.md").read_text()
    for value in (metrics.accuracy(c), metrics.kappa(c), metrics.macro_f1(c)):
        assert f"{value:.3f}" in chapter, "the chapter's numbers must follow from its matrix"
    assert str(c.tolist())[1:-1] in (ROOT / "book/figures/draw.py").read_text()


def test_unscored_epochs_do_not_count():
    c = metrics.confusion([0, 9, 1, 9], [0, 0, 2, 4])
    assert c.sum() == 2 and c[0, 0] == 1 and c[1, 2] == 1


@pytest.mark.parametrize("code", [9, -1, 5])
def test_a_scored_epoch_has_a_stage_or_the_comparison_is_refused(code):
    """Epoch 1 called 9 was counted as the truth's next stage called REM; of REM it was a bare ValueError."""
    for stage in (1, 4):
        with pytest.raises(SleeplibError, match=rf"predictions: codes \[{code}\]"):
            metrics.confusion([0, stage], [0, code])
    assert metrics.confusion([0, 9], [0, code]).sum() == 1, "unscored epochs may be called anything"
    with pytest.raises(SleeplibError, match="expected are 0 to 1"):
        metrics.confusion([0, 1], [0, 2], k=2)
    if code != 9:
        with pytest.raises(SleeplibError, match=rf"truth: codes \[{code}\]"):
            metrics.confusion([0, code], [0, 0])


def test_one_prediction_for_each_epoch():
    for bad in (([0, 1], [0]), ([0, 1], [0, 1, 1]), ([0, 1], [[0, 1]])):
        with pytest.raises(SleeplibError, match="shapes"):
            metrics.confusion(*bad)
    with pytest.raises(SleeplibError, match="shapes"):
        metrics.confusion([0, 1], [0, 1], weights=[1])


@given(stages, st.integers(0, 10**6))
def test_weights_are_epochs_seen_more_often(pairs, seed):
    truth, predicted = map(np.array, zip(*pairs, strict=True))
    truth[::3] = 9
    weights = np.random.default_rng(seed).integers(0, 5, len(truth))
    often = metrics.confusion(np.repeat(truth, weights), np.repeat(predicted, weights))
    assert (metrics.confusion(truth, predicted, weights=weights) == often).all()


def test_functions_keep_leading_axes():
    c = np.random.default_rng(0).integers(0, 30, (4, 3, 5, 5))
    for name in ("accuracy", "kappa", "macro_f1", "sensitivity", "selectivity", "specificity", "f1"):
        metric = getattr(metrics, name)
        whole = metric(c)
        assert np.allclose(whole[2, 1], metric(c[2, 1]), equal_nan=True)


@pytest.mark.parametrize(
    "model",
    ["Chambon_et_Al", "DeepSleepNet", "MixedNeuralNetwork", "SeqSleepNet", "SimpleNet", "Tsinalis_et_Al"],
)
def test_pooled_scores_of_six_published_models_on_dod_h(shared, model):
    data = np.load(shared / "reference/vectors/dodh_consensus.npz")
    expected = json.loads((shared / "reference/vectors/dodh_consensus_expected.json").read_text())["dodh"][
        model
    ]
    truth = np.where(data["dodh_consensus"] < 0, 9, data["dodh_consensus"])
    c = metrics.confusion(truth, data[f"dodh_pred_{model}"])
    assert metrics.accuracy(c) == pytest.approx(expected["pooled_acc"], abs=1e-9)
    assert metrics.kappa(c) == pytest.approx(expected["pooled_kappa"], abs=1e-9)
    assert metrics.macro_f1(c) == pytest.approx(expected["pooled_mf1"], abs=1e-9)


def test_distance_to_a_transition_stays_inside_the_night():
    truth = np.array([0, 0, 0, 2, 2, 2, 2, 9, 2, 1, 1, 1, 1])
    night = np.array(["a"] * 6 + ["b"] * 4 + ["c"] * 3)
    expected = [2, 1, 0, 0, 1, 2, 2, 1, 0, 0, np.inf, np.inf, np.inf]
    # b: an unscored epoch makes no transition, 2 -> 1 does
    assert metrics.distance_to_transition(truth, night).tolist() == expected
    predicted = truth.copy()
    predicted[[2, 10]] = 4
    error = metrics.error_by_distance(truth, predicted, night, far=4)
    assert error[:3].tolist() == [1 / 4, 0, 0] and np.isnan(error[3]) and error[4] == 1 / 3
    assert np.isnan(metrics.error_by_distance(truth[:3], truth[:3], night[:3], far=4)[:4]).all()


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2, 9])), min_size=1, max_size=40))
def test_distance_to_a_transition_equals_a_plain_search(rows):
    rows = sorted(rows, key=lambda row: row[0])
    night, truth = np.array(rows).T
    at = metrics.at_transition(truth, night)
    for i, found in enumerate(metrics.distance_to_transition(truth, night)):
        near = [abs(i - j) for j in np.flatnonzero(at) if night[j] == night[i]]
        assert found == min(near, default=np.inf)


def test_kappa_of_billions_of_samples():
    counts = np.array([[10**9, 10**8], [0, 3 * 10**9]])
    assert metrics.kappa(counts) == pytest.approx(metrics.kappa(counts / 1e6))
