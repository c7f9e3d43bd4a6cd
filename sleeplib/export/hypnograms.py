"""A hypnogram in, a file that other tools open out: EDF+ annotations, or a table with probabilities."""

import re
import unicodedata
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.export.writing import writing
from sleeplib.readers.edf import write_edf
from sleeplib.recording import Event, Hypnogram, Recording, Subject
from sleeplib.stages import STAGES, UNSCORED

DECIMALS = 4  # of probabilities
UNKNOWN = "?"
# What stages are called in tables, by code.
NAMES = np.array([*STAGES, *[UNKNOWN] * (UNSCORED - len(STAGES) + 1)])
PROBABILITIES = [f"p_{name}" for name in STAGES]
_CODE_LENGTH = 40  # of the 80 characters that an EDF header has for the patient
_EDF_YEARS = range(1985, 2085)


def to_edf(
    hypnogram: Hypnogram, path: str | Path, start: datetime | None = None, force: bool = False, *,
    events: list[Event] = (), subject: Subject | None = None,
) -> Path:  # fmt: skip
    """Write stages as an EDF+ annotation file, one annotation for each bout; onsets in seconds from `start`.

    EDF+ must have a start. Where none is known it is midnight of 1985-01-01 and the date is marked as unknown ("X");
    a year that EDF cannot hold (before 1985, after 2084: dates that were shifted to hide them) becomes 1985-01-01, with
    the time of day kept. Texts of the header are ASCII, so that a name loses what is not.

    Parameters
    ----------
    start : of the recording whose hypnogram it is
    events : annotations besides the stages
    subject : whose night it is; by default somebody called as the file

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or it cannot be written.
    """
    subject = subject or Subject(Path(path).stem)
    if start and start.year not in _EDF_YEARS:
        start = start.replace(year=1985, month=1, day=1)
    night = Recording(
        [], [], [], start=start, subject=replace(subject, id=_ascii(subject.id)), hypnogram=hypnogram,
        events=list(events),
    )  # fmt: skip
    with writing(path, force=force) as (part,):
        write_edf(night, part)
    return Path(path)


def _ascii(text: str) -> str:
    """A text as EDF+ can hold it in a header: printable ASCII without spaces, accents dropped; "X" if none is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^!-~]+", "_", plain.strip())[:_CODE_LENGTH] or "X"


def to_csv(
    hypnogram: Hypnogram, path: str | Path, posteriors: np.ndarray | None = None, force: bool = False
) -> Path:
    """Write one line for each epoch: onset and duration in seconds, stage, and the five probabilities if given.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, it cannot be written, or posteriors and stages differ in number.
    """
    table = epochs(hypnogram, posteriors)
    with writing(path, force=force) as (part,):
        table.to_csv(part, index=False)
    return Path(path)


def epochs(hypnogram: Hypnogram, posteriors: np.ndarray | None = None):
    """A data frame with a row for each epoch; errors as `to_csv`."""
    import pandas as pd

    if posteriors is not None and len(posteriors) != len(hypnogram):
        raise SleeplibError(f"{len(posteriors)} posteriors do not fit {len(hypnogram)} stages")
    onsets = hypnogram.onset + hypnogram.epoch_seconds * np.arange(len(hypnogram))
    columns = {
        "onset": np.round(onsets, 9),
        "duration": hypnogram.epoch_seconds,
        "stage": NAMES[hypnogram.stages],
    }
    if posteriors is not None:  # an epoch without a stage has no probabilities
        shares = np.where(
            hypnogram.scored[:, None], np.round(np.asarray(posteriors, float), DECIMALS), np.nan
        )
        columns |= dict(zip(PROBABILITIES, shares.T, strict=True))
    return pd.DataFrame(columns)
