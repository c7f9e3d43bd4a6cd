"""Recordings in HDF5: those of DCSM (`/channels/<label>`) and of the Dreem nights (`/signals/<kind>/<NAME>`)."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.labels import microvolts
from sleeplib.readers.common import LARGEST_TEXT, chosen, damage, number, whole
from sleeplib.recording import Header, Hypnogram, Recording
from sleeplib.stages import LONGEST, UNSCORED

_MISSING = -1  # the Dreem nights' code of an epoch that nobody scored
_MOST_SIGNALS, _HIGHEST_RATE = 1000, 100_000.0
_MOST_PACKED = 20  # bytes of signals per byte of the file; gzip makes a half or a fifth of a night
_GZIP = 1100  # and a thousandth of a signal that is flat
_LARGEST_CHUNK = 64 << 20  # bytes that are unpacked at once
_SURVEY_SECONDS = 20.0
_SURVEY = """
import sys
import h5py
try:
    import resource
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, resource.getrlimit(resource.RLIMIT_DATA)[1]))
except (ImportError, ValueError):
    pass

def look(node, depth):
    for name in {"sample_rate", "fs", "unit", "channel_index", "date", "start_time", "description"} & set(node.attrs):
        node.attrs[name]
    if isinstance(node, h5py.Dataset):
        node.chunks and node.id.get_num_chunks()
    elif depth:
        for name in node:
            if isinstance(node.get(name, getlink=True), h5py.HardLink):
                look(node[name], depth - 1)

with h5py.File(sys.argv[1], "r", locking=False) as file:
    look(file, 3)
"""
_KINDS = {"EOG": "eog", "EMG": "emg", "ECG": "emg"}  # groups of the Dreem nights; other names are EEG


def read_hdf5_header(path, units: str | None = None) -> Header:
    """What an HDF5 file says of its channels; which of the two layouts it has, its groups tell.

    Clock times are UTC. Parameters and errors as `read_hdf5`.
    """
    with _signals(path) as (file, signals):
        return _header(path, file, signals, units)


def read_hdf5(path, channels: Sequence[str] | None = None, units: str | None = None) -> Recording:
    """Read a recording of DCSM, or one of the Dreem nights with its consensus hypnogram.

    Parameters
    ----------
    channels : labels to read, in this order; by default all
    units : of the file's values, whatever it says itself; without a word of it they are taken for microvolts

    Raises
    ------
    SleeplibError
        If the file is damaged, of another layout, leads to other files, or promises more than it can hold.
    """
    with _signals(path) as (file, signals):
        header = _header(path, file, signals, units)
        places = chosen(path, header.channels, channels)
        gains = [microvolts(header.units[i]) for i in places]
        return Recording(
            signals=[
                _values(signals[header.channels[i]], gain) for i, gain in zip(places, gains, strict=True)
            ],
            rates=[header.rates[i] for i in places],
            channels=[header.channels[i] for i in places],
            units=["uV" if gain else header.units[i] for i, gain in zip(places, gains, strict=True)],
            id=header.id,
            start=header.start,
            hypnogram=_hypnogram(path, file),
        )


@contextmanager
def _signals(path) -> Iterator[tuple[h5py.File, dict[str, h5py.Dataset]]]:
    """The open file and its signals by label, after a check of what they promise."""
    with damage(path, "HDF5"):
        stat = os.stat(path)
        _survey(os.fspath(path), stat.st_mtime_ns, stat.st_size)
    with damage(path, "HDF5"), h5py.File(path, "r", locking=False) as file:
        if "channels" in file:
            signals = sorted(_members(path, _own(path, file, "channels")), key=_index)
        elif "signals" in file:
            groups = [group for _, group in _members(path, _own(path, file, "signals"))]
            signals = [member for group in groups for member in _members(path, group)]
        else:
            raise SleeplibError(
                f"{path}: no group /channels (DCSM) or /signals (Dreem nights); not a recording of theirs"
            )
        if not signals or len(dict(signals)) < len(signals):
            raise SleeplibError(f"{path}: {len(signals)} signals, {len(dict(signals))} names; fetch it again")
        _check(path, dict(signals))
        yield file, dict(signals)


@lru_cache(maxsize=1024)
def _survey(path: str, mtime_ns: int, size: int) -> None:
    """Let another process look at all that is read of a file but its samples.

    In some damaged files HDF5 2.0 walks in circles for ever, or takes gigabytes for a text; no exception ends that.
    """
    quiet = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    try:
        command = [sys.executable, "-c", _SURVEY, path]
        done = subprocess.run(command, capture_output=True, timeout=_SURVEY_SECONDS, env=quiet)
    except subprocess.TimeoutExpired as error:
        raise SleeplibError(
            f"{path}: damaged: HDF5 comes to no end with it; fetch or copy it again"
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"signal {-done.returncode}"]
        raise SleeplibError(f"{path}: not a readable HDF5 file ({said[-1][:200]}); fetch or copy it again")


def _members(path, group) -> list[tuple[str, h5py.Group | h5py.Dataset]]:
    if not isinstance(group, h5py.Group) or len(group) > _MOST_SIGNALS:
        raise SleeplibError(f"{path}: signals are missing, or more than {_MOST_SIGNALS}; fetch it again")
    return [(name, _own(path, group, name)) for name in group]


def _own(path, group, name: str) -> h5py.Group | h5py.Dataset:
    """What has this name in a group; links, which can lead into any other file, are refused."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise SleeplibError(f"{path}: {name} is a link; put there what it leads to")
    return group[name]


def _index(member: tuple[str, h5py.Dataset]) -> float:
    return float(member[1].attrs.get("channel_index", np.inf))


def _check(path, signals: dict[str, h5py.Dataset]) -> None:
    for label, x in signals.items():
        _check_row(path, label, x)
    promised, held = sum(map(_bytes, signals.values())), Path(path).stat().st_size
    if promised > _MOST_PACKED * held:
        raise SleeplibError(
            f"{path}: promises {promised:,} bytes of signals and has {held:,}; fetch it again"
        )


def _check_row(path, label: str, x) -> None:
    if not isinstance(x, h5py.Dataset) or x.ndim != 1 or x.dtype.kind not in "fiu" or not x.size:
        raise SleeplibError(f"{path}: {label} is not a row of numbers; fetch it again")
    if x.is_virtual or x.external:
        raise SleeplibError(f"{path}: {label} stands in another file; put the signal itself there")
    if x.chunks and x.chunks[0] * x.dtype.itemsize > _LARGEST_CHUNK:
        raise SleeplibError(
            f"{path}: {label} is packed in pieces of over {_LARGEST_CHUNK:,} bytes; pack it again"
        )
    if _bytes(x) > _GZIP * x.id.get_storage_size():
        raise SleeplibError(
            f"{path}: {label} promises {_bytes(x):,} bytes that are not there; fetch it again"
        )


def _bytes(x: h5py.Dataset) -> int:
    return x.size * x.dtype.itemsize


def _header(path, file: h5py.File, signals: dict[str, h5py.Dataset], units: str | None) -> Header:
    rates, names = [], []
    for label, x in signals.items():
        rate = _attribute(x, "sample_rate", "fs") or _described(file, x, "fs")
        rates.append(number(rate, f"{path}: the rate of {label} is", 1e-3, _HIGHEST_RATE))
        names.append(units or _attribute(x, "unit") or str(_described(file, x, "unit") or "uV"))
    start = _start(_attribute(file, "date", "start_time"))
    return Header(list(signals), rates, names, [x.size for x in signals.values()], Path(path).stem, start)


def _attribute(node, *names: str) -> str | None:
    """An attribute as text, of the node or else of the nearest group above it that has one."""
    while True:
        for name in names:
            if name in node.attrs:
                return _value(node, name)
        if node.name == "/":
            return None
        node = node.parent


def _value(node, name: str) -> str:
    """The first value of an attribute, as text."""
    stored = node.attrs.get_id(name)
    if math.prod(stored.shape or (0,)) * stored.dtype.itemsize > LARGEST_TEXT:
        raise SleeplibError(f"{node.file.filename}: the attribute {name} is damaged; fetch it again")
    value = (np.ravel(node.attrs[name])[:1].tolist() or [""])[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _described(file: h5py.File, x: h5py.Dataset, key: str):
    """What the Dreem nights' `description`, a list in JSON, says of a signal; `None` where it does not."""
    text = _attribute(file, "description") or "[]"
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        return None
    entries = described if isinstance(described, list) else []
    known = [e for e in entries if isinstance(e, dict) and str(e.get("path")).strip("/") == x.name.strip("/")]
    return known[0].get(key) if known else None


def _start(text: str | None) -> datetime | None:
    """From seconds since 1970 or a date by ISO 8601; `None` where neither is there ("UNKNOWN")."""
    for parse in (lambda: datetime.fromtimestamp(float(text), UTC), lambda: datetime.fromisoformat(text)):
        try:
            return parse().replace(tzinfo=None)
        except (TypeError, ValueError, OverflowError, OSError):
            continue
    return None


def _values(x: h5py.Dataset, gain: float | None) -> np.ndarray:
    values = np.empty(x.shape, np.float32)
    x.read_direct(values)
    return values if gain in (None, 1.0) else values * np.float32(gain)


def _hypnogram(path, file: h5py.File) -> Hypnogram | None:
    if "hypnogram" not in file:
        return None
    codes = _own(path, file, "hypnogram")
    _check_row(path, "/hypnogram", codes)
    if codes.size > LONGEST:
        raise SleeplibError(f"{path}: /hypnogram is longer than any night; fetch it again")
    codes = codes[()]
    if not np.isin(codes, [_MISSING, 0, 1, 2, 3, 4]).all():
        raise SleeplibError(f"{path}: /hypnogram holds other codes than -1 to 4; fetch it again")
    return Hypnogram(np.where(codes == _MISSING, UNSCORED, codes))


def write_dcsm(path, recording: Recording, compression: str | None = None) -> None:
    """Write a recording as DCSM does; its own files have `compression="gzip"`, which takes long.

    The rate stands at the root, where the channels have one in common, and else at each of them.
    """
    with whole(path) as part, h5py.File(part, "w") as file:
        start = recording.start
        file.attrs["date"] = "UNKNOWN" if start is None else start.replace(tzinfo=UTC).timestamp()
        group = file.create_group("channels")
        for i, label in enumerate(recording.channels):
            x = group.create_dataset(
                label, data=np.asarray(recording.signals[i], "<f4"), compression=compression
            )
            x.attrs["channel_index"] = i
            at = file if len(set(recording.rates)) == 1 else x
            at.attrs["sample_rate"] = recording.rates[i]


def write_dod(path, recording: Recording, start_time: bool = True) -> None:
    """Write a recording as the Dreem nights are; their stages, -1 where unscored, stand in the file.

    Parameters
    ----------
    start_time : whether the file says when it starts; some do not

    Raises
    ------
    SleeplibError
        If channels of one kind (eeg, eog, emg) differ in rate or unit.
    """
    described, said = [], {}
    with whole(path) as part, h5py.File(part, "w") as file:
        for x, rate, label, unit in zip(
            recording.signals, recording.rates, recording.channels, recording.units, strict=True
        ):
            kind = _KINDS.get(label[:3].upper(), "eeg")
            if said.setdefault(kind, (rate, unit)) != (rate, unit):
                raise SleeplibError(f"{path}: {label} differs in rate or unit from the other {kind} channels")
            file[f"signals/{kind}/{label}"] = np.asarray(x, "<f4")
            file[f"signals/{kind}"].attrs.update({"fs": rate, "unit": np.bytes_(unit.encode())})
            described.append(_description(kind, label, rate, unit))
        if recording.hypnogram:
            file["hypnogram"] = np.where(recording.hypnogram.scored, recording.hypnogram.stages, _MISSING)
        file.create_group("events")
        said = {
            "description": json.dumps(described),
            "events_description": "[]",
            "duration": recording.duration,
        }
        if start_time and recording.start:
            said["start_time"] = recording.start.replace(tzinfo=UTC).timestamp()
        file.attrs.update(said)


def _description(kind: str, label: str, rate: float, unit: str) -> dict:
    path = f"signals/{kind}/{label}"
    return {"path": path, "fs": rate, "unit": unit, "name": label, "domain": kind, "default": True}
