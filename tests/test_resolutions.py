"""Nights of a store at many resolutions, and their arousals against an expert's."""

import numpy as np
import pytest
import torch

from sleeplib import models, multicohort
from sleeplib.analysis import arousals
from sleeplib.preparation import Preparation
from sleeplib.recording import Event
from sleeplib.store import Store
from sleeplib.suite import resolutions
from tests.sampling.conftest import EEG, EOG, make


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    nights = [(name, np.array([2] * 20), [EEG, EOG]) for name in ("a1", "a2")]
    preparation = Preparation(None, rate=8.0, scaling="robust")
    return make(tmp_path_factory.mktemp("stores") / "a", "a", nights, 2, preparation, ["C4-M1", "E1-M2"])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    network = models.build("anysleep", depth=2, complexity=0.5, rate=8, kernel=5)
    path = tmp_path_factory.mktemp("weights") / "anysleep.safetensors"
    return models.weights.save(network, "anysleep", path, Preparation(None, rate=8.0, scaling="robust"))


def test_stages_are_those_of_one_resolution_at_a_time(store, path):
    wanted = (1, 4, 240)
    found, person = resolutions.stage_nights({"any": path}, [store], [[1, 0]], wanted)
    network = models.weights.load(path)
    assert person.tolist() == [f"a/{store.groups[i]}" for i in (1, 0)]
    for i, night in zip((1, 0), found["any"], strict=True):
        assert list(night) == list(wanted)
        for n, stages in night.items():
            posteriors = multicohort.posteriors(network, store, i, per_epoch=n)
            assert stages.dtype == np.int8 and np.array_equal(stages, posteriors.argmax(-1))


def test_arousals_are_counted_at_each_resolution(store, monkeypatch):
    events = [Event("arousal", 50.0, 6.0), Event("hypopnea", 10.0, 20.0), Event("arousal", 20.0, 4.0)]
    monkeypatch.setattr(Store, "events", lambda self, i: events)
    expert = resolutions.expert_arousals(store, 0)
    assert expert.tolist() == [[20, 24], [50, 56]]
    fine = np.full(20 * 240, 2, np.int8)
    fine[50 * 8 : 55 * 8] = 0  # wake from 50 to 55 s
    by = {1: np.full(20, 2, np.int8), 240: fine}
    monkeypatch.setattr(resolutions, "stages", lambda *_: by)
    rules = {"paper": {}, "longer": {"shortest": 6.0}}
    found = resolutions.arousal_counts(None, store, 0, rules, (1, 240))
    assert list(found) == ["paper", "longer", "expert"]
    assert [found["paper"][key].tolist() for key in ("tp", "fp", "fn")] == [[0, 1], [0, 0], [2, 1]]
    assert found["paper"]["f1"].tolist() == [0, arousals.scores(1, 0, 1)["f1"]]
    assert [found["longer"][key].tolist() for key in ("tp", "fp", "fn")] == [[0, 0], [0, 0], [2, 2]]
    assert np.allclose(found["expert"]["seconds"], [[0, 0, 10, 0, 0], [5, 0, 5, 0, 0]])


def test_a_night_without_marks_has_no_arousals(store):
    assert resolutions.expert_arousals(store, 0).shape == (0, 2)


def test_pieces_of_wake_within_events():
    night = np.array([2, 0, 0, 2, 0, 2, 2, 0, 0, 0])  # of 1 s
    events = np.array([[0.5, 6.5], [1, 3], [3, 4], [5, 7], [5.5, 8], [9, 30]])
    assert resolutions.wake_runs(night, 30, events).tolist() == [2, 3, 1]
    assert resolutions.wake_runs(np.full(5, 2), 30, events).tolist() == [6, 0, 0]
    assert resolutions.wake_runs(night, 30, np.empty((0, 2))).tolist() == [0, 0, 0]


def test_loud_seconds_are_found_without_a_network(store, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 600 * 64))
    x[0, 100 * 64 : 106 * 64] *= 4
    monkeypatch.setattr(resolutions.multicohort, "signals", lambda *_: x[:1])
    monkeypatch.setattr(Store, "events", lambda self, i: [Event("arousal", 101.0, 5.0)])
    monkeypatch.setattr(store, "rate", 64.0)
    found = resolutions.loud_arousals(None, store, 0)
    assert (found["tp"], found["fn"]) == (1, 0)
    assert resolutions.loud_arousals(None, store, 0, factor=100.0)["tp"] == 0


def test_shifted_arousals_agree_by_chance_only(store, path, monkeypatch):
    night = np.full(20 * 8, 2, np.int8)
    night[16:18], night[100:102] = 0, 0  # 60 to 67.5 s, 375 to 382.5 s
    monkeypatch.setattr(resolutions, "stages", lambda *_: {8: night})
    monkeypatch.setattr(Store, "events", lambda self, i: [Event("arousal", 60.0, 7.5)])
    found = resolutions.shifted_arousals(None, store, 0, times=400)
    assert found == resolutions.shifted_arousals(None, store, 0, times=400)
    # One of two lies on the mark if the shift is within 5 s of 0 or of the other's distance, of 600 s.
    assert found["tp"] == pytest.approx(4 * 5 / 600, abs=0.02) and found["tp"] + found["fp"] == 2
