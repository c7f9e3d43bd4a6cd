"""Manifests, files and persons, folds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib import cohorts
from sleeplib.errors import SleeplibError


def test_every_manifest_loads():
    for path in cohorts.MANIFESTS.glob("*.yaml"):
        manifest = cohorts.load(path)
        assert manifest.name == path.stem and manifest.montage and manifest.title
        assert manifest.simulated == bool(manifest.simulation)
        assert not manifest.simulated or "simulated" in manifest.title.lower()


def test_an_unknown_cohort_lists_the_known_ones(tmp_path):
    with pytest.raises(SleeplibError, match=r"known cohorts: .*embedded"):
        cohorts.load("nosuch")
    (tmp_path / "bad.yaml").write_text("name: x\nchanels: {}\n")
    with pytest.raises(SleeplibError, match=r"bad\.yaml: not a valid manifest .*chanels"):
        cohorts.load(tmp_path / "bad.yaml")


def test_two_nights_of_a_person_are_one_person(tmp_path):
    for name in ("SC4001E0", "SC4002E0", "SC4112E0"):
        (tmp_path / f"{name}.npz").touch()
    (tmp_path / "nights.csv").write_text(
        "record,subject,sex,age\nSC4001E0,0,Female,33\nSC4002E0,0,Female,33\n"
    )
    found = cohorts.recordings(cohorts.load("sleep-edf-npz"), tmp_path)
    assert [subject.id for _, subject in found] == ["SC400", "SC400", "SC411"]
    assert found[0][1].age == 33 and found[0][1].sex == "F" and found[2][1].age is None


def test_two_nights_of_a_simulated_person_are_one_person(tmp_path):
    for name in ("sleep-edf-twin-001-1", "sleep-edf-twin-001-2", "sleep-edf-twin-002-1"):
        (tmp_path / f"{name}.edf").touch()
    found = cohorts.recordings(cohorts.load("sleep-edf-twin"), tmp_path)
    assert [subject.id for _, subject in found] == ["sleep-edf-twin-001"] * 2 + ["sleep-edf-twin-002"]


def test_missing_files_and_names_that_tell_no_person(tmp_path):
    manifest = cohorts.load("sleep-edf-npz")
    with pytest.raises(SleeplibError, match="no such folder"):
        cohorts.recordings(manifest, tmp_path / "nowhere")
    with pytest.raises(SleeplibError, match="no file"):
        cohorts.recordings(manifest, tmp_path)
    (tmp_path / "night.npz").touch()
    with pytest.raises(SleeplibError, match="does not tell the person"):
        cohorts.recordings(manifest, tmp_path)


@given(st.integers(3, 40), st.integers(1, 3), st.integers(2, 20), st.integers(0, 5))
def test_folds_split_persons_and_test_each_once(n_persons, nights, k, seed):
    persons = np.repeat([f"p{i}" for i in range(n_persons)], nights)
    if k > n_persons:
        with pytest.raises(SleeplibError, match="folds"):
            cohorts.folds(persons, k, 1, seed)
        return
    if n_persons - int(np.ceil(n_persons / k)) <= 1:
        return
    folds = cohorts.folds(persons, k, 1, seed)
    assert sorted(i for fold in folds for i in fold["test"]) == list(range(len(persons)))
    for fold in folds:
        parts = [set(persons[fold[part]]) for part in ("train", "valid", "test")]
        assert len(parts[1]) == 1 and all(parts)
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert sum(len(fold[part]) for part in fold) == len(persons)


def test_a_split_leaves_somebody_in_each_part():
    persons = np.array(["a", "a", "b", "c", "d"])
    split = cohorts.split(persons, 1, 1, seed=3)
    assert sorted(np.concatenate(list(split.values()))) == [0, 1, 2, 3, 4]
    assert len({frozenset(persons[which]) for which in split.values()}) == 3
    again = cohorts.split(persons, 1, 1, seed=3)
    assert all((again[part] == split[part]).all() for part in split)
    for valid, test in ((0, 1), (1, 0), (2, 2)):
        with pytest.raises(SleeplibError, match="one of each part"):
            cohorts.split(persons, valid, test)
