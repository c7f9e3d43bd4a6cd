"""BDF and BDF+ (24 bits): written by edfio or by hand, read by us and by MNE."""

import warnings
from datetime import date, time

import edfio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeplib import labels, readers
from sleeplib.errors import SleeplibError
from sleeplib.readers import edf_file
from sleeplib.recording import Event
from tests.readers.test_edf_file import _either, edf, notes, signal

BIOSEMI = b"\xffBIOSEMI"


def wide(data, label="C4-M1", **fields) -> dict:
    """A channel of 24 bits from digital samples `(records, samples in each)`."""
    data = np.asarray(data, "<i4")
    low = data[..., None].view(np.uint8)[..., :3]
    calibrated = {"pmin": "-8388608", "pmax": "8388607", "dmin": "-8388608", "dmax": "8388607"}
    return signal(np.zeros(data.shape), label, **calibrated, **fields) | {
        "data": [row.tobytes() for row in low]
    }


def marks(*records: bytes, width: int = 48) -> dict:
    """An annotation channel; `width` samples have three bytes each."""
    return notes(*(record.ljust(3 * width, b"\0") for record in records), width=width) | {
        "label": "BDF Annotations"
    }


def bdf(path, *channels, **fixed):
    return edf(path, *channels, version=BIOSEMI, **{"reserved": "24BIT"} | fixed)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Two minutes as edfio writes them, with a Status channel and stages."""
    rng = np.random.default_rng(0)
    signals = [
        edfio.BdfSignal(rng.normal(0, 30, 128 * 120) + 9000, 128, label=name, physical_dimension="uV")
        for name in ("C3-M2", "O1-M2")
    ]
    signals.append(
        edfio.BdfSignal(np.arange(256.0 * 120) % 999, 256, label="Status", physical_dimension="Boolean")
    )
    path = tmp_path_factory.mktemp("bdf") / "night.bdf"
    stages = [edfio.EdfAnnotation(30.0 * i, 30.0, f"Sleep stage {s}") for i, s in enumerate(["W", "N1"])]
    edfio.Bdf(
        signals, patient=edfio.Patient(code="P7", sex="F", birthdate=date(1951, 5, 2)),
        recording=edfio.Recording(startdate=date(2001, 2, 3)), starttime=time(22, 15, 30),
        annotations=[*stages, edfio.EdfAnnotation(45.5, 3.0, "arousal")],
    ).write(path)  # fmt: skip
    return path


def test_mne_and_edfio_see_the_same(night):
    mne = pytest.importorskip("mne")
    ours, header = readers.read(night), readers.header(night)
    theirs = edfio.read_bdf(night)
    raw = mne.io.read_raw_bdf(night, verbose="error", include=["C3-M2", "O1-M2"])
    assert ours.channels == ["C3-M2", "O1-M2", "Status"] and ours.rates == [128, 128, 256]
    for i, x in enumerate(ours.signals):
        assert x.dtype == np.float32 and np.abs(x - theirs.signals[i].data).max() < 1e-3
    # Single precision has steps of 0.001 at 9,000 uV; 16 bits over this range would have some of 0.004 and more.
    assert np.abs(1e6 * raw.get_data() - ours.signals[:2]).max() < 1e-3
    assert ours.start == header.start and header.start.isoformat() == raw.info["meas_date"].isoformat()[:19]
    assert (header.subject.id, header.subject.sex, header.subject.age) == ("P7", "F", 49)
    assert header.samples == [15360, 15360, 30720]
    assert readers.read_hypnogram(night).stages.tolist() == [0, 1] == ours.hypnogram.stages.tolist()
    assert ours.events[-1] == Event("arousal", 45.5, 3.0)
    assert [m["description"] for m in raw.annotations][-1] == "arousal"


def test_the_status_channel_is_no_eeg(night):
    rows = {row.label: row for row in labels.table(readers.header(night))}
    assert rows["C3-M2"].used and not rows["Status"].used and rows["Status"].role == "other"


def test_the_sign_and_every_byte(tmp_path, monkeypatch):
    digital = np.array([[0, 1, -1, 255, 256], [-256, 65535, -65536, 8388607, -8388608]])
    path = bdf(tmp_path / "x.BDF", wide(digital), wide(digital[::-1], "b"))
    for at_once in (1 << 22, 1):
        monkeypatch.setattr(edf_file, "_AT_ONCE", at_once)
        a, b = readers.read(path).signals
        assert a.tolist() == digital.ravel().tolist()
        assert np.array_equal(b, a.reshape(2, 5)[::-1].ravel())


def test_gaps_and_stages_of_bdf_plus(tmp_path):
    stamps = marks(b"+0\x14\x14\0+0\x1530\x14Sleep stage W\x14\0", b"+1\x14\x14\0", b"+5\x14\x14\0")
    path = bdf(tmp_path / "x.bdf", wide(np.full((3, 4), 10)), stamps, reserved="BDF+D")
    found = readers.read(path)
    assert found.signals[0].tolist() == [10] * 8 + [0] * 12 + [10] * 4
    assert found.gaps == [(2, 3)] and found.hypnogram.stages.tolist() == [0]
    bdf(path, wide(np.full((3, 4), 10)), stamps, reserved="BDF+C")
    assert readers.read(path).gaps == [(2, 3)]


def test_what_is_missing_is_told_in_bytes_of_three(tmp_path):
    path = bdf(tmp_path / "x.bdf", wide(np.ones((4, 8))), records=9)
    with pytest.raises(SleeplibError, match="promises 728 bytes and the file has 608"):
        readers.read(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 767), st.integers(0, 255)), min_size=1, max_size=5), st.integers(0, 900)
)
def test_any_bytes_in_the_header(tmp_path, changes, size):
    stamps = marks(*(b"+%d\x14\x14\0" % i for i in range(3)), width=9)
    raw = bytearray(bdf(tmp_path / "x.bdf", wide(np.ones((3, 8))), stamps, reserved="BDF+D").read_bytes())
    for place, byte in changes:
        raw[place] = byte
    (tmp_path / "x.bdf").write_bytes(raw[: size if size % 3 == 0 else None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _either(tmp_path / "x.bdf")
