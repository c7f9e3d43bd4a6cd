"""EDF as recorders write it: odd but readable files, damaged ones, and what reading them costs."""

import os
import time
import tracemalloc
import warnings
from datetime import datetime

import edfio
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sleeplib import readers
from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import read_edf, read_edf_header, read_edf_scoring, write_edf
from sleeplib.recording import Event, Hypnogram, Recording, Subject

_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "pmin": 8, "pmax": 8, "dmin": 8, "dmax": 8,
           "filters": 80, "n": 8, "reserved": 32}  # fmt: skip
_CALIBRATED = {"unit": "uV", "pmin": "-100", "pmax": "100", "dmin": "-1000", "dmax": "1000"}


def _field(value, width: int) -> bytes:
    return (value if isinstance(value, bytes) else str(value).encode()).ljust(width)[:width]


def signal(data, label="C4-M1", **fields) -> dict:
    """A channel from digital samples `(records, samples in each)`."""
    data = np.asarray(data, "<i2")
    return {
        **_CALIBRATED,
        "label": label,
        "n": data.shape[1],
        "data": [row.tobytes() for row in data],
    } | fields


def notes(*records: bytes, width: int = 64) -> dict:
    """An annotation channel; `records` are its bytes in each data record."""
    fields = {"label": "EDF Annotations", "pmin": "-1", "pmax": "1", "dmin": "-32768", "dmax": "32767"}
    return {**fields, "n": width, "data": [record.ljust(2 * width, b"\0") for record in records]}


def edf(path, *channels, seconds="1", **fixed):
    """Write a file whose header says whatever it is told to say."""
    n, records = len(channels), len(channels[0]["data"]) if channels else 1
    values = {
        "version": 0, "patient": "X X X X", "recording": "Startdate X X X X", "date": "03.02.01", "time": "22.15.30",
        "header": 256 * (n + 1), "reserved": "", "records": records, "seconds": seconds, "n": n,
    } | fixed  # fmt: skip
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
    raw = b"".join(_field(v, w) for v, w in zip(values.values(), widths, strict=True))
    for name, width in _FIELDS.items():
        raw += b"".join(_field(channel.get(name, ""), width) for channel in channels)
    for i in range(records if channels else 0):
        raw += b"".join(channel["data"][i] for channel in channels)
    path.write_bytes(raw)
    return path


@pytest.fixture
def ramp():
    """Three records of four samples, -6 to 5 of 10 digital steps to the microvolt."""
    return 10 * np.arange(-6, 6).reshape(3, 4)


def test_other_readers_see_the_same(tmp_path):
    rng = np.random.default_rng(3)
    shapes = {"C4-M1": (40, 256), "SpO2": (40, 1), "Chin": (40, 100)}
    channels = [
        signal(rng.integers(-1000, 1000, shape), name, pmin=low, pmax=high)
        for (name, shape), (low, high) in zip(shapes.items(), [(-90, 110), (0, 3), (7, -7)], strict=True)
    ]
    path = edf(tmp_path / "x.edf", *channels)
    ours, theirs = readers.read(path), edfio.read_edf(path)
    assert ours.rates == [256, 1, 100] and ours.channels == list(shapes)
    for x, other in zip(ours.signals, theirs.signals, strict=True):
        assert x.dtype == np.float32 and np.allclose(x, other.data, atol=2e-5)


def test_a_rate_that_is_no_whole_number(ramp, tmp_path):
    path = edf(tmp_path / "x.rec", signal(np.zeros((30, 256))), seconds="1.000078")
    assert readers.read(path).rates == [256 / 1.000078] and round(readers.header(path).rates[0], 2) == 255.98
    assert readers.read(path).duration == pytest.approx(30 * 1.000078)
    assert readers.read(edf(path, signal(ramp), seconds="0,5")).rates == [8]


def test_gaps_are_zeros_and_times_stay_true(tmp_path):
    stamps = notes(
        b"+0\x14\x14\0", b"+1\x14\x14\0+5.25\x151\x14arousal\x14\0", b"+5\x14\x14\0", b"+6\x14\x14\0"
    )
    path = edf(tmp_path / "x.edf", signal(np.full((4, 4), 10)), stamps, reserved="EDF+D")
    night, header = readers.read(path), readers.header(path)
    assert night.signals[0].tolist() == [1] * 8 + [0] * 12 + [1] * 8
    assert night.gaps == [(2, 3)] == list(header.gaps) and header.samples == [28]
    assert night.events == [Event("arousal", 5.25, 1.0)] and night.duration == 7
    named = readers.read(edf(path, signal(np.full((4, 4), 10)), stamps, reserved="EDF+C"))
    assert named.gaps == [(2, 3)] and named.signals[0].tolist() == night.signals[0].tolist()


@pytest.mark.parametrize(
    "stamps",
    [
        (0, 1, 2, 3),
        (0, 1.004, 2.1, 3.9),
        (0, 9, 1, 3),
        (0, 5, 4, 9),
        (0, 1, 2, 900),
        (7, 8, 9, 9),
    ],
)
def test_a_continuous_file_is_believed_unless_its_time_stamps_have_a_pause(stamps, tmp_path):
    marks = notes(*(b"x" if stamp is None else b"+%g\x14\x14\0" % stamp for stamp in stamps))
    path = edf(tmp_path / "x.edf", signal(np.full((4, 4), 10)), marks, reserved="EDF+C")
    header = readers.header(path)
    assert header.gaps == () and header.samples == [16]


@pytest.mark.parametrize(
    ("stamps", "gaps"),
    [
        ((0, 1, 5, 6), [(2, 3)]),
        ((0, 1, 5, None), [(2, 3)]),
        ((0, None, 6, 7.2), [(2, 4)]),
        ((3, 4, 9, 15), [(2, 4), (7, 5)]),
    ],
)
def test_pauses_of_a_continuous_file_are_jumps_of_its_stamps(stamps, gaps, tmp_path):
    marks = notes(*(b"x" if stamp is None else b"+%g\x14\x14\0" % stamp for stamp in stamps))
    path = edf(tmp_path / "x.edf", signal(np.full((4, 4), 10)), marks, reserved="EDF+C")
    assert readers.header(path).gaps == tuple(gaps)


def test_a_clock_that_drifts_is_no_pause(tmp_path):
    marks = notes(*(b"+%.4f\x14\x14\0" % (1.001 * i) for i in range(2000)))
    path = edf(tmp_path / "x.edf", signal(np.full((2000, 4), 10)), marks, reserved="EDF+C")
    assert readers.header(path).gaps == () and readers.header(path).samples == [8000]


def test_stamps_that_err_by_milliseconds_leave_no_holes(tmp_path):
    stamps = notes(*(b"+%.3f\x14\x14\0" % onset for onset in (0, 1.004, 1.998, 3.006, 4)))
    night = readers.read(edf(tmp_path / "x.edf", signal(np.full((5, 256), 10)), stamps, reserved="EDF+D"))
    assert night.duration == 5 and (night.signals[0] == 1).all()


@given(
    st.lists(st.floats(0, 50).map(lambda pause: round(pause, 3)), min_size=1, max_size=9),
    st.sampled_from([("1", 7), ("0.3", 5), ("1.7", 3), ("10", 33)]),
)
@example([0.15, 0.0], ("0.3", 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_header_tells_how_long_a_signal_with_gaps_is(tmp_path, pauses, record):
    seconds, n = record
    onsets = np.cumsum([3.0, *(float(seconds) + pause for pause in pauses)])
    marks = notes(*(b"+%f\x14\x14\0" % onset for onset in onsets))
    path = edf(
        tmp_path / "x.edf", signal(np.ones((len(onsets), n))), marks, seconds=seconds, reserved="EDF+D"
    )
    night, header = readers.read(path), readers.header(path)
    assert header.samples == [len(night.signals[0])] and list(header.gaps) == night.gaps
    assert 0 <= (night.signals[0] != 0).sum() - len(onsets) * n < len(onsets)
    assert header.duration == pytest.approx(onsets[-1] - 3 + float(seconds), abs=1.0 / header.rates[0])


def test_a_first_record_at_a_fraction_of_a_second(ramp, tmp_path):
    marks = notes(b"+0.5\x14\x14\0+10.5\x1530\x14Sleep stage W\x14\0+2\x14x\x14\0", b"+1.5\x14\x14\0", b"")
    path = edf(
        tmp_path / "x.edf", signal(ramp), marks, reserved="EDF+C", recording="Startdate 03-FEB-2001 X X X"
    )
    night, other = readers.read(path), edfio.read_edf(path)
    assert night.start == datetime(2001, 2, 3, 22, 15, 30, 500_000) == other.startdatetime
    assert night.hypnogram.onset == 10 and night.events == [Event("x", 1.5, 0.0)]
    assert [a.onset for a in other.annotations] == [1.5, 10]


def test_annotations_without_time_stamps_are_not_lost(tmp_path):
    marks = notes(b"+30\x1530\x14Sleep stage W\x14\0+60\x1530\x14Sleep stage 2\x14\0")
    assert readers.read_hypnogram(edf(tmp_path / "x.edf", marks, seconds="0")).onset == 30
    marks = notes(*(b"+%d\x14\x14\0+%d\x1530\x14Sleep stage 2\x14\0" % (t, t) for t in (0, 30, 60)))
    path = edf(tmp_path / "x.edf", marks, seconds="0", reserved="EDF+C")
    assert readers.header(path).gaps == () and readers.read_hypnogram(path).stages.tolist() == [2, 2, 2]


def test_the_size_decides_how_many_records_there_are(ramp, tmp_path):
    for promised in (-1, 0, 1, 3):
        path = edf(tmp_path / "x.edf", signal(ramp), records=promised)
        path.write_bytes(path.read_bytes() + b"\1\2\3")  # the beginning of one more
        assert readers.read(path).signals[0].tolist() == list(range(-6, 6))
        assert readers.header(path).samples == [12]
    with pytest.raises(SleeplibError, match="truncated"):
        readers.read(edf(path, signal(ramp), records=4))


@pytest.mark.parametrize(
    ("fixed", "start"),
    [
        ({}, (2001, 2, 3, 22, 15, 30)),
        ({"date": " 3/2/01", "time": "22:15:30"}, (2001, 2, 3, 22, 15, 30)),
        ({"date": "01.01.85"}, (1985, 1, 1, 22, 15, 30)),
        ({"date": "yy.02.01"}, (1985, 1, 1, 22, 15, 30)),
        ({"date": "31.02.01"}, (1985, 1, 1, 22, 15, 30)),
        ({"date": ""}, (1985, 1, 1, 22, 15, 30)),
        ({"recording": "Startdate 24-apr-1979 X X X"}, (1979, 4, 24, 22, 15, 30)),
        ({"recording": "Startdate 44-APR-1979 X X X"}, (1985, 1, 1, 22, 15, 30)),
        ({"time": "24.00.00"}, None),
        ({"time": "xx.xx.xx"}, None),
        ({"time": ""}, None),
    ],
)
def test_dates_and_clocks_as_they_come(fixed, start, ramp, tmp_path):
    header = readers.header(edf(tmp_path / "x.edf", signal(ramp), **fixed))
    assert header.start == (start and datetime(*start))


@pytest.mark.parametrize(
    ("patient", "subject"),
    [
        ("P7 F 02-MAY-1951 X age=49.5 ahi=3", Subject("P7", 49.5, "F", 3.0)),
        ("X M X Male_60yr", Subject("x", 60.0, "M")),
        ("X X X X", Subject("x")),
        ("Jane Doe, 3rd of May", Subject("x")),
        ("", Subject("x")),
        ("M\xfcller M".encode("latin-1"), Subject("x")),  # free text, and a name
        ("DOE F 1951 ward 3", Subject("x")),
        ("M\xfc7 M x X".encode("latin-1"), Subject("Mü7", sex="M")),
        ("P7 F X X age=old", Subject("P7", sex="F")),
        ("P7 F 02-MAY-1951 X", Subject("P7", 49.0, "F")),  # on 3 February 2001
        ("P7 F 03-feb-1951 X", Subject("P7", 50.0, "F")),
        ("P7 F 04-FEB-2001 X", Subject("P7", sex="F")),  # not born yet
        ("P7 F 01-JAN-1800 X", Subject("P7", sex="F")),
        ("P7 F 31-FEB-1951 X", Subject("P7", sex="F")),
        ("P7 F 02-MAI-1951 X", Subject("P7", sex="F")),
        ("P7 F 02-MAY-1951 X age=old", Subject("P7", sex="F")),
    ],
)
def test_what_the_patient_field_tells(patient, subject, ramp, tmp_path):
    assert readers.header(edf(tmp_path / "x.edf", signal(ramp), patient=patient)).subject == subject


def test_without_a_date_a_birth_tells_no_age(ramp, tmp_path):
    for date in ("", "01.01.85"):
        path = edf(tmp_path / "x.edf", signal(ramp), patient="P7 F 02-MAY-1951 X", date=date)
        assert readers.header(path).subject == Subject("P7", sex="F")


def test_signals_are_read_without_annotations_that_are_damaged(ramp, tmp_path):
    path = edf(tmp_path / "x.edf", signal(ramp), notes(b"+0\x14\x14\0+1\x153\0", b"", b""))
    with pytest.raises(SleeplibError, match="cannot be read"):
        readers.read(path)
    with pytest.raises(SleeplibError, match="cannot be read"):
        readers.read_hypnogram(path)
    night = readers.read(path, scored=False)
    assert night.signals[0].tolist() == list(range(-6, 6)) and night.hypnogram is None and night.events == []


def test_channels_without_calibration_do_not_claim_microvolts(ramp, tmp_path):
    channels = [
        signal(ramp, "a", pmin="0", pmax="0"),
        signal(ramp, "b", dmin="5", dmax="5"),
        signal(ramp, "c", unit="%"),
        signal(ramp, "d", unit=""),
    ]
    night = readers.read(edf(tmp_path / "x.edf", *channels))
    assert night.units == ["digital", "digital", "%", ""]
    assert night.signals[0].tolist() == night.signals[1].tolist() == ramp.ravel().tolist()


@pytest.mark.parametrize(
    ("fields", "gain", "offset"),
    [
        ({"pmin": "-100,5", "pmax": "99,5"}, 1, -0.5),
        ({"pmin": "100", "pmax": "-100"}, -1, 0),
        ({"dmin": "1000", "dmax": "-1000"}, -1, 0),
        ({"pmin": b"-100\0\0\0\0", "pmax": b"100.0\0"}, 1, 0),
        ({"unit": "µV".encode("latin-1")}, 1, 0),
        ({"unit": "µV"}, 1, 0),
        ({"unit": "\u03bcV"}, 1, 0),
        ({"unit": "UV"}, 1, 0),
        ({"unit": "mV"}, 1e3, 0),
    ],
)
def test_calibrations_as_they_come(fields, gain, offset, ramp, tmp_path):
    night = readers.read(edf(tmp_path / "x.edf", signal(ramp, **fields)))
    assert np.allclose(night.signals[0], gain * np.arange(-6, 6) + offset, atol=1e-3) and night.units == [
        "uV"
    ]


def test_labels_as_they_come(ramp, tmp_path):
    labels = ["Größe".encode("latin-1"), "Größe", b"EEG\0\0C3\n", "EEG", "EEG", ""]
    channels = [signal(ramp + i, label) for i, label in enumerate(labels)]
    path = edf(tmp_path / "x.edf", *channels)
    assert readers.header(path).channels == ["Größe", "Größe", "EEG  C3", "EEG", "EEG", ""]
    # Of two channels of one name, the name means the first.
    assert np.allclose(readers.read(path, ["EEG"]).signals[0], (ramp.ravel() + 3) / 10)
    assert [round(float(x[0]), 1) for x in readers.read(path).signals] == [-6, -5.9, -5.8, -5.7, -5.6, -5.5]


def test_only_wanted_channels_in_the_wanted_order(ramp, tmp_path):
    path = edf(tmp_path / "x.edf", *(signal(ramp + 10 * i, name) for i, name in enumerate("abc")))
    night = readers.read(path, ["c", "a"])
    assert night.channels == ["c", "a"] and [x[0] for x in night.signals] == [-4, -6]
    assert readers.read(path, []).signals == []
    with pytest.raises(SleeplibError, match=r"x\.edf: no channel d; it has a, b, c"):
        readers.read(path, ["d"])


def test_annotations_hold_any_text(tmp_path):
    xml = '<Event channel="EEG C4-LER" groupName="MicroArousal" name="Réveil &quot;α&quot;\n"/>'
    old = "Schläft".encode("latin-1")
    raw = (
        b"+0\x14\x14\0+12.5\x153.25\x14" + xml.encode() + b"\x14\0+13\x14two\x14texts\x14\0+14\x15\x14" + old
    )
    path = edf(tmp_path / "x.edf", notes(raw + b"\x14\0", width=200), seconds="0", reserved="EDF+C")
    stages, events = read_edf_scoring(path)
    assert stages is None
    assert events == [
        Event(xml, 12.5, 3.25),
        Event("texts", 13, 0.0),
        Event("two", 13, 0.0),
        Event("Schläft", 14, 0),
    ]


def test_annotations_of_several_channels_and_records_that_are_full(ramp, tmp_path):
    full = b"+0\x14\x14\0+9\x14abcde\x14"  # no zero behind it
    path = edf(
        tmp_path / "x.edf",
        signal(ramp),
        notes(full, b"+1\x14\x14\0", b"+2\x14\x14\0", width=len(full) // 2),
        notes(b"", b"+1.5\x14b\x14\0", b"", width=8),
    )
    assert [(e.kind, e.onset) for e in readers.read(path).events] == [("b", 1.5), ("abcde", 9)]


def test_stages_that_begin_before_the_recording_or_end_after_it(tmp_path):
    texts = [(-40, 30, "W"), (-10, 30, "1"), (20, 30, "2"), (50, 86_400, "?")]
    raw = b"".join(b"%+d\x15%d\x14Sleep stage %s\x14\0" % (a, b, c.encode()) for a, b, c in texts)
    hypnogram = readers.read_hypnogram(
        edf(tmp_path / "x.edf", notes(b"+0\x14\x14\0" + raw, width=99), seconds="0")
    )
    assert hypnogram.onset == 20 and hypnogram.stages[:3].tolist() == [2, 9, 9] and len(hypnogram) == 2881


def _stamped(*stamps: bytes, reserved="EDF+D"):
    channel = notes(*(stamp + b"\x14\x14\0" for stamp in stamps))
    return lambda path, ramp: edf(path, signal(ramp[: len(stamps)]), channel, reserved=reserved)


def _noted(raw: bytes, width: int = 99):
    return lambda path, ramp: edf(path, notes(b"+0\x14\x14\0" + raw, width=width), seconds="0")


def _with(seconds="1", fixed=None, **fields):
    return lambda path, ramp: edf(path, signal(ramp, **fields), seconds=seconds, **(fixed or {}))


REFUSED = {
    "no signals": (lambda path, ramp: edf(path), "number of signals '0'"),
    "no records": (lambda path, ramp: edf(path, {**signal(ramp), "data": []}, records=-1), "without data records"),
    "something like BDF": (lambda path, ramp: edf(path, signal(ramp), version=b"\xffBIOSEM"), "neither EDF nor BDF"),
    "something else": (lambda path, ramp: path.write_bytes(b"\x89PNG\r\n" * 100), "neither EDF nor BDF"),
    "header too long": (_with(fixed={"header": 768}), "contradict each other; repair"),
    "header size in words": (_with(fixed={"header": "many"}), "header bytes 'many'.*repair"),
    "half a signal": (_with(fixed={"n": "1.5"}), "no whole number"),
    "records without length": (_with(seconds="0"), "4 samples in records of 0 s; repair"),
    "negative length": (_with(seconds="-1"), "record duration '-1'"),
    "a million samples a second": (_with(seconds="0.000001"), "samples in records of 1e-06 s"),
    "no samples": (_with(n="0"), "'C4-M1': samples per record '0'"),
    "calibration in words": (_with(pmin="low"), "physical minimum 'low'.*repair"),
    "no calibration": (_with(pmax=""), "physical maximum ''"),
    "not a number": (_with(dmax="nan"), "digital maximum 'nan'"),
    "infinite": (_with(pmax="1e999"), "physical maximum '1e999'"),
    "no time stamps": (_with(fixed={"reserved": "EDF+D"}), "no time stamps"),
    "a time stamp missing": (_stamped(b"+0", b"x"), "no time stamps"),
    "records in disorder": (_stamped(b"+0", b"+2", b"+1"), "not in order"),
    "ages between records": (_stamped(b"+0", b"+1000000000000"), "time stamp '.1000000000000'"),
    "weeks between records": (_stamped(b"+0", b"+999999"), "gaps of 11.6 days"),
    "an annotation without end": (_noted(b"+1\x153"), "annotation .* cannot be read; export"),
    "an annotation without onset": (_noted(b"Sleep stage W\x14\0"), "annotation .* cannot be read"),
    "an annotation cut off": (_noted(b"+30\x1530\x14Sleep stage"), "annotation .* cannot be read"),
    "an onset that is no number": (_noted(b"+1.2.3\x14x\x14\0"), "onset of an annotation"),
    "stages for ever": (_noted(b"+0\x1530\x14Sleep stage W\x14\0+29999990\x1530\x14Sleep stage W\x14\0"), "347 days"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_damage_is_told_with_the_file(what, ramp, tmp_path):
    make, message = REFUSED[what]
    path = tmp_path / "x.edf"
    make(path, ramp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SleeplibError, match=message) as error:
            read_edf(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def _promises(path):
    """A header of 9,999 signals, all there, of a file of two records."""
    return edf(path, *[signal(np.ones((2, 1)), f"s{i}") for i in range(9999)])


def _zeros(path):
    """An annotation channel of 100 MB of nothing, in one record and in many."""
    edf(path, notes(b"+0\x14\x14\0", width=50_000_000), seconds="0")
    return path


def _many_zeros(path):
    edf(path, notes(b"", width=30_000), seconds="1", records=-1)
    os.truncate(path, 100_000_000)
    return path


def _chatter(path):
    """A million annotations."""
    raw = b"+0\x14\x14\0" + b"+0\x14a\x14\0" * 1_000_000
    return edf(path, notes(raw, width=len(raw) // 2 + 1), seconds="0")


def _promised_only(path):
    raw = edf(path, signal(np.ones((2, 1)))).read_bytes()
    path.write_bytes(raw[:184] + b"2560000 " + raw[192:252] + b"9999" + raw[256:])
    return path


@pytest.mark.parametrize("make", [_promises, _promised_only, _zeros, _many_zeros, _chatter])
def test_a_damaged_file_costs_little(make, tmp_path):
    path = make(tmp_path / "x.edf")
    tracemalloc.start()
    began = time.process_time()
    try:
        read_edf(path)
    except SleeplibError as error:
        assert "x.edf" in str(error)
    finally:
        took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert took < 4 and peak < 200e6, f"{took:.1f} s, {peak / 1e6:.0f} MB"  # traced, which doubles the time


def test_one_channel_of_many_is_read_alone(tmp_path):
    x = np.zeros(1800 * 256, np.float32)
    names = [f"C{i}" for i in range(9)]
    path = tmp_path / "x.edf"
    write_edf(Recording([x] * 9, [256.0] * 9, names, hypnogram=Hypnogram([0] * 60)), path)
    tracemalloc.start()
    try:
        read_edf(path, ["C4"])
        assert tracemalloc.get_traced_memory()[1] < 1.2 * x.nbytes
        tracemalloc.reset_peak()
        read_edf_header(path)
        assert tracemalloc.get_traced_memory()[1] < 0.1 * x.nbytes
    finally:
        tracemalloc.stop()


def _either(path):
    """Our error, naming the file, or a recording whose header fits it; never a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            night, header = read_edf(path), read_edf_header(path)
        except SleeplibError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert header.samples == [len(x) for x in night.signals] and header.rates == night.rates


@pytest.fixture(scope="module")
def valid(tmp_path_factory) -> bytes:
    """A file of two channels of signals and one of annotations: a header of 1,024 bytes and 4 records."""
    path = tmp_path_factory.mktemp("edf") / "x.edf"
    marks = (b"+%d\x14\x14\0+%d\x1530\x14Sleep stage 2\x14\0" % (3 * i, 30 * i) for i in range(4))
    return edf(
        path, signal(np.ones((4, 64))), signal(np.ones((4, 1)), "b"), notes(*marks), reserved="EDF+D"
    ).read_bytes()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 1023), st.sampled_from(b"0123456789+-.,eE \0\xff") | st.integers(0, 255)),
        min_size=1,
        max_size=5,
    )
)
def test_any_bytes_in_the_header(changes, valid, tmp_path):
    raw = bytearray(valid)
    for place, byte in changes:
        raw[place] = byte
    (tmp_path / "bad.edf").write_bytes(raw)
    _either(tmp_path / "bad.edf")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 3000), records=st.sampled_from([b"4", b"-1"]))
def test_any_truncation(size, records, valid, tmp_path):
    path = tmp_path / "bad.edf"
    path.write_bytes((valid[:236] + records.ljust(8) + valid[244:])[:size])
    _either(path)
    if records == b"4" and size < len(valid):
        with pytest.raises(SleeplibError, match=r"truncated"):
            read_edf(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=128) | st.text("+0123456789.\x14\x15\0SR?", max_size=99).map(str.encode))
def test_any_annotations(raw, tmp_path):
    _either(edf(tmp_path / "bad.edf", notes(raw[:128]), seconds="0"))


@pytest.mark.parametrize("end", [b"\0", b""])
def test_annotations_filled_up_with_blanks(end, ramp, tmp_path):
    records = [b"+%d\x14\x14%b" % (i, end or b"\0+7\x14a\x14") for i in range(3)]
    path = edf(tmp_path / "x.edf", signal(ramp), notes(*(record.ljust(128) for record in records)))
    assert len(readers.read(path).events) == (0 if end else 3)
