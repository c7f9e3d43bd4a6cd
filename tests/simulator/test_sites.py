"""Twins: each manifest gives the files that its cohort would have, and they can be prepared like real ones."""

import re

import numpy as np
import pytest

from sleeplib import cohorts, readers, store
from sleeplib.readers.scorings import read_scorings
from sleeplib.simulator import simulate

TWINS = {  # channels, rates, mains
    "shhs-twin": (5, {125, 50}, 60),
    "dcsm-twin": (9, {256}, 50),
    "sleep-edf-twin": (3, {100}, 50),
    "physionet2018-twin": (8, {200}, 60),
    "mass-twin": (22, {256}, 60),
    "mass-ss2-twin": (22, {256}, 60),
    "isruc-twin": (9, {200}, 50),
    "dodh-twin": (15, {250}, 50),
    "dodo-twin": (11, {250}, 60),
}


def _of(name):
    return cohorts.load(name).simulation


def test_all_twins_are_tried_and_differ():
    assert set(TWINS) == {path.stem for path in cohorts.MANIFESTS.glob("*-twin.yaml")}
    assert len({_of(name)["seed"] for name in TWINS}) == len(TWINS)
    assert len({str(_of(name)["site"]) for name in TWINS}) == len(TWINS)
    assert all(_of(name)["site"]["mains_hz"] == mains for name, (_, _, mains) in TWINS.items())
    for name in TWINS:
        manifest = cohorts.load(name)
        assert (
            manifest.simulated
            and "imulated twin" in manifest.title
            and manifest.citation.startswith("after ")
        )


def test_healthy_and_ill():
    assert _of("dodh-twin")["ahi"]["share_osa"] == 0 and _of("dodo-twin")["ahi"]["share_osa"] == 1
    assert _of("dodh-twin")["scorers"] == _of("dodo-twin")["scorers"] == 5


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_simulated_and_prepared(name, tmp_path):
    manifest, (channels, rates, _) = cohorts.load(name), TWINS[name]
    paths = simulate(vars(manifest), tmp_path / "edf", persons=1, hours=0.5, progress=False)
    assert len(paths) == manifest.simulation.get("nights", 1)
    recording = readers.read(paths[0])
    assert len(recording.channels) == channels and set(recording.rates) == rates
    assert recording.channels == list(manifest.simulation["site"]["channels"])
    assert recording.hypnogram.epoch_seconds == manifest.epoch_seconds
    assert all(np.isfinite(x).all() and 1 < x.std() < 500 for x in recording.signals)
    assert len({subject.id for _, subject in cohorts.recordings(manifest, tmp_path / "edf")}) == 1
    assert re.search(manifest.subject, paths[0].stem)["subject"] == recording.subject.id
    prepared, failures = store.prepare(manifest, tmp_path / "edf", tmp_path / "store", progress=False)
    assert (
        not failures and prepared.simulated and list(prepared.preparation.montage) == list(manifest.montage)
    )


def test_five_scorers_beside_the_majority(tmp_path):
    path = simulate(vars(cohorts.load("dodo-twin")), tmp_path, persons=1, hours=1, progress=False)[0]
    readings = np.stack([scoring.stages for scoring in read_scorings(path)])
    majority = readers.read_hypnogram(path).stages
    assert readings.shape == (5, 120) and len({row.tobytes() for row in readings}) > 1
    votes = np.stack([(readings == stage).sum(axis=0) for stage in range(5)])
    assert (votes[majority, np.arange(120)] == votes.max(axis=0)).all()
    subject = readers.read(path).subject
    assert subject.ahi >= 5
