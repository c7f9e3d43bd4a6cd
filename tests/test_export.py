"""Files that other tools open."""

from datetime import datetime

import edfio
import numpy as np
import pandas as pd
import pytest

from sleeplib import export, readers
from sleeplib.errors import SleeplibError
from sleeplib.recording import Hypnogram

HYPNOGRAM = Hypnogram([0, 0, 1, 2, 2, 9, 4], onset=60.0)


def test_annotations_are_read_by_another_reader_and_by_ours(tmp_path):
    path = export.to_edf(HYPNOGRAM, tmp_path / "h.edf", start=datetime(2001, 2, 3, 22, 0))
    theirs = [(a.onset, a.duration, a.text) for a in edfio.read_edf(path).annotations]
    assert theirs[:2] == [(60.0, 60.0, "Sleep stage W"), (120.0, 30.0, "Sleep stage N1")]
    ours = readers.read_hypnogram(path)
    assert ours.stages.tolist() == HYPNOGRAM.stages.tolist() and ours.onset == 60


def test_a_table_with_probabilities(tmp_path):
    p = np.full((7, 5), 0.2)
    table = pd.read_csv(export.to_csv(HYPNOGRAM, tmp_path / "new/h.csv", p))
    assert table.columns.tolist() == ["onset", "duration", "stage", "p_W", "p_N1", "p_N2", "p_N3", "p_REM"]
    assert table.onset.tolist()[:2] == [60, 90] and table.stage.tolist() == [
        "W",
        "W",
        "N1",
        "N2",
        "N2",
        "?",
        "REM",
    ]


def test_nothing_is_overwritten_unless_asked(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("mine")
    with pytest.raises(SleeplibError, match="--force"):
        export.to_csv(HYPNOGRAM, path)
    assert path.read_text() == "mine"
    export.to_csv(HYPNOGRAM, path, force=True)
    with pytest.raises(SleeplibError, match="3 posteriors do not fit 7 stages"):
        export.to_csv(HYPNOGRAM, tmp_path / "p.csv", np.ones((3, 5)))
