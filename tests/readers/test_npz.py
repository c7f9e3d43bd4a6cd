"""The `.npz` layout of DeepSleepNet."""

import numpy as np
import pytest

from sleeplib import readers
from sleeplib.errors import SleeplibError
from sleeplib.readers import npz


def write(path, **changes):
    arrays = {"x": np.arange(40.0).reshape(2, 10, 2), "y": np.array([0, 4]), "fs": 2.0} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_epochs_of_any_length_are_laid_end_to_end(tmp_path):
    recording = readers.read(write(tmp_path / "n.npz"))
    assert recording.hypnogram.epoch_seconds == 5 and recording.hypnogram.stages.tolist() == [0, 4]
    assert recording.signals[1].tolist() == list(range(1, 40, 2)) and recording.rates == [2.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, "no array y"),
        ({"y": np.zeros(3)}, "do not fit"),
        ({"y": np.array([0, 7])}, r"codes \[7\]"),
        ({"y": np.array(["W", "N1"])}, "y holds no numbers"),
        ({"y": np.float64(0)}, "do not fit"),
        ({"x": np.zeros((2, 0, 1))}, "x holds no numbers"),
        ({"x": np.array([["a"]] * 2)}, "x holds no numbers"),
        ({"x": np.zeros(2)}, "do not fit"),
        ({"x": np.array([[np.nan, 1.0]] * 2)}, "not finite"),
        ({"x": np.array([[1e300, 1.0]] * 2)}, "not finite"),
        ({"fs": 0.0}, "sampling rate 0.0"),
        ({"fs": np.nan}, "sampling rate nan"),
        ({"fs": np.array([1.0, 2.0])}, "do not fit"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(SleeplibError, match=message) as error:
        readers.read(write(tmp_path / "n.npz", **changes))
    assert "n.npz" in str(error.value)


def test_signals_alone_need_no_stages(tmp_path):
    path = write(tmp_path / "n.npz", y=None)
    night = readers.read(path, scored=False)
    assert readers.header(path).samples == [20, 20] and npz.npz_epoch_seconds(path) == 5
    assert night.hypnogram is None and night.signals[1].tolist() == list(range(1, 40, 2))
    for scored in (readers.read, readers.read_hypnogram):
        with pytest.raises(SleeplibError, match=r"n\.npz: has no array y; expected x, y and fs"):
            scored(path)
    for changes, message in (
        ({"x": None}, "no array x"),
        ({"x": np.zeros(2)}, r"x \(2,\), fs \(\) do not fit"),
    ):
        with pytest.raises(SleeplibError, match=message):
            readers.header(write(path, y=None, **changes))


def test_no_pickle_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.savez(tmp_path / "n.npz", x=np.array([Bomb()], dtype=object), y=np.zeros(1), fs=1.0)
    with pytest.raises(SleeplibError, match="not a readable"):
        readers.read(tmp_path / "n.npz")
    assert not (tmp_path / "exploded").exists()


def test_a_damaged_archive(tmp_path):
    path = write(tmp_path / "n.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SleeplibError, match="not a readable"):
        readers.read(path)


def test_real_nights(shared):
    recording = readers.read(shared / "data/sleep-edf-20-5s/SC4001E0.npz")
    assert recording.channels == ["EEG Fpz-Cz"] and recording.rates == [100.0]
    assert np.bincount(recording.hypnogram.stages).tolist() == [188, 58, 250, 220, 125]  # as in nights.csv
    assert len(recording.signals[0]) == 841 * 500


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_LARGEST", 1 << 20)
    np.savez_compressed(tmp_path / "n.npz", x=np.zeros((2, 1 << 20, 1)), y=np.zeros(2), fs=1.0)
    with pytest.raises(SleeplibError, match="bytes once unpacked"):
        readers.read(tmp_path / "n.npz")


def test_labels_and_channels(tmp_path):
    path = write(tmp_path / "n.npz", ch_label=np.array(["Fpz-Cz", "EOG"]), y=np.array([[0], [4]]))
    assert readers.header(path).channels == ["Fpz-Cz", "EOG"] and readers.header(path).samples == [20, 20]
    night = readers.read(path, ["EOG"])
    assert night.channels == ["EOG"] and night.signals[0].tolist() == list(range(1, 40, 2))
    assert readers.read_hypnogram(path).stages.tolist() == [0, 4]
    with pytest.raises(SleeplibError, match=r"n\.npz: no channel C3"):
        readers.read(path, ["C3"])
