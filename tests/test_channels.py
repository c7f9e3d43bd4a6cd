"""What a network is shown: places, pairs, numbers of channels, and each of them as if staged by itself."""

import numpy as np
import pytest
import torch

from sleeplib import models, multicohort
from sleeplib.analysis import metrics
from sleeplib.preparation import Preparation
from sleeplib.suite import channels
from tests.sampling.conftest import EEG, EOG, make

SMALL = {"depth": 2, "complexity": 0.5, "rate": 8, "kernel": 5}
NAMES = ["F3-M2", "C4-M1", "O1-CLE", "E1-M2", "E2-M2", "F3-F4"]
KINDS = [EEG, EEG, EEG, EOG, EOG, EEG]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    stages = np.array([0, 1, 2, 3, 4, 9, 2, 2, 1, 0] * 3)
    preparation = Preparation(None, rate=8.0, scaling="robust")
    nights = [("a1", stages, KINDS), ("a2", stages[::-1].copy(), KINDS)]
    return make(tmp_path_factory.mktemp("stores") / "a", "a", nights, 3, preparation, NAMES)


def network(name):
    torch.manual_seed(0)
    return models.build(name, **SMALL).eval()


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("C3-M2", EEG, "C3"), ("C4-A1", EEG, "C4"), ("O1-CLE", EEG, "O1"), ("Fz-LER", EEG, "Fz"), ("F3-O1", EEG, None),
        ("Fpz-Cz", EEG, None), ("C4-M1", "EMG", None), ("E1-M2", EOG, "EOG"), ("EOG(L)", EOG, "EOG"),
    ],
)  # fmt: skip
def test_places_are_electrodes_against_ears(name, kind, expected):
    assert channels.place(name, kind) == expected


def test_nights_need_a_channel_at_each_place(store):
    assert channels.rows_of(store, 0, ("EOG", "O1", "F3")) == {"EOG": [3, 4], "O1": [2], "F3": [0]}
    assert channels.rows_of(store, 0, ("EOG", "Fz")) is None
    assert channels.nights_with(store, [1, 0], ("EOG", "F3")).tolist() == [1, 0]
    assert channels.nights_with(store, [0, 1]).size == 0  # no F4


def confusion(model, store, rows):
    """Of night 0, from these channels in this order, staged by the network itself."""
    signals = torch.from_numpy(store.epochs(0).swapaxes(0, 1).reshape(6, -1).copy())
    with torch.no_grad():
        return metrics.confusion(store.stages(0), model(signals[None, rows])[0].argmax(-1).numpy())


def test_u_sleep_gets_each_pair_in_both_orders_and_one_channel_twice(store):
    model, rows = network("usleep"), {"EOG": (3, 4), "C4": (1, 1), "O1": (2, 2)}
    found = channels.pairs(model, store, 0, tuple(rows))
    assert found.shape == (2, 3, 3, 5, 5)
    for e in range(2):
        for a, first in enumerate(rows.values()):
            for b, second in enumerate(rows.values()):
                assert (found[e, a, b] == confusion(model, store, [first[e], second[e]])).all()


def test_anysleep_gets_each_pair_once_and_one_channel_alone(store):
    model = network("anysleep")
    found = channels.pairs(model, store, 0, ("EOG", "C4", "O1"))
    assert (found == found.swapaxes(1, 2)).all()
    assert (found[1, 0, 2] == confusion(model, store, [2, 4])).all()
    assert (found[0, 1, 1] == confusion(model, store, [1])).all()


def test_numbers_of_channels_for_anysleep(store, monkeypatch):
    model, shown = network("anysleep"), []
    sets = channels._confusions
    monkeypatch.setattr(channels, "_confusions", lambda *a: shown.extend(a[-1]) or sets(*a))
    found = channels.numbers(model, store, 0, most=5, draws=3, seed=1)
    assert found.shape == (2, 6, 3)
    without, with_eog = found
    assert np.isnan(without[0]).all() and np.isnan(found[:, 5]).all()  # there are four EEG channels
    assert np.isfinite(without[1:5]).all() and np.isfinite(with_eog[:5]).all()
    assert len(shown) == 3 * (4 + 5) and all(len(set(rows)) == len(rows) for rows in shown)
    everything = float(metrics.macro_f1(confusion(model, store, [0, 1, 2, 5])))
    assert without[4] == pytest.approx([everything] * 3)
    assert np.array_equal(found, channels.numbers(model, store, 0, 5, 3, 1), equal_nan=True)


def test_numbers_of_channels_for_u_sleep_are_votes_of_pairs_with_one_eog(store):
    model = network("usleep")
    found = channels.numbers(model, store, 0, most=4, draws=4, seed=2)
    assert np.isnan(found[0]).all() and np.isnan(found[1, 0]).all()
    single = {(a, b): metrics.macro_f1(confusion(model, store, [a, b])) for a in (0, 1, 2, 5) for b in (3, 4)}
    assert all(min(abs(value - x) for x in single.values()) < 1e-9 for value in found[1, 1])
    # All four EEG channels with the EOG that was drawn.
    votes = {
        eog: metrics.macro_f1(
            metrics.confusion(
                store.stages(0), multicohort.posteriors(model, store, 0, [0, 1, 2, 5, eog]).argmax(1)
            )
        )
        for eog in (3, 4)
    }
    untied = [min(abs(value - x) for x in votes.values()) for value in found[1, 4]]
    assert np.median(untied) < 0.05  # ties fall otherwise where the pairs come in another order


def test_weights_are_those_of_the_places(store):
    model = network("anysleep")
    found = channels.weights(model, store, 0, ("EOG", "F3", "O1"))
    signals = torch.from_numpy(store.epochs(0).swapaxes(0, 1).reshape(6, -1).copy())
    with torch.no_grad():
        plain = model.attention(signals[None, [3, 0, 2]])[0].numpy()
    assert found.shape == (3, 3) and np.allclose(found, plain, atol=1e-5)


def test_one_channel_is_left_out_at_a_time(store):
    model = network("anysleep")
    found = channels.without_each(model, store, 0, ("EOG", "F3", "O1"))
    expected = [[3, 0, 2], [0, 2], [3, 2], [3, 0], [3], [0], [2]]
    assert (found == np.stack([confusion(model, store, rows) for rows in expected])).all()
