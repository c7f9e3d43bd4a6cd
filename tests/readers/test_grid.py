"""Grids of epochs found in intervals: their length, their phase, their pace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import read_edf_scoring, write_edf_annotations
from sleeplib.readers.grid import anchor, from_first, measured, on_grid, timed
from sleeplib.recording import Event

CODES = {"W": 0, "1": 1, "2": 2, "3": 3, "R": 4, "?": 9}


def epochs(texts, first=0.0, seconds=30.0, duration=None):
    """One interval for each letter of `texts`."""
    length = seconds if duration is None else duration
    return [(first + seconds * i, length, CODES[text]) for i, text in enumerate(texts)]


@pytest.mark.parametrize("filler", ["?", "W"])
def test_what_fills_up_the_time_before_the_first_epoch_does_not_move_the_grid(filler):
    night = [(0.0, 47.0, CODES[filler]), *epochs("W1223R", 47)]
    expected = [CODES[filler], 0, 1, 2, 2, 3, 4]
    for hypnogram in (from_first("x", night), on_grid("x", night)):
        assert hypnogram.onset == 17 and hypnogram.stages.tolist() == expected


def test_a_mark_within_an_epoch_does_not_move_the_grid():
    night = [*epochs("W1223R", 60), (12.4, 3.0, 9), (75.2, 2.0, 9)]
    assert from_first("x", night).stages.tolist() == [9, 0, 1, 2, 2, 3, 4]
    assert from_first("x", night).onset == 30, "the first epoch that the mark does not precede"
    assert on_grid("x", night).stages.tolist() == [9, 9, 0, 1, 2, 2, 3, 4]


def test_epochs_before_the_recording_leave_the_others_where_they_are():
    night = epochs("W12323RW", -20)
    for hypnogram in (from_first("x", night), on_grid("x", night)):
        assert hypnogram.onset == 10 and hypnogram.stages.tolist() == [1, 2, 3, 2, 3, 4, 0]


@given(
    st.lists(st.sampled_from("W123R?"), min_size=1, max_size=80),
    st.floats(-90, 90),
    st.sampled_from([20.0, 30.0]),
)
def test_an_aligned_night_begins_where_its_first_interval_does(texts, first, seconds):
    assert anchor(epochs(texts, first, seconds), seconds) == first
    drifting = epochs(texts, first, seconds * 1.0001)
    assert anchor(drifting, seconds) == first


@pytest.mark.parametrize(
    ("seconds", "nominal", "found"),
    [
        (30.002, 30, 30.002),  # MASS
        (20.0013, 20, 20.0013),
        (30.0001, 30, 30),  # 0.1 s in all: as good as nothing
        (30.1, 30, 30),  # no clock is that wrong
    ],
)
def test_the_pace_of_a_clock_that_is_a_little_off(seconds, nominal, found):
    night = epochs("W123R" * 200, 11.8, seconds)
    assert measured(night, nominal) == pytest.approx(found, abs=1e-9)


def test_a_pace_is_measured_only_where_every_epoch_keeps_it():
    night = epochs("W123R" * 40, 11.8, 30.002)
    assert measured(night, 30.0) == pytest.approx(30.002)
    assert measured([*night[:50], *night[60:]], 30.0) == pytest.approx(30.002), "whatever nobody scored"
    assert measured([*night[:-1], (night[-1][0] + 0.5, 30.0, 2)], 30.0) == 30
    assert measured([(0.0, 60.02, 0), *epochs("W123R" * 40, 60.02, 30.002)], 30.0) == 30, "bouts"
    for few in (epochs("W"), epochs("??", 0, 30.002), [(0.0, 30.0, 1), (30.001, 30.0, 2)]):
        assert measured(few, 30.0) == 30


def test_the_thousandth_epoch_lies_where_it_was_scored(tmp_path):
    texts = [str(text) for text in np.random.default_rng(0).choice(list("W123R"), 1100)]
    marks = [Event(f"Sleep stage {text}", 11.8 + 30.002 * i, 30.002) for i, text in enumerate(texts)]
    write_edf_annotations(tmp_path / "x.edf", marks)
    hypnogram, _ = read_edf_scoring(tmp_path / "x.edf")
    assert hypnogram.onset == 11.8 and hypnogram.stages.tolist() == [CODES[text] for text in texts]
    assert hypnogram.onset + 1000 * hypnogram.epoch_seconds == pytest.approx(11.8 + 30_002, abs=0.01)


@pytest.mark.parametrize(("seconds", "found"), [(20, 20), (30, 30), (30.002, 30), (10, 10), (60, 60)])
@pytest.mark.parametrize("nothing", [0.0, None])
def test_onsets_tell_the_length_where_nothing_has_a_duration(seconds, nothing, found):
    night = [(onset, nothing, code) for onset, _, code in epochs("WW123R" * 5, 7, seconds)]
    intervals, length = timed("x", [*night, (33.3, nothing, 9)])
    assert length == found and {duration for _, duration, _ in intervals} == {found}


def test_changes_alone_lie_on_epochs_too():
    assert timed("x", [(t, None, 2) for t in (0, 90, 150, 270, 300)])[1] == 30
    assert timed("x", [(5.0, None, 2)])[1] == 30
    assert timed("x", [(t, None, 9) for t in (5.0, 17.3, 95.1)])[1] == 30, "marks are on no grid"


def test_onsets_on_no_epochs_are_refused():
    with pytest.raises(SleeplibError, match=r"x\.edf: its 4 stages have no durations.* export it again"):
        timed("x.edf", [(t, 0.0, 1) for t in (10, 95.3, 207.8, 1000.1)])
