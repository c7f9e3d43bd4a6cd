"""EDF and EDF+: our own files, other people's files, and damaged ones."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib import readers
from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import (
    annotations_of,
    read_edf_header,
    read_edf_scoring,
    write_edf,
    write_edf_annotations,
)
from sleeplib.readers.grid import epoch_seconds
from sleeplib.readers.scorings import read_scorings, write_scoring
from sleeplib.recording import Event, Hypnogram, Recording, Subject


@pytest.fixture
def night():
    rng = np.random.default_rng(1)
    return Recording(
        signals=[rng.normal(0, 40, 12800).astype(np.float32), rng.normal(0, 5, 25600).astype(np.float32)],
        rates=[128.0, 256.0],
        channels=["C4-M1", "Chin1-Chin2"],
        id="x",
        start=datetime(2001, 2, 3, 22, 15, 30),
        subject=Subject("P07", age=44.5, sex="F", ahi=3.25),
        hypnogram=Hypnogram([0, 0, 9]),
        events=[Event("arousal", 12.25, 4.5)],
    )


def test_what_is_written_is_read_back(night, tmp_path):
    write_edf(night, tmp_path / "x.edf")
    back = readers.read(tmp_path / "x.edf")
    for ours, theirs in zip(night.signals, back.signals, strict=True):
        # Half a quantum of 16 bits over the channel's range, which is rounded outwards to whole microvolts.
        assert np.abs(ours - theirs).max() <= (np.ptp(ours) + 2) / 65535 * 0.51
    assert back.rates == night.rates and back.channels == night.channels and back.units == ["uV", "uV"]
    assert back.start == night.start and back.subject == night.subject
    assert back.hypnogram.stages.tolist() == [0, 0, 9] and back.hypnogram.onset == 0
    assert [(e.kind, e.onset, e.duration) for e in back.events] == [("arousal", 12.25, 4.5)]
    assert not list(tmp_path.glob("*.part"))


def test_the_header_alone_tells_the_person(night, tmp_path):
    write_edf(night, tmp_path / "x.edf")
    assert read_edf_header(tmp_path / "x.edf").subject == night.subject


def test_signals_can_be_given_up_while_they_are_written(night, tmp_path):
    write_edf(night, tmp_path / "kept.edf")
    assert [len(x) for x in night.signals] == [12800, 25600]
    write_edf(night, tmp_path / "released.edf", release=True)
    assert [len(x) for x in night.signals] == [0, 0]
    assert (tmp_path / "kept.edf").read_bytes() == (tmp_path / "released.edf").read_bytes()


def test_stages_in_other_words_and_epoch_by_epoch(night, tmp_path):
    spelling = {0: "Wake|0", 9: "Unscored|9"}
    each = annotations_of(night.hypnogram, night.events, spelling, bouts=False)
    assert [(a.onset, a.duration, a.text) for a in each[:-1]] == [
        (0, 30, "Wake|0"),
        (30, 30, "Wake|0"),
        (60, 30, "Unscored|9"),
    ]
    assert [a.duration for a in annotations_of(night.hypnogram, (), spelling)] == [60, 30]
    write_edf(night, tmp_path / "x.edf", spelling, bouts=False)
    assert readers.read_hypnogram(tmp_path / "x.edf").stages.tolist() == [0, 0, 9]


@given(st.lists(st.integers(0, 4), min_size=3, max_size=60), st.sampled_from([20.0, 30.0]), st.booleans())
def test_the_length_of_the_epochs_is_found(codes, seconds, cut):
    """From annotations epoch by epoch always, a last odd epoch included; from bouts where one tells them apart."""
    hypnogram = Hypnogram(codes, seconds)
    durations = [a.duration for a in annotations_of(hypnogram, bouts=False)]
    assert epoch_seconds([*durations, 13.5] if cut else durations) == seconds
    bouts = [a.duration for a in annotations_of(hypnogram)]
    if any(duration % 60 for duration in bouts):
        assert epoch_seconds([*bouts, 7.0] if cut else bouts) == seconds


def test_a_clock_that_is_off_and_annotations_without_duration():
    assert epoch_seconds([30.002] * 9) == 30 and epoch_seconds([20.0013] * 9) == 20
    assert epoch_seconds([]) == epoch_seconds([0.0, 0.0]) == 30


def test_a_twenty_second_hypnogram_keeps_its_grid(night, tmp_path):
    night.hypnogram = Hypnogram([0, 1, 1, 2, 9], 20.0)
    for bouts in (True, False):
        write_edf(night, tmp_path / "x.edf", bouts=bouts)
        back = readers.read_hypnogram(tmp_path / "x.edf")
        assert back.epoch_seconds == 20 and back.stages.tolist() == [0, 1, 1, 2, 9]


def test_millivolts_and_volts_become_microvolts(tmp_path):
    import edfio

    signals = [
        edfio.EdfSignal(np.array([-1.0, 0, 1, 0.5] * 25), 100, label=f"A{u}", physical_dimension=u)
        for u in ("mV", "V", "%")
    ]
    edfio.Edf(signals).write(tmp_path / "u.edf")
    back = readers.read(tmp_path / "u.edf")
    peaks = [float(x.max()) for x in back.signals]
    assert np.allclose(peaks, [1e3, 1e6, 1], rtol=1e-3) and back.units == ["uV", "uV", "%"]


def test_a_truncated_file_is_refused_with_both_sizes(night, tmp_path):
    path = tmp_path / "x.edf"
    write_edf(night, path)
    whole = path.read_bytes()
    for n in (0, 100, 256, 700, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(SleeplibError, match=r"x\.edf") as error:
            readers.read(path)
        assert "\n" not in str(error.value)
    assert "truncated" in str(error.value) and f"{len(whole):,}" in str(error.value)


def test_scorings_are_written_and_read_back_and_damage_is_told(tmp_path):
    codes = [[0, 1, 9], [0, 2, 4]]
    for k, one in enumerate(codes, 1):
        (tmp_path / f"scorer_{k}").mkdir()
        write_scoring(Hypnogram(one), tmp_path / f"scorer_{k}/x.json")
    assert [s.stages.tolist() for s in read_scorings(tmp_path / "x.edf")] == codes
    file = tmp_path / "scorer_2/x.json"
    for text in ("[0, 2", "[0, 7]", '{"a": 1}', "[0.5]", "[true]"):
        file.write_text(text)
        with pytest.raises(SleeplibError, match=r"scorer_2.x\.json"):
            read_scorings(tmp_path / "x.edf")


def test_a_file_without_stages_says_so(night, tmp_path):
    night.hypnogram = None
    write_edf(night, tmp_path / "x.edf")
    assert readers.read(tmp_path / "x.edf").hypnogram is None
    with pytest.raises(SleeplibError, match="no sleep stages among its 1 annotations"):
        readers.read_hypnogram(tmp_path / "x.edf")


def test_annotations_alone(tmp_path):
    start = datetime(2001, 2, 3, 23, 30, 15)
    marks = [Event("Sleep stage 2", 12.5, 60.0), Event('<Event name="α" note="a, b"/>', 20.0, 3.25)]
    write_edf_annotations(tmp_path / "x.edf", marks, start)
    hypnogram, events = read_edf_scoring(tmp_path / "x.edf")
    assert hypnogram.onset == 12.5 and hypnogram.stages.tolist() == [2, 2] and events == marks[1:]
    assert readers.header(tmp_path / "x.edf").start == start and not readers.read(tmp_path / "x.edf").signals
    write_edf_annotations(tmp_path / "none.edf", [], start)  # a night without arousals
    assert read_edf_scoring(tmp_path / "none.edf") == (None, [])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"channels": ["C4-M1", "Größe"]}, "encode"),
        ({"channels": ["C4-M1", "a label of over 16 letters"]}, "exceeds maximum field length"),
        ({"start": datetime(1899, 1, 1)}, "1985"),
        ({"signals": [np.zeros(128), np.zeros(10)]}, "durations"),
        (
            {"signals": [], "rates": [], "channels": [], "units": [], "hypnogram": None, "events": []},
            "contain",
        ),
        ({"subject": Subject("Müller")}, "encode"),
    ],
)
def test_what_edf_cannot_hold_is_told_and_leaves_no_file(change, what, night, tmp_path):
    with pytest.raises(SleeplibError, match=rf"x\.edf: cannot be written as EDF .*{what}"):
        write_edf(replace(night, **change), tmp_path / "x.edf")
    assert not list(tmp_path.iterdir())


def test_a_start_within_a_second_is_kept(night, tmp_path):
    night.start = night.start.replace(microsecond=250_000)
    write_edf(night, tmp_path / "x.edf")
    back = readers.read(tmp_path / "x.edf")
    assert back.start == night.start and back.hypnogram.onset == 0 and back.events == night.events


def test_markers_beside_the_stages_of_edf_are_events(tmp_path):
    stages = [Event(f"Sleep stage {text}", 30.0 * i, 30.0) for i, text in enumerate("W12R")]
    markers = [Event("Movement", 8.0, 12.0), Event("1", 100.0, 0.0)]
    write_edf_annotations(tmp_path / "x.edf", stages + markers)
    hypnogram, events = read_edf_scoring(tmp_path / "x.edf")
    assert hypnogram.onset == 0 and hypnogram.stages.tolist() == [0, 1, 2, 4] and events == markers


def test_movement_time_is_a_stage_beside_those_of_any_dialect(tmp_path):
    for dialect in ("Sleep stage {}", "{}", "Stage {}"):
        texts = [dialect.format(text) for text in "W12"] + ["Movement time"]
        write_edf_annotations(tmp_path / "x.edf", [Event(t, 30.0 * i, 30.0) for i, t in enumerate(texts)])
        hypnogram, events = read_edf_scoring(tmp_path / "x.edf")
        assert hypnogram.stages.tolist() == [0, 1, 2, 9] and not events


def test_any_unit_of_voltage_becomes_microvolts(tmp_path):
    import edfio

    wave, factors = np.array([-1.0, 0, 1, 0.5] * 25), {"nV": 1e-3, "Volts": 1e6, "microV": 1.0, "mkV": 1.0}
    edfio.Edf([edfio.EdfSignal(wave, 100, label=u, physical_dimension=u) for u in factors]).write(
        tmp_path / "u.edf"
    )
    back = readers.read(tmp_path / "u.edf")
    assert np.allclose([x.max() for x in back.signals], list(factors.values()), rtol=1e-3)
    assert back.units == ["uV"] * 4
