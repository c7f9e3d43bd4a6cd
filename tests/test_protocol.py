"""From a store to scored predictions, resumable, and never on persons that were seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sleeplib import cohorts, inference, protocol, store
from sleeplib import preparation as preparation_of
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.recording import Hypnogram, Recording, Subject
from sleeplib.sampling import Nights

PREPARATION = preparation_of.Preparation({"EEG": "C4"}, epoch_seconds=5.0)
SMALL = {"filters": 8, "hidden": 8, "attention": 8}
SYSTEMS = [
    protocol.System(
        "Seq-5", "seqsleepnet", SMALL | {"sequence_length": 5}, {"max_steps": 4, "learning_rate": 1e-2}
    ),
    protocol.System("One", "e2e-arnn", SMALL, {"max_steps": 4}),
    *protocol.BASELINES,
]


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Two nights of each of five persons, whose stages differ in power."""
    folder, rng, sidecars = tmp_path_factory.mktemp("toy"), np.random.default_rng(0), []
    for i in range(10):
        stages = np.repeat(rng.integers(0, 5, 6), 5)
        x = rng.normal(size=(30, 500)) * (1 + stages[:, None])
        hypnogram = Hypnogram(stages, epoch_seconds=5.0)
        recording = Recording(
            [x.ravel()], [100.0], ["C4"], id=f"n{i}", subject=Subject(f"p{i // 2}"), hypnogram=hypnogram
        )
        sidecars.append(store.add(recording, folder, PREPARATION))
    store.write_index(folder, sidecars, PREPARATION, cohort="toy", title="Toy", simulated=True)
    return store.Store(folder)


def test_every_night_is_predicted_once_by_systems_that_never_saw_its_person(nights, tmp_path):
    folds = cohorts.folds(nights.persons, 5, 1)
    predictions = protocol.evaluate(nights, folds, SYSTEMS, tmp_path, progress=False)
    assert sorted(set(predictions.recording)) == nights.ids and len(predictions.truth) == 300
    for i, id in enumerate(nights.ids):
        assert np.array_equal(predictions.truth[predictions.recording == id], nights.stages(i))
    for number, fold in enumerate(folds):
        card = weights.load(predictions.folders["Seq-5"][number] / "seqsleepnet").card
        assert not set(card["persons"]["train"] + card["persons"]["valid"]) & set(
            nights.persons[fold["test"]]
        )
    rows = predictions.rows(SYSTEMS)
    assert [row["role"] for row in rows] == ["model", "model", "chance", "baseline"]
    assert all(row["n_epochs"] == 300 and row["n_persons"] == 5 for row in rows)
    assert rows[3]["accuracy"] > 0.8, "power alone tells these toy stages"
    arrays = predictions.arrays()
    assert arrays["person"].max() == 4 and arrays["Seq-5"].dtype == np.int8


def test_finished_pieces_are_not_trained_again_and_jobs_do_not_matter(nights, tmp_path, monkeypatch):
    folds = cohorts.folds(nights.persons, 2, 1)
    first = protocol.evaluate(nights, folds, SYSTEMS, tmp_path / "one", progress=False)
    monkeypatch.setattr(protocol, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = protocol.evaluate(nights, folds, SYSTEMS, tmp_path / "one", progress=False)
    monkeypatch.undo()
    # Several jobs train on one thread each; the bits depend on the number of threads, not on that of jobs.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = protocol.evaluate(nights, folds, SYSTEMS[:1], tmp_path / "1", progress=False)
    torch.set_num_threads(threads)
    two = protocol.evaluate(nights, folds, SYSTEMS[:1], tmp_path / "2", jobs=2, progress=False)
    for label in first.posteriors:
        assert np.array_equal(first.posteriors[label], again.posteriors[label])
    assert np.array_equal(one.posteriors["Seq-5"], two.posteriors["Seq-5"])


def test_other_data_or_settings_are_trained_anew(nights, tmp_path):
    split = cohorts.split(nights.persons, 1, 1)
    before = protocol.run(nights, split, SYSTEMS[0], tmp_path / "c")
    assert not list((tmp_path / "c").glob("checkpoint*")), "no longer needed"
    protocol.train(nights, split, SYSTEMS[0], tmp_path / "a", progress=False)
    other = protocol.System("Seq-5", "seqsleepnet", SYSTEMS[0].settings, SYSTEMS[0].training | {"seed": 1})
    with pytest.raises(SleeplibError, match="other settings or data"):
        protocol.run(nights, split, other, tmp_path / "a")
    after = protocol.run(nights, split, other, tmp_path / "b")
    assert not np.array_equal(before[0], after[0])


def test_assess_leaves_out_persons_that_were_seen(nights, tmp_path):
    split = cohorts.split(nights.persons, 1, 2)
    protocol.train(nights, split, SYSTEMS[1], tmp_path, progress=False)
    network = weights.load(tmp_path / "e2e-arnn")
    systems, predictions = protocol.assess(network, nights, nights)
    assert set(predictions.person) == set(nights.persons[split["test"]])
    assert [s.role for s in systems] == ["model", "chance", "baseline"]
    # The same persons under another cohort's name (MASS and its subsets share an archive) are no strangers.
    other = store.Store(nights.folder)
    other.cohort = "a subset of it"
    _, theirs = protocol.assess(network, other, nights)
    assert np.array_equal(theirs.person, predictions.person)
    other.simulated = False  # a twin's persons only share the names of the real ones
    assert set(protocol.assess(network, other, nights)[1].person) == set(nights.persons)
    network.card["persons"]["train"] = sorted(set(nights.persons))
    with pytest.raises(SleeplibError, match="has seen all persons"):
        protocol.assess(network, nights, nights)
    network.preparation = preparation_of.Preparation({"EEG": "C4"}, rate=50.0, epoch_seconds=5.0)
    with pytest.raises(SleeplibError, match=r"rate 100\.0, the network needs 50\.0"):
        protocol.assess(network, nights, nights)


ALL = [
    protocol.System("SeqSleepNet-5", "seqsleepnet", SMALL | {"sequence_length": 5}),
    protocol.System("released", "seqsleepnet", SMALL | {"sequence_length": 5}, variant="released"),
    protocol.System("E2E-DeepSleepNet-5", "e2e-deepsleepnet", {"hidden": 8, "sequence_length": 5}),
    protocol.System("Multitask E2E-ARNN", "multitask-e2e-arnn", SMALL),
    protocol.System(
        "Multitask 1-max",
        "multitask-1-max-cnn",
        {"features": 8, "kernels": (2, 3, 4), "pretraining_steps": 2},
    ),
    protocol.System("1-max", "1-max-cnn", {"features": 8, "kernels": (2, 3, 4), "pretraining_steps": 2}),
    protocol.System("E2E-ARNN", "e2e-arnn", SMALL),
    protocol.System("DeepSleepNet1", "deepsleepnet1"),
    protocol.System("Chambon", "chambon"),
    protocol.System("Tsinalis", "tsinalis", {"dense": 8}),
    protocol.System("MNN", "dong-mnn"),
    protocol.System("DNN", "dong-dnn"),
]
CLASSICAL = [protocol.System("forest", "random-forest", {"trees": 10}), protocol.System("SVM", "svm")]


def quick(system):
    return replace(system, training={"max_steps": 2, "learning_rate": 1e-3})


def test_every_system_trains_stages_and_goes_into_one_table(nights, tmp_path):
    split = cohorts.split(nights.persons, 1, 1)
    systems = [*map(quick, ALL), *CLASSICAL, *protocol.BASELINES]
    predictions = protocol.evaluate(nights, [split], systems, tmp_path, progress=False)
    rows = predictions.rows(systems)
    assert [row["system"] for row in rows] == [s.label for s in systems]
    for row in rows:
        assert row["n_epochs"] == 60 and 0 <= row["accuracy"] <= 1 and "transition_error" in row
        assert np.isfinite(predictions.posteriors[row["system"]]).all()
        assert np.allclose(predictions.posteriors[row["system"]].sum(1), 1, atol=1e-4)
    forest = next(row for row in rows if row["system"] == "forest")
    assert forest["accuracy"] > 0.8, "power alone tells these toy stages"


@pytest.mark.parametrize("system", [ALL[3], ALL[7]], ids=["images", "signals"])
def test_a_recording_is_staged_as_its_prepared_night_is(nights, tmp_path, system):
    network = protocol.train(
        nights, cohorts.split(nights.persons, 1, 1), quick(system), tmp_path, progress=False
    )
    x = nights.epochs(0)[:, 0].ravel().astype(np.float64)
    staged = inference.stage(Recording([x], [100.0], ["C4"], id="n0"), network)
    stored = protocol._stage(nights, [0], network)[0]
    assert np.allclose(staged, stored, atol=1e-4)


def test_weights_that_come_with_the_project_are_used_where_they_fit(nights, tmp_path, monkeypatch, capsys):
    split, system = cohorts.split(nights.persons, 1, 1), quick(ALL[6])
    protocol.train(nights, split, system, tmp_path / "kept" / system.slug, progress=False)
    assert protocol.trained(nights, split, system, tmp_path / "kept") == tmp_path / "kept/e2e-arnn"
    others = {
        "other persons": (cohorts.split(nights.persons, 1, 1, seed=1), system),
        "another recipe": (split, replace(system, training={"max_steps": 3})),
        "other settings": (split, replace(system, settings=SMALL | {"filters": 9})),
        "the other variant": (split, replace(system, variant="released")),
    }
    for which, (persons, wanted) in others.items():
        assert protocol.trained(nights, persons, wanted, tmp_path / "kept") is None, which
    with monkeypatch.context() as patch:
        patch.setattr(protocol.simulator, "version", lambda: "another")
        assert protocol.trained(nights, split, system, tmp_path / "kept") is None
    trained = protocol.evaluate(nights, [split], [system], tmp_path / "runs", progress=False)
    monkeypatch.setattr(protocol, "fit", lambda *a, **k: pytest.fail("trained again"))
    used = protocol.evaluate(
        nights, [split], [system], tmp_path / "new", progress=False, weights_folder=tmp_path / "kept"
    )
    assert "trained here" not in capsys.readouterr().out
    assert np.array_equal(used.posteriors["E2E-ARNN"], trained.posteriors["E2E-ARNN"])
    assert used.folders["E2E-ARNN"] == [tmp_path / "kept/e2e-arnn"]
    assert protocol.history(used.folders["E2E-ARNN"][0])[-1]["step"] == 2
    monkeypatch.undo()
    longer = replace(system, training={"max_steps": 3})
    protocol.evaluate(
        nights,
        [split],
        [longer, CLASSICAL[0]],
        tmp_path / "new",
        progress=False,
        weights_folder=tmp_path / "kept",
    )
    assert "no weights that fit; trained here: E2E-ARNN\n" in capsys.readouterr().out, (
        "those without are named"
    )


def test_a_description_names_what_a_record_needs(nights, tmp_path):
    split = cohorts.split(nights.persons, 1, 1)
    predictions = protocol.evaluate(nights, [split], SYSTEMS[2:], tmp_path, progress=False)
    data = protocol.describe(nights, predictions)
    assert (
        data["persons"] == 1
        and data["recordings"] == 2
        and data["epochs"] == 60
        and data["digest"] == nights.digest
    )


def test_a_store_of_all_channels_is_none_for_fixed_channels(tmp_path):
    x = np.zeros((2, 3 * 3840), np.float32)
    preparation = preparation_of.Preparation(**preparation_of.ANYSLEEP)
    sidecar = store.write_night(tmp_path, "n", x, [0, 1, 2], ["C4", "E1"], ["EEG", "EOG"], preparation)
    store.write_index(tmp_path, [sidecar], preparation, cohort="toy", title="Toy")
    with pytest.raises(SleeplibError, match=r"every channel of each night; .* --for seqsleepnet"):
        Nights.from_store(store.Store(tmp_path))


def test_baselines_learn_from_nights_that_were_prepared_alike(nights, tmp_path):
    split = cohorts.split(nights.persons, 1, 2)
    protocol.train(nights, split, SYSTEMS[1], tmp_path, progress=False)
    network = weights.load(tmp_path / "e2e-arnn")
    other = store.Store(nights.folder)
    other.preparation = replace(other.preparation, images="standardised")
    with pytest.raises(SleeplibError, match="prepared with images standardised, the network needs dB"):
        protocol.assess(network, nights, other)
