"""Smoothing against every path there is, a textbook's HMM, loops, and persons who were not fitted on."""

from itertools import groupby, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleeplib.analysis import metrics, smoothing
from sleeplib.analysis.resolution import at_resolution, edges
from sleeplib.errors import SleeplibError
from sleeplib.simulator import night
from sleeplib.stages import UNSCORED


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=40), st.sampled_from([0, 10, 60, 75, 89.9, 90, 150, 900])
)
def test_majority_is_that_of_loops(stages, seconds):
    stages = np.array(stages, np.int8)
    half = max(int((seconds / 30 - 1) // 2), 0)
    naive = []
    for i, centre in enumerate(stages):
        votes = np.bincount(stages[max(i - half, 0) : i + half + 1], minlength=5)
        winners = np.flatnonzero(votes == votes.max())
        naive.append(winners[0] if len(winners) == 1 else centre)
    assert smoothing.majority(stages, 1, seconds).tolist() == naive


def test_majority_windows_are_seconds_and_ties_keep_the_centre():
    stages = np.array([0, 0, 1, 0, 2, 2, 3, 2])
    assert smoothing.majority(stages, 10, 9).tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
    assert smoothing.majority(stages, 10, 8.9).tolist() == stages.tolist()
    assert smoothing.majority([0, 1, 2], 1, 90).tolist() == [0, 1, 2]
    unscored = np.array([0, UNSCORED, 0, 0, UNSCORED, UNSCORED, 1], np.int8)
    assert smoothing.majority(unscored, 1, 90).tolist() == unscored.tolist()
    with pytest.raises(SleeplibError, match="-1 s"):
        smoothing.majority(stages, 1, -1)


def model_of(stages: int, ages: int, seed: int) -> smoothing.SemiMarkov:
    rng = np.random.default_rng(seed)
    follow = rng.dirichlet(np.ones(stages), stages) * (1 - np.eye(stages))
    return smoothing.SemiMarkov(
        rng.dirichlet(np.ones(stages)), rng.uniform(0.05, 0.9, (stages, ages)),
        follow / follow.sum(1, keepdims=True), rng.dirichlet(np.ones(stages)), 1,
    )  # fmt: skip


def value(path, scores, model) -> float:
    """A path's value from the definition: durations have probabilities, the last one is only survived."""
    bouts = [(k, len(list(same))) for k, same in groupby(path)]
    total = np.log(model.start[path[0]]) + sum(scores[t, k] for t, k in enumerate(path))
    for i, (k, length) in enumerate(bouts):
        ends = [model.hazard[k, min(d, model.hazard.shape[1]) - 1] for d in range(1, length + 1)]
        total += np.log(1 - np.array(ends[:-1])).sum()
        if i + 1 < len(bouts):
            total += np.log(ends[-1]) + np.log(model.follow[k, bouts[i + 1][0]])
    return total


@pytest.mark.parametrize(
    ("stages", "ages", "n"), [(3, 1, 7), (3, 2, 7), (3, 3, 7), (3, 9, 6), (2, 4, 9), (5, 2, 4)]
)
def test_no_path_of_all_is_likelier(stages, ages, n):
    for seed in range(10):
        model = model_of(stages, ages, seed)
        scores = 1.5 * np.random.default_rng(seed).standard_normal((n, stages))
        best = max(product(range(stages), repeat=n), key=lambda path: value(path, scores, model))
        found = smoothing.viterbi(scores, model)
        assert value(found, scores, model) == pytest.approx(value(best, scores, model))
        assert found.tolist() == list(best)


def test_one_age_is_the_hmm_of_the_textbook():
    rng = np.random.default_rng(4)
    for seed in range(20):
        model = model_of(3, 1, seed)
        stay = np.diag(1 - model.hazard[:, 0])
        transition = stay + model.hazard * model.follow
        assert transition.sum(1) == pytest.approx(1)
        scores = rng.standard_normal((8, 3))

        def of(path, scores=scores, transition=transition, model=model):
            steps = sum(np.log(transition[a, b]) for a, b in pairwise(path))
            return np.log(model.start[path[0]]) + steps + scores[np.arange(8), path].sum()

        best = max(product(range(3), repeat=8), key=of)
        assert smoothing.viterbi(scores, model).tolist() == list(best)


def test_sequences_side_by_side_are_as_one_by_one():
    model, scores = model_of(5, 6, 0), np.random.default_rng(0).standard_normal((2, 3, 50, 5))
    both = smoothing.viterbi(scores, model)
    assert both.shape == (2, 3, 50)
    for i, j in np.ndindex(2, 3):
        assert (both[i, j] == smoothing.viterbi(scores[i, j], model)).all()
    assert smoothing.viterbi(scores[0, 0, :0], model).shape == (0,)
    assert smoothing.viterbi(scores[0, 0, :1], model) == (scores[0, 0, 0] + np.log(model.start)).argmax()


def nights(*seeds):
    return [night(seed, hours=2, signals=False).truth for seed in seeds]


def test_durations_are_those_of_the_bouts():
    truths = nights(*range(10_100, 10_110))
    model = smoothing.fit(truths, 128, 32, longest=60)
    assert model.hazard.shape == (5, 64) and model.per_epoch == 32
    stages = [at_resolution(x, 128, 32) for x in truths]
    lengths = [np.diff(edges(x))[:-1][x[edges(x)[:-2]] == 0] for x in stages]  # wake that ended
    lengths = np.concatenate(lengths)
    survive = np.cumprod(1 - model.hazard[0])
    for steps in (4, 8, 16, 32):
        assert survive[steps - 1] == pytest.approx((lengths > steps).mean(), abs=0.06)
    pairs = np.zeros((5, 5))
    for x in stages:
        np.add.at(pairs, (x[:-1], x[1:]), 1)
    pairs[np.diag_indices(5)] = 0
    assert model.follow == pytest.approx(pairs / pairs.sum(1, keepdims=True), abs=0.05)
    assert model.prior == pytest.approx(np.bincount(np.concatenate(stages)) / sum(map(len, stages)), abs=1e-3)
    assert smoothing.fit(truths, 128, 32, longest=0).hazard.shape == (5, 1)


def test_the_mean_of_a_geometric_tail_is_that_of_the_bouts():
    rng = np.random.default_rng(0)
    state = np.repeat(np.arange(4000) % 5, 60 * rng.geometric(0.1, 4000)).astype(np.int8)
    for longest in (0, 150, 600):
        model = smoothing.fit([state], 2.0, 1, longest=longest)
        assert model.hazard == pytest.approx(np.full(model.hazard.shape, 0.1), abs=0.035)
    assert smoothing.fit([state], 2.0, 1, longest=0).hazard == pytest.approx(np.full((5, 1), 0.1), abs=0.008)


def test_all_durations_are_possible_and_none_is_endless():
    model = smoothing.fit(nights(10_120), 128, 8, longest=600)
    assert ((model.hazard > 0) & (model.hazard < 1)).all() and (model.start > 0).all()
    assert (np.diag(model.follow) == 0).all() and model.follow.sum(1) == pytest.approx(np.ones(5))
    only = smoothing.fit([np.zeros(3840 * 4, np.int8)], 128, 4)  # stages that never occurred
    assert ((only.hazard > 0) & (only.hazard < 1)).all()


def noisy(state, per_epoch, seed, noise=0.7):
    """Truth (N,) at a resolution and its posteriors (N, 5) by Bayes, from a noisy look at each piece by itself."""
    truth = at_resolution(state, 128, per_epoch)
    seen = np.eye(5)[truth] + noise * np.random.default_rng(seed).standard_normal((len(truth), 5))
    p = np.exp(seen / noise**2) * (np.bincount(truth, minlength=5) + 1)
    return truth, p / p.sum(1, keepdims=True)


def test_what_is_learned_from_some_persons_helps_others():
    gain = []
    model = smoothing.fit(nights(*range(10_200, 10_206)), 128, 16)
    hmm = smoothing.fit(nights(*range(10_200, 10_206)), 128, 16, longest=0)
    for seed, state in zip(range(3), nights(10_300, 10_301, 10_302), strict=True):
        truth, p = noisy(state, 16, seed)
        said = [p.argmax(1), smoothing.majority(p.argmax(1), 16, 10)]
        said += [smoothing.smooth(p, 16, m) for m in (hmm, model)]
        gain.append([metrics.accuracy(metrics.confusion(truth, x)) for x in said])
    raw, voted, markov, semi = np.mean(gain, axis=0)
    assert raw < voted < markov < semi


def test_no_weight_leaves_the_prior_and_much_weight_the_posteriors():
    model = smoothing.fit(nights(10_200), 128, 4)
    _, p = noisy(nights(10_300)[0], 4, 0)
    assert (smoothing.smooth(p, 4, model, 1e6, np.full(5, 0.2)) == p.argmax(1)).all()
    assert (smoothing.smooth(p, 4, model, 1e6) == (p / model.prior).argmax(1)).all()
    assert len(edges(smoothing.smooth(p, 4, model, 0.0))) < 10


def test_fine_posteriors_are_averaged_over_steps():
    assert [smoothing.grid(f) for f in (1, 2, 16, 32, 64, 384, 640, 3840)] == [1, 2, 16, 32, 32, 32, 32, 32]
    model = smoothing.fit(nights(10_200), 128, 32)
    _, p = noisy(nights(10_300)[0], 32, 0)
    fine = np.repeat(p, 4, axis=0)
    assert smoothing.on_grid(fine, 128) == pytest.approx(p)
    expected = np.repeat(smoothing.smooth(p, 32, model), 4)
    assert (smoothing.smooth(fine, 128, model) == expected).all()
    assert (smoothing.smooth(fine[:-1], 128, model)[:-4] == expected[:-5]).all()
    assert len(smoothing.smooth(fine[:-1], 128, model)) == len(fine) - 1
    log = np.log(noisy(nights(10_300)[0], 64, 1)[1])
    means = np.exp((log[0] + log[1]) / 2)
    assert smoothing.on_grid(np.exp(log), 64)[0] == pytest.approx(means / means.sum())


def test_bad_input():
    with pytest.raises(SleeplibError, match="one or more"):
        smoothing.fit([], 128, 1)
    with pytest.raises(SleeplibError, match="unscored"):
        smoothing.fit([np.full(3840, UNSCORED, np.int8)], 128, 1)
    model, few = smoothing.fit(nights(10_200), 128, 32), np.full((3, 5), 0.2)
    for posteriors in (few, few[:0]):
        for call in (lambda p: smoothing.on_grid(p, 128), lambda p: smoothing.smooth(p, 128, model)):
            with pytest.raises(SleeplibError, match=f"{len(posteriors)} posteriors at 128 .* give 4 or more"):
                call(posteriors)
    with pytest.raises(SleeplibError, match="per_epoch=8"):
        smoothing.smooth(np.full((9, 5), 0.2), 8, model_of(5, 1, 0))
