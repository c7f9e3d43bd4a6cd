"""The vocabulary: dialects, checks, and the two ways between intervals and epochs."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib import stages
from sleeplib.errors import SleeplibError


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("W", 0), ("Sleep stage W", 0), ("Wake|0", 0), ("N1", 1), ("S1", 1), ("Stage 1 sleep|1", 1), ("2", 2),
        ("Sleep stage 3", 3), ("Sleep stage 4", 3), ("S4", 3), (" rem  sleep|5", 4), ("Sleep stage R", 4),
        ("Sleep stage ?", 9), ("Movement time", 9), ("Stage 1", 1), ("Stage N2", 2), ("stage 4", 3), ("Stage N3", 3),
        ("Stage REM", 4), ("Stage R", 4), ("Stage ?", 9),
    ],
)  # fmt: skip
def test_every_dialect_means_the_same(label, code):
    assert stages.parse(label) == code


@pytest.mark.parametrize("label", ["", "Sleep stage 5", "Arousal", "N5", "stage"])
def test_an_unknown_label_is_never_guessed(label):
    with pytest.raises(SleeplibError, match="unknown sleep stage label"):
        stages.parse(label)
    assert not stages.is_stage(label)


def test_edf_texts_are_read_back():
    for code in [*range(5), stages.UNSCORED]:
        assert stages.parse(stages.edf_text(code)) == code


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), min_size=1, max_size=200),
    st.sampled_from([5.0, 20.0, 30.0]),
)
def test_intervals_and_epochs_are_inverse(codes, seconds):
    intervals = stages.to_intervals(codes, seconds)
    back = stages.from_intervals(*zip(*intervals, strict=True), len(codes), seconds)
    assert back.tolist() == codes
    assert all(a[2] != b[2] for a, b in pairwise(intervals)), "bouts are maximal"


@given(
    st.lists(
        st.tuples(st.floats(0, 3000), st.floats(0.1, 300), st.sampled_from(range(5))), min_size=1, max_size=20
    )
)
def test_each_epoch_takes_the_last_interval_that_covers_its_middle(intervals):
    grid = stages.from_intervals(*zip(*intervals, strict=True), 120)
    for epoch in range(120):
        middle = 30.0 * epoch + 15
        covering = [code for onset, duration, code in intervals if onset <= middle < onset + duration]
        near_an_edge = any(min(abs(on - middle), abs(on + d - middle)) < 1e-6 for on, d, _ in intervals)
        assert near_an_edge or grid[epoch] == (covering[-1] if covering else stages.UNSCORED)


def test_strange_codes_are_named():
    with pytest.raises(SleeplibError, match=r"night 7: codes \[5, 7\]"):
        stages.check([0, 5, 7], "night 7")
    with pytest.raises(SleeplibError, match="shape"):
        stages.check(np.zeros((2, 2)))


def test_a_damaged_duration_does_not_fill_the_memory():
    with pytest.raises(SleeplibError, match="days are damaged"):
        stages.from_intervals([0], [1e15], [2])
