"""Agreement of several scorers against another library, loops, and five real ones."""

from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sleeplib.analysis import agreement
from sleeplib.stages import STAGES, UNSCORED


def _panels(scorers=3, nights=(40, 60), seed=0, errors=0.3):
    rng = np.random.default_rng(seed)
    panels = []
    for n in nights:
        panel = np.tile(rng.integers(0, 5, n), (scorers, 1))
        wrong = rng.random(panel.shape) < errors
        panel[wrong] = rng.integers(0, 5, wrong.sum())
        panels.append(panel.astype(np.int8))
    return panels


@pytest.mark.parametrize("scorers", [2, 3, 5])
def test_agreement_equals_that_of_another_library_and_of_loops(scorers):
    panels = _panels(scorers)
    found = agreement.between(panels)
    pairs = list(combinations(range(scorers), 2))
    kappas = [cohen_kappa_score(panel[a], panel[b]) for panel in panels for a, b in pairs]
    assert found["kappa"] == pytest.approx(np.mean(kappas))
    pooled = np.concatenate(panels, axis=1)
    for k, name in enumerate(STAGES):
        each = [cohen_kappa_score(pooled[a] == k, pooled[b] == k) for a, b in pairs]
        assert found["stages"][name] == pytest.approx(np.mean(each))
    alike = [len(set(epoch)) == 1 for epoch in pooled.T]
    assert found["unanimous"] == pytest.approx(np.mean(alike))
    counts = np.zeros((5, 5))
    for epoch in pooled.T:
        for one, other in permutations(epoch, 2):
            counts[one, other] += 1
    assert np.allclose(found["confusion"], counts / counts.sum(axis=1, keepdims=True))


def test_nights_count_alike_in_kappa_and_epochs_alike_elsewhere():
    good, bad = _panels(2, (500,), 1, 0.0)[0], _panels(2, (50,), 2, 1.0)[0]
    found = agreement.between([good, bad])
    assert found["kappa"] == pytest.approx((1 + cohen_kappa_score(*bad)) / 2)
    assert found["unanimous"] == pytest.approx((500 + (bad[0] == bad[1]).sum()) / 550)


def test_unscored_epochs_are_left_out():
    panels = _panels(3)
    expected = agreement.between([panel[:, 7:] for panel in panels])
    rng = np.random.default_rng(5)
    for panel in panels:
        panel[rng.integers(0, 3, 7), np.arange(7)] = UNSCORED  # one of the three is enough
    found = agreement.between(panels)
    assert found["kappa"] == expected["kappa"] and found["stages"] == expected["stages"]
    assert found["unanimous"] == expected["unanimous"]
    assert np.array_equal(found["confusion"], expected["confusion"])


def test_those_who_agree_and_those_who_guess():
    same = agreement.between([np.tile(np.arange(5).repeat(9), (3, 1))])
    assert same["kappa"] == 1 and same["unanimous"] == 1 and np.array_equal(same["confusion"], np.eye(5))
    guesses = agreement.between([np.random.default_rng(6).integers(0, 5, (2, 40_000))])
    assert guesses["kappa"] == pytest.approx(0, abs=0.02)
    assert guesses["unanimous"] == pytest.approx(0.2, abs=0.01)


def test_five_real_scorers(shared):
    with np.load(shared / "reference/vectors/dodh_consensus.npz") as file:
        edges, five = file["dodh_offsets"][1:-1], file["dodh_scorers"]
    five = np.where(five < 0, UNSCORED, five).astype(np.int8)
    found = agreement.between(np.split(five, edges, axis=1))
    assert found["kappa"] == pytest.approx(0.70, abs=0.005)
    assert found["unanimous"] == pytest.approx(0.589, abs=0.0005)
    assert min(found["stages"], key=found["stages"].get) == "N1" and found["stages"]["N1"] < 0.45
