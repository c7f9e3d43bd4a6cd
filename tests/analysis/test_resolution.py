"""Stages at a resolution against a truth at each sample: loops over samples, brute force, and properties."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.analysis import metrics, resolution
from sleeplib.errors import SleeplibError
from sleeplib.simulator import night
from sleeplib.stages import N1, N2, REM, RESOLUTIONS, UNSCORED, W

RATE = 2.0  # 60 samples in 30 s: small enough for loops
PER_EPOCH = (1, 2, 4, 12, 60)


def state_of(bouts: int, longest: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(rng.integers(0, 5, bouts), rng.integers(1, longest + 1, bouts)).astype(np.int8)


states = st.builds(state_of, st.integers(1, 40), st.integers(1, 90), st.integers(0, 10**6))


@given(states, st.sampled_from(PER_EPOCH))
def test_the_state_that_fills_most_of_a_piece(state, per_epoch):
    size = 60 // per_epoch
    said = resolution.at_resolution(state, RATE, per_epoch)
    naive = []
    for i in range(len(state) // size):
        votes = [(state[i * size : (i + 1) * size] == k).sum() for k in range(5)]
        naive.append(votes.index(max(votes)))
    assert said.tolist() == naive and said.dtype == state.dtype


def test_ties_and_unscored_pieces():
    state = np.repeat([REM, W, UNSCORED, N2], [30, 30, 31, 29]).astype(np.int8)
    assert resolution.at_resolution(state, RATE, 1).tolist() == [W, UNSCORED]
    assert resolution.at_resolution(state, RATE, 2).tolist() == [REM, W, UNSCORED, N2]
    assert resolution.at_resolution(state[:59], RATE, 1).tolist() == []


@given(states, st.sampled_from(PER_EPOCH), st.integers(0, 10**6))
def test_held_stages_are_counted_as_sample_by_sample(state, per_epoch, seed):
    rng, size = np.random.default_rng(seed), 60 // per_epoch
    stages = rng.integers(0, 5, len(state) // size + rng.integers(-1, 2) if len(state) > size else 1)
    state = np.where(rng.random(len(state)) < 0.1, UNSCORED, state)
    n = min(len(state), size * len(stages))
    naive = metrics.confusion(state[:n], np.repeat(stages, size)[:n])
    assert (resolution.confusion_held(state, stages, size) == naive).all()


def test_both_confusions_and_the_ceiling():
    state = night(10_007, hours=2, signals=False).truth
    rng, ceiling = np.random.default_rng(0), {}
    for per_epoch in RESOLUTIONS:
        truth = resolution.at_resolution(state, 128, per_epoch)
        said = np.where(rng.random(len(truth)) < 0.8, truth, rng.integers(0, 5, len(truth)))
        same, held = resolution.confusions(state, said, 128, per_epoch)
        assert same.sum() == len(truth) and held.sum() == len(state)
        assert (same == metrics.confusion(truth, said)).all()
        ceiling[per_epoch] = metrics.accuracy(resolution.oracle(state, 128, per_epoch))
        assert metrics.accuracy(held) < ceiling[per_epoch]
    assert 0.9 < ceiling[1] < 0.99 and ceiling[3840] == 1
    assert all(ceiling[a] < ceiling[b] for a, b in combinations(RESOLUTIONS, 2) if b % a == 0)


def test_no_choice_of_stages_beats_the_ceiling():
    state = np.repeat([W, N1, N2, W], [20, 15, 55, 30])
    every = [resolution.confusion_held(state, np.array(said), 60) for said in product(range(5), repeat=2)]
    ceiling = metrics.accuracy(resolution.oracle(state, RATE, 1))
    assert ceiling == max(metrics.accuracy(c) for c in every) == (25 + 30) / 120


@given(states, st.sampled_from(PER_EPOCH), st.integers(0, 10**6))
def test_bouts_and_how_much_of_them_is_found(state, per_epoch, seed):
    size = 60 // per_epoch
    stages = np.random.default_rng(seed).integers(0, 3, -(-len(state) // size))
    seconds, share = resolution.found(state, stages, RATE, per_epoch)
    said, naive, first = np.repeat(stages, size), [], 0
    for t in range(1, len(state) + 1):
        if t == len(state) or state[t] != state[first]:
            if state[first] == W:
                naive.append(((t - first) / RATE, (said[first:t] == W).mean()))
            first = t
    assert seconds == pytest.approx([a for a, _ in naive])
    assert share == pytest.approx([b for _, b in naive])


def test_a_bout_beyond_the_predictions_is_not_lost_but_left_out():
    state = np.repeat([N2, W, N2, W], [60, 20, 40, 60])
    assert resolution.found(state, np.array([N2, W]), RATE, 1)[0].tolist() == [10.0]
    assert resolution.found(state, np.array([N2, W, W]), RATE, 1)[1].tolist() == [1.0, 1.0]
    assert resolution.found(np.full(60, N2), np.array([W]), RATE, 1)[0].size == 0


def greedy(first, second, window) -> list[int]:
    """All pairs by distance, then by place, each end used once."""
    pairs = sorted((abs(a - b), i, j) for i, a in enumerate(first) for j, b in enumerate(second))
    partner, used = [-1] * len(first), set()
    for distance, i, j in pairs:
        if distance <= window and partner[i] < 0 and j not in used:
            partner[i] = j
            used.add(j)
    return partner


@given(
    st.lists(st.integers(0, 60), max_size=12), st.lists(st.integers(0, 60), max_size=12), st.integers(1, 30)
)
def test_pairs_are_those_of_the_greedy_rule(first, second, window):
    first, second = np.sort(np.unique(first)), np.sort(np.unique(second))
    assert resolution.nearest_pairs(first, second, window).tolist() == greedy(first, second, window)


def test_pairs_may_cost_others_their_partner():
    assert resolution.nearest_pairs([10, 13], [11, 40], 5).tolist() == [0, -1]
    assert resolution.nearest_pairs([10, 12], [11], 5).tolist() == [0, -1]
    assert resolution.nearest_pairs([], [1], 5).tolist() == []


def test_delays_are_signed_and_of_the_same_kind():
    # True: W 0-60 s, N1 60-90, N2 90-150, W 150-160, N2 160-210. Predicted in pieces of 5 s.
    state = np.repeat([W, N1, N2, W, N2], [120, 60, 120, 20, 100]).astype(np.int8)
    said = np.repeat([W, N1, N2, N1, N2], [13, 4, 15, 1, 9]).astype(np.int8)
    found = resolution.transitions(state, said, RATE, 6, least=0, window=15)
    assert found.delay.tolist()[:2] == [5.0, -5.0] and np.isnan(found.delay[2:]).all()
    assert (found.before[0], found.after[0], found.n_true, found.n_predicted) == (W, N1, 4, 4)
    assert found.summary() == pytest.approx([0.5, 0, 5, 1])
    longer = resolution.transitions(state, said, RATE, 6, least=30, window=15)
    assert longer.delay.tolist() == [5.0, -5.0] and longer.n_true == 4
    assert np.isnan(resolution.transitions(state, said, RATE, 6, least=30, window=4).delay).all()


@given(states, st.sampled_from((4, 12, 60)), st.integers(0, 10**6))
def test_transitions_are_those_of_loops(state, per_epoch, seed):
    size, rng = 60 // per_epoch, np.random.default_rng(seed)
    stages = rng.integers(0, 3, -(-len(state) // size))
    found = resolution.transitions(state, stages, RATE, per_epoch, least=0, window=10)
    true = [(t, (state[t - 1], state[t])) for t in range(1, len(state)) if state[t] != state[t - 1]]
    said = [
        (size * i, (stages[i - 1], stages[i])) for i in range(1, len(stages)) if stages[i] != stages[i - 1]
    ]
    assert (found.n_true, found.n_predicted) == (len(true), len(said))
    delays = {}
    for kind in {kind for _, kind in true}:
        ours, theirs = ([t for t, k in some if k == kind] for some in (true, said))
        for t, j in zip(ours, greedy(ours, theirs, 10 * RATE), strict=True):
            delays[t] = np.nan if j < 0 else (theirs[j] - t) / RATE
    assert found.delay.tolist() == pytest.approx([delays[t] for t, _ in true], nan_ok=True)


def test_a_perfect_answer_errs_by_a_quarter_of_a_piece():
    nights = [night(seed, hours=8, signals=False).truth for seed in range(10_000, 10_010)]
    for per_epoch in (4, 16):
        said = [resolution.at_resolution(state, 128, per_epoch) for state in nights]
        found = [resolution.transitions(*both, 128, per_epoch, 30) for both in zip(nights, said, strict=True)]
        delay = np.concatenate([f.delay for f in found])
        piece = 30 / per_epoch
        assert np.isfinite(delay).all() and len(delay) > 250
        assert np.abs(delay).mean() == pytest.approx(piece / 4, rel=0.1)
        assert np.abs(delay).max() <= piece / 2 and abs(delay.mean()) < 0.05 * piece
        assert sum(f.n_predicted for f in found) < sum(f.n_true for f in found)


def test_only_pieces_with_a_border_inside_are_counted(monkeypatch):
    """What keeps a night of four million samples cheap: the length of the list that is counted."""
    state, counted, unique = night(10_002, hours=8, signals=False).truth, [], np.unique
    monkeypatch.setattr(np, "unique", lambda x: counted.append(unique(x)) or counted[-1])
    for per_epoch in RESOLUTIONS:
        resolution.at_resolution(state, 128, per_epoch)
    pieces = [state.reshape(-1, 3840 // n) for n in RESOLUTIONS]
    inside = [np.flatnonzero((p != p[:, :1]).any(1)) for p in pieces]
    assert [c.tolist() for c in counted] == [i.tolist() for i in inside]


@given(states, st.sampled_from(PER_EPOCH), st.integers(0, 10**6))
def test_the_oracle_says_a_stage_where_anything_is_scored(state, per_epoch, seed):
    """In a piece that is unscored for the most part it says what fills most of the rest."""
    size, rng = 60 // per_epoch, np.random.default_rng(seed)
    lost = np.repeat(rng.random(len(state) // 20 + 1) < 0.5, 20)[: len(state)]
    state = np.where(lost, UNSCORED, state).astype(np.int8)
    n = len(state) // size * size
    naive = np.zeros((5, 5), int)
    for piece in state[:n].reshape(-1, size):
        counts = np.array([(piece == k).sum() for k in range(5)])
        naive[:, counts.argmax()] += counts
    assert (resolution.oracle(state, RATE, per_epoch) == naive).all()
    said = resolution.at_resolution(state, RATE, per_epoch, unscored=False)
    assert ((said == UNSCORED) == (state[:n].reshape(-1, size) == UNSCORED).all(1)).all()


def test_a_scored_sample_called_unscored_is_refused():
    """It was counted as the truth's next stage called REM; of REM it was a bare ValueError."""
    for stage in (N1, REM):
        state = np.full(120, stage)
        with pytest.raises(SleeplibError, match=r"predictions: codes \[9\]"):
            resolution.confusion_held(state, np.array([stage, UNSCORED]), 60)
        with pytest.raises(SleeplibError, match=r"predictions: codes \[9\]"):
            resolution.confusions(state, np.array([stage, UNSCORED]), RATE, 1)
    state[60:] = UNSCORED
    assert resolution.confusion_held(state, np.array([stage, UNSCORED]), 60)[stage, stage] == 60


def test_bad_input():
    for per_epoch in (7, 0, 7680):
        with pytest.raises(SleeplibError, match=f"{per_epoch} stages per epoch at 128 Hz"):
            resolution.at_resolution(np.zeros(9), 128, per_epoch)
    with pytest.raises(SleeplibError, match="window 0 s"):
        resolution.transitions(np.zeros(60), np.zeros(1), RATE, 1, window=0)


def test_predictions_beyond_the_truth_do_not_count():
    state = np.repeat([W, N2], 120).astype(np.int8)  # 120 s
    whole = resolution.transitions(state, [W, W, N2, N2], RATE, 1)
    longer = resolution.transitions(state, [W, W, N2, N2, W, N2, W], RATE, 1)
    assert whole.summary().tolist() == longer.summary().tolist() == [1, 0, 0, 1]
