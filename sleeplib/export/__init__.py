"""A night in, files that other tools open out: EDF+ and BIDS annotations, tables, arrays, YASA's hypnograms.

Each function takes a night, a path and `force`, and gives the path back. It writes its file whole or not at all, and
over an existing one with `force` only. `FORMATS` has them all by name.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from sleeplib.errors import SleeplibError
from sleeplib.export.hypnograms import to_csv, to_edf
from sleeplib.export.nights import arrays, bids, csv, edf, fine_csv, yasa, yasa_json
from sleeplib.export.tables import statistics, summary, summary_table
from sleeplib.export.writing import may_write
from sleeplib.staged import Staged

__all__ = [
    "FORMATS", "arrays", "bids", "csv", "edf", "fine_csv", "statistics", "summary", "summary_table", "targets",
    "to_csv", "to_edf", "write", "yasa", "yasa_json",
]  # fmt: skip


class Format(NamedTuple):
    """What a file's name ends with, who writes it, and what it is in words."""

    ending: str
    write: Callable
    title: str


# No ending is that of a recording: `night.edf` can stand beside its stages and is never written over.
FORMATS = {
    "edf": Format("_hypnogram.edf", edf, "EDF+ annotations"),
    "csv": Format("_hypnogram.csv", csv, "table with probabilities"),
    "fine-csv": Format("_hypnogram-fine.csv", fine_csv, "table at the resolution that was asked for"),
    "bids": Format("_events.tsv", bids, "BIDS events, with a JSON sidecar"),
    "npz": Format("_hypnogram.npz", arrays, "NumPy arrays"),
    "yasa": Format("_yasa.txt", yasa, "YASA's integer codes, one line per epoch"),
    "yasa-json": Format("_yasa.json", yasa_json, "YASA's Hypnogram, with clock time and probabilities"),
    "statistics": Format("_statistics.csv", statistics, "sleep statistics"),
}


def targets(night: Staged, folder: str | Path, formats: Collection[str] = ("edf", "csv")) -> dict[str, Path]:
    """The file of each format that `write` makes of a night, named after its `id`.

    Of a night of a BIDS data set (`sub-..._eeg`) the events are a derivative, `sub-..._desc-sleeplib_events.tsv`, so
    that the data set's own are left alone.

    Raises
    ------
    SleeplibError
        If a format is not known, or the night's id is no file name.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise SleeplibError(f"no format {', '.join(unknown)}; known: {', '.join(FORMATS)}")
    if night.id in ("", ".", "..") or re.search(r"[/\\\0]", night.id):
        raise SleeplibError(f"night {night.id!r}: the id cannot name a file; choose another")
    paths = {name: Path(folder) / (night.id + FORMATS[name].ending) for name in formats}
    if "bids" in paths and night.id.startswith("sub-"):
        entities = re.sub("_(eeg|ieeg|meg|nirs)$", "", night.id)  # BIDS' suffixes of such files
        paths["bids"] = Path(folder) / f"{entities}_desc-sleeplib_events.tsv"
    return paths


def write(
    night: Staged, folder: str | Path, formats: Collection[str] = ("edf", "csv"), force: bool = False
) -> list[Path]:
    """Write a night in several formats, none of them if one of the files exists and `force` is not given.

    Raises
    ------
    SleeplibError
        As `targets`, or if a file exists or cannot be written.
    """
    paths = targets(night, folder, formats)
    for path in paths.values():
        may_write(path, force)
    if "bids" in paths:
        may_write(paths["bids"].with_suffix(".json"), force)
    return [FORMATS[name].write(night, path, force) for name, path in paths.items()]
