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
    found = resolutions.arousal_counts(None, store, 0, (1, 240))
    assert [found[key].tolist() for key in ("tp", "fp", "fn")] == [[0, 1], [0, 0], [2, 1]]
    assert found["f1"].tolist() == [0, arousals.scores(1, 0, 1)["f1"]]
    assert np.allclose(found["seconds"], [[0, 0, 10, 0, 0], [5, 0, 5, 0, 0]])


def test_a_night_without_marks_has_no_arousals(store):
    assert resolutions.expert_arousals(store, 0).shape == (0, 2)
