"""A file format in, a `Recording` out. `read` and `read_hypnogram` choose the reader by the file's name."""

from pathlib import Path

from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import read_edf, read_edf_hypnogram
from sleeplib.readers.npz import read_npz, read_npz_hypnogram
from sleeplib.recording import Hypnogram, Recording

_READERS = {
    ".edf": (read_edf, read_edf_hypnogram),
    ".rec": (read_edf, read_edf_hypnogram),
    ".npz": (read_npz, read_npz_hypnogram),
}


def _reader(path, which: int):
    path = Path(path)
    if not path.is_file():
        raise SleeplibError(f"{path}: no such file")
    if path.suffix.lower() not in _READERS:
        raise SleeplibError(
            f"{path}: cannot read {path.suffix or 'a file without suffix'}; known: {', '.join(_READERS)}"
        )
    return _READERS[path.suffix.lower()][which]


def read(path) -> Recording:
    """Read any supported file: EDF and EDF+ (`.edf`, `.rec`), DeepSleepNet arrays (`.npz`).

    Raises
    ------
    SleeplibError
        If the file is missing, of unknown kind, or damaged.
    """
    return _reader(path, 0)(path)


def read_hypnogram(path) -> Hypnogram:
    """Read the stages alone from any supported file.

    Raises
    ------
    SleeplibError
        If the file is missing, of unknown kind, damaged, or holds no stages.
    """
    return _reader(path, 1)(path)
