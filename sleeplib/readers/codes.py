"""Hypnograms as text: one code per line (ISRUC, SVUH), or one run per line (the `.ids` of DCSM)."""

from collections.abc import Iterable, Mapping

from sleeplib import stages as vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.readers.common import number, read_text, whole
from sleeplib.readers.grid import on_grid
from sleeplib.recording import Event, Hypnogram
from sleeplib.stages import EPOCH_SECONDS, LONGEST, STAGES, UNSCORED

ISRUC = {"0": 0, "1": 1, "2": 2, "3": 3, "4": 3, "5": 4}
SVUH = {"0": 0, "1": 4, "2": 1, "3": 2, "4": 3, "5": 3, "6": UNSCORED, "7": UNSCORED, "8": UNSCORED}
_IDS = dict(enumerate(STAGES)) | {UNSCORED: "UNKNOWN"}


def read_codes(
    path, codes: Mapping[str, int], epoch_seconds: float = EPOCH_SECONDS
) -> tuple[Hypnogram, list[Event]]:
    """A hypnogram with one code per line, blank lines after the last of them forgiven; there are no events.

    Parameters
    ----------
    codes : stage of each text, such as `ISRUC` or `SVUH`

    Raises
    ------
    SleeplibError
        If a line holds no known code, naming it, or if there is none.
    """
    lines = _lines(path)
    for n, line in enumerate(lines, 1):
        if line not in codes:
            raise SleeplibError(f"{path}: line {n} is {line[:40]!r}; known codes: {', '.join(codes)}")
    return Hypnogram([codes[line] for line in lines], epoch_seconds), []


def write_codes(path, codes: Iterable, blank_lines: int = 0) -> None:
    """Write one code per line as it is given, and blank lines after them, which some files have."""
    with whole(path) as part:
        part.write_text("".join(f"{code}\n" for code in codes) + "\n" * blank_lines)


def read_ids(path) -> tuple[Hypnogram, list[Event]]:
    """A hypnogram of lines `start,duration,STAGE` in seconds; what no line covers is unscored; there are no events.

    Raises
    ------
    SleeplibError
        If a line is no such triple, naming it, or if there is none.
    """
    runs = [_run(f"{path}: line {n}", line) for n, line in enumerate(_lines(path), 1)]
    return on_grid(path, runs), []


def write_ids(path, hypnogram: Hypnogram) -> None:
    """Write one line per run of equal stages, in whole seconds."""
    runs = vocabulary.to_intervals(hypnogram.stages, hypnogram.epoch_seconds)
    with whole(path) as part:
        part.write_text(
            "".join(
                f"{hypnogram.onset + onset:.0f},{length:.0f},{_IDS[code]}\n" for onset, length, code in runs
            )
        )


def _lines(path) -> list[str]:
    lines = [line.strip() for line in read_text(path, "text").rstrip().splitlines()]
    if not 0 < len(lines) <= LONGEST:
        raise SleeplibError(f"{path}: {len(lines):,} lines; expected the stages of one night")
    return lines


def _run(where: str, line: str) -> tuple[float, float, int]:
    parts = line.split(",")
    if len(parts) != 3 or not vocabulary.is_stage(parts[2]):
        raise SleeplibError(f"{where} is {line[:40]!r}; expected start,duration,STAGE in seconds")
    onset = number(parts[0], f"{where}: the start is", 0)
    return onset, number(parts[1], f"{where}: the duration is", 0), vocabulary.parse(parts[2])
