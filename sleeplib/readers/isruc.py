"""ISRUC's scorings as Excel sheets: one row per epoch, typed by hand."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import number
from sleeplib.readers.tables import cells, write_cells
from sleeplib.recording import Event, Hypnogram
from sleeplib.stages import EPOCH_SECONDS, LONGEST, N1, N2, N3, REM, UNSCORED, W

COLUMNS = ("Epoch", "Stage", "SpO2", "HR", "Events", "BPOS", "Txln", "TxEx", "Technote")
TEXTS = {W: "W", N1: "N1", N2: "N2", N3: "N3", REM: "R", UNSCORED: "U"}
# What stands for a stage, whatever its case: typing errors, and the marks of lights out and on.
_STAGES = {text.lower(): code for code, text in TEXTS.items()} | {"n": N1, "": UNSCORED}
_STAGES |= {"l out": UNSCORED, "l on": UNSCORED}
_NAMED = ("Epoch", "Stage", "Events")
_MARK = re.compile(r"L (?:Out|On)\b|[^\s,;]+", re.IGNORECASE)


def read_isruc(path, epoch_seconds: float = EPOCH_SECONDS) -> tuple[Hypnogram, list[Event]]:
    """Stages and events of one scorer's sheet; epochs whose number stands nowhere are unscored.

    Each code in the column `Events` is an event from the beginning to the end of its epoch: the sheet says no more.
    Rows that do not begin with an epoch's number, as headings and remarks, are skipped.

    Raises
    ------
    SleeplibError
        If the file is no sheet, numbers no epoch, or holds a stage that is none, naming the row.
    """
    places, stages, events = [COLUMNS.index(name) for name in _NAMED], {}, []
    for n, row in enumerate(cells(path), 1):
        if "Stage" in row:
            places = [row.index(name) if name in row else COLUMNS.index(name) for name in _NAMED]
        epoch, stage, marks = (row[k] if k < len(row) else "" for k in places)
        if not re.match(r"-?\d", epoch):
            continue
        first = int(number(epoch, f"{path}: row {n}: the epoch is", 1, LONGEST)) - 1
        stages[first] = _stage(f"{path}: row {n}", stage)
        events += [Event(mark, first * epoch_seconds, epoch_seconds) for mark in _MARK.findall(marks)]
    if not stages:
        raise SleeplibError(
            f"{path}: no row begins with the number of an epoch; expected {', '.join(COLUMNS)}"
        )
    dense = np.full(max(stages) + 1, UNSCORED, np.int8)
    dense[list(stages)] = list(stages.values())
    return Hypnogram(dense, epoch_seconds), events


def _stage(where: str, text: str) -> int:
    plain = " ".join(text.lower().split())
    if plain not in _STAGES:
        raise SleeplibError(f"{where}: the stage is {text[:40]!r}; known: {', '.join(TEXTS.values())}")
    return _STAGES[plain]


def write_isruc(
    path,
    hypnogram: Hypnogram,
    events: Iterable[Event] = (),
    *,
    texts: Sequence[str] | None = None,
    header: Sequence[str] | None = COLUMNS,
) -> None:
    """Write one scorer's sheet; an event's kind stands in the row of the epoch in which it begins.

    Parameters
    ----------
    texts : stage of each epoch as it shall stand there (typing errors); by default `TEXTS`
    header : names of the columns, or `None` for a file that lacks them

    Raises
    ------
    SleeplibError
        If there are not as many texts as epochs.
    """
    texts = [TEXTS[code] for code in hypnogram.stages.tolist()] if texts is None else list(texts)
    if len(texts) != len(hypnogram):
        raise SleeplibError(f"{path}: {len(texts)} texts for {len(hypnogram)} epochs; give one for each")

    def epoch(event):
        return int(event.onset // hypnogram.epoch_seconds)

    marks = {n: ", ".join(e.kind for e in group) for n, group in groupby(sorted(events, key=epoch), epoch)}
    rows = [[n + 1, text, "", "", marks.get(n, ""), "", "", "", ""] for n, text in enumerate(texts)]
    write_cells(path, ([] if header is None else [list(header)]) + rows)
