"""Sleep statistics against hand-made hypnograms, and against a loop that counts epoch by epoch."""

from itertools import pairwise

import numpy as np
import pytest

from sleeplib.analysis import architecture
from sleeplib.errors import SleeplibError
from sleeplib.stages import N1, N2, N3, REM, STAGES, UNSCORED, W

# lights off, 2 min awake, N1 N2 N2, an awakening, N1, an artefact, N2, REM, N2, 1 min awake
NIGHT = np.array([W, W, W, W, N1, N2, N2, W, N1, UNSCORED, N2, N2, REM, REM, REM, N2, W, W], np.int8)


def test_a_night_counted_by_hand():
    report = architecture.sleep_statistics(NIGHT)
    expected = {
        "time in bed": 9.0,
        "total sleep time": 5.0,
        "sleep period": 6.0,
        "sleep latency": 2.0,
        "wake after sleep onset": 1.5,
        "REM latency": 4.0,
        "sleep efficiency": 100 * 5 / 9,
        "awakenings": 2,
        "transitions": 7 / 0.15,
        "share W": 100 * 7 / 18,
        "share N1": 20.0,
        "share N2": 50.0,
        "share N3": 0.0,
        "share REM": 30.0,
        "bout W": 3.5 / 3,
        "bout N1": 0.5,
        "bout N2": 2.5 / 3,
        "bout REM": 1.5,
    }
    assert np.isnan(report.pop("bout N3"))
    assert report == pytest.approx(expected)


def test_shorter_epochs_of_the_same_night_change_no_time():
    fine = architecture.sleep_statistics(np.repeat(NIGHT, 3), epoch_seconds=10)
    assert fine == pytest.approx(architecture.sleep_statistics(NIGHT), nan_ok=True)


@pytest.mark.parametrize("night", [[], [W, W, W], [UNSCORED, UNSCORED], [REM]], ids=str)
def test_what_a_night_cannot_have_is_missing(night):
    report = architecture.sleep_statistics(np.array(night, np.int8))
    slept = REM in night
    assert np.isnan(report["REM latency"]) != slept
    assert np.isnan(report["sleep latency"]) != slept
    assert report["total sleep time"] == 0.5 * slept


def test_codes_that_are_no_stages_are_refused():
    with pytest.raises(SleeplibError, match=r"codes \[7\]"):
        architecture.sleep_statistics([W, 7])


def _naive_matrix(nights):
    counts = np.zeros((5, 5))
    for night in nights:
        for now, then in pairwise(night):
            if UNSCORED not in (now, then):
                counts[now, then] += 1
    return counts / counts.sum(axis=1, keepdims=True)


def test_transition_matrix_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    nights = [rng.choice([*range(5), UNSCORED], size) for size in (400, 300)]
    assert architecture.transition_matrix(nights) == pytest.approx(_naive_matrix(nights))
    assert architecture.transition_matrix(nights[0]) == pytest.approx(_naive_matrix(nights[:1]))
    assert np.isnan(architecture.transition_matrix([W, W, N2, W])[[N1, N3, REM]]).all()


def test_summary_leaves_out_what_a_night_does_not_have():
    dreamless = np.where(NIGHT == REM, N2, NIGHT)
    table = architecture.summary([NIGHT, dreamless, np.r_[NIGHT, np.int8([N3])], dreamless])
    assert table["REM latency"] == (4.0, 0.0)
    assert np.isnan(table["bout N3"]).all()  # one night is no spread
    shares = [architecture.sleep_statistics(night)["share N3"] for night in (NIGHT, dreamless)]
    assert shares == [0, 0]
    assert table["share N2"][0] == pytest.approx(np.mean([50, 80, 500 / 11, 80]))
    assert table["share N2"][1] == pytest.approx(np.std([50, 80, 500 / 11, 80], ddof=1))
    assert set(table) > {f"bout {name}" for name in STAGES}


def test_the_typical_night_is_the_middle_one():
    def night(deep):
        return np.repeat([W, N2, N3, N2, REM, W], [20, 300, deep, 300, 200, 20])

    assert (
        architecture.typical([night(20), night(300), night(140), night(150), night(900)]) == 1
    )  # the mean is 302
