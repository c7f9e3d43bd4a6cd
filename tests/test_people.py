"""Persons and their triplets: counted from a store's nights, kept in a file, and refused where they do not fit."""

import json

import numpy as np
import pytest

from sleeplib import suite
from sleeplib.analysis import traits
from sleeplib.errors import SleeplibError
from sleeplib.suite import people, resolutions
from tests.test_resolutions import path, store  # noqa: F401

WANTED = (1, 4, 240)


@pytest.fixture
def nights(store, path):  # noqa: F811
    return people.staged(path, [store], WANTED)


def test_triplets_are_those_of_the_networks_stages(nights, store, path):  # noqa: F811
    staged, _ = resolutions.stage_nights({"any": path}, [store], [[0, 1]], WANTED)
    assert len(nights) == 2
    for (who, counts, numbers), by, group in zip(nights, staged["any"], store.groups, strict=True):
        assert who == {"person": f"a/{group}", "cohort": "a", "age": None, "sex": None, "apnea": None}
        assert list(counts) == list(WANTED)
        for n in WANTED:
            assert np.array_equal(counts[n], traits.triplets(by[n], n, by[1]))
        assert np.array_equal(numbers, traits.statistics_of_a_night(by[1]))


def test_what_is_kept_comes_back_and_only_with_its_weights(nights, path, tmp_path):  # noqa: F811
    file = people.write(tmp_path / "any.npz", nights, path, {"a": 2})
    for (who, counts, numbers), (theirs, others, statistics) in zip(
        nights, people.load(file, path), strict=True
    ):
        assert json.loads(json.dumps(who)) == theirs and np.array_equal(numbers, statistics)
        assert all(np.array_equal(counts[n], others[n]) for n in WANTED)
    assert people.fits(file, path)
    other = tmp_path / "other.safetensors"
    other.write_bytes(path.read_bytes() + b" ")
    assert not people.fits(file, other) and not people.fits(tmp_path / "none.npz", path)
    file.write_bytes(file.read_bytes()[:-300])
    assert not people.fits(file, path)


def test_nights_that_are_not_there_are_named(path):  # noqa: F811
    with pytest.raises(SleeplibError, match=r"nowhere\.npz: not there, or made with other weights"):
        people.read("nowhere", path)


def test_the_nights_of_the_project_fit_its_weights_and_its_simulator():
    network = suite.weights_folder("any") / "anysleep-0/anysleep.safetensors"
    nights = people.read("any", network)
    persons = {name: len({w["person"] for w, *_ in nights if w["cohort"] == name}) for name in people.PERSONS}
    assert persons == people.PERSONS
    assert len(nights) == sum(persons.values()) + persons["isruc-sg2"]  # who sleeps two nights
    assert all(w["age"] is not None for w, *_ in nights if w["cohort"] in people.ISRUC)


def test_the_dreem_cohorts_are_staged_from_the_channels_that_both_have(store, path, monkeypatch):  # noqa: F811
    names, shown = [*reversed(people.SHARED), "FP1-F3"], []
    monkeypatch.setattr(store, "cohort", "dodo")
    monkeypatch.setattr(store, "names", lambda i: names)
    staged = {1: np.full(20, 2), 4: np.full(80, 2)}
    monkeypatch.setattr(resolutions, "stages", lambda *arguments: shown.append(arguments[4]) or staged)
    who, _, _ = people.count(None, store, 0, (1, 4))
    assert [names[row] for row in shown[0]] == list(people.SHARED) and who["apnea"] == 0.0
    names.remove("F3-M2")
    with pytest.raises(SleeplibError, match="a1 of dodo: no channel F3-M2"):
        people.count(None, store, 0, (1, 4))
