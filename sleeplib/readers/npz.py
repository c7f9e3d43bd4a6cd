"""The `.npz` layout of DeepSleepNet and TinySleepNet: `x` (N, samples, 1 or C), `y` (N,), `fs`, `ch_label`."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import chosen, damage, number
from sleeplib.recording import Header, Hypnogram, Recording, Subject

_LARGEST = 2 << 30  # bytes of one file once it is unpacked


def _load(path) -> dict:
    """The arrays `x` (N, samples, C) float32, `y` (N,), `fs` and `ch_label` (C,), checked."""
    path = Path(path)
    with damage(path, ".npz"):
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise SleeplibError(f"{path}: {size:,} bytes once unpacked; a night has at most {_LARGEST:,}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in ("x", "y", "fs") if key in file}
            label = file.get("ch_label", "EEG")
    missing = {"x", "y", "fs"} - arrays.keys()
    if missing:
        raise SleeplibError(
            f"{path}: has no array {', '.join(sorted(missing))}; expected x, y and fs (DeepSleepNet layout)"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not array.size:
            raise SleeplibError(f"{path}: {name} holds no numbers ({array.dtype}, {array.shape})")
    x, y, fs = arrays["x"], arrays["y"], arrays["fs"]
    if x.ndim not in (2, 3) or y.ndim < 1 or not len(x) == len(y) == y.size or fs.size != 1:
        raise SleeplibError(
            f"{path}: x {x.shape}, y {y.shape} and fs {fs.shape} do not fit; expected x (N, samples, channels), "
            "y (N,) and one number"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        raise SleeplibError(f"{path}: x holds values that are not finite; prepare the file again")
    return {
        "x": x.reshape(len(x), x.shape[1], -1),
        "y": y.ravel(),
        "fs": number(fs.item(), f"{path}: sampling rate", 0.01, 1e5),
        "ch_label": np.atleast_1d(label).ravel(),
    }


def _hypnogram(arrays: dict, path) -> Hypnogram:
    try:
        return Hypnogram(arrays["y"], epoch_seconds=arrays["x"].shape[1] / arrays["fs"])
    except SleeplibError as error:
        raise SleeplibError(f"{path}: {error}") from error


def read_npz_header(path) -> Header:
    """Channels, rate and length of such a file.

    Raises
    ------
    SleeplibError
        If an array is missing or the shapes do not fit.
    """
    return _header(_load(path), Path(path))


def _header(arrays: dict, path: Path) -> Header:
    n, samples, c = arrays["x"].shape
    names = [str(name) for name in arrays["ch_label"]]
    if len(names) != c:
        names = [f"EEG{i + 1}" for i in range(c)]
    return Header(
        names, [arrays["fs"]] * c, ["uV"] * c, [n * samples] * c, path.stem, None, Subject(path.stem)
    )


def read_npz(path, channels: list[str] | None = None) -> Recording:
    """Read a night of epochs of any length; they are laid end to end, which is their order but not always their time.

    (The usual preparation drops movement epochs, and a file may hold only part of each epoch.)

    Parameters
    ----------
    channels : labels to read, in this order; by default all

    Raises
    ------
    SleeplibError
        If an array is missing, the shapes do not fit, or a channel is missing.
    """
    path = Path(path)
    arrays = _load(path)
    header = _header(arrays, path)
    wanted = chosen(path, header.channels, channels)
    return Recording(
        signals=[np.ascontiguousarray(arrays["x"][:, :, c]).ravel() for c in wanted],
        rates=[header.rates[c] for c in wanted],
        channels=[header.channels[c] for c in wanted],
        id=path.stem,
        subject=header.subject,
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
