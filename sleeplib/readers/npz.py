"""The `.npz` layout of DeepSleepNet and TinySleepNet: `x` (N, samples, 1 or C), `y` (N,), `fs`, `ch_label`."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import chosen, damage, number
from sleeplib.recording import Header, Hypnogram, Recording, Subject

_LARGEST = 2 << 30  # bytes of one file once it is unpacked


def _load(path, scored: bool = True) -> dict:
    """The arrays `x` (N, samples, C) float32, `y` (N,) or None if not `scored`, `fs` and `ch_label` (C,), checked."""
    path, keys = Path(path), ("x", "y", "fs") if scored else ("x", "fs")
    with damage(path, ".npz"):
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _LARGEST:
            raise SleeplibError(f"{path}: {size:,} bytes once unpacked; a night has at most {_LARGEST:,}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key]) for key in keys if key in file}
            label = file.get("ch_label", "EEG")
    missing = set(keys) - arrays.keys()
    if missing:
        raise SleeplibError(
            f"{path}: has no array {', '.join(sorted(missing))}; expected x, y and fs (DeepSleepNet layout)"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not array.size:
            raise SleeplibError(f"{path}: {name} holds no numbers ({array.dtype}, {array.shape})")
    x, y, fs = arrays["x"], arrays.get("y"), arrays["fs"]
    matched = y is None or (y.ndim > 0 and x.ndim > 0 and len(x) == len(y) == y.size)
    if x.ndim not in (2, 3) or not matched or fs.size != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise SleeplibError(
            f"{path}: {shapes} do not fit; expected x (N, samples, channels), y (N,) and one number fs"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        x = x.astype(np.float32, copy=False)
    if not np.isfinite(x).all():
        raise SleeplibError(f"{path}: x holds values that are not finite; prepare the file again")
    return {
        "x": x.reshape(len(x), x.shape[1], -1),
        "y": None if y is None else y.ravel(),
        "fs": number(fs.item(), f"{path}: sampling rate", 0.01, 1e5),
        "ch_label": np.atleast_1d(label).ravel(),
    }


def _seconds(arrays: dict) -> float:
    return arrays["x"].shape[1] / arrays["fs"]


def _hypnogram(arrays: dict, path) -> Hypnogram:
    try:
        return Hypnogram(arrays["y"], epoch_seconds=_seconds(arrays))
    except SleeplibError as error:
        raise SleeplibError(f"{path}: {error}") from error


def read_npz_header(path) -> Header:
    """Channels, rate and length of such a file, which needs no `y` for that.

    Raises
    ------
    SleeplibError
        If an array is missing or the shapes do not fit.
    """
    return _header(_load(path, scored=False), Path(path))


def npz_epoch_seconds(path) -> float:
    """Length of the epochs of such a file; errors as `read_npz_header`."""
    return _seconds(_load(path, scored=False))


def _header(arrays: dict, path: Path) -> Header:
    n, samples, c = arrays["x"].shape
    names = [str(name) for name in arrays["ch_label"]]
    if len(names) != c:
        names = [f"EEG{i + 1}" for i in range(c)]
    return Header(
        names, [arrays["fs"]] * c, ["uV"] * c, [n * samples] * c, path.stem, None, Subject(path.stem)
    )


def read_npz(path, channels: list[str] | None = None, scored: bool = True) -> Recording:
    """Read a night of epochs of any length; they are laid end to end, which is their order but not always their time.

    (The usual preparation drops movement epochs, and a file may hold only part of each epoch.)

    Parameters
    ----------
    channels : labels to read, in this order; by default all
    scored : whether to read the stages, too; if not, `y` may be missing

    Raises
    ------
    SleeplibError
        If an array is missing, the shapes do not fit, or a channel is missing.
    """
    path = Path(path)
    arrays = _load(path, scored)
    header = _header(arrays, path)
    wanted = chosen(path, header.channels, channels)
    return Recording(
        signals=[np.ascontiguousarray(arrays["x"][:, :, c]).ravel() for c in wanted],
        rates=[header.rates[c] for c in wanted],
        channels=[header.channels[c] for c in wanted],
        id=path.stem,
        subject=header.subject,
        hypnogram=_hypnogram(arrays, path) if scored else None,
    )


def read_npz_hypnogram(path) -> Hypnogram:
    """Read the stages `y` of such a file.

    Raises
    ------
    SleeplibError
        If an array is missing or the shapes do not fit.
    """
    return _hypnogram(_load(path), path)
