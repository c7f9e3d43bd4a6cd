"""Where windows lie: frequencies of millions of draws against the paper's formulas (AnySleep, section 4.3)."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from sleeplib.errors import SleeplibError
from sleeplib.sampling import Selection, Windows
from sleeplib.sampling.windows import probabilities_of_sets
from tests.sampling.conftest import EEG, EOG, PREPARATION, make

N = 2_000_000


def agrees(counts, probabilities):
    """Whether counts are such as the probabilities give in 9,999 of 10,000 seeds; nothing where these are 0."""
    counts, probabilities = np.ravel(counts), np.ravel(probabilities)
    possible = probabilities > 0
    expected = probabilities[possible] / probabilities.sum() * counts.sum()
    if counts[~possible].sum():
        return False
    return possible.sum() == 1 or chisquare(counts[possible], expected).pvalue > 1e-4


@pytest.fixture(scope="module")
def windows(cohorts):
    return Windows(cohorts, batch_size=N, seed=11)


@pytest.fixture(scope="module")
def drawn(windows):
    return windows.draw(0)


def recordings(cohorts):
    """(store, recording, stages) of those that are long enough and have EEG or EOG."""
    return [
        (d, i, s.stages(i))
        for d, s in enumerate(cohorts)
        for i in range(len(s))
        if s.ids[i] not in ("short", "b2")
    ]


def test_shares_of_data_sets_are_those_of_the_paper():
    table_2 = [97, 387, 569, 1444, 190, 178, 1904, 3714, 844, 115, 30, 8227, 339]
    shares = [
        0.0412,
        0.0492,
        0.0542,
        0.0785,
        0.0437,
        0.0434,
        0.0912,
        0.1414,
        0.0619,
        0.0416,
        0.0393,
        0.2665,
        0.0479,
    ]
    p = probabilities_of_sets(table_2)
    assert sum(table_2) == 18_038 and p.sum() == pytest.approx(1) and np.abs(p - shares).max() < 6e-5
    assert probabilities_of_sets([3, 1], 0.0).tolist() == [0.75, 0.25]
    assert probabilities_of_sets([3, 1], 1.0).tolist() == [0.5, 0.5]


def test_what_cannot_be_used_is_left_out_and_counted(windows):
    assert windows.selection.skipped == {
        "shorter than 35 epochs": ["a/short"], "without an EEG or EOG channel": ["b/b2"]
    }  # fmt: skip
    assert windows.selection.counts.tolist() == [4, 2, 1] and windows.most_channels == 6
    assert windows.selection.why() == ("left out: 1 shorter than 35 epochs, 1 without an EEG or EOG channel")


def test_a_mask_chooses_as_numbers_do(cohorts):
    masks = [np.arange(len(store)) == 1 for store in cohorts[:2]]
    for which in (masks, [[1], [1]], [mask.tolist() for mask in masks]):
        chosen = Selection(cohorts[:2], which)
        assert [chosen.name(row) for row in range(len(chosen))] == ["a/a1", "b/b1"]
    with pytest.raises(SleeplibError, match="a mask of 2 recordings for a store of 5"):
        Selection(cohorts[:1], [np.array([True, False])])


def test_stages_are_drawn_alike(drawn):
    assert agrees(np.bincount(drawn.stage), np.full(5, 0.2))


def test_data_sets_by_eq_1_and_recordings_alike(cohorts, drawn):
    """Redrawing until the recording has the stage leaves the shares of those that have it as they were."""
    shares = probabilities_of_sets([4, 2, 1]) / [4, 2, 1]
    found = recordings(cohorts)
    probabilities = [[shares[d] * (stages == c).any() for d, _, stages in found] for c in range(5)]
    assert np.count_nonzero(probabilities) == 35 - 5, "one recording is all wake, one has no REM"
    for c in range(5):
        mine = drawn.stage == c
        counts = [np.sum(mine & (drawn.store == d) & (drawn.recording == i)) for d, i, _ in found]
        assert sum(counts) == mine.sum() and agrees(counts, np.array(probabilities[c]))


def test_the_paper_s_procedure_word_for_word_gives_the_same_shares(cohorts, drawn):
    """Stage, data set, recording; again from the data set where the recording has no such epoch."""
    rng, found = np.random.default_rng(5), recordings(cohorts)
    by_set = [[row for row, (d, _, _) in enumerate(found) if d == wanted] for wanted in range(3)]
    has = np.array([[(stages == c).any() for c in range(5)] for _, _, stages in found])
    literal = np.zeros((5, len(found)))
    for c in rng.integers(5, size=30_000):
        row = None
        while row is None or not has[row, c]:
            row = rng.choice(
                by_set[np.searchsorted(np.cumsum([0.5 / 3 + 0.5 * n / 7 for n in (4, 2)]), rng.random())]
            )
        literal[c, row] += 1
    names = {(d, i): row for row, (d, i, _) in enumerate(found)}
    table = np.zeros((9, 9), int)
    for d, i in names:
        table[d, i] = names[d, i]
    ours = np.bincount(
        drawn.stage * len(found) + table[drawn.store, drawn.recording], minlength=5 * len(found)
    )
    assert agrees(literal, ours / N)


def test_epochs_of_the_stage_are_drawn_alike(cohorts, drawn):
    for d, i, stages in recordings(cohorts):
        here = (drawn.store == d) & (drawn.recording == i)
        assert (stages[drawn.epoch[here]] == drawn.stage[here]).all()
        for c in np.unique(stages[stages < 5]):
            counts = np.bincount(drawn.epoch[here & (drawn.stage == c)], minlength=len(stages))
            assert agrees(counts, stages == c)


def starts(length, epoch, edges):
    """Probabilities of each start of a window of 35 epochs around an epoch, counted out one by one."""
    p = np.zeros(length - 34)
    if edges == "authors":
        p[max(0, epoch - 34) : min(length - 35, epoch) + 1] = 1
    else:
        for before in range(35):
            p[min(max(epoch - before, 0), length - 35)] += 1
    return p / p.sum()


@pytest.mark.parametrize("edges", ["authors", "paper"])
def test_places_in_the_window_are_drawn_alike_and_windows_stay_inside(cohorts, edges):
    drawn = Windows(cohorts, batch_size=N, seed=3, edges=edges).draw(1)
    lengths = np.array([[*s.lengths, *[0] * (9 - len(s))] for s in cohorts])[drawn.store, drawn.recording]
    assert (drawn.first >= 0).all() and (drawn.first + 35 <= lengths).all()
    before = drawn.epoch - drawn.first
    assert (before >= 0).all() and (before <= 34).all()
    inner = (drawn.epoch >= 34) & (drawn.epoch <= lengths - 35)
    assert inner.sum() > N / 20 and agrees(np.bincount(before[inner], minlength=35), np.ones(35))
    b0 = (drawn.store == 1) & (drawn.recording == 0)  # 90 epochs
    for epoch in (0, 1, 20, 45, 70, 88, 89):
        here = b0 & (drawn.epoch == epoch)
        if here.any():
            assert agrees(np.bincount(drawn.first[here], minlength=56), starts(90, epoch, edges))


def test_numbers_of_channels_vary_by_batch_and_all_recordings_follow(cohorts):
    windows = Windows(cohorts, batch_size=8, seed=1)
    drawn = [windows.draw(step).channels for step in range(3000)]
    counts = np.bincount([channels.shape[1] for channels in drawn], minlength=7)[1:]
    assert agrees(counts, 1 / np.arange(1, 7))
    usable = [[[r for r, k in enumerate(s.types(i)) if k != "EMG"] for i in range(len(s))] for s in cohorts]
    for step, channels in enumerate(drawn[:300]):
        where = windows.draw(step)
        for d, i, rows in zip(where.store, where.recording, channels, strict=True):
            own = usable[d][i]
            assert set(rows) <= set(own)
            assert len(set(rows)) == len(rows) or len(own) < len(rows), "replacement only where it must be"


def test_a_batch_is_a_function_of_seed_and_step_alone(cohorts):
    def same(a, b):
        return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in a.__dataclass_fields__)

    forwards = [Windows(cohorts, seed=3).draw(step) for step in range(30)]
    one = Windows(cohorts, seed=3)
    backwards = [one.draw(step) for step in reversed(range(30))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not same(forwards[0], forwards[1]) and not same(forwards[0], Windows(cohorts, seed=4).draw(0))


def test_only_the_part_s_recordings_are_drawn(cohorts):
    windows = Windows(cohorts, [[1, 4], [0], np.array([0])], batch_size=20_000)
    drawn = windows.draw(0)
    found = set(zip(drawn.store.tolist(), drawn.recording.tolist(), strict=True))
    assert found == {(0, 1), (0, 4), (1, 0), (2, 0)} and windows.selection.counts.tolist() == [2, 1, 1]


def test_pairs_need_both_kinds(cohorts):
    windows = Windows(cohorts, channels="pair", batch_size=20_000)
    assert windows.selection.skipped["without an EEG and an EOG channel"] == ["b/b1", "b/b2"]
    drawn = windows.draw(0)
    for d, i in product(range(3), range(5)):
        rows = drawn.channels[(drawn.store == d) & (drawn.recording == i)]
        for kinds in {tuple(cohorts[d].types(i)[r] for r in pair) for pair in rows.tolist()}:
            assert kinds == (EEG, EOG)


def test_data_sets_that_cannot_be_drawn_from(cohorts, tmp_path):
    with pytest.raises(SleeplibError, match=r"stores.*b: no recording to draw from; left out: 1 without"):
        Windows(cohorts, [[0], [2], [0]])
    with pytest.raises(
        SleeplibError, match="no recording is left of 3 data sets; left out: 7 shorter than 91"
    ):
        Windows(cohorts, length=91, which=[range(4), [0, 1], [0]])
    with pytest.raises(SleeplibError, match="no recording has an epoch of N1, N2, N3, REM"):
        Windows(cohorts[1:2], [[1]])
    with pytest.raises(SleeplibError, match="edges 'wrap' are not known; choose authors or paper"):
        Windows(cohorts, edges="wrap")
    with pytest.raises(SleeplibError, match="channels 'some' are not known; choose subsample, pair, all"):
        Windows(cohorts, channels="some")
    with pytest.raises(SleeplibError, match="of 1 to 6 channels make no batch of all"):
        Windows(cohorts, channels="all", batch_size=1000).draw(0)
    other = make(
        tmp_path / "d", "d", [("d0", np.arange(40) % 5, [EEG])], preparation=PREPARATION.__class__(None, 2.0)
    )
    with pytest.raises(SleeplibError, match=r"d: prepared with scaling none, .*a with robust"):
        Windows([cohorts[0], other])
