"""Which channels are drawn: eq. 2, with and without replacement, pairs, and all."""

from itertools import permutations, product

import numpy as np
import pytest

from sleeplib.sampling import Channels
from sleeplib.sampling.channels import _some, numbers_of_channels, probabilities_of_numbers
from tests.sampling.test_windows import agrees

N = 1_000_000


def tuples(channels, base=10):
    """Each row of channel numbers as one number."""
    return channels @ base ** np.arange(channels.shape[1])[::-1]


def counts_of(channels, expected):
    codes = tuples(channels)
    wanted = [int("".join(map(str, rows))) for rows in expected]
    counts = np.array([np.sum(codes == code) for code in wanted])
    assert counts.sum() == len(channels), "nothing else is drawn"
    return counts


def test_numbers_of_channels_follow_eq_2():
    published = [0.3414, 0.1707, 0.1138, 0.0854, 0.0683, 0.0569, 0.0488, 0.0427, 0.0379, 0.0341]
    p = probabilities_of_numbers(10)
    assert p.sum() == pytest.approx(1) and np.abs(p - published).max() < 1e-4
    assert p == pytest.approx([1 / sum(n / i for i in range(1, 11)) for n in range(1, 11)]), (
        "as the paper writes it"
    )
    for most in (1, 2, 7, 10):
        drawn = numbers_of_channels(np.random.default_rng(most), most, 3 * N)
        assert agrees(np.bincount(drawn, minlength=most + 1)[1:], probabilities_of_numbers(most))


def test_without_replacement_all_ordered_choices_are_alike():
    rows = np.tile([0, 2, 3, 7, -1], (N, 1))
    for n in (1, 2, 4):
        channels = _some(np.random.default_rng(n), rows, np.full(N, 4), n)
        choices = list(permutations([0, 2, 3, 7], n))
        assert agrees(counts_of(channels, choices), np.ones(len(choices)))


def test_with_fewer_channels_than_wanted_all_are_drawn_with_replacement():
    rows = np.tile([1, 4, -1, -1], (N, 1))
    channels = _some(np.random.default_rng(0), rows, np.full(N, 2), 4)
    choices = list(product([1, 4], repeat=4))
    assert agrees(counts_of(channels, choices), np.ones(16))


def test_recordings_of_one_batch_may_differ():
    montages = [[("a", "EMG"), ("b", "EEG")], [("a", "EEG"), ("b", "EOG"), ("c", "EEG")]]
    channels = Channels(montages)
    assert channels.counts.tolist() == [1, 3] and channels.usable.all()
    seen = set()
    for seed in range(50):
        drawn = channels.draw(np.random.default_rng(seed), np.array([0, 1, 1]), 3)
        seen.add(drawn.shape[1])
        assert (drawn[0] == 1).all() and all(len(set(row)) == len(row) for row in drawn[1:].tolist())
    assert seen == {1, 2, 3}


def test_pairs_of_one_eeg_and_one_eog():
    montage = [("a", "EOG"), ("b", "EEG"), ("c", "EMG"), ("d", "EEG"), ("e", "EEG"), ("f", "EOG")]
    channels = Channels([[("a", "EEG")], montage], "pair")
    assert channels.usable.tolist() == [False, True]
    drawn = channels.draw(np.random.default_rng(0), np.ones(N, int))
    assert agrees(counts_of(drawn, list(product([1, 3, 4], [0, 5]))), np.ones(6))


def test_all_channels_in_any_order():
    channels = Channels([[("a", "EMG"), ("b", "EEG"), ("c", "EOG"), ("d", "EEG")]], "all")
    drawn = channels.draw(np.random.default_rng(0), np.zeros(N, int))
    assert agrees(counts_of(drawn, list(permutations([1, 2, 3]))), np.ones(6))
