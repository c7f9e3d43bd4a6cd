"""Arousals against the authors' events and counts, a restatement in loops, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleeplib.analysis import arousals
from sleeplib.errors import SleeplibError
from sleeplib.stages import N2, REM, RESOLUTIONS, STAGES, UNSCORED, W

NO_EVENT = np.empty((0, 2))


@pytest.fixture(scope="module")
def rules(shared):
    with np.load(shared / "reference/vectors/anysleep_rules.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def published(shared):
    with np.load(shared / "reference/vectors/anysleep_arousals.npz") as arrays:
        return dict(arrays)


def hypnogram(*bouts, per_epoch=60):
    """Stages at half a second from pairs of stage and seconds."""
    return np.concatenate([np.full(round(s * per_epoch / 30), stage) for stage, s in bouts])


@pytest.mark.parametrize("per_epoch", RESOLUTIONS)
def test_events_are_the_authors(rules, per_epoch):
    found = arousals.detect(rules[f"stages_{per_epoch}_A"], per_epoch)
    expected = rules[f"events_{per_epoch}_A"].reshape(-1, 2)
    assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("per_epoch", RESOLUTIONS)
def test_counts_are_the_authors_with_their_slip_and_right_without(rules, per_epoch):
    found, expert = arousals.detect(rules[f"stages_{per_epoch}_A"], per_epoch), rules["gt_A"]
    for k, iou in enumerate(rules["thresholds"]):
        legacy = arousals.match(found, expert, iou, legacy=True)
        assert [legacy[n] for n in ("tp", "fp", "fn")] == rules[f"tpfpfn_{per_epoch}_A"][:, k].tolist()
        ratios = [legacy[n] for n in ("precision", "recall", "f1")]
        assert ratios == pytest.approx(rules[f"prf_{per_epoch}_A"][:, k], abs=1e-12)
        assert arousals.match(found, expert, iou) == pytest.approx(matched_in_loops(found, expert, iou))


def matched_in_loops(predicted, expert, iou):
    tp, met = 0, set()
    for a, b in predicted:
        shares = [max(min(b, d) - max(a, c), 0) / (max(b, d) - min(a, c)) for c, d in expert]
        if shares and max(shares) > iou:
            tp += 1
            met.add(shares.index(max(shares)))
    fp, fn = len(predicted) - tp, len(expert) - len(met)
    precision, recall = tp / (tp + fp) if tp else 0, tp / (tp + fn) if tp else 0
    f1 = 2 * precision * recall / (precision + recall) if tp else 0
    return {"tp": tp, "fp": fp, "fn": fn, "precision": precision, "recall": recall, "f1": f1}


def detected_in_loops(stages, per_epoch):
    """The rule as facts A4.4 state it, run by run, in whole pieces."""
    runs, start = [], None
    for i, stage in enumerate([*stages, -1]):
        if stage == W and start is None:
            start = i
        elif stage != W and start is not None:
            runs.append([start, i])
            start = None
    kept = []
    for start, end in runs:
        both = end - kept[-1][0] if kept else np.inf
        if 30 * both <= 15 * per_epoch and 10 * (start - kept[-1][1]) <= both:
            kept[-1][1] = end
        else:
            kept.append([start, end])
    found, last = [], 0
    for start, end in kept:
        if 30 * (start - last) >= 10 * per_epoch and 3 * per_epoch <= 30 * (end - start) <= 15 * per_epoch:
            found.append([30 * start / per_epoch, 30 * end / per_epoch])
        last = end
    return np.array(found).reshape(-1, 2)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=30),
    st.sampled_from([8, 16, 30, 60, 98, 128, 490]),
)
def test_the_rule_in_loops_finds_the_same(bouts, per_epoch):
    stages = [stage for awake, length in bouts for stage in [W if awake else N2] * length]
    found = arousals.detect(np.array(stages, np.int8), per_epoch)
    assert np.array_equal(found, detected_in_loops(stages, per_epoch))
    seconds = np.diff(found)
    assert ((seconds >= 3) & (seconds <= 15)).all() and (found[1:, 0] - found[:-1, 1] >= 10).all()


def test_wake_of_three_to_fifteen_seconds_after_ten_of_sleep_is_an_arousal():
    def found(*bouts):
        return arousals.detect(hypnogram(*bouts), 60).tolist()

    assert found((N2, 20), (W, 3), (N2, 20)) == [[20, 23]]
    assert found((N2, 10), (W, 15), (N2, 20)) == [[10, 25]]
    assert found((N2, 20), (W, 2.5), (N2, 20)) == []
    assert found((N2, 20), (W, 15.5), (N2, 20)) == []
    assert found((N2, 9.5), (W, 5), (N2, 20)) == []  # nothing is known of the time before
    assert found((REM, 20), (W, 5)) == [[20, 25]]  # any stage but wake; to the very end
    assert found((N2, 20), (W, 60), (N2, 9.5), (W, 5)) == []  # long wake counts, too
    assert found((N2, 20), (W, 60), (N2, 10), (W, 5)) == [[90, 95]]
    assert found((N2, 20), (W, 4), (N2, 1), (W, 5), (N2, 9)) == [[20, 30]]  # 1 s of 10: one event
    assert found((N2, 20), (W, 4), (N2, 1), (W, 4.5), (N2, 9)) == [
        [20, 24]
    ]  # 1 s of 9.5: two, the second too soon
    assert found((N2, 20), (W, 8), (N2, 1), (W, 7), (N2, 9)) == [[20, 28]]  # 16 s together: two
    broken = hypnogram((N2, 20), (W, 2), (N2, 1), (W, 2), (N2, 5), (W, 4), (N2, 9))
    assert arousals.detect(broken, 60).tolist() == []
    assert arousals.detect(broken, 60, gap=0.2).tolist() == [[20, 25]]
    assert arousals.detect(broken, 60, gap=0.5).tolist() == [[20, 34]]
    assert arousals.detect(broken, 60, asleep=5).tolist() == [[30, 34]]
    assert arousals.detect(broken, 60, asleep=0, shortest=0).tolist() == [[20, 22], [23, 25], [30, 34]]
    assert arousals.detect(broken, 60, asleep=0, shortest=0, longest=3).tolist() == [[20, 22], [23, 25]]
    assert found((N2, 20)) == found((W, 600)) == found((N2, 0)) == []


def test_what_the_expert_missed_and_what_two_events_share():
    expert = np.array([[10, 20], [12, 22], [100, 105]])
    two = arousals.match([[10, 15], [16, 20], [50, 55]], expert)
    assert (two["tp"], two["fp"], two["fn"]) == (2, 1, 2)  # both fit the first; the second is never the best
    assert arousals.match([[10, 11]], [[10, 15]])["tp"] == 0  # exactly one fifth is not more than one fifth
    assert arousals.match([[10, 11.01]], [[10, 15]])["tp"] == 1
    slip = arousals.match([[10, 11]], [[10, 15], [30, 35]], legacy=True)
    assert (slip["fn"], arousals.match([[10, 11]], [[10, 15], [30, 35]])["fn"]) == (1, 2)


@pytest.mark.parametrize("legacy", [False, True])
def test_nights_without_events_score_nothing(legacy):
    one = [[10, 15]]
    for predicted, expert, counts in (
        (NO_EVENT, one, (0, 0, 1)),
        (one, NO_EVENT, (0, 1, 0)),
        ([], [], (0, 0, 0)),
    ):
        found = arousals.match(predicted, expert, legacy=legacy)
        assert (found["tp"], found["fp"], found["fn"]) == counts
        assert found["precision"] == found["recall"] == found["f1"] == 0


def test_time_of_events_by_stage():
    stages = hypnogram((N2, 10), (W, 5), (N2, 10), (REM, 5))
    found = arousals.time_by_stage(stages, 60, [[8, 14], [13, 16], [26.25, 40]])
    assert dict(zip(STAGES, found, strict=True)) == {"W": 5, "N1": 0, "N2": 3, "N3": 0, "REM": 3.75}
    assert arousals.time_by_stage(stages, 60, NO_EVENT).tolist() == [0] * 5
    assert arousals.time_by_stage(np.full(4, UNSCORED), 1, [[5, 9]]).sum() == 0
    rng = np.random.default_rng(0)
    stages, start = rng.integers(0, 5, 300), np.sort(rng.uniform(0, 290, 20))
    events = np.stack([start, start + rng.uniform(1, 10, 20)], axis=1)
    ticks = (np.arange(30_000) + 0.5) / 100  # s
    covered = ((ticks[:, None] > events[:, 0]) & (ticks[:, None] < events[:, 1])).any(axis=1)
    expected = np.bincount(np.repeat(stages, 100)[covered], minlength=5) / 100
    assert arousals.time_by_stage(stages, 30, events) == pytest.approx(expected, abs=0.4)


def test_published_scores_sum_up_to_the_papers(published):
    """Counts and ratios fit together, and their means are those of the text."""
    predicted, tp = published["n_pred"][..., None], published["tp"]
    ours = arousals.scores(tp, predicted - tp, np.maximum(published["fn"], 0))
    assert ours["precision"] == pytest.approx(published["prec"])
    known = published["fn"] >= 0
    assert ours["recall"][known] == pytest.approx(published["rec"][known])
    assert ours["f1"][known] == pytest.approx(published["f1"][known])
    at = published["freqs"].tolist().index
    named = {"precision": "prec", "recall": "rec", "f1": "f1"}
    found = arousals.by_resolution({ours: published[key][..., 2] for ours, key in named.items()})
    mean = {name: values[0] for name, values in found.items()}
    assert [round(mean[name][at(4)], 4) for name in named] == [0.4749, 0.4191, 0.4287]
    assert [round(mean[name][at(8)], 4) for name in named] == [0.4123, 0.5210, 0.4425]
    assert round(mean["precision"].max(), 3) == 0.475 and round(mean["f1"].max(), 3) == 0.442
    assert round(found["f1"][1][at(8)], 4) == 0.1095


def test_published_events_follow_the_rule(published):
    events, offsets = published["events"], published["offsets"]
    assert np.array_equal(np.diff(offsets), published["n_pred"].ravel())
    length = events[:, 1] - events[:, 0]
    assert length.min() >= 3 and length.max() <= 15
    gaps, first = events[1:, 0] - events[:-1, 1], offsets[1:-1]
    assert np.delete(gaps, first[(first > 0) & (first < len(events))] - 1).min() >= 10


def test_published_wake_shares_are_those_of_the_text(shared):
    with np.load(shared / "reference/vectors/anysleep_high_freq_scores.npz") as arrays:
        shares = arrays["arousal_stage_share"][:, :, None]  # (M, F, 1, 5)
    wake = arousals.by_resolution({"wake": shares[..., W]})["wake"][0]
    assert round(100 * wake[0], 1) == 7.7 and round(100 * wake.max(), 1) == 57.7 and wake.argmax() == 4


@pytest.mark.parametrize("per_epoch", [0, -1, 1.0, True, "2", None])
def test_resolutions_that_are_none(per_epoch):
    with pytest.raises(SleeplibError, match="stages per epoch; expected a whole number"):
        arousals.detect([0, 1], per_epoch)


def test_stages_and_events_that_are_none():
    for stages in ([[0, 1]], [[0], [1]], 3, [-1, 0], [0.5, 1]):
        with pytest.raises(SleeplibError, match="expected one row of codes"):
            arousals.detect(stages, 1)
    for events in ([[5, 3]], [[1, 2, 3]], [1, 2], [[np.nan, 2]], [[3, 3]]):
        with pytest.raises(SleeplibError, match="a beginning and a later end in seconds"):
            arousals.match(events, [[0, 1]])
    for iou in (-0.1, 1.1, np.nan):
        with pytest.raises(SleeplibError, match="expected a number from 0 to 1"):
            arousals.match([[0, 1]], [[0, 1]], iou)
