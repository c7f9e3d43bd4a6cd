"""The files of one simulated night: what a real cohort would have, and the truth that none has.

`<name>.edf` holds signals, hypnogram and annotated events; `scorer_1/<name>.json` and so on the scorers where there are
several; `truth/<name>.tsv` the state at 128 Hz and every event. The EDF is written last: a night that has it is whole.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import read_edf_hypnogram, write_edf
from sleeplib.readers.scorings import read_scorings, sidecars, write_scorings
from sleeplib.recording import Event, Recording
from sleeplib.simulator.macrostructure import RATE
from sleeplib.stages import STAGES, to_intervals

_COLUMNS = "onset\tduration\tkind"
_END = "end"  # the last row's kind; its onset is the length of the night


def all_of(edf: Path, scorers: int) -> list[Path]:
    """All files of a night, its EDF last."""
    return [*(sidecars(edf, scorers) if scorers > 1 else []), _truth(edf), edf]


def write(recording: Recording, edf: Path, spelling=None, bouts: bool = True) -> None:
    """Write all files of a night, the EDF last; the recording's signals are given up. See `write_edf` for the rest."""
    write_scorings(recording.scorings, edf)
    _truth(edf).parent.mkdir(exist_ok=True)
    replace(_truth(edf), "\n".join(_rows(recording)) + "\n")
    write_edf(recording, edf, spelling, bouts, release=True)


def finished(edf: Path, scorers: int) -> bool:
    """Whether all files of a night stand whole."""
    try:
        hypnogram = read_edf_hypnogram(edf)
        state, _ = read_truth(edf)
        lengths = [len(scoring) for scoring in read_scorings(edf)]
    except SleeplibError:  # missing, or cut short by a full disk or an interrupted copy
        return False
    right = [len(hypnogram)] * (scorers if scorers > 1 else 0)
    return lengths == right and len(state) >= len(hypnogram) * hypnogram.epoch_seconds * RATE


def replace(path: Path, text: str) -> None:
    """Write a text file that never stands half-written."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


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
    path = path if path.suffix == ".tsv" else _truth(path)
    *rows, end = _parse(path)
    bouts = [row for row in rows if row.kind in STAGES]
    lengths = np.array([round(bout.duration * RATE) for bout in bouts], int)
    starts = [round(bout.onset * RATE) for bout in bouts]
    if end.kind != _END or [*starts, round(end.onset * RATE)] != [0, *np.cumsum(lengths)]:
        raise SleeplibError(f"{path}: cut short; simulate the cohort again to mend it")
    state = np.repeat([STAGES.index(bout.kind) for bout in bouts], lengths).astype(np.int8)
    return state, [row for row in rows if row.kind not in STAGES]


def _truth(edf: Path) -> Path:
    return edf.parent / "truth" / f"{edf.stem}.tsv"


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
