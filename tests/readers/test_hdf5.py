"""HDF5 of DCSM and of the Dreem nights: attributes that are inherited, units, links, and promises nobody can keep."""

from datetime import datetime

import h5py
import numpy as np
import pytest

from sleeplib.errors import SleeplibError
from sleeplib.readers import hdf5
from sleeplib.readers.hdf5 import read_hdf5, read_hdf5_header, write_dcsm, write_dod
from sleeplib.recording import Hypnogram, Recording


@pytest.fixture
def night():
    rng = np.random.default_rng(1)
    signals = [rng.normal(0, 40, 25_000).astype(np.float32) for _ in range(4)]
    return Recording(
        signals,
        [250.0] * 4,
        ["C3_M2", "F3_F4", "EOG1", "EMG"],
        "x",
        start=datetime(2001, 2, 3, 22, 15, 30),
        hypnogram=Hypnogram([9, 0, 4]),
    )


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_dcsm_is_read_back(night, tmp_path, compression):
    night.channels[1] = "CHIN"
    write_dcsm(tmp_path / "x.h5", night, compression)
    back = read_hdf5(tmp_path / "x.h5")
    assert back.channels == night.channels and back.rates == night.rates and back.units == ["uV"] * 4
    assert back.start == night.start and back.id == "x" and back.hypnogram is None
    assert all(
        (a == b).all() and b.dtype == np.float32 for a, b in zip(night.signals, back.signals, strict=True)
    )
    header = read_hdf5_header(tmp_path / "x.h5")
    assert header.samples == [25_000] * 4 and header.duration == 100
    assert not list(tmp_path.glob("*.part"))


def test_dod_is_read_back(night, tmp_path):
    write_dod(tmp_path / "x.h5", night)
    back = read_hdf5(tmp_path / "x.h5", ["EOG1", "C3_M2"])
    assert back.channels == ["EOG1", "C3_M2"] and (back.signals[1] == night.signals[0]).all()
    assert (
        back.hypnogram.stages.tolist() == [9, 0, 4] and back.start == night.start and back.rates == [250, 250]
    )
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["hypnogram"][:].tolist() == [-1, 0, 4] and file["signals/eeg"].attrs["unit"] == b"uV"
        assert set(file) == {"signals", "hypnogram", "events"} and file.attrs["duration"] == 100
    write_dod(tmp_path / "x.h5", night, start_time=False)
    assert read_hdf5(tmp_path / "x.h5").start is None
    with pytest.raises(SleeplibError, match="no channel O1_M2; it has C3_M2, F3_F4, EMG, EOG1"):
        read_hdf5(tmp_path / "x.h5", ["O1_M2"])
    night.rates[1] = 500.0
    with pytest.raises(SleeplibError, match="F3_F4 differs in rate"):
        write_dod(tmp_path / "y.h5", night)
    assert not (tmp_path / "y.h5").exists() and not list(tmp_path.glob("*.part"))


def dcsm(path, units=None, **attributes):
    with h5py.File(path, "w") as file:
        file["channels/B"] = np.array([1.0, 2.0])
        file["channels/A"] = np.array([3, 4, 5])
        file["channels/A"].attrs["sample_rate"] = 2.0
        file["channels"].attrs["sample_rate"] = np.array([1])
        file.attrs.update(attributes)
    return path


def test_attributes_are_inherited_and_units_can_be_given(tmp_path):
    path = dcsm(tmp_path / "x.h5", date="2001-02-03 22:15:30", sample_rate=99)
    back = read_hdf5(path)
    assert back.channels == ["A", "B"] and back.rates == [2, 1] and back.units == ["uV", "uV"]
    assert back.start == datetime(2001, 2, 3, 22, 15, 30) and back.signals[0].tolist() == [3, 4, 5]
    assert read_hdf5(path, units="V").signals[1].tolist() == [1e6, 2e6]
    assert read_hdf5(path, units="%").units == ["%", "%"] and read_hdf5_header(path, "V").units == ["V", "V"]
    assert read_hdf5(dcsm(path, date="UNKNOWN")).start is None
    assert read_hdf5(dcsm(path, date=1e300)).start is None
    assert read_hdf5(dcsm(path, unit=b"V")).signals[1].tolist() == [1e6, 2e6]


def test_dod_without_attributes_uses_its_description(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["signals/eeg/C3_M2"] = np.array([1.0, 2.0])
        file.attrs["description"] = '[{"path": "signals/eeg/C3_M2", "fs": 250, "unit": "V"}, 3]'
    back = read_hdf5(tmp_path / "x.h5")
    assert back.rates == [250] and back.signals[0].tolist() == [1e6, 2e6] and back.units == ["uV"]


def change(path, edit):
    dcsm(path, sample_rate=1)
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def _elsewhere(name):
    """An edit that puts a link to another file there."""

    def edit(file):
        with h5py.File(file.filename + ".other", "w") as other:
            other.create_group(name)
        if name in file:
            del file[name]
        file[name] = h5py.ExternalLink(file.filename + ".other", name)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: file.move("channels", "x"), "no group /channels"),
        (lambda file: file["channels"].clear(), "0 signals"),
        (_elsewhere("channels"), "channels is a link"),
        (_elsewhere("hypnogram"), "hypnogram is a link"),
        (lambda file: file["channels"].attrs.update({"sample_rate": np.nan}), "rate of B is 'nan'"),
        (lambda file: file["channels"].attrs.update({"sample_rate": -1}), "rate of B is '-1'"),
        (lambda file: file["channels"].attrs.update({"sample_rate": []}), "rate of B is None"),
        (lambda file: file["channels"].update({"C": h5py.ExternalLink("/etc/passwd", "/")}), "C is a link"),
        (lambda file: file["channels"].update({"C": h5py.SoftLink("/channels/A")}), "C is a link"),
        (lambda file: file["channels"].update({"C": [[1, 2]]}), "C is not a row of numbers"),
        (lambda file: file["channels"].update({"C": ["text"]}), "C is not a row of numbers"),
        (lambda file: file["channels"].update({"C": 1.0}), "C is not a row of numbers"),
        (lambda file: file["channels"].create_group("C"), "C is not a row of numbers"),
        (
            lambda file: file["channels"].create_dataset("C", (10**9,), chunks=(10**6,), dtype="f4"),
            "C promises 4,000,000,000 bytes that are not there",
        ),
        (
            lambda file: file["channels"].create_dataset("C", (9,), "f4", external="/etc/passwd"),
            "another file",
        ),
        (lambda file: file.update({"hypnogram": np.zeros(1_000_001, "i1")}), "longer than any night"),
        (lambda file: file.update({"hypnogram": [0, 5]}), "other codes than -1 to 4"),
        (lambda file: file.update({"hypnogram": [0, np.nan]}), "other codes than -1 to 4"),
        (lambda file: file.update({"hypnogram": ["W"]}), "/hypnogram is not a row of numbers"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path, edit, message):
    with pytest.raises(SleeplibError) as error:
        read_hdf5(change(tmp_path / "x.h5", edit))
    assert message in str(error.value) and "x.h5" in str(error.value)


def test_a_bomb_and_pieces_that_are_too_large(tmp_path):
    for chunk, message in ((10**6, "promises 32,000,000 bytes"), (10**7, "packed in pieces")):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset(
                "channels/A",
                data=np.zeros(10**7 if chunk == 10**7 else 4 * 10**6),
                chunks=(chunk,),
                compression=9,
            )
            file.attrs["sample_rate"] = 1
        with pytest.raises(SleeplibError, match=message):
            read_hdf5(tmp_path / "x.h5")


def test_damaged_texts_take_neither_time_nor_memory(night, tmp_path, monkeypatch):
    """HDF5 2.0 walks for ever through free space of no size, and takes 2 GB where a reference says so."""
    monkeypatch.setattr(hdf5, "_SURVEY_SECONDS", 3.0)
    path = tmp_path / "x.h5"
    write_dod(path, night)
    with h5py.File(path, "a") as file:
        for group in file["signals"].values():
            del group.attrs["fs"]
    assert read_hdf5_header(path).rates == [250] * 4
    whole = path.read_bytes()
    heap = whole.index(b"GCOL")
    reference = whole.index(heap.to_bytes(8, "little"))
    for at, damage in ((heap + 16, bytes(16)), (reference - 4, b"\xff\xff\xff\x7f")):
        path.write_bytes(whole[:at] + damage + whole[at + len(damage) :])
        with pytest.raises(
            SleeplibError, match=r"x\.h5: damaged: HDF5 comes to no end|x\.h5: not a readable HDF5"
        ):
            read_hdf5_header(path)


def test_truncated_and_foreign_files(night, tmp_path):
    path = tmp_path / "x.h5"
    write_dod(path, night)
    whole = path.read_bytes()
    for raw in (b"", b"no HDF5", whole[:100], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(raw)
        with pytest.raises(SleeplibError, match=r"x\.h5: not a readable HDF5"):
            read_hdf5(path)
    with pytest.raises(SleeplibError, match="no such file"):
        read_hdf5(tmp_path / "nowhere.h5")
