"""Nights in memory and the sequences drawn from them (SeqSleepNet)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.sampling import Nights, Sequences


def nights(lengths, labels=None, seed=0):
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    labels = rng.integers(0, 5, n) if labels is None else np.asarray(labels)
    return Nights(
        torch.from_numpy(rng.normal(size=(n, 2, 3, 7)).astype(np.float32)),
        torch.from_numpy(labels),
        list(lengths),
    )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 12), st.integers(1, 8))
def test_one_pass_holds_each_sequence_at_most_once_and_none_crosses_nights(lengths, L, batch):
    data = nights(lengths)
    expected = {
        start + first
        for n, first in zip(lengths, np.cumsum([0, *lengths[:-1]]), strict=True)
        for start in range(n - L + 1)
    }
    if not expected:
        with pytest.raises(SleeplibError, match=f"no night has {L} epochs"):
            Sequences(data, L, batch)
        return
    sequences = Sequences(data, L, batch, seed=1)
    epochs = torch.cat([sequences.epochs(step) for step in range(sequences.steps_per_pass)])
    starts = epochs[:, 0].tolist()
    assert len(set(starts)) == len(starts) and set(starts) <= expected
    assert len(expected) - len(starts) < sequences.batch_size, (
        "only the rest of the last batch is left for another pass"
    )
    night = np.repeat(np.arange(len(lengths)), lengths)
    index = epochs.numpy()
    assert (night[index] == night[index[:, :1]]).all() and (np.diff(index, axis=1) == 1).all()


def test_a_batch_depends_on_seed_and_step_alone():
    data = nights([50, 60])
    forwards = [Sequences(data, 5, 8, seed=3).epochs(step) for step in range(40)]
    one = Sequences(data, 5, 8, seed=3)
    backwards = [one.epochs(step) for step in reversed(range(40))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not torch.equal(forwards[0], Sequences(data, 5, 8, seed=4).epochs(0))
    per_pass = one.steps_per_pass
    assert not torch.equal(one.epochs(0), one.epochs(per_pass)), "each pass has an order of its own"


def test_images_and_labels_are_those_of_the_epochs():
    data = nights([9, 8])
    sequences = Sequences(data, 4, 3)
    images, labels = sequences.batch(1)
    index = sequences.epochs(1)
    assert images.shape == (3, 4, 2, 3, 7)
    assert torch.equal(images[2, 1], data.inputs[index[2, 1]]) and torch.equal(labels, data.labels[index])


def test_sequences_without_a_scored_epoch_are_left_out():
    data = nights([12], labels=[9] * 6 + [2] * 6)
    assert Sequences(data, 3, 100).starts.tolist() == [4, 5, 6, 7, 8, 9]


def test_statistics_are_those_of_all_frames_and_a_silent_bin_has_none():
    data = nights([2000, 900])
    data.inputs[:, 1, :, 4] = -60
    mean, std = data.statistics()
    frames = data.inputs.double().permute(1, 3, 0, 2).flatten(2)
    assert torch.allclose(mean.double(), frames.mean(-1), atol=1e-6)
    expected = frames.std(-1, correction=0)
    expected[1, 4] = 1
    assert torch.allclose(std.double(), expected, atol=1e-5)


def test_labels_of_multitask_networks_reach_beyond_the_inputs():
    data = nights([9, 8])
    sequences = Sequences(data, 1, 4, reach=1)
    assert sorted(sequences.starts) == [*range(7), *range(9, 15)], (
        "a centre has both neighbours in its own night"
    )
    inputs, labels = sequences.batch(0)
    index = sequences.epochs(0)
    assert inputs.shape == (4, 1, 2, 3, 7) and labels.shape == (4, 3)
    assert torch.equal(inputs[:, 0], data.inputs[index[:, 1]]) and torch.equal(labels, data.labels[index])


def test_balanced_batches_hold_each_stage_equally_often():
    labels = np.r_[np.zeros(200), np.ones(7), np.full(50, 2), np.full(20, 9), np.full(43, 4)].astype(int)
    sequences = Sequences(nights([320], labels), 1, 40, seed=2, balanced=True)
    for step in range(2 * sequences.steps_per_pass):
        assert (
            np.bincount(sequences.batch(step)[1].ravel(), minlength=10).tolist()
            == [10, 10, 10, 0, 10] + [0] * 5
        )
    again = Sequences(nights([320], labels), 1, 40, seed=2, balanced=True)
    assert torch.equal(again.epochs(3), sequences.epochs(3)), "a function of seed and step"
    _, labels = Sequences(nights([320], labels), 3, 40, balanced=True).batch(0)
    assert (labels[:, [0, 2]] == 9).all() and np.bincount(labels[:, 1])[[0, 1, 2, 4]].tolist() == [
        10,
        10,
        10,
        10,
    ]


def test_signals_have_statistics_of_each_channel():
    data = nights([2000, 900])
    data.inputs = data.inputs.flatten(2)
    mean, std = data.statistics()
    flat = data.inputs.double().transpose(0, 1).flatten(1)
    assert mean.shape == (2,) and torch.allclose(mean.double(), flat.mean(1), atol=1e-6)
    assert torch.allclose(std.double(), flat.std(1, correction=0), atol=1e-5)


def test_split_gives_each_night_back():
    data = nights([3, 5])
    assert [len(labels) for _, labels in data.split()] == [3, 5]


def test_statistics_are_those_of_scored_epochs():
    data = nights([5000])
    data.labels[100:] = 9  # the lamp is on, and electrodes come off
    data.inputs[100:] = 60
    scored = Nights(data.inputs[:100], data.labels[:100], [100])
    for ours, expected in zip(data.statistics(), scored.statistics(), strict=True):
        assert torch.allclose(ours, expected)


def test_nothing_scored_is_told():
    with pytest.raises(SleeplibError, match="have no scored epoch"):
        nights([50], labels=[9] * 50).statistics()
    with pytest.raises(SleeplibError, match="have no scored epoch"):
        Sequences(nights([50], labels=[9] * 50), 20, 4)
    with pytest.raises(SleeplibError, match=r"no sequence .* has a scored epoch in its middle"):
        Sequences(nights([3], labels=[0, 9, 9]), 3, 2, balanced=True)
