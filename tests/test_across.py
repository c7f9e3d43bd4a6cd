"""Night networks across cohorts: trained or taken, staged side by side, recorded."""

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from sleeplib import multicohort, protocol, results, suite
from sleeplib.analysis import metrics
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.suite import across
from sleeplib.suite.sites import NightSystem
from tests.training.test_nights import QUICK, SMALL, cohort

# Of five persons of a cohort, 0 and 1 test, 2 and 3 train, 4 validates.
SYSTEMS = [NightSystem(n, n, SMALL, QUICK | {"training_epochs": 1}) for n in ("usleep", "anysleep")]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    made = [cohort(folder, name, seed, nights=5) for seed, name in enumerate("abc")]
    for store in made:
        store.simulated = True
    return made


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The folder of runs and records, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("build")
        patch.setenv("SLEEPLIB_BUILD", str(folder))
        yield folder


@pytest.fixture(scope="module")
def networks(stores, build):
    return across.night_networks(stores[:2], SYSTEMS)


def test_networks_are_trained_once(networks, stores, monkeypatch):
    assert list(networks) == ["usleep", "anysleep"]
    monkeypatch.setattr(multicohort, "train", None)  # is not called again
    assert across.night_networks(stores[:2], SYSTEMS) == networks
    with pytest.raises(TypeError):  # another seed is another run
        other = [NightSystem("usleep", "usleep", SMALL, QUICK | {"seed": 5})]
        across.night_networks(stores[:2], other)
    assert across.history(networks["anysleep"])[0]["step"] == 4


def test_weights_of_the_project_are_used_where_they_fit(networks, stores, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(across, "weights_folder", lambda name: tmp_path / name)
    place = tmp_path / "some" / "anysleep-0"
    shutil.copytree(networks["anysleep"].parent, place)
    found = across.night_networks(stores[:2], SYSTEMS, "some")
    assert found == networks | {"anysleep": place / "anysleep.safetensors"}
    assert "trained here: usleep" in capsys.readouterr().out
    system = SYSTEMS[1]
    assert across.fitting(system, stores[:2], tmp_path / "some")
    assert not across.fitting(system, stores, tmp_path / "some")  # another cohort
    assert not across.fitting(
        NightSystem("x", "anysleep", SMALL | {"depth": 3}, system.training), stores[:2], place.parent
    )
    path = place / "anysleep.json"
    card = json.loads(path.read_text())
    card["cohorts"]["a"]["simulator"] = "of yesterday"
    path.write_text(json.dumps(card))
    assert not across.fitting(system, stores[:2], place.parent)


def test_only_strangers_are_staged(networks, stores, monkeypatch, capsys):
    tests = across.test_nights(networks.values(), stores[:2], stores[2:])
    assert [which.tolist() for which in tests] == [[0, 1], [0, 1], [0, 1, 2, 3, 4]]
    # Persons that any of the networks has seen are strangers to none.
    card = json.loads(networks["usleep"].with_suffix(".json").read_text())
    loaded = weights.load(networks["usleep"])
    loaded.card = card | {
        "cohorts": {"a": card["cohorts"]["a"] | {"persons": {"train": ["a0"], "valid": []}}}
    }
    both = {"one": weights.load(networks["anysleep"]), "other": loaded}
    monkeypatch.setattr(across.trained, "load", both.get)
    assert across.test_nights(both, stores[:1], [])[0].tolist() == [1]
    # Nights that U-Sleep cannot stage are left out for all.
    monkeypatch.setattr(stores[2], "montages", [[("C3", "EEG"), ("C4", "EEG"), ("O1", "EEG")]])
    with pytest.raises(SleeplibError, match="no night is left to test on; leave c out"):
        across.test_nights(both, stores[:1], stores[2:])
    assert "5 without an EEG and an EOG channel" in capsys.readouterr().out
    assert len(across.test_nights(["one"], stores[:1], stores[2:])[1]) == 5


def test_nights_side_by_side_are_those_one_after_the_other(networks, stores):
    tests = [np.array([3]), np.array([], int), np.array([1, 4])]
    one = across.stage_nights(networks, stores, tests)
    two = across.stage_nights(networks, stores, tests, jobs=2)
    assert len(one) == 2  # a cohort without test nights has no predictions
    network = weights.load(networks["usleep"])
    assert np.array_equal(one[0].posteriors["usleep"], multicohort.posteriors(network, stores[0], 3))
    for a, b in zip(one, two, strict=True):
        assert all(np.allclose(a.posteriors[label], b.posteriors[label], atol=1e-6) for label in networks)
    pooled = across.together([stores[0], stores[2]], one)
    assert set(pooled.recording) == {"a/a3", "c/c1", "c/c4"} and len(pooled.truth) == 90
    f1, person = across.by_recording(pooled, "anysleep")
    rows = pooled.recording == "c/c1"
    expected = metrics.macro_f1(metrics.confusion(pooled.truth[rows], pooled.stages("anysleep")[rows]))
    assert f1[1] == pytest.approx(expected) and person.tolist() == ["a/a3", "c/c1", "c/c4"]


def test_results_lie_in_the_order_of_the_nights(networks, stores):
    tests = [np.array([4, 3]), np.array([3]), np.array([2])]
    found, person = across.gather(_where, networks, stores, tests, add=10)
    assert person.tolist() == ["a/a4", "a/a3", "b/b3", "c/c2"]
    assert found == {"usleep": [("a", 14), ("a", 13), ("b", 13), ("c", 12)], "anysleep": found["usleep"]}


def _where(network, store, i, add):
    return store.cohort, i + add


def test_the_first_night_of_each_person(stores, monkeypatch):
    monkeypatch.setattr(stores[0], "persons", np.array(["x", "x", "y", "y", "z"]))
    assert across.first_nights(stores[0], [1, 3, 2, 4], 3).tolist() == [1, 3, 4]
    assert across.first_nights(stores[0], [1, 3, 2, 4]).tolist() == [1, 3, 2, 4]  # all
    assert across.first_nights(stores[0], [0, 1, 2, 3], 1).tolist() == [0]
    assert across.first_nights(stores[0], []).tolist() == []


def test_the_record_counts_what_was_staged(networks, stores):
    tests = [np.array([3, 4]), np.array([], int), np.array([0])]
    staged = across.together([stores[0], stores[2]], across.stage_nights(networks, stores, tests))
    rows = staged.rows([protocol.System(label, label) for label in networks])
    record = across.record_of_sites(
        "A question: what?", stores, tests, rows, time.perf_counter(), staged, seed=0
    )
    assert record["name"] == "a-question-twins" and record["simulated"] and record["seeds"] == {"seed": 0}
    data = record["data"]
    scored = sum(int((stores[k].stages(i) < 9).sum()) for k, i in ((0, 3), (0, 4), (2, 0)))
    assert (data["recordings"], data["persons"], data["epochs"], data["cohort"]) == (3, 3, scored, "a, c")
    assert set(results.predictions(record)) == {"truth", "person", "recording", *networks}
    table = across.overview(stores[:1], stores[2:], [tests[0], tests[2]])
    assert table.loc["a", "Role"] == "trained on" and table.loc["c", "Role"] == "hold-out"
    assert table.loc["a", "Test nights"] == 2 and table.loc["a", "Channels"] == "3"


def test_a_record_is_simulated_or_real(stores, monkeypatch):
    monkeypatch.setattr(stores[1], "simulated", False)
    with pytest.raises(SleeplibError, match="never share a record"):
        across.record_of_sites("Mixed: both", stores[:2], [[0], [0]], [], 0.0)


def test_runs_are_spread_as_in_the_paper():
    assert across.spread(np.array([0.5])) == "50.0"
    assert across.spread(np.array([0.70, 0.73, 0.76])) == "73.0 ± 2.4"  # ddof 0


@pytest.mark.parametrize(
    ("name", "budget", "labels"),
    [
        ("any", "demo", ["U-Sleep", "AnySleep", "early fusion", "late fusion"]),
        ("any-long", "long", ["AnySleep"]),
    ],
)
def test_committed_weights_are_those_of_their_budget(name, budget, labels):
    folder = suite.weights_folder(name)
    stores = [type("Twin", (), {"cohort": name, "simulated": True}) for name in suite.sites.TRAINING]
    by = {system.label: system for system in suite.night_systems(budget)}
    for label in labels:
        network = by[label].network
        assert across.fitting(by[label], stores, folder), label
        card = weights.load(folder / f"{network}-0" / network).card
        assert not card["git"]["dirty"] and len(card["cohorts"]) == 13


@pytest.mark.parametrize(
    "name, cohorts", [("known", suite.sites.TRAINING), ("strange", suite.sites.HOLD_OUT)]
)
def test_the_record_of_more_persons_is_of_the_committed_weights(name, cohorts):
    (path,) = results.committed_folder().glob(f"anysleep-in-{name}-laboratories-*-persons-twins.json")
    record = results.load(path)
    card = weights.load(suite.weights_folder("any-long") / "anysleep-0/anysleep").card
    assert record["parameters"]["sha256"] == card["sha256"] and record["parameters"]["hours"] == 6
    assert record["data"]["cohort"] == ", ".join(cohorts) and f"-{record['data']['persons']}-" in path.name
    assert record["rows"][0]["system"] == "AnySleep" and len(record["rows"]) == 5


def test_persons_of_a_hold_out_cohort_are_strangers_too(networks, stores, monkeypatch):
    # The same twin by another way: given as a cohort that nobody was trained on.
    tests = across.test_nights(networks.values(), stores[:1], stores[1:])
    assert [which.tolist() for which in tests] == [[0, 1], [0, 1], [0, 1, 2, 3, 4]]
    monkeypatch.setattr(stores[2], "preparation", replace(stores[2].preparation, scaling="robust-authors"))
    with pytest.raises(SleeplibError, match="prepared with scaling robust-authors"):
        across.test_nights(networks.values(), stores[:2], stores[2:])


def test_weights_without_their_card_are_not_finished(stores, tmp_path, monkeypatch):
    (tmp_path / "usleep.safetensors").write_bytes(b"of a run that was killed before it wrote the card")
    monkeypatch.setattr(multicohort, "train", lambda *a, **k: (tmp_path / "checkpoint.pt").touch())
    across._train(stores, [], SYSTEMS[0], tmp_path, False)
    assert not (tmp_path / "checkpoint.pt").exists(), "trained, and cleared away"


def test_one_night_for_two_jobs_leaves_torch_its_threads(stores):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = across.each_night(_threads, {"a": 0}, stores, [[0], [], []], jobs=2)
        assert [threads for *_, threads in found] == [2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def _threads(model, store, i):
    return torch.get_num_threads()
