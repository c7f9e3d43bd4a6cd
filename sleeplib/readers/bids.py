"""The sleep events of BIDS (`*_events.tsv`): rows of onset, duration and what was scored, as in BOAS (ds005555)."""

from sleeplib import stages as vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.readers.common import number
from sleeplib.readers.grid import on_grid, timed
from sleeplib.readers.tables import cells
from sleeplib.recording import Event, Hypnogram

_COLUMNS = ("stage_hum", "stage", "trial_type")  # the first that is there: people before algorithms
_EVENTS = "trial_type"
# BOAS' own, where 4 is REM and not S4: 8 and -2 are what its experts' vote and its algorithm leave without a stage.
_CODES = {"0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "8": vocabulary.UNSCORED, "-2": vocabulary.UNSCORED}
_NOTHING = ("n/a", "")
_MARKS = ("artefact", "movement", "unknown")  # of what happens within an epoch, too


def read_bids(path, column: str | None = None) -> tuple[Hypnogram | None, list[Event]]:
    """Read stages, and events where there are any, from a BIDS table of events.

    Parameters
    ----------
    column : where the stages stand: BOAS' codes (0 W, 1 N1, 2 N2, 3 N3, 4 REM, 8 and -2 unscored) or texts such as
        `Sleep stage N2`; by default the human majority `stage_hum`, else `stage`, else `trial_type`

    Returns
    -------
    hypnogram : of the rows with a stage; `None` where there is none
    events : the rows whose `trial_type` is no stage, in seconds from the start of the recording

    Raises
    ------
    SleeplibError
        If the file is damaged, lacks a column, or has a code or number in it that is none.
    """
    lines = cells(path)
    names = next(lines, [])
    column = column or next((name for name in _COLUMNS if name in names), _COLUMNS[0])
    missing = [name for name in ("onset", "duration", column) if name not in names]
    if missing:
        raise SleeplibError(f"{path}: no column {', '.join(missing)}; it has {str(names)[:300]}")
    stages, events = [], []
    for line, texts in enumerate(lines, 2):
        where, row = f"{path}, line {line}", dict(zip(names, texts, strict=False))
        code, kind = _stage(row.get(column, ""), column, where), row.get(_EVENTS, "")
        if code is not None:
            stages.append((*_interval(row, where), code))
        elif kind not in _NOTHING and not _named(kind):
            events.append(Event(kind, *_interval(row, where)))
    return on_grid(path, *timed(path, stages)), events


def _named(kind: str) -> bool:
    """Whether a `trial_type` is a stage; digits and marks may mean anything there."""
    return vocabulary.is_stage(kind) and not kind.isdigit() and kind.strip().lower() not in _MARKS


def _stage(text: str, column: str, where: str) -> int | None:
    if text in _NOTHING or (column == _EVENTS and not _named(text)):
        return None
    if column != _EVENTS and text in _CODES:
        return _CODES[text]
    try:
        return vocabulary.parse(text)
    except SleeplibError as error:
        raise SleeplibError(
            f"{where}: {column} {text[:40]!r} is no stage; known: {', '.join(_CODES)}"
        ) from error


def _interval(row: dict[str, str], where: str) -> tuple[float, float]:
    duration = row.get("duration", "n/a")
    return (
        number(row.get("onset"), f"{where}: onset"),
        0.0 if duration in _NOTHING else number(duration, f"{where}: duration", 0.0),
    )
