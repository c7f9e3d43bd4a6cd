"""Several scorers of one night: lists of files, and the span that all of them scored."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.readers.scorings import cut, read_scoring_files, read_scorings
from sleeplib.recording import Hypnogram

# Epochs outside these the Dreem program drops by hand.
LIMITS = {"5bf0f969": (60, None), "b5d5785d": (60, None), "3e842aa8": (None, 620)}

stages = st.sampled_from([0, 1, 2, 3, 4, 9])
panels = st.integers(1, 40).flatmap(
    lambda n: st.lists(st.lists(stages, min_size=n, max_size=n), min_size=1, max_size=5)
)


def test_the_dreem_nights_are_cut_as_published(shared):
    published = np.load(shared / "reference/vectors/dodh_consensus.npz")
    total = 0
    for i, (name, bounds) in enumerate(
        zip(published["dodh_recordings"], published["dodh_bounds"], strict=True)
    ):
        folder = shared / "data/hypnograms/dodh"
        scorings = read_scoring_files([folder / f"scorer_{k}" / f"{name}.json" for k in range(1, 6)])
        assert [s.stages.tolist() for s in scorings] == [
            s.stages.tolist() for s in read_scorings(folder / f"{name}.h5")
        ]
        assert {len(s) for s in scorings} == {published["dodh_raw_lengths"][i]}
        kept, span = cut(scorings, LIMITS.get(name[:8]))
        assert span == tuple(bounds.tolist())
        ours = np.array([s.stages for s in kept])
        theirs = published["dodh_scorers"][:, published["dodh_offsets"][i] : published["dodh_offsets"][i + 1]]
        assert (np.where(ours == 9, -1, ours) == np.where(theirs == 9, -1, theirs)).all()
        assert {s.onset for s in kept} == {span[0] * 30.0} and kept[0].scorer == "scorer_1"
        total += span[1] - span[0]
    assert total == 24_665


@given(panels)
def test_the_kept_span_is_the_largest_that_everybody_scored(panel):
    panel = np.array(panel, np.int8)
    scorings = [Hypnogram(row) for row in panel]
    scored = panel != 9
    inside = np.all([_between(row) for row in scored], axis=0)
    if not inside.any():
        with pytest.raises(SleeplibError, match="no epoch"):
            cut(scorings)
        return
    kept, (start, end) = cut(scorings)
    assert np.flatnonzero(inside).tolist() == list(range(start, end))
    assert (np.array([s.stages for s in kept]) == panel[:, start:end]).all()


def _between(scored):
    return np.logical_or.accumulate(scored) & np.logical_or.accumulate(scored[::-1])[::-1]


def test_limits_and_panels_that_cannot_be_cut():
    panel = [Hypnogram([0, 1, 2, 2, 9]), Hypnogram([9, 1, 2, 3, 4])]
    assert (
        cut(panel)[1] == (1, 4) and cut(panel, (2, None))[1] == (2, 4) and cut(panel, (None, 3))[1] == (1, 3)
    )
    with pytest.raises(SleeplibError, match="no epoch"):
        cut(panel, (3, 2))
    with pytest.raises(SleeplibError, match="have 5, 2 epochs"):
        cut([panel[0], Hypnogram([1, 2])])
    with pytest.raises(SleeplibError, match="have no epochs"):
        cut([])


def test_files_that_stand_anywhere(tmp_path):
    for k, codes in enumerate([[0, -1], [1, 2]]):
        (tmp_path / f"rater {k}").mkdir()
        (tmp_path / f"rater {k}/night.json").write_text(json.dumps(codes))
    scorings = read_scoring_files([tmp_path / f"rater {k}/night.json" for k in (1, 0)])
    assert [(s.scorer, s.stages.tolist()) for s in scorings] == [("rater 1", [1, 2]), ("rater 0", [0, 9])]
    for text in ("[" * 100_000, "[" + "9" * 5000 + "]", "", "\xff\xfe"):
        (tmp_path / "x.json").write_text(text, encoding="latin-1")
        with pytest.raises(SleeplibError, match=r"x\.json"):
            read_scoring_files([tmp_path / "x.json"])
    with pytest.raises(SleeplibError, match="no such file"):
        read_scoring_files(["nowhere.json"])
