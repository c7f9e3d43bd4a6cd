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
    assert torch.equal(images[2, 1], data.images[index[2, 1]]) and torch.equal(labels, data.labels[index])


def test_sequences_without_a_scored_epoch_are_left_out():
    data = nights([12], labels=[9] * 6 + [2] * 6)
    assert Sequences(data, 3, 100).starts.tolist() == [4, 5, 6, 7, 8, 9]


def test_statistics_are_those_of_all_frames_and_a_silent_bin_has_none():
    data = nights([2000, 900])
    data.images[:, 1, :, 4] = -60
    mean, std = data.statistics()
    frames = data.images.double().permute(1, 3, 0, 2).flatten(2)
    assert torch.allclose(mean.double(), frames.mean(-1), atol=1e-6)
    expected = frames.std(-1, correction=0)
    expected[1, 4] = 1
    assert torch.allclose(std.double(), expected, atol=1e-5)


def test_split_gives_each_night_back():
    data = nights([3, 5])
    assert [len(labels) for _, labels in data.split()] == [3, 5]
