"""A file format in, a `Recording` out. `read`, `header` and `read_hypnogram` choose the reader by the file's name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sleeplib.errors import SleeplibError
from sleeplib.readers.bids import read_bids
from sleeplib.readers.codes import read_ids
from sleeplib.readers.edf import read_edf, read_edf_header, read_edf_hypnogram
from sleeplib.readers.hdf5 import read_hdf5, read_hdf5_header
from sleeplib.readers.isruc import read_isruc
from sleeplib.readers.npz import read_npz, read_npz_header, read_npz_hypnogram
from sleeplib.readers.nsrr import read_nsrr
from sleeplib.readers.scorings import read_scoring_files
from sleeplib.readers.wfdb import read_wfdb, read_wfdb_annotations, read_wfdb_header
from sleeplib.recording import Header, Hypnogram, Recording


class _Format(NamedTuple):
    signals: Callable | None
    header: Callable | None
    hypnogram: Callable
    bare: Callable | None = None  # signals without stages and events


_EDF = _Format(read_edf, read_edf_header, read_edf_hypnogram, partial(read_edf, scored=False))
_HDF5 = _Format(read_hdf5, read_hdf5_header, lambda path: read_hdf5(path, []).hypnogram)
_WFDB = _Format(read_wfdb, read_wfdb_header, lambda path: _beside(path))
_FORMATS = {
    ".edf": _EDF,
    ".rec": _EDF,
    ".bdf": _EDF,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".hea": _WFDB,
    ".npz": _Format(read_npz, read_npz_header, read_npz_hypnogram, partial(read_npz, scored=False)),
    ".arousal": _Format(None, None, lambda path: _beside(Path(path).with_suffix(".hea"))),
    ".xml": _Format(None, None, lambda path: read_nsrr(path)[0]),
    ".ids": _Format(None, None, lambda path: read_ids(path)[0]),
    ".json": _Format(None, None, lambda path: read_scoring_files([path])[0]),
    ".tsv": _Format(None, None, lambda path: read_bids(path)[0]),
    ".xlsx": _Format(None, None, lambda path: read_isruc(path)[0]),
}


def _reader(path, what: str) -> Callable:
    path = Path(path)
    if not path.is_file():
        raise SleeplibError(f"{path}: no such file")
    known = [suffix for suffix, reader in _FORMATS.items() if getattr(reader, what)]
    if path.suffix.lower() not in known:
        raise SleeplibError(
            f"{path}: cannot read {path.suffix or 'a file without suffix'} as {what}; known: {', '.join(known)}"
        )
    return getattr(_FORMATS[path.suffix.lower()], what)


def read(path, channels: list[str] | None = None, scored: bool = True) -> Recording:
    """Read any supported file of signals: EDF and EDF+ (`.edf`, `.rec`), BDF and BDF+ (`.bdf`), the HDF5 of DCSM and
    DOD (`.h5`), WFDB (`.hea`), DeepSleepNet arrays (`.npz`).

    Parameters
    ----------
    channels : labels to read, in this order; by default all
    scored : whether stages and events are wanted; if not, an EDF, BDF or .npz file is read whatever is wrong with them

    Raises
    ------
    SleeplibError
        If the file is missing, of unknown kind, or damaged, or lacks a channel.
    """
    reader = _reader(path, "signals")
    bare = _FORMATS[Path(path).suffix.lower()].bare
    return reader(path, channels) if scored or not bare else bare(path, channels)


def header(path) -> Header:
    """What a file of signals says of itself: channels, rates, units, lengths, start.

    Raises
    ------
    SleeplibError
        If the file is missing, of unknown kind, or damaged.
    """
    return _reader(path, "header")(path)


def read_hypnogram(path) -> Hypnogram:
    """Read the stages alone from any supported file: one of signals that holds them, NSRR and Profusion XML, `.ids` of
    DCSM, `.arousal` of PhysioNet 2018, `.json` of Dreem's scorers, `.xlsx` of ISRUC, `.tsv` of BIDS events. (Bare codes
    in `.txt` mean something in their cohort only.)

    Raises
    ------
    SleeplibError
        If the file is missing, of unknown kind, damaged, or holds no stages.
    """
    hypnogram = _reader(path, "hypnogram")(path)
    if hypnogram is None:
        raise SleeplibError(f"{path}: no sleep stages in it")
    return hypnogram


def _beside(path) -> Hypnogram | None:
    """The stages in the `.arousal` file beside a WFDB header."""
    known = read_wfdb_header(path)
    return read_wfdb_annotations(Path(path).with_suffix(".arousal"), known.rates[0], known.duration)[0]
