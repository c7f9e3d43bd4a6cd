"""Tables of events as BIDS has them."""

import numpy as np
import pytest

from sleeplib import readers
from sleeplib.errors import SleeplibError
from sleeplib.readers.bids import read_bids
from sleeplib.recording import Event


def table(path, text: str):
    path.write_text(text.replace(" ", "\t") + "\n", encoding="utf-8")
    return path


def stages(*rows: str, columns="onset duration stage"):
    return "\n".join((columns, *rows))


def test_the_codes_of_boas_and_the_human_majority_by_default(tmp_path):
    path = tmp_path / "x_events.tsv"
    codes = [(0, 0), (1, 4), (2, 3), (3, -2), (4, 1), (8, 2)]
    rows = (f"{30 * i}\t30\t{ai}\t{human}" for i, (human, ai) in enumerate(codes))
    path.write_text("\n".join(("onset\tduration\tstage_ai\tstage_hum", *rows)))
    assert readers.read_hypnogram(path).stages.tolist() == [0, 1, 2, 3, 4, 9]
    assert read_bids(path, "stage_ai")[0].stages.tolist() == [0, 4, 3, 9, 1, 2]


def test_stages_in_words_between_events(tmp_path):
    rows = ["15 30 N2", "50 3.5 arousal", "45 30 R", "75 30 n/a", "80 n/a lights-on", "90 5 4"]
    path = table(tmp_path / "x.tsv", stages(*rows, columns="onset duration trial_type"))
    path.write_text(path.read_text().replace("N2", "Sleep stage N2"))
    hypnogram, events = read_bids(path)
    assert hypnogram.onset == 15 and hypnogram.stages.tolist() == [2, 4]
    # A digit is no stage there: 4 is REM in some data sets and S4 in others.
    assert events == [Event("arousal", 50, 3.5), Event("lights-on", 80, 0), Event("4", 90, 5)]


def test_events_beside_stages(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text(
        "onset\tduration\ttrial_type\tstage\n0\t30\tn/a\t2\n12\t4\tarousal\tn/a\n30\t30\tN3\tN3\n"
    )
    hypnogram, events = read_bids(path)
    assert hypnogram.stages.tolist() == [2, 3] and events == [Event("arousal", 12, 4)]


def test_epochs_of_twenty_seconds_and_holes(tmp_path):
    path = table(tmp_path / "x.tsv", stages("0 20 0", "20 20 1", "60 20 2", "80 n/a 2"))
    hypnogram, _ = read_bids(path)
    assert hypnogram.epoch_seconds == 20 and hypnogram.stages.tolist() == [0, 1, 9, 2, 2]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (stages("0 30 0"), "stage_hum", r"no column stage_hum; it has \['onset', 'duration', 'stage'\]"),
        ("onset duration", None, "no column stage_hum"),
        ("onset stage", None, "no column duration"),
        (stages("0 30 0", "30 30 5"), None, r"line 3: stage '5' is no stage; known: 0, 1, 2, 3, 4, 8, -2"),
        (stages("0 30 0", "", "60 30 asleep"), None, "line 4: stage 'asleep' is no stage"),
        (stages("0 30 0", "x 30 0"), None, "line 3: onset 'x'"),
        (stages("0 -30 0"), None, "line 2: duration '-30'"),
        (stages("0 1e30 0"), None, "line 2: duration"),
        (stages("0 nan 0"), None, "line 2: duration"),
    ],
)
def test_damage_is_told_with_its_line(text, column, message, tmp_path):
    path = table(tmp_path / "x.tsv", text)
    with pytest.raises(SleeplibError, match=message) as error:
        read_bids(path, column)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_tables_without_stages(tmp_path):
    path = table(tmp_path / "x.tsv", stages("0 30 n/a"))
    assert read_bids(path) == (None, [])
    with pytest.raises(SleeplibError, match="no sleep stages"):
        readers.read_hypnogram(path)
    (tmp_path / "x.tsv").write_bytes(b"")
    with pytest.raises(SleeplibError, match=r"x\.tsv"):
        read_bids(path)


def test_what_a_night_says_does_not_depend_on_the_order_of_its_rows(tmp_path):
    rows = [f"{30 * i} 30 {i % 5}" for i in range(40)]
    ordered = read_bids(table(tmp_path / "a.tsv", stages(*rows)))[0]
    shuffled = read_bids(table(tmp_path / "b.tsv", stages(*np.random.default_rng(0).permutation(rows))))[0]
    assert ordered.stages.tolist() == shuffled.stages.tolist() == [i % 5 for i in range(40)]


def test_marks_beside_stages_are_events(tmp_path):
    rows = [f"{60 + 30 * i}\t30\tSleep stage {text}" for i, text in enumerate("W123R")]
    marks = ["12.4\t3\tartefact", "70\t12\tMovement", "47\tn/a\tunknown"]
    path = tmp_path / "x.tsv"
    path.write_text("\n".join(("onset\tduration\ttrial_type", *marks, *rows)))
    hypnogram, events = read_bids(path)
    assert hypnogram.onset == 0 and hypnogram.stages.tolist() == [9, 9, 0, 1, 2, 3, 4]
    assert [event.kind for event in events] == ["artefact", "Movement", "unknown"]


def test_epochs_without_durations_before_and_after_the_start(tmp_path):
    rows = (f"{-20 + 20 * i} n/a {i % 4}" for i in range(9))
    hypnogram, _ = read_bids(table(tmp_path / "x.tsv", stages(*rows)))
    assert hypnogram.epoch_seconds == 20 and hypnogram.stages.tolist() == [1, 2, 3, 0, 1, 2, 3, 0]
