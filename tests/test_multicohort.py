"""One network for several cohorts: training, card, who counts as unseen, scores beside the baselines."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sleeplib import multicohort
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.training import NightTraining
from tests.sampling.conftest import make
from tests.training.test_nights import QUICK, SMALL, cohort

SPLIT = {"train": np.array([0, 1]), "valid": np.array([2]), "test": np.array([3, 4])}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    return [cohort(folder, name, seed, nights=5) for seed, name in enumerate("abc")]


@pytest.fixture(scope="module")
def network(stores, tmp_path_factory):
    """Trained on a and b; c is a hold-out."""
    folder, recipe = tmp_path_factory.mktemp("run"), NightTraining(**QUICK | {"training_epochs": 1})
    made, history = multicohort.train(
        stores[:2], [SPLIT, SPLIT], "anysleep", SMALL, recipe, folder, progress=False, device="cpu"
    )
    loaded = weights.load(folder / "anysleep")
    assert all(torch.equal(made.state_dict()[key], x) for key, x in loaded.state_dict().items())
    assert loaded.card["validation_macro_f1"] == history[0]["macro_f1"]
    return loaded


def test_the_card_says_who_was_seen(network, stores):
    assert network.preparation == stores[0].preparation
    seen = network.card["cohorts"]
    assert list(seen) == ["a", "b"] and seen["b"]["persons"] == {"train": ["b0", "b1"], "valid": ["b2"]}
    assert seen["a"]["nights"] == {"train": 2, "valid": 1} and seen["a"]["digest"] == stores[0].digest
    assert network.card["training"]["batch_size"] == 8 and network.card["steps"] == 4
    json.dumps(network.card)


def test_only_the_unseen_are_scored(network, stores, monkeypatch):
    monkeypatch.setattr(multicohort, "BASELINES", multicohort.BASELINES[:1])  # 8 Hz have no band powers
    assert multicohort.unseen(network, stores[0]).tolist() == [3, 4]
    assert multicohort.unseen(network, stores[2]).tolist() == [0, 1, 2, 3, 4]
    systems, found = multicohort.assess(network, stores, stores)
    assert [system.label for system in systems] == ["anysleep", "majority class"]
    for store, predictions, nights in zip(stores, found, (2, 2, 5), strict=True):
        assert len(set(predictions.recording)) == nights and predictions.truth.dtype == np.int8
        rows = predictions.rows(systems)
        assert rows[0]["n_persons"] == nights and rows[1]["kappa"] == 0
        assert np.array_equal(predictions.truth[:30], store.stages(0 if nights == 5 else 3))


def test_posteriors_are_those_of_the_channels_that_are_shown(network, stores):
    store = stores[0]
    signals = torch.from_numpy(store.epochs(1).swapaxes(0, 1).reshape(1, 3, -1).copy())
    with torch.no_grad():
        whole, two = network(signals).softmax(-1)[0], network(signals[:, [2, 0]], 4).softmax(-1)[0]
    assert np.allclose(multicohort.posteriors(network, store, 1), whole, atol=1e-5)
    assert np.allclose(multicohort.posteriors(network, store, 1, [2, 0], per_epoch=4), two, atol=1e-5)


def test_baselines_need_persons_of_the_training(network, stores):
    with pytest.raises(SleeplibError, match="none of the stores holds training persons of a, b"):
        multicohort.assess(network, [stores[2]], [stores[2]])


def test_persons_of_a_twin_are_not_those_of_the_real_cohort(network, stores, monkeypatch):
    """They only share their names: all are unseen, and none of them may teach the baselines."""
    monkeypatch.setattr(stores[0], "simulated", not stores[0].simulated)
    assert multicohort.unseen(network, stores[0]).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(SleeplibError, match="none of the stores holds training persons"):
        multicohort.assess(network, stores[:1], stores[:1])


def test_a_cohort_has_one_store(network, stores):
    again = [stores[0], stores[0]]
    with pytest.raises(SleeplibError, match="more than one store of a"):
        multicohort.train(
            again, [SPLIT] * 2, "anysleep", SMALL, NightTraining(**QUICK), "nowhere", progress=False
        )
    with pytest.raises(SleeplibError, match="more than one store of a"):
        multicohort.assess(network, again, again)


def test_weights_whose_persons_are_not_known_need_a_split(network, stores, monkeypatch):
    monkeypatch.delitem(network.card, "cohorts")
    monkeypatch.setattr(stores[0], "simulated", False)
    with pytest.raises(SleeplibError, match="does not name the persons that they have seen"):
        multicohort.assess(network, stores[:1], stores[:1])
    systems, (found,) = multicohort.assess(network, stores[:1], stores[:1], [np.array([2, 4])])
    assert [s.label for s in systems] == ["anysleep"] and set(found.recording) == {"a2", "a4"}


def test_nights_without_the_channels_are_left_out_and_named(tmp_path, network, stores, capsys, monkeypatch):
    monkeypatch.setattr(multicohort, "BASELINES", multicohort.BASELINES[:1])
    stages = stores[0].stages(0)
    deaf = make(
        tmp_path / "d",
        "d",
        [("d0", stages, ["EMG"]), ("d1", stages, ["EOG"])],
        preparation=network.preparation,
    )
    _, (found,) = multicohort.assess(network, [deaf], stores[:2])
    assert set(found.recording) == {"d1"} and "1 without an EEG or EOG channel" in capsys.readouterr().out


def test_nobody_unseen_or_another_preparation_is_refused(network, stores, monkeypatch):
    monkeypatch.setitem(network.card["cohorts"]["a"]["persons"], "valid", [f"a{i}" for i in range(5)])
    with pytest.raises(SleeplibError, match="has seen all persons"):
        multicohort.unseen(network, stores[0])
    monkeypatch.setattr(network, "preparation", type(network.preparation)(None, rate=128.0, scaling="robust"))
    with pytest.raises(SleeplibError, match=r"prepared with rate 8\.0, the network needs 128\.0"):
        multicohort.unseen(network, stores[1])


def test_nights_that_were_seen_are_no_test(network, stores):
    with pytest.raises(SleeplibError, match="has seen 3 of the nights to test on, such as a0, in training"):
        multicohort.assess(network, stores[:1], stores[:2], [np.arange(5)])


def test_a_cohort_of_which_nothing_is_left_is_named(tmp_path, network, stores):
    nights = [("d0", stores[0].stages(0), ["EMG"])]
    deaf = make(tmp_path / "d", "d", nights, preparation=network.preparation)
    with pytest.raises(
        SleeplibError, match=r"none of the nights to test on is left; .* without an EEG or EOG"
    ):
        multicohort.assess(network, [stores[2], deaf], stores[:2])


def test_baselines_learn_from_nights_that_were_prepared_alike(network, stores, monkeypatch):
    preparation = replace(stores[0].preparation, scaling="robust-authors")
    monkeypatch.setattr(stores[0], "preparation", preparation)
    with pytest.raises(SleeplibError, match="prepared with scaling robust-authors, the network needs robust"):
        multicohort.baselines(network, stores[:1])
