"""A staged night that is corrected by hand, or made anonymous."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from sleeplib.errors import SleeplibError
from sleeplib.recording import UNDATED, Subject
from sleeplib.report import tables
from sleeplib.staged import Staged

NETWORK = {"name": "net", "title": "A network", "simulated": False}


def night(**changes):
    rng = np.random.default_rng(0)
    made = Staged(
        "jane-doe", rng.dirichlet(np.ones(5), 6).astype(np.float32), NETWORK, 30.0, datetime(2019, 7, 8, 23, 4, 5, 6),
        Subject("MRN-4711", 93.0, "F", 12.5), 2, rng.dirichlet(np.ones(5), 12), np.array([[3.0, 9.0]]), ["C3-M2"],
    )  # fmt: skip
    return replace(made, **changes)


def test_a_correction_changes_what_was_named_and_nothing_else():
    before = night(unscored=np.array([0, 0, 0, 0, 1, 0], bool))
    after = before.corrected({1: "REM", 3: "sleep stage 4", 5: "N2", 6: "?"}, "me")
    assert after.hypnogram.stages[[0, 2, 4, 5]].tolist() == [4, 3, 2, 9]
    same = [1, 3]
    assert np.array_equal(after.hypnogram.stages[same], before.hypnogram.stages[same])
    assert np.array_equal(after.posteriors[same], before.posteriors[same])
    assert after.posteriors[0].tolist() == [0, 0, 0, 0, 1] and np.allclose(after.posteriors.sum(1), 1)
    assert after.unscored.tolist() == [False] * 5 + [True]
    assert (after.id, after.network["name"], after.hypnogram.scorer) == ("jane-doe_me", "me", "me")
    assert after.network["title"] == "A network; 4 epochs corrected by me"
    assert after.fine is None and after.arousals is before.arousals
    assert before.unscored.tolist() == [False] * 4 + [True, False], "the first one stays as it was"
    assert night().corrected({}, "me").unscored is None
    assert np.array_equal(night().corrected({}, "me").posteriors, night().posteriors)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({0: "W"}, "no epoch 0 to be corrected; there are 1 to 6"),
        ({7: "W"}, "no epoch 7"),
        ({1.5: "W"}, "no epoch 1.5"),
        ({"2": "W"}, "no epoch 2"),
        ({2: "N5"}, "unknown sleep stage label 'N5'"),
    ],
)
def test_corrections_that_mean_nothing(changes, told):
    with pytest.raises(SleeplibError, match=told):
        night().corrected(changes, "me")


def test_who_is_anonymous_keeps_sex_clock_and_age():
    made = night().anonymous("night-001")
    assert made.id == "night-001" and made.subject == Subject("night-001", 90.0, "F")
    assert made.start == datetime(1985, 1, 1, 23, 4, 5, 6) and made.begins.minute == 4
    assert night(subject=Subject("x", 44.5)).anonymous("a").subject == Subject("a", 44.5)
    bare = night(subject=None, start=None).anonymous("a")
    assert bare.subject is None and bare.start is None
    assert np.array_equal(made.posteriors, night().posteriors)


def test_a_date_that_is_none_is_not_shown():
    assert "Date" in dict(tables.facts(night()))
    made = dict(tables.facts(night().anonymous("night-001")))
    assert "Date" not in made and "Person" not in made and made["Staged"].startswith("23:04 to 23:07")
    assert "Date" not in dict(tables.facts(night(start=datetime.combine(UNDATED, datetime.max.time()))))


def test_labels_that_nobody_knows_are_numbered_in_an_anonymous_night():
    made = night(
        channels=["C3-M2"], left_out={"Dr Smith": "no EEG"}, faults={"Dr Smith": ["flat"], "C3-M2": ["loud"]}
    ).anonymous("night-001")
    assert made.left_out == {"channel 1": "no EEG"} and made.faults == {
        "channel 1": ["flat"],
        "C3-M2": ["loud"],
    }
