"""The files of one simulated night and of its cohort: where they stand, whether they are whole, and the truth.


`truth/<id>.tsv` holds the state at 128 Hz and every event that happened. The file of the signals is written last: a
night that has it is whole.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sleeplib import readers
from sleeplib.cohorts import Entry, Manifest
from sleeplib.cohorts.nights import score
from sleeplib.errors import SleeplibError
from sleeplib.readers.tables import write_table
from sleeplib.recording import Event, Recording, Subject
from sleeplib.simulator.macrostructure import RATE
from sleeplib.stages import STAGES, to_intervals

_COLUMNS = "onset\tduration\tkind"
_PROFUSION = "-profusion.xml"
_END = "end"  # the last row's kind; its onset is the length of the night


def entry(manifest: Manifest, fields: dict[str, str], scorers: int, out: Path) -> Entry:
    """The files of a night with these fields in their names, by the first of the manifest's templates.

    NSRR serves each scoring in its own XML and in Profusion's: here `scoring` are both.
    """
    files = manifest.files

    def paths(key: str) -> tuple[Path, ...]:
        template = files.get(key) or ()
        template = _first(template) if isinstance(template, list) else [template] if template else []
        several = "scorer" not in fields and any("{scorer}" in t for t in template)
        numbers = range(1, scorers + 1) if several else [fields.get("scorer", "")]
        return tuple(out / t.format(**fields | {"scorer": k}) for t in template for k in numbers)

    person = files.get("person", "{person}").format(**fields)
    return Entry(
        files["id"].format(**fields), Subject(person), person, paths("signals")[0], paths("scoring"),
        paths("events"), fields,
    )  # fmt: skip


def _first(templates: list[str]) -> list[str]:
    """The first of several generations of names, and the first of Profusion's."""
    return templates[:1] + [t for t in templates[1:] if t.endswith(_PROFUSION)][:1]


def truth(out: Path, id: str) -> Path:
    """Where the truth of a night stands."""
    return out / "truth" / f"{id}.tsv"


def all_of(entry: Entry, out: Path) -> list[Path]:
    """All files of a night, that of its signals last."""
    beside = [entry.signals.with_suffix(".mat")] if entry.signals.suffix == ".hea" else []
    return [*entry.scoring, *entry.events, truth(out, entry.id), *beside, entry.signals]


def finished(manifest: Manifest, entry: Entry, out: Path) -> bool:
    """Whether all files of a night stand whole: none is missing, or cut short by a full disk or an interrupted copy."""
    if not all(path.is_file() for path in all_of(entry, out)):
        return False
    try:
        header = readers.header(entry.signals)
        scored = [score(manifest, one, header) for one in _alternatives(manifest, entry)]
        state, _ = read_truth(truth(out, entry.id))
    except SleeplibError:
        return False
    hypnogram, scorings, *_ = scored[0]
    lengths = {len(s) for s in scorings} | {len(other) for other, *_ in scored}
    epochs = np.flatnonzero(hypnogram.scored)
    last = hypnogram.onset + (epochs[-1] + 1 if len(epochs) else 0) * hypnogram.epoch_seconds
    return lengths == {len(hypnogram)} and len(state) >= last * RATE


def _alternatives(manifest: Manifest, entry: Entry) -> list[Entry]:
    """The night once for each file that tells the same scoring; readers take one of them."""
    if manifest.hypnogram["format"] != "nsrr":
        return [entry]
    return [dataclasses.replace(entry, scoring=(path,)) for path in entry.scoring]


def write_people(table: dict, people: list[tuple[dict, str, Subject]], out: Path) -> None:
    """Write a table of participants as the manifest describes it.

    Parameters
    ----------
    people : fields of the file names, id of the recording, and person, of each night
    """
    rows = {}
    for fields, id, subject in people:
        if not all(fields.get(key) == value for key, value in table.get("when", {}).items()):
            continue
        row = {column: value.format(**fields, id=id) for column, value in table["row"].items()}
        for key, value in (("age", subject.age), ("sex", subject.sex), ("ahi", subject.ahi)):
            spec = table.get(key)
            if isinstance(spec, dict):
                row[spec["column"]] = spec.get(value, value)
            elif spec and key != "sex":
                row[spec] = f"{value:.1f}"
        if "group" in table:
            row[table["group"]] = fields.get("family", "")
        rows.setdefault(tuple(row[column] for column in table["row"]), row)
    if rows:
        path = out / table["table"].replace("*", "0.1.0")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, list(rows.values()), table.get("header_row", 1))


def replace(path: Path, text: str) -> None:
    """Write a text file that never stands half-written."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def write_truth(recording: Recording, path: Path) -> None:
    """Write the truth of a night."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, "\n".join(_rows(recording)) + "\n")


def read_truth(path: str | Path) -> tuple[np.ndarray, list[Event]]:
    """The truth of a simulated night: `state` (T,) int8 at 128 Hz, exact to the sample, and all events that happened.

    Parameters
    ----------
    path : the night's `.edf`, or its `truth/<name>.tsv`

    Raises
    ------
    SleeplibError
        If the file is missing, damaged or cut short.
    """
    path = Path(path)
    path = path if path.suffix == ".tsv" else truth(path.parent, path.stem)
    *rows, end = _parse(path)
    bouts = [row for row in rows if row.kind in STAGES]
    lengths = np.array([round(bout.duration * RATE) for bout in bouts], int)
    starts = [round(bout.onset * RATE) for bout in bouts]
    if end.kind != _END or [*starts, round(end.onset * RATE)] != [0, *np.cumsum(lengths)]:
        raise SleeplibError(f"{path}: cut short; simulate the cohort again to mend it")
    state = np.repeat([STAGES.index(bout.kind) for bout in bouts], lengths).astype(np.int8)
    return state, [row for row in rows if row.kind not in STAGES]


def _rows(recording: Recording) -> Iterator[str]:
    """A header, the state's bouts, the events, and the end. Multiples of 1/128 s are exact in decimals."""
    yield _COLUMNS
    for onset, duration, code in to_intervals(recording.truth, 1 / RATE):
        yield f"{onset!r}\t{duration!r}\t{STAGES[code]}"
    for event in recording.true_events:
        yield f"{float(event.onset)!r}\t{float(event.duration)!r}\t{event.kind}"
    yield f"{len(recording.truth) / RATE!r}\t0.0\t{_END}"


def _parse(path: Path) -> list[Event]:
    try:
        header, *lines = path.read_text().splitlines()
        rows = [line.split("\t") for line in lines]
        events = [Event(kind, float(onset), float(duration)) for onset, duration, kind in rows]
    except OSError as error:
        raise SleeplibError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SleeplibError(f"{path}: not the truth of a simulated night, or damaged") from error
    if header != _COLUMNS or not events:
        raise SleeplibError(f"{path}: not the truth of a simulated night, or damaged")
    return events
