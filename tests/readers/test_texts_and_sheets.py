"""Scorings as plain text and as Excel sheets: DCSM, ISRUC, SVUH."""

from datetime import datetime, time
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.readers.codes import ISRUC, SVUH, read_codes, read_ids, write_codes, write_ids
from sleeplib.readers.isruc import COLUMNS, read_isruc, write_isruc
from sleeplib.readers.respevt import AROUSAL, AROUSAL_SECONDS, read_respevt, write_respevt
from sleeplib.readers.tables import write_cells
from sleeplib.recording import Event, Hypnogram

START = datetime(2001, 2, 3, 23, 15, 30)
stages = st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), min_size=1, max_size=60)


@given(st.lists(st.sampled_from(sorted(SVUH)), min_size=1), st.integers(0, 3))
def test_codes_are_read_back(tmp_path_factory, codes, blank):
    path = tmp_path_factory.mktemp("codes") / "x.txt"
    write_codes(path, codes, blank)
    hypnogram, events = read_codes(path, SVUH)
    assert hypnogram.stages.tolist() == [SVUH[code] for code in codes] and events == []


def test_codes_of_isruc(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"0\r\n1\r\n 2\r\n3\r\n5\r\n\r\n\r\n")
    assert read_codes(tmp_path / "x.txt", ISRUC)[0].stages.tolist() == [0, 1, 2, 3, 4]
    assert read_codes(tmp_path / "x.txt", ISRUC, 20.0)[0].epoch_seconds == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 bytes"),
        ("\n\n", "0 lines"),
        ("0\n\n1\n", "line 2 is ''"),
        ("0\n1\n6\n", "line 3 is '6'; known codes: 0, 1, 2, 3, 4, 5"),
        ("0\n1.0\n", "line 2 is '1.0'"),
        ("0\n" * 1_000_001, "1,000,001 lines"),
    ],
)
def test_codes_that_are_none(tmp_path, text, message):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(SleeplibError, match=message) as error:
        read_codes(tmp_path / "x.txt", ISRUC)
    assert "x.txt" in str(error.value)


@given(stages)
def test_ids_are_read_back(tmp_path_factory, codes):
    path = tmp_path_factory.mktemp("ids") / "x.ids"
    write_ids(path, Hypnogram(codes))
    hypnogram, events = read_ids(path)
    assert hypnogram.stages.tolist() == codes and hypnogram.onset == 0 and events == []


def test_ids_as_they_are(tmp_path):
    path = tmp_path / "x.ids"
    path.write_text("0,60,W\n60,30,N1\n120,30,REM\n150,30,UNKNOWN\n")
    assert read_ids(path)[0].stages.tolist() == [0, 0, 1, 9, 4, 9]
    write_ids(path, Hypnogram([0, 0, 3, 9], onset=30.0))
    assert path.read_text() == "30,60,W\n90,30,N3\n120,30,UNKNOWN\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("60,30", "line 2 is '60,30'"),
        ("60,30,N5", "line 2 is '60,30,N5'"),
        ("60,-30,W", "line 2: the duration is '-30'"),
        ("nan,30,W", "line 2: the start is 'nan'"),
        ("1e300,30,W", "line 2: the start is '1e300'"),
        ("30000000,30,W", "347 days"),
        ("", "line 2 is ''"),
    ],
)
def test_ids_that_are_none(tmp_path, line, message):
    (tmp_path / "x.ids").write_text(f"0,60,W\n{line}\n0,30,W\n")
    with pytest.raises(SleeplibError, match=message):
        read_ids(tmp_path / "x.ids")


kinds = st.sampled_from(["HYP-C", "HYP-O", "HYP-M", "APNEA-C", "APNEA-O", "APNEA-M", "HYP-B", "PB EVENT"])
breaths = st.tuples(st.builds(Event, kinds, st.integers(0, 86_399), st.integers(0, 999)), st.booleans())


@given(st.lists(breaths))
def test_respiratory_events_are_read_back(tmp_path_factory, marks):
    path = tmp_path_factory.mktemp("respevt") / "x_respevt.txt"
    write_respevt(path, [event for event, _ in marks], START, [flag for _, flag in marks])
    hypnogram, back = read_respevt(path, START)
    expected = []
    for event, flag in marks:
        expected += [event, Event(AROUSAL, event.onset + event.duration, AROUSAL_SECONDS)][: 1 + flag]
    assert hypnogram is None and back == expected


def test_respiratory_events_as_they_are(tmp_path):
    lines = [
        "                              Respiratory Event List",
        "        Respiratory Event           Desaturation   Snore Arousal     B/T",
        " Time       Type   PB/CS  Duration  Low    %Drop                 Rate  Change",
        "23:30:00  HYP-O             16       89.9    4.1     +     -      64.7   -5.7 ",
        "00:10:05  APNEA-M   CS      14       88.0    6.1     -     +      64.7   -5.7 ",
        "02:00:00  PB EVENT  PB      14                       -     -              ",
        "\x1a",
    ]
    (tmp_path / "x.txt").write_bytes("\r\n".join(lines).encode())
    for start in (START, time(23, 15, 30)):
        assert read_respevt(tmp_path / "x.txt", start) == (
            None,
            [
                Event("HYP-O", 870, 16),
                Event("APNEA-M", 3275, 14),
                Event(AROUSAL, 3289, AROUSAL_SECONDS),
                Event("PB EVENT", 9870, 14),
            ],
        )
    write_respevt(tmp_path / "y.txt", [Event("HYP-O", 870, 16)], START, [True])
    ours = (tmp_path / "y.txt").read_bytes().decode().split("\r\n")
    assert ours[:3] == lines[:3] and ours[-1] == lines[-1]
    assert ours[3][:30] == lines[3][:30] and (ours[3][53], ours[3][59]) == ("-", "+")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "no list of respiratory events"),
        ("25:00:00  HYP-C   16", "line 1 is '25:00:00"),
        ("Type\n23:00:00  HYP-C   x", "line 2: the duration is 'x'"),
        ("23:00:00  HYP-C   -3", "the duration is '-3'"),
        ("23:00:00  HYP-C   nan", "the duration is 'nan'"),
        ("23:00:00  HYP-C", "expected hh:mm:ss"),
        ("23:0", "line 1 is '23:0'"),
    ],
)
def test_respiratory_events_that_are_none(tmp_path, text, message):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(SleeplibError, match=message) as error:
        read_respevt(tmp_path / "x.txt", START)
    assert "x.txt" in str(error.value)
    with pytest.raises(SleeplibError, match="2 flags of arousals for 0 events"):
        write_respevt(tmp_path / "x.txt", [], START, [True, False])
    with pytest.raises(SleeplibError, match="'two words' is no type"):
        write_respevt(tmp_path / "x.txt", [Event("two words", 0, 1)], START)


@given(stages, st.lists(st.tuples(st.integers(0, 59), st.sampled_from(["AR", "H", "OA", "L Out", "MChg"]))))
def test_sheets_are_read_back(tmp_path_factory, codes, marks):
    path = tmp_path_factory.mktemp("isruc") / "1_1.xlsx"
    events = [Event(kind, 30.0 * (k % len(codes)), 30.0) for k, kind in marks]
    write_isruc(path, Hypnogram(codes), events)
    hypnogram, back = read_isruc(path)
    assert hypnogram.stages.tolist() == codes
    assert sorted((e.onset, e.kind, e.duration) for e in back) == sorted(
        (e.onset, e.kind, e.duration) for e in events
    )


def test_sheets_as_people_type_them(tmp_path):
    path = tmp_path / "1_1.xlsx"
    texts = ["w", "n2", "N", "U", "L Out", "R", " N3 "]
    for header in (COLUMNS, None, ("Epochs", *COLUMNS[1:])):
        write_isruc(path, Hypnogram([0] * 7), texts=texts, header=header)
        assert read_isruc(path)[0].stages.tolist() == [0, 2, 1, 9, 9, 4, 3]
    rows = [
        ["Scored by", "nobody"],
        ["Epoch", "Events", "Stage"],
        [1, "H, AR;OA", "W"],
        [None, "X", "W"],
        ["L On", "X", "W"],
        ["4", "L On", "r"],
    ]
    write_cells(path, rows)
    hypnogram, events = read_isruc(path)
    assert hypnogram.stages.tolist() == [0, 9, 9, 4]
    assert [(e.kind, e.onset) for e in events] == [("H", 0), ("AR", 0), ("OA", 0), ("L On", 90)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no row begins with the number"),
        ([COLUMNS], "no row begins with the number"),
        ([COLUMNS, [1, "S5"]], "row 2: the stage is 'S5'"),
        ([[0, "W"]], "row 1: the epoch is '0'"),
        ([[-1, "W"]], "row 1: the epoch is '-1'"),
        ([["1e300", "W"]], "row 1: the epoch is"),
        ([[2_000_000, "W"]], "row 1: the epoch is '2000000'"),
    ],
)
def test_sheets_that_are_none(tmp_path, rows, message):
    write_cells(tmp_path / "x.xlsx", rows)
    with pytest.raises(SleeplibError, match=message) as error:
        read_isruc(tmp_path / "x.xlsx")
    assert "x.xlsx" in str(error.value)


def test_texts_for_other_numbers_of_epochs(tmp_path):
    with pytest.raises(SleeplibError, match="1 texts for 2 epochs"):
        write_isruc(tmp_path / "x.xlsx", Hypnogram([0, 1]), texts=["w"])
    assert not list(tmp_path.iterdir())


def test_a_sheet_that_is_a_bomb(tmp_path):
    path = tmp_path / "x.xlsx"
    write_isruc(path, Hypnogram(np.zeros(9, int)))
    with ZipFile(path, "a", ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b"\0" * (64 << 20))
    with pytest.raises(SleeplibError, match="bytes when unpacked"):
        read_isruc(path)
    path.write_bytes(b"PK")
    with pytest.raises(SleeplibError, match=r"not a readable \.xlsx"):
        read_isruc(path)
