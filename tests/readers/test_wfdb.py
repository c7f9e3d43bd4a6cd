"""WFDB: what we write, the package wfdb and MATLAB's readers read too; damaged headers, signals and annotations."""

from datetime import datetime

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.readers.wfdb import (
    read_wfdb,
    read_wfdb_annotations,
    read_wfdb_header,
    write_wfdb,
    write_wfdb_annotations,
)
from sleeplib.recording import Event, Hypnogram, Recording

# The package warns of its own use of pandas.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")
RATE = 200.0
EVENTS = [
    Event("resp_hypopnea", 40.0, 22.5),
    Event("arousal_rera", 50.0, 3.0),
    Event("resp_centralapnea", 61.005, 0.0),
]


@pytest.fixture
def wfdb():
    return pytest.importorskip("wfdb")


@pytest.fixture
def night():
    rng = np.random.default_rng(1)
    signals = [rng.normal(0, 40, 40_000).astype(np.float32) for _ in range(3)]
    units = ["uV", "mV", "%"]
    return Recording(signals, [RATE] * 3, ["F3-M2", "Chin1-Chin2", "Sa O2"], "tr03-0005", units)


def test_what_is_written_is_read_back(night, tmp_path):
    night.start = datetime(2001, 2, 3, 22, 15, 30)
    write_wfdb(tmp_path / "tr03-0005", night, gain=10)
    back = read_wfdb(tmp_path / "tr03-0005.hea")
    for ours, theirs, gain in zip(night.signals, back.signals, (1, 1000, 1), strict=True):
        assert np.abs(ours - theirs / gain).max() <= 0.0501 and theirs.dtype == np.float32
    assert back.units == ["uV", "uV", "%"] and back.rates == night.rates and back.channels == night.channels
    assert back.start == night.start and back.id == night.id and back.hypnogram is None
    header = read_wfdb_header(tmp_path / "tr03-0005.mat")
    assert header.samples == [40_000] * 3 and header.duration == 200 and header.units == night.units
    some = read_wfdb(tmp_path / "tr03-0005.hea", ["Sa O2", "F3-M2"])
    assert some.channels == ["Sa O2", "F3-M2"] and (some.signals[1] == back.signals[0]).all()
    with pytest.raises(SleeplibError, match="no channel ECG; it has F3-M2"):
        read_wfdb(tmp_path / "tr03-0005.hea", ["ECG"])
    assert not list(tmp_path.glob("*.part"))


def test_other_programs_read_it_too(wfdb, night, tmp_path):
    night.start = datetime(2001, 2, 3, 22, 15, 30)
    write_wfdb(tmp_path / "tr03-0005", night)
    assert (tmp_path / "tr03-0005.mat").stat().st_size == 24 + 2 * 3 * 40_000
    matrix = scipy.io.loadmat(tmp_path / "tr03-0005.mat")["val"]
    assert matrix.shape == (3, 40_000) and matrix.dtype == np.int16
    record = wfdb.rdrecord(str(tmp_path / "tr03-0005"))
    assert record.sig_name == night.channels and record.units == night.units and record.fs == RATE
    assert record.base_time == night.start.time() and record.base_date == night.start.date()
    raw = wfdb.rdrecord(str(tmp_path / "tr03-0005"), physical=False)
    assert (matrix == raw.d_signal.T).all() and raw.init_value == matrix[:, 0].tolist()
    assert raw.checksum == raw.calc_checksum()
    gains = [[1.0], [1000.0], [1.0]]
    assert np.allclose(np.array(read_wfdb(tmp_path / "tr03-0005.hea").signals), record.p_signal.T * gains)


def test_the_header_of_the_challenge(tmp_path):
    (tmp_path / "tr03-0005.hea").write_text(
        "tr03-0005 2 200 3\ntr03-0005.mat 16+24 1/uV 16 0 -9 139 0 F3-M2\n"
        "tr03-0005.mat 16+24 100(10)/mV 16 0 0 0 0 ECG II\n#Age: 55 Sex: M\n"
    )
    samples = np.array([[-9, 110], [7, 10], [-32768, -32768]], "<i2")
    (tmp_path / "tr03-0005.mat").write_bytes(b"\0" * 24 + samples.tobytes())
    recording = read_wfdb(tmp_path / "tr03-0005.hea")
    assert recording.channels == ["F3-M2", "ECG II"] and recording.units == ["uV", "uV"]
    assert recording.signals[0].tolist() == [-9, 7, 0] and recording.signals[1].tolist() == [1000, 0, 0]


HEADER = "x 1 200 3\nx.mat 16+24 1/uV 16 0 0 0 0 EEG\n"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "0 bytes"),
        ("x", "not a WFDB header"),
        (HEADER.replace("x 1", "x 2"), "2 signals, but 1 lines"),
        (HEADER.replace("x 1", "x 99999999"), "number of signals is '99999999'"),
        (HEADER.replace("200", "nan"), "rate is 'nan'"),
        (HEADER.replace("200", "-1"), "rate is '-1'"),
        (HEADER.replace("200 3", "200 1e300"), "number of samples is '1e300'"),
        (HEADER.replace("200 3", "200 4"), "truncated: x.hea promises 4 samples of 1 signals and it holds 3"),
        (HEADER.replace("16+24", "212"), "expected one file beside it in format 16"),
        (HEADER.replace("x.mat", "../x.mat"), "expected one file beside it"),
        (HEADER.replace("x.mat", "http://127.0.0.1/x.mat"), "expected one file beside it"),
        (HEADER.replace("1/uV", "inf/uV"), "gain is 'inf'"),
        (HEADER.replace("1/uV", "1(0/uV"), "'1(0/uV' is no gain"),
        (HEADER.replace("1/uV", "1(nan)/uV"), "baseline is 'nan'"),
        (HEADER.replace("1/uV", "1e-40/uV"), "gain is 1e-40"),
        (HEADER.replace("x.mat", "y.mat"), "x.hea: its signals are missing: no y.mat"),
    ],
)
def test_damaged_headers(tmp_path, header, message):
    (tmp_path / "x.hea").write_text(header)
    (tmp_path / "x.mat").write_bytes(b"\0" * 30)
    with pytest.raises(SleeplibError) as error:
        read_wfdb(tmp_path / "x.hea")
    assert message in str(error.value) and str(tmp_path) in str(error.value)


def test_a_recording_that_lasts_for_years(tmp_path):
    (tmp_path / "x.hea").write_text(HEADER.replace("200 3", "0.001 50000"))
    (tmp_path / "x.mat").write_bytes(bytes(24 + 100_000))
    with pytest.raises(SleeplibError, match=r"x\.hea: lasts 579 days"):
        read_wfdb_header(tmp_path / "x.hea")


def test_a_header_without_the_number_of_samples_or_gains(tmp_path):
    (tmp_path / "x.hea").write_text("x 1 200/360(0)\nx.mat 16 0 16\n")
    np.array([200, -200], "<i2").tofile(tmp_path / "x.mat")
    recording = read_wfdb(tmp_path / "x.hea")
    assert recording.signals[0].tolist() == [1000, -1000] and recording.channels == ["signal 1"]


def test_channels_of_different_rates_are_refused(night, tmp_path):
    night.rates[1] = 100.0
    with pytest.raises(SleeplibError, match="one matrix"):
        write_wfdb(tmp_path / "x", night)
    assert not list(tmp_path.iterdir())


def test_annotations_are_read_back_here_and_elsewhere(wfdb, tmp_path):
    hypnogram = Hypnogram([9, 0, 0, 1, 2, 2, 3, 4, 4], onset=5.0)
    path = tmp_path / "x.arousal"
    write_wfdb_annotations(path, RATE, hypnogram, EVENTS)
    back, events = read_wfdb_annotations(path, RATE, 299.0)
    assert back.onset == 35 and back.stages.tolist() == [0, 0, 1, 2, 2, 3, 4, 4] and events == EVENTS
    marks = wfdb.rdann(str(tmp_path / "x"), "arousal")
    write_wfdb_annotations(path, RATE, None, [Event("arousal_plm", -1.0, 3.0)])
    assert read_wfdb_annotations(path, RATE, 299.0) == (None, [Event("arousal_plm", 0.0, 2.0)])
    assert set(marks.symbol) == {'"'} and marks.aux_note[:3] == ["W", "(resp_hypopnea", "(arousal_rera"]
    assert marks.sample.tolist()[:4] == [7000, 8000, 10000, 10600]
    assert [note for note in marks.aux_note if "_" not in note] == ["W", "N1", "N2", "N3", "R"]


def test_annotations_of_other_programs(wfdb, night, tmp_path):
    """Written by wfdb, with its line on the resolution; the rate and the end come from the header beside."""
    samples = np.array([600, 1000, 6600, 30_000, 34_000, 36_000])
    notes = ["W", "arousal_plm)", "N2", "(resp_hypopnea", "Lights on", "(resp_mixedapnea"]
    wfdb.wrann("x", "arousal", samples, ['"'] * 6, aux_note=notes, fs=RATE, write_dir=str(tmp_path))
    write_wfdb(tmp_path / "x", night)
    hypnogram, events = read_wfdb_annotations(tmp_path / "x.arousal")
    assert hypnogram.onset == 3 and hypnogram.stages.tolist() == [0, 2, 2, 2, 2, 2]
    assert events == [
        Event("arousal_plm", 0, 5.0),
        Event("resp_hypopnea", 150.0, 50.0),
        Event("Lights on", 170.0, 0.0),
        Event("resp_mixedapnea", 180.0, 20.0),
    ]


@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 4]), min_size=1, max_size=60),
    st.integers(0, 100_000),
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 400_000), st.integers(0, 90_000)),
        max_size=5,
        unique_by=lambda e: e[0],
    ),
)
def test_any_scoring_survives(tmp_path_factory, codes, onset, marks):
    path = tmp_path_factory.mktemp("wfdb") / "x.arousal"
    events = [Event(kind, start / RATE, length / RATE) for kind, start, length in marks]
    write_wfdb_annotations(path, RATE, Hypnogram(codes, onset=onset / RATE), events)
    back, marked = read_wfdb_annotations(path, RATE, onset / RATE + 30 * len(codes) + 29)
    assert back.stages.tolist() == codes and back.onset == onset / RATE
    key = [(e.kind, round(e.onset * RATE), round(e.duration * RATE)) for e in marked]
    assert sorted(key) == sorted(marks)


def test_damaged_annotations(tmp_path):
    path = tmp_path / "x.arousal"
    write_wfdb_annotations(path, RATE, Hypnogram([0, 1]), EVENTS)
    whole = path.read_bytes()
    for n in (0, 1, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(SleeplibError, match=r"x\.arousal"):
            read_wfdb_annotations(path, RATE, 90)
    skip = np.array([59 << 10, 0x7FFF, 0xFFFF, 22 << 10, 63 << 10 | 1, ord("W"), 0], "<u2")
    skip.tofile(path)
    assert read_wfdb_annotations(path, 1000.0, 90)[0].onset == 2_147_483.647
    skip[1] = 0x8000  # a jump back, to before the recording
    skip.tofile(path)
    with pytest.raises(SleeplibError, match="fetch or copy it again"):
        read_wfdb_annotations(path, RATE, 90)
    path.write_bytes(b"\0\0")
    assert read_wfdb_annotations(path, RATE, 90) == (None, [])
    with pytest.raises(SleeplibError, match=r"x\.hea: no such file"):
        read_wfdb_annotations(path)
