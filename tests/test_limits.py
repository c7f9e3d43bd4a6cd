"""What is known about a twin's nights without looking at them."""

import numpy as np
import pytest

from sleeplib import cohorts, suite
from sleeplib.errors import SleeplibError
from sleeplib.predictions import Predictions
from sleeplib.simulator import read_truth
from sleeplib.stages import UNSCORED, W
from sleeplib.suite import limits
from tests.training.test_nights import cohort

EPOCH = 30 * 128


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """One scored from the first sample on, one from later on, and one with the lights on at both ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLEEPLIB_DATA", str(tmp_path_factory.mktemp("data")))
        names = ("mass-c3", "phys", "dcsm")
        return dict(zip(names, suite.stores(names, persons=1, hours=2.0), strict=True))


@pytest.mark.parametrize("name", ["mass-c3", "phys", "dcsm"])
def test_readings_are_those_of_the_stores_epochs(twins, name):
    store = twins[name]
    labels, readings = store.stages(0), limits.readings(store, 0)
    state, _ = read_truth(store.folder.parent / "truth" / f"{store.ids[0]}.tsv")
    late = len(state) % EPOCH
    assert (late > 0) == (name != "dcsm")
    for n, (expert, truth) in enumerate(zip(*readings.values(), strict=True)):
        seen = set(state[late + n * EPOCH : late + (n + 1) * EPOCH].tolist())
        if len(seen) == 1:
            assert {truth} == seen
        assert expert in range(5)
    assert n + 1 == len(labels)

    def agreement(reading, shift):
        both = (labels[2:-2], np.roll(reading, shift)[2:-2])
        return np.mean(both[0] == both[1], where=both[0] != UNSCORED)

    for reading in readings.values():
        shifted = [agreement(reading, shift) for shift in (-2, -1, 0, 1, 2)]
        assert np.argmax(shifted) == 2 and shifted[2] > 0.6
    assert agreement(readings[limits.TRUTH.label], 0) > agreement(readings[limits.EXPERT.label], 0) - 0.05


def test_another_expert_is_drawn_for_each_seed(twins):
    store, label = twins["phys"], limits.EXPERT.label
    first, again, other = (limits.readings(store, 0, seed)[label] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert (first != store.stages(0)).any()


def test_everybody_knows_when_the_lights_were_on(twins):
    before, after = (2 * minutes for minutes in cohorts.load("dcsm").simulation["site"]["awake"])
    for seed in range(20):
        expert = limits.readings(twins["dcsm"], 0, seed)[limits.EXPERT.label]
        assert (expert[:before] == W).all() and (expert[-after:] == W).all()


def test_limits_are_rows_beside_others(twins):
    stores, tests = list(twins.values()), [np.array([0])] * 3
    made = []
    for store in stores:
        labels, n = store.stages(0), len(store.stages(0))
        made.append(Predictions(labels, np.repeat("a", n), np.repeat("1", n), {}))
    limits.add(stores, tests, made)
    for store, predictions in zip(stores, made, strict=True):
        for label, stages in limits.readings(store, 0).items():
            assert (predictions.stages(label) == stages).all()
        rows = predictions.rows(limits.LIMITS)
        assert [row["role"] for row in rows] == ["limit", "limit"]


def test_real_nights_and_epochs_of_20_s_are_refused(tmp_path):
    store = cohort(tmp_path, "a", 0, nights=1)
    with pytest.raises(SleeplibError, match="only of simulated nights"):
        limits.readings(store, 0)
    store.simulated, store.cohort = True, "mass"  # parts of which are, and are widened to 30 s
    with pytest.raises(SleeplibError, match="in epochs of 30 s"):
        limits.readings(store, 0)
