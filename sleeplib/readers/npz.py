"""The `.npz` layout of DeepSleepNet and TinySleepNet: `x` (N, samples, 1 or C), `y` (N,), `fs`, `ch_label`."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram, Recording, Subject


def _load(path) -> dict:
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("x", "y", "fs") if key in file}
            label = (
                file["ch_label"]
                if "ch_label" in file and file["ch_label"].dtype != object
                else np.array("EEG")
            )
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise SleeplibError(f"{path}: not a readable .npz file ({error})") from error
    missing = {"x", "y", "fs"} - arrays.keys()
    if missing:
        raise SleeplibError(
            f"{path}: has no array {', '.join(sorted(missing))}; expected x, y and fs (DeepSleepNet layout)"
        )
    x, y = arrays["x"], arrays["y"]
    if x.ndim not in (2, 3) or len(x) != len(y):
        raise SleeplibError(
            f"{path}: x {x.shape} and y {y.shape} do not fit; expected x (N, samples, channels), y (N,)"
        )
    return arrays | {"x": x.reshape(len(x), x.shape[1], -1), "ch_label": np.atleast_1d(label)}


def _hypnogram(arrays: dict, path) -> Hypnogram:
    seconds = arrays["x"].shape[1] / float(np.squeeze(arrays["fs"]))
    try:
        return Hypnogram(np.asarray(arrays["y"]).squeeze(), epoch_seconds=seconds)
    except SleeplibError as error:
        raise SleeplibError(f"{path}: {error}") from error


def read_npz(path) -> Recording:
    """Read a night of epochs of any length; they are laid end to end, which is their order but not always their time.

    (The usual preparation drops movement epochs, and a file may hold only part of each epoch.)

    Raises
    ------
    SleeplibError
        If an array is missing or the shapes do not fit.
    """
    path = Path(path)
    arrays = _load(path)
    x, rate = arrays["x"], float(np.squeeze(arrays["fs"]))
    names = [str(name) for name in arrays["ch_label"]]
    if len(names) != x.shape[2]:
        names = [f"EEG{i + 1}" for i in range(x.shape[2])]
    return Recording(
        signals=[np.ascontiguousarray(x[:, :, c], np.float32).ravel() for c in range(x.shape[2])],
        rates=[rate] * x.shape[2],
        channels=names,
        id=path.stem,
        subject=Subject(path.stem),
        hypnogram=_hypnogram(arrays, path),
    )


def read_npz_hypnogram(path) -> Hypnogram:
    """Read the stages `y` of such a file.

    Raises
    ------
    SleeplibError
        If an array is missing or the shapes do not fit.
    """
    return _hypnogram(_load(path), path)
