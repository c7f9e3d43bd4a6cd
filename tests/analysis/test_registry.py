"""The registry of metrics: what each number means, what chance scores, and which epochs lie at transitions."""

import numpy as np
import pytest

from sleeplib import results
from sleeplib.analysis import metrics, statistics
from sleeplib.stages import STAGES, UNSCORED

rng = np.random.default_rng(0)


def nights(n_nights=8, n=900, unscored=0.0):
    """Truth in bouts, a prediction that errs more where stages change, and the recordings."""
    lengths = rng.geometric(0.1, n_nights * n)
    truth = np.repeat(rng.choice(5, lengths.size, p=[0.14, 0.08, 0.47, 0.13, 0.18]), lengths)[: n_nights * n]
    recording = np.repeat([f"night {i}" for i in range(n_nights)], n)
    wrong = rng.random(truth.size) < np.where(metrics.at_transition(truth, recording), 0.4, 0.1)
    predicted = np.where(wrong, (truth + rng.integers(1, 5, truth.size)) % 5, truth)
    truth = np.where(rng.random(truth.size) < unscored, UNSCORED, truth)
    return truth, predicted, recording


def naive(truth, recording):
    """Epochs at transitions, one at a time."""
    at = []
    for t in range(len(truth)):
        near = [u for u in (t - 1, t + 1) if 0 <= u < len(truth) and recording[u] == recording[t]]
        at.append(any(truth[u] != truth[t] and UNSCORED not in (truth[u], truth[t]) for u in near))
    return np.array(at)


def test_every_entry_says_what_a_reader_needs():
    for name, metric in metrics.REGISTRY.items():
        assert metric.name == name and "\n" not in metric.meaning
        assert metric.meaning and metric.unit and metric.chance and metric.source
        assert metric.better in ("higher", "lower") and metric.needs in ("confusion", "sequences")
    assert metrics.HEADLINE.keys() <= metrics.REGISTRY.keys()
    assert all(metrics.REGISTRY[name].function is function for name, function in metrics.HEADLINE.items())
    assert results.METRICS.keys() <= metrics.REGISTRY.keys()


def test_description_is_the_registry():
    frame = metrics.describe()
    assert list(frame.index) == list(metrics.REGISTRY)
    assert frame.loc["transition_error", "better"] == "lower"
    assert (frame.loc["kappa", "chance"], frame.loc["kappa", "source"]) == ("0", "Cohen 1960")


@pytest.mark.parametrize("unscored", [0, 0.05])
def test_transitions_are_those_of_a_naive_count(unscored):
    truth, predicted, recording = nights(unscored=unscored)
    at = metrics.at_transition(truth, recording)
    assert (at == naive(truth, recording)).all() and 0.05 < at.mean() < 0.3
    parts = metrics.confusion_at_transitions(truth, predicted, recording)
    assert (parts.sum(0) == metrics.confusion(truth, predicted)).all()
    scored = truth != UNSCORED
    for part, rows in zip(parts, (at & scored, ~at & scored), strict=True):
        assert 1 - metrics.accuracy(part) == pytest.approx((truth != predicted)[rows].mean())


def test_transitions_of_a_night_by_hand():
    truth = [0, 0, 1, 2, 2, 2, 9, 3, 3, 4, 4]
    recording = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert np.flatnonzero(metrics.at_transition(truth, recording)).tolist() == [1, 2, 3]
    assert np.flatnonzero(metrics.at_transition(truth, np.zeros(11))).tolist() == [1, 2, 3, 8, 9]
    assert metrics.at_transition([2], ["a"]).tolist() == [False]
    assert metrics.at_transition([], []).tolist() == []


def test_the_share_at_transitions_is_of_the_size_of_the_papers(shared):
    """The paper's 16.6 % of MASS decide between two definitions; DOD-H's consensus has scored nights at hand."""
    data = np.load(shared / "reference/vectors/dodh_consensus.npz")
    truth = np.where(data["dodh_consensus"] < 0, UNSCORED, data["dodh_consensus"])
    recording = np.repeat(np.arange(len(data["dodh_offsets"]) - 1), np.diff(data["dodh_offsets"]))
    scored, same = truth != UNSCORED, recording[1:] == recording[:-1]
    assert metrics.at_transition(truth, recording)[scored].mean() == pytest.approx(0.176, abs=0.0005)
    changes = (truth[1:] != truth[:-1]) & scored[1:] & scored[:-1] & same
    assert changes.sum() / scored.sum() == pytest.approx(0.108, abs=0.0005)


def test_a_night_without_transitions_has_no_error_there():
    numbers = metrics.measure([2, 2, 2, 2], [2, 2, 0, 2], np.zeros(4))
    assert np.isnan(numbers["transition_error"]) and numbers["non_transition_error"] == 0.25


def test_numbers_without_recordings_are_those_that_need_no_sequences():
    truth, predicted, recording = nights()
    c = metrics.confusion(truth, predicted)
    some, every = metrics.measure(truth, predicted), metrics.measure(truth, predicted, recording)
    assert list(every) == list(metrics.REGISTRY)
    assert every.keys() - some.keys() == {"transition_error", "non_transition_error"}
    for name, metric in metrics.REGISTRY.items():
        assert every[name].shape == ((5,) if metric.per_stage else ())
        if metric.needs == "confusion":
            np.testing.assert_array_equal(some[name], metric.function(c))
    assert every["mean_sensitivity"] == pytest.approx(np.mean(metrics.sensitivity(c)))
    assert every["mean_specificity"] == pytest.approx(np.mean(metrics.specificity(c)))


def test_means_leave_out_stages_that_do_not_occur():
    c = np.diag([4, 0, 6, 0, 0])
    assert metrics.mean_sensitivity(c) == 1
    assert np.isnan(metrics.mean_sensitivity(np.zeros((5, 5))))


def test_chance_is_what_weighted_dice_score():
    truth, predicted, recording = nights(n_nights=300)
    dice = rng.permutation(truth)  # the truth's shares, and nothing else of it
    parts = metrics.confusion_at_transitions(truth, predicted, recording)
    counts = {"confusion": parts.sum(0), "sequences": parts}
    for name, thrown in metrics.measure(truth, dice, recording).items():
        metric = metrics.REGISTRY[name]
        np.testing.assert_allclose(metric.at_chance(counts[metric.needs]), thrown, atol=0.01, err_msg=name)


def test_chance_follows_the_formulas_of_the_table():
    truth, predicted, recording = nights()
    parts = metrics.confusion_at_transitions(truth, predicted, recording)
    p = np.bincount(truth) / truth.size
    q = parts.sum(-1) / parts.sum((-2, -1))[:, None]
    expected = {
        "Σ p²": (p**2).sum(),
        "0": 0,
        "1/K": 1 / len(STAGES),
        "1 − 1/K": 1 - 1 / len(STAGES),
        "p of the stage": p,
    }
    for name, metric in metrics.REGISTRY.items():
        counts = parts if metric.needs == "sequences" else parts.sum(0)
        part = {"transition_error": 0, "non_transition_error": 1}.get(name)
        assert metric.chance in expected or metric.chance == "1 − Σ p q"
        value = expected[metric.chance] if part is None else 1 - (p * q[part]).sum()
        np.testing.assert_allclose(metric.at_chance(counts), value, atol=1e-12, err_msg=name)


def test_metrics_keep_leading_axes():
    parts = rng.integers(1, 30, (4, 3, 2, 5, 5))
    for metric in metrics.REGISTRY.values():
        counts = parts if metric.needs == "sequences" else parts.sum(-3)
        for number in (metric, metric.at_chance):
            np.testing.assert_allclose(number(counts)[2, 1], number(counts[2, 1]))


def test_errors_at_transitions_have_an_interval_over_persons():
    truth, predicted, recording = nights(n_nights=12)
    person = np.repeat([f"person {i}" for i in range(6)], 2 * 900)
    parts = statistics.transitions_by_person(truth, predicted, person, recording)
    assert parts.shape == (6, 2, 5, 5)
    assert (parts.sum(1) == statistics.confusions_by_person(truth, predicted, person)).all()
    assert (parts.sum(0) == metrics.confusion_at_transitions(truth, predicted, recording)).all()
    error = metrics.REGISTRY["transition_error"]
    value, low, high = statistics.bootstrap_by_person(error, parts, n=300)
    assert low < value < high and value == pytest.approx(error(parts.sum(0)))
    gain, low, high = statistics.paired_difference(error, parts, parts, n=50)
    assert gain == low == high == 0
