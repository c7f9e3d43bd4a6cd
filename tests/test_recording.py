"""What every room passes on."""

import numpy as np
import pytest

from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram, Recording


@pytest.fixture
def recording():
    return Recording([np.arange(4.0), np.ones(4), np.zeros(8)], [2, 2, 4], ["A-X", "B-X", "C"], id="night 1")


def test_a_channel_or_a_difference_of_two(recording):
    assert recording.channel("A-X")[0].tolist() == [0, 1, 2, 3]
    signal, rate = recording.channel("A-X - B-X")
    assert signal.tolist() == [-1, 0, 1, 2] and rate == 2
    assert recording.duration == 2


def test_a_recording_knows_nothing_that_it_was_not_told(recording):
    assert recording.hypnogram is None and recording.truth is None
    assert recording.scorings == recording.events == recording.true_events == []


def test_a_missing_channel_is_told_with_those_that_are_there(recording):
    with pytest.raises(SleeplibError, match="night 1 has no channel 'D'; it has A-X, B-X, C"):
        recording.channel("D")
    with pytest.raises(SleeplibError, match="cannot subtract"):
        recording.channel("A-X - C")


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(SleeplibError, match="as many"):
        Recording([np.zeros(3)], [1, 2], ["A"])


def test_unscored_epochs_stay_in_the_hypnogram():
    hypnogram = Hypnogram([0, 9, 2])
    assert len(hypnogram) == 3 and hypnogram.scored.tolist() == [True, False, True]
    with pytest.raises(SleeplibError, match="codes"):
        Hypnogram([0, 6])
