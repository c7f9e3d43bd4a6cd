"""Several scorers of one night, as the Dreem Open Datasets serve them: `scorer_1/<name>.json` and so on."""

import json
from pathlib import Path

from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram
from sleeplib.stages import EPOCH_SECONDS, UNSCORED

_MISSING = -1  # their code of an epoch that nobody scored


def sidecars(path: str | Path, n: int) -> list[Path]:
    """Where the hypnograms of `n` scorers stand for the recording `path`."""
    path = Path(path)
    return [path.parent / f"scorer_{k}" / f"{path.stem}.json" for k in range(1, n + 1)]


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
    return [Hypnogram(_codes(file), epoch_seconds, scorer=file.parent.name) for file in files]


def write_scorings(hypnograms: list[Hypnogram], path: str | Path) -> None:
    """Write one file for each scorer beside the recording `path`; a file never stands half-written."""
    for hypnogram, file in zip(hypnograms, sidecars(path, len(hypnograms)), strict=True):
        codes = [_MISSING if code == UNSCORED else code for code in hypnogram.stages.tolist()]
        file.parent.mkdir(exist_ok=True)
        part = file.with_name(file.name + ".part")
        part.write_text(json.dumps(codes) + "\n")
        part.replace(file)


def _number(folder: str) -> tuple[int, str]:
    digits = folder.removeprefix("scorer_")
    return (int(digits) if digits.isdecimal() else 1_000_000, folder)


def _codes(file: Path) -> list[int]:
    try:
        codes = json.loads(file.read_text())
    except OSError as error:
        raise SleeplibError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise SleeplibError(f"{file}: not a JSON file, or cut short") from error
    known = (_MISSING, 0, 1, 2, 3, 4)
    if not isinstance(codes, list) or any(type(code) is not int or code not in known for code in codes):
        raise SleeplibError(f"{file}: expected a list of the stage codes -1 to 4")
    return [UNSCORED if code == _MISSING else code for code in codes]
