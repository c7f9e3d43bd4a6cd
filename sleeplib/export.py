"""A hypnogram in, a file that other tools open out: EDF+ annotations, or a table with probabilities."""

import os
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import write_edf
from sleeplib.recording import Hypnogram, Recording
from sleeplib.stages import STAGES, UNSCORED


def _may_write(path: str | Path, force: bool) -> Path:
    path = Path(path)
    if path.exists() and not force:
        raise SleeplibError(f"{path} exists; choose another name or pass --force")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def to_edf(hypnogram: Hypnogram, path: str | Path, start=None, force: bool = False) -> Path:
    """Write stages as an EDF+ annotation file, one annotation for each bout.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given.
    """
    path = _may_write(path, force)
    write_edf(Recording([], [], [], id=path.stem, start=start, hypnogram=hypnogram), path)
    return path


def to_csv(
    hypnogram: Hypnogram, path: str | Path, posteriors: np.ndarray | None = None, force: bool = False
) -> Path:
    """Write one line for each epoch: onset and duration in seconds, stage, and the five probabilities if given.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or posteriors and stages differ in number.
    """
    import pandas as pd

    if posteriors is not None and len(posteriors) != len(hypnogram):
        raise SleeplibError(f"{len(posteriors)} posteriors do not fit {len(hypnogram)} stages")
    path = _may_write(path, force)
    names = np.array([*STAGES, *["?"] * (UNSCORED - len(STAGES) + 1)])
    onsets = hypnogram.onset + hypnogram.epoch_seconds * np.arange(len(hypnogram))
    table = pd.DataFrame(
        {"onset": onsets, "duration": hypnogram.epoch_seconds, "stage": names[hypnogram.stages]}
    )
    if posteriors is not None:
        table[[f"p_{name}" for name in STAGES]] = np.round(posteriors, 4)
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False)
    os.replace(part, path)
    return path
