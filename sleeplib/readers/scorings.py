"""Several scorers of one night, as the Dreem Open Datasets serve them: `scorer_1/<name>.json` and so on."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import read_text, whole
from sleeplib.recording import Hypnogram
from sleeplib.stages import EPOCH_SECONDS, UNSCORED

_MISSING = -1  # their code of an epoch that nobody scored


def read_scorings(path: str | Path, epoch_seconds: float = EPOCH_SECONDS) -> list[Hypnogram]:
    """The hypnograms of all scorers of a recording, from `scorer_*/<name>.json` beside it; none is an empty list.

    Parameters
    ----------
    path : the recording, which need not exist itself (the Dreem hypnograms come without signals)

    Raises
    ------
    SleeplibError
        If a file is no list of stage codes (-1 not scored, 0 W, 1 N1, 2 N2, 3 N3, 4 REM).
    """
    path = Path(path)
    files = sorted(path.parent.glob(f"scorer_*/{path.stem}.json"), key=lambda file: _number(file.parent.name))
    return read_scoring_files(files, epoch_seconds)


def read_scoring_files(files: Iterable[str | Path], epoch_seconds: float = EPOCH_SECONDS) -> list[Hypnogram]:
    """The hypnograms of the given files, wherever they stand; each scorer has the name of its file's folder.

    Raises
    ------
    SleeplibError
        If a file is missing or no list of stage codes.
    """
    return [Hypnogram(_codes(file), epoch_seconds, scorer=file.parent.name) for file in map(Path, files)]


def cut(
    scorings: Sequence[Hypnogram], limits: tuple[int | None, int | None] | None = None
) -> tuple[list[Hypnogram], tuple[int, int]]:
    """The epochs that lie between every scorer's first and last stage, as the Dreem nights' signals do.

    Parameters
    ----------
    scorings : of one night, on one grid
    limits : first epoch to keep and the one behind the last, by hand; `None` where the stages decide

    Returns
    -------
    scorings : cut, their onsets moved
    (start, end) : what was kept of them, in epochs

    Raises
    ------
    SleeplibError
        If the scorings differ in length or onset, or no such epoch is left.
    """
    if len({(len(s), s.onset, s.epoch_seconds) for s in scorings}) != 1:
        lengths = ", ".join(str(len(s)) for s in scorings)
        raise SleeplibError(f"scorings of one night must be on one grid; these have {lengths or 'no'} epochs")
    first, last = limits or (None, None)
    scored = [np.flatnonzero(s.scored).tolist() for s in scorings]
    n = len(scorings[0])
    start = max(first or 0, *(min(places, default=n) for places in scored))
    end = min(n if last is None else last, *(max(places, default=-1) + 1 for places in scored))
    if start >= end:
        raise SleeplibError("no epoch lies between every scorer's first and last stage; check the files")
    kept = [replace(s, stages=s.stages[start:end], onset=s.onset + start * s.epoch_seconds) for s in scorings]
    return kept, (start, end)


def write_scoring(hypnogram: Hypnogram, file: str | Path) -> None:
    """Write the list of one scorer; the file never stands half-written."""
    codes = [_MISSING if code == UNSCORED else code for code in hypnogram.stages.tolist()]
    with whole(file) as part:
        part.write_text(json.dumps(codes) + "\n")


def _number(folder: str) -> tuple[int, str]:
    digits = folder.removeprefix("scorer_")
    return (int(digits) if digits.isdecimal() else 1_000_000, folder)


def _codes(file: Path) -> list[int]:
    text = read_text(file, "JSON")
    try:
        codes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SleeplibError(f"{file}: not a JSON file, or cut short") from error
    known = (_MISSING, 0, 1, 2, 3, 4)
    if not isinstance(codes, list) or any(type(code) is not int or code not in known for code in codes):
        raise SleeplibError(f"{file}: expected a list of the stage codes -1 to 4")
    return [UNSCORED if code == _MISSING else code for code in codes]
