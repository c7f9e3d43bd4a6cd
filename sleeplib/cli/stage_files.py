"""Which nights `stage` takes, and where the results of each go."""

from pathlib import Path
from typing import NamedTuple

from sleeplib.errors import SleeplibError

SIGNALS = (".edf", ".rec", ".bdf", ".h5", ".hdf5", ".hea", ".npz")  # files of a folder that may hold a night
_REPORT = "_report.html"
_OURS = ("_hypnogram.edf", "_hypnogram.npz")  # what this command has written and does not stage


class Task(NamedTuple):
    """A recording, the folder of its results, and what they are called."""

    path: Path
    folder: Path
    id: str

    @property
    def report(self) -> str:
        """The report's file name."""
        return self.id + _REPORT


def expanded(files: list[Path]) -> list[Path]:
    """Files as they are, folders as the recordings in them and below; without our own results and bare hypnograms."""
    found = []
    for path in files:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        kept = [
            each
            for each in inside
            if not path.is_dir() or (each.suffix.lower() in SIGNALS and _may_be_a_night(each))
        ]
        if not kept:
            raise SleeplibError(f"{path}: no recordings in this folder; they end in {', '.join(SIGNALS)}")
        found += kept
    return list(dict.fromkeys(found))


def _may_be_a_night(path: Path) -> bool:
    """Whether a file of a folder is to be tried; one that is damaged is, so that it is told."""
    from sleeplib import readers

    if path.name.endswith(_OURS) or not path.is_file():
        return False
    try:
        return bool(readers.header(path).channels)
    except SleeplibError:
        return True


def tasks(a, paths: list[Path]) -> list[Task]:
    """What is to be done, once it is sure that nothing would be lost; with --resume without what has been done.

    With --anonymous the nights are numbered, so that no file name of a person goes on into a result.

    Raises
    ------
    SleeplibError
        If a format is unknown, --channels names none, two nights would have the same files, a file exists and --force
        is not given, or a folder cannot be written to.
    """
    from sleeplib.export.writing import may_fill, may_write

    if a.anonymous and a.resume:
        raise SleeplibError(
            "--anonymous numbers the nights anew, so that --resume cannot know them; stage into an empty --out"
        )
    if a.summary and a.resume:
        raise SleeplibError("--summary would lack the nights that --resume skips; leave one of them away")
    if not a.format and not a.report:
        raise SleeplibError("nothing to write: --format names no format")
    if a.channels == []:
        raise SleeplibError("--channels names no channel; leave it away for all EEG and EOG")
    if a.out and a.out.exists() and not a.out.is_dir():
        raise SleeplibError(f"{a.out} is no folder; choose another name for --out")
    found, taken = [], {}
    for i, path in enumerate(paths, 1):
        task = Task(path, a.out or path.parent, f"night-{i:03d}" if a.anonymous else path.stem)
        targets = _targets(a, task)
        for target in targets:
            if target in paths:
                raise SleeplibError(f"{target} is a recording to be staged; choose a folder by --out")
            if taken.setdefault(target, path) != path:
                raise SleeplibError(
                    f"{taken[target]} and {path} would both be {target}; stage them into two folders"
                )
        if a.resume and all(target.is_file() for target in targets):
            continue
        for target in targets:
            if not (a.resume and target.is_file()):  # one that was interrupted between its files keeps them
                may_write(target, a.force)
        found.append(task)
    if a.summary and found:
        may_write(a.summary, a.force)
        if a.summary.suffix.lower() not in (".csv", ".tsv"):
            raise SleeplibError(f"{a.summary}: a summary ends in .csv or .tsv")
    for folder in {*(task.folder for task in found), *([a.summary.parent] if a.summary and found else [])}:
        may_fill(folder)
    return found


def _targets(a, task: Task) -> list[Path]:
    """The files that a night will have."""
    from types import SimpleNamespace

    from sleeplib import export

    files = export.targets(SimpleNamespace(id=task.id), task.folder, a.format)
    sidecar = [files["bids"].with_suffix(".json")] if "bids" in files else []
    return [*files.values(), *sidecar, *([task.folder / task.report] if a.report else [])]
