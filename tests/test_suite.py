"""What the notebooks of SeqSleepNet's tables share."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sleeplib import cohorts, inference, models, protocol, readers, results, simulator, suite
from sleeplib.analysis import metrics
from sleeplib.errors import SleeplibError
from sleeplib.experiments import plan
from sleeplib.models import weights
from sleeplib.training import RECIPES, TrainingSettings
from tests.cohorts.test_splits import mat


def test_the_papers_budget_changes_nothing():
    for system in suite.systems(budget="paper", seed=3):
        if system.network not in models.CLASSICAL:
            assert system.recipe == TrainingSettings(**RECIPES.get(system.network, {}), seed=3)
            assert system.settings.keys() <= {"sequence_length"}


@pytest.mark.parametrize("budget", suite.BUDGETS)
def test_every_budget_builds_every_system(budget):
    shape = {True: {"channels": 1, "samples": 500}, False: {"channels": 1, "frames": 4}}
    if budget != "real-eeg":
        shape = {True: {"channels": 3, "samples": 3000}, False: {"channels": 3, "frames": 29}}
    chosen = suite.systems((*suite.TABLE_II, *suite.TABLE_III, *suite.REAL_EEG, suite.context(100)), budget)
    for system in chosen:
        if system.network in models.CLASSICAL:
            models.baseline(system.network, **system.settings)
        elif not (system.network == "tsinalis" and budget == "paper"):  # 144 million weights
            models.build(system.network, system.variant, **shape[system.signals] | system.settings)
    assert {s.network for s in chosen} == {*models.NETWORKS, *models.CLASSICAL}
    assert len({s.slug for s in chosen}) == len({s.label for s in chosen})


def test_unknown_budgets_and_labels_list_the_known_ones():
    with pytest.raises(SleeplibError, match="paper, demo, real-eeg, smoke"):
        suite.systems(budget="much")
    with pytest.raises(SleeplibError, match=r"no system is called SeqSleepNet-40; there are SeqSleepNet-30"):
        suite.systems(only=["SeqSleepNet-40"])


def test_a_system_keeps_what_it_asks_for_beyond_the_budget():
    (long,) = suite.systems([suite.context(200)], "demo")
    (short,) = suite.systems([suite.context(1)], "demo")
    assert (long.recipe.batch_size, short.recipe.batch_size) == (8, 640)
    assert long.recipe.max_steps == short.recipe.max_steps
    assert suite.systems([suite.context(200)], "smoke")[0].recipe.batch_size == 4


def test_published_folds_are_fetched_once(monkeypatch, tmp_path):
    folds = {"train": [[3], [1], [2]], "eval": [[2], [3], [1]], "test": [[1], [2], [3]]}
    file = mat(tmp_path / "folds.mat", **folds)
    monkeypatch.setattr("sleeplib.cohorts.downloads.fetch_split", lambda name, folder: file)
    store = SimpleNamespace(ids=["b", "a", "c"], groups=np.array(["b", "a", "c"]))
    for chosen in ("published", str(file)):
        found = suite.splits(store, chosen)
        assert [store.ids[i] for fold in found for i in fold["test"]] == ["a", "b", "c"], (
            "the list is alphabetical"
        )


def test_unknown_weights_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(suite.runs, "weights_folder", lambda name: tmp_path / name)
    (tmp_path / "demo").mkdir()
    with pytest.raises(SleeplibError, match=r"nosuch: no such weights; there are demo"):
        suite.evaluate(None, [None], [], weights="nosuch")


def test_twins_of_other_settings_are_made_anew_and_the_old_ones_go(monkeypatch, tmp_path):
    monkeypatch.setenv("SLEEPLIB_DATA", str(tmp_path))
    first = suite.nights("embedded", persons=2, hours=0.5)
    assert (
        first.simulated and len(first) == 2 and not list(tmp_path.rglob("*.edf"))
    )  # the store is all that stays
    with monkeypatch.context() as patch:
        patch.setattr(simulator, "simulate", lambda *a, **k: pytest.fail("simulated again"))
        assert suite.nights("embedded", persons=2, hours=0.5).digest == first.digest
    load = cohorts.load
    monkeypatch.setattr(
        cohorts,
        "load",
        lambda name: replace(load(name), simulation=load(name).simulation | {"seed": 9}),
    )
    second = suite.nights("embedded", persons=2, hours=0.5)
    assert second.digest != first.digest and not first.folder.exists()


def test_published_tables_hold_the_papers_rows():
    table = suite.published("table_ii")
    assert table.loc["SeqSleepNet-20", "Accuracy (%)"] == 87.0 and len(table) == 20
    assert suite.published("sensitivity").loc["SeqSleepNet-20", "N1"] == 60.8
    assert suite.published("table_iii").loc[2, 10] == 86.8


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.integers(0, 5, 60), 10).astype(np.int8)
    stages = {
        name: np.where(rng.random(600) < right, truth, 2) for name, right in (("good", 0.9), ("bad", 0.6))
    }
    where = np.repeat([f"p{i}" for i in range(6)], 100)
    posteriors = {name: np.eye(5, dtype=np.float32)[s] for name, s in stages.items()}
    return protocol.Predictions(truth, where, where, posteriors)


def test_gains_are_differences_in_points(predictions):
    found = suite.gains(predictions, "good", "bad")
    first, second = (predictions.confusions(name).sum(0) for name in ("good", "bad"))
    assert found["accuracy"][0] == pytest.approx(100 * (metrics.accuracy(first) - metrics.accuracy(second)))
    assert found["N1"][0] == pytest.approx(
        100 * (metrics.sensitivity(first) - metrics.sensitivity(second))[1]
    )
    assert all(low <= value <= high for value, low, high in found.values())
    table = suite.gain_table({"good, bad": found})
    assert table.loc["good, bad", "Accuracy"].startswith("+")


def test_persons_differ_from_the_lowest_to_the_highest(predictions):
    table = suite.person_table(predictions, ["bad", "no such system"])
    each = [
        100 * np.mean((predictions.stages("bad") == predictions.truth)[100 * i : 100 * i + 100])
        for i in range(6)
    ]
    assert list(table.index) == ["bad"]
    shown = table.loc["bad", ["Lowest", "Median", "Highest"]].tolist()
    assert shown == pytest.approx([min(each), np.median(each), max(each)])


def test_stored_predictions_compare_like_fresh_ones(predictions, tmp_path):
    systems = [protocol.System("good", "majority"), protocol.System("bad", "majority")]
    data = {"cohort": "toy", "digest": "0", "persons": 6, "recordings": 6, "epochs": 600}
    path = results.write(
        "toy", title="Toy", simulated=True, parameters={}, data=data, rows=predictions.rows(systems), seconds=1,
        predictions=predictions.arrays(), folder=tmp_path,
    )  # fmt: skip
    stored = suite.stored(results.load(path))
    assert suite.gains(stored, "good", "bad") == suite.gains(predictions, "good", "bad")


def test_sizes_and_families_are_read_from_rows():
    rows = [
        {
            "system": "SeqSleepNet-20",
            "accuracy": 0.8,
            "parameters": 1000,
            "steps": [100, 300],
            "training_seconds": 90,
        },
        {
            "system": "SeqSleepNet-10",
            "accuracy": 0.7,
            "parameters": 1000,
            "steps": [100],
            "training_seconds": 60,
        },
        {"system": "SVM", "accuracy": 0.6},
    ]
    assert suite.sizes({"rows": rows}).loc["SeqSleepNet-20"].tolist() == ["1,000", "100 to 300", "1.5"]
    assert suite.family_table(rows[::-1]).to_dict("index") == {
        "sequence to sequence": {"Best member": "SeqSleepNet-20", "Accuracy (%)": "80.0"},
        "hand-crafted features to one stage": {"Best member": "SVM", "Accuracy (%)": "60.0"},
    }


def test_the_projects_weights_are_those_of_the_demo_profile():
    """Trained by this version of the simulator, with the settings and persons that the notebooks ask for."""
    plans = {run.name: run.parameters for run in plan("demo")}
    p = plans["table_ii"]
    chosen = [s for s in suite.TABLE_II if s.label in p["only"]]
    table = (*chosen, suite.longer(p["longer"]), *suite.TABLE_III)
    table += tuple(map(suite.context, plans["how_much_context"]["lengths"]))
    for system in suite.systems(table, p["budget"], p["seed"]):
        if system.network in models.CLASSICAL:
            continue
        card = json.loads(
            (suite.weights_folder(p["weights"]) / system.slug / f"{system.network}.json").read_text()
        )
        assert card["simulator"] == protocol.simulator_digest(p["cohort"]), (
            "run `python book/weights/make.py demo` again"
        )
        assert card["training"] == json.loads(json.dumps(vars(system.recipe)))
        settings = json.loads(json.dumps(system.settings))
        assert settings.items() <= card["settings"].items()
        assert not card["git"]["dirty"] and card["cohort"] == p["cohort"] and card["simulated"]
        assert len(card["persons"]["valid"]) == p["valid_persons"]


def test_the_projects_network_for_real_eeg_stages_real_nights(shared):
    """Persons that chose its step; those it has never seen are not here."""
    network = weights.load(suite.weights_folder("real-eeg") / "seqsleepnet-30/seqsleepnet")
    assert not network.card["simulated"] and not network.card["git"]["dirty"]
    right = total = 0
    for path in sorted((shared / "data/sleep-edf-20-5s").glob("*.npz")):
        if path.stem[:5] in network.card["persons"]["valid"]:
            recording = readers.read(path)
            stages = inference.stage(recording, network).argmax(1)
            right += (stages == recording.hypnogram.stages).sum()
            total += len(stages)
    # What is fused is a little better than single decisions, by which the step was chosen.
    assert total and right / total > network.card["validation_accuracy"] - 0.01
