"""Agreement of several scorers and their consensus against another library, loops, and five real ones."""

import json
from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from sleeplib import cohorts, readers
from sleeplib.analysis import agreement, metrics
from sleeplib.errors import SleeplibError
from sleeplib.readers.scorings import cut
from sleeplib.recording import Hypnogram
from sleeplib.stages import N1, N2, N3, REM, STAGES, UNSCORED, W


def _panels(scorers=3, nights=(40, 60), seed=0, errors=0.3):
    rng = np.random.default_rng(seed)
    panels = []
    for n in nights:
        panel = np.tile(rng.integers(0, 5, n), (scorers, 1))
        wrong = rng.random(panel.shape) < errors
        panel[wrong] = rng.integers(0, 5, wrong.sum())
        panels.append(panel.astype(np.int8))
    return panels


@pytest.mark.parametrize("scorers", [2, 3, 5])
def test_agreement_equals_that_of_another_library_and_of_loops(scorers):
    panels = _panels(scorers)
    found = agreement.between(panels)
    pairs = list(combinations(range(scorers), 2))
    kappas = [cohen_kappa_score(panel[a], panel[b]) for panel in panels for a, b in pairs]
    assert found["kappa"] == pytest.approx(np.mean(kappas))
    pooled = np.concatenate(panels, axis=1)
    for k, name in enumerate(STAGES):
        each = [cohen_kappa_score(pooled[a] == k, pooled[b] == k) for a, b in pairs]
        assert found["stages"][name] == pytest.approx(np.mean(each))
    alike = [len(set(epoch)) == 1 for epoch in pooled.T]
    assert found["unanimous"] == pytest.approx(np.mean(alike))
    counts = np.zeros((5, 5))
    for epoch in pooled.T:
        for one, other in permutations(epoch, 2):
            counts[one, other] += 1
    assert np.allclose(found["confusion"], counts / counts.sum(axis=1, keepdims=True))


def test_nights_count_alike_in_kappa_and_epochs_alike_elsewhere():
    good, bad = _panels(2, (500,), 1, 0.0)[0], _panels(2, (50,), 2, 1.0)[0]
    found = agreement.between([good, bad])
    assert found["kappa"] == pytest.approx((1 + cohen_kappa_score(*bad)) / 2)
    assert found["unanimous"] == pytest.approx((500 + (bad[0] == bad[1]).sum()) / 550)


def test_unscored_epochs_are_left_out():
    panels = _panels(3)
    expected = agreement.between([panel[:, 7:] for panel in panels])
    rng = np.random.default_rng(5)
    for panel in panels:
        panel[rng.integers(0, 3, 7), np.arange(7)] = UNSCORED  # one of the three is enough
    found = agreement.between(panels)
    assert found["kappa"] == expected["kappa"] and found["stages"] == expected["stages"]
    assert found["unanimous"] == expected["unanimous"]
    assert np.array_equal(found["confusion"], expected["confusion"])


def test_those_who_agree_and_those_who_guess():
    same = agreement.between([np.tile(np.arange(5).repeat(9), (3, 1))])
    assert same["kappa"] == 1 and same["unanimous"] == 1 and np.array_equal(same["confusion"], np.eye(5))
    guesses = agreement.between([np.random.default_rng(6).integers(0, 5, (2, 40_000))])
    assert guesses["kappa"] == pytest.approx(0, abs=0.02)
    assert guesses["unanimous"] == pytest.approx(0.2, abs=0.01)


def test_five_real_scorers(shared):
    with np.load(shared / "reference/vectors/dodh_consensus.npz") as file:
        edges, five = file["dodh_offsets"][1:-1], file["dodh_scorers"]
    five = np.where(five < 0, UNSCORED, five).astype(np.int8)
    found = agreement.between(np.split(five, edges, axis=1))
    assert found["kappa"] == pytest.approx(0.70, abs=0.005)
    assert found["unanimous"] == pytest.approx(0.589, abs=0.0005)
    assert min(found["stages"], key=found["stages"].get) == "N1" and found["stages"]["N1"] < 0.45


def test_minus_one_is_unscored_between_scorers_too():
    panels = _panels(3)
    for panel in panels:
        panel[1, :5] = UNSCORED
    theirs = agreement.between([np.where(panel == UNSCORED, -1, panel) for panel in panels])
    ours = agreement.between(panels)
    assert (theirs["kappa"], theirs["stages"]) == (ours["kappa"], ours["stages"])
    assert theirs["unanimous"] == ours["unanimous"]


def test_a_night_of_one_stage_has_no_kappa_and_does_not_take_that_of_others():
    night, flat = _panels(3, (60,))[0], np.full((3, 40), N2)
    found, expected = agreement.between([night, flat]), agreement.between([night])
    assert found["kappa"] == expected["kappa"] and np.isfinite(found["kappa"])
    assert found["unanimous"] == pytest.approx((60 * expected["unanimous"] + 40) / 100)
    alone = agreement.between([flat])
    assert np.isnan(alone["kappa"]) and np.isnan(alone["stages"]["N2"]) and alone["unanimous"] == 1
    assert np.isnan(agreement.pairwise_kappa(flat)[0, 1])


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "one or more nights"),
        ([np.zeros((2, 9), int), np.zeros((3, 9), int)], r"nights of \[2, 3\] scorers"),
        ([np.full((2, 9), UNSCORED)], "no epoch was scored"),
        ([np.zeros((1, 9), int)], "of 2 scorers or more"),
        ([np.full((2, 9), 5)], "codes"),
    ],
)
def test_nights_that_cannot_be_compared(panels, message):
    with pytest.raises(SleeplibError, match=message):
        agreement.between(panels)


# The consensus.

panels = st.integers(1, 30).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([*range(5), UNSCORED]), min_size=n, max_size=n), min_size=2, max_size=6
    )
)


def _by_loops(panel, best=4):
    """The rule of facts A1.6 epoch by epoch, in fractions: soft agreement, ranking, stages, votes."""
    soft = []
    for s, own in enumerate(panel):
        share = []
        for epoch, label in enumerate(own):
            others = Counter(row[epoch] for r, row in enumerate(panel) if r != s)
            share.append(Fraction(others[label], max(others.values())))
        soft.append(sum(share) / len(share))
    ranking = sorted(range(len(panel)), key=lambda s: -soft[s])
    stages, votes = [], []
    for epoch in range(len(panel[0])):
        said = [panel[s][epoch] for s in ranking[:best]]
        counted = Counter(said)
        first = [label for label in counted if counted[label] == max(counted.values())]
        stages.append(first[0] if len(first) == 1 else said[0])
        votes.append(counted[stages[-1]])
    return soft, ranking, stages, votes


@settings(max_examples=40, deadline=None)
@given(panels, st.integers(1, 7))
def test_the_consensus_restated_in_loops(panel, best):
    soft, ranking, stages, votes = _by_loops(panel, best)
    found, order = agreement.consensus(panel, best)
    assert agreement.soft_agreement(panel) == pytest.approx([float(s) for s in soft])
    assert agreement.rank(panel).tolist() == order.tolist() == ranking
    assert found.tolist() == stages and found.dtype == np.int8
    assert agreement.votes(panel, best).tolist() == votes


def test_equals_are_equal_as_fractions():
    """Thirds and halves in another order: as floats the sums differ, and the wrong one would come first."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        panel = rng.choice([*range(5), UNSCORED], (rng.integers(4, 7), rng.integers(4, 13)))
        ranking = _by_loops(panel.tolist())[1]
        assert agreement.rank(panel).tolist() == ranking
        wrong += np.argsort(-agreement.soft_agreement(panel), kind="stable").tolist() != ranking
    assert wrong > 0, "of these panels none would tell"


def test_many_scorers_are_summed_exactly_too():
    """The least common denominator of 1 to 59 has 25 digits, more than an integer of 64 bits."""
    panel = np.random.default_rng(0).integers(0, 3, (60, 8))
    panel[30:] = panel[:30]
    assert agreement.rank(panel).tolist() == _by_loops(panel.tolist())[1]


@settings(max_examples=40, deadline=None)
@given(panels)
def test_minus_one_is_unscored_too(panel):
    theirs = np.where(np.array(panel) == UNSCORED, -1, panel)
    for function in (agreement.consensus, agreement.of_others):
        for ours, other in zip(function(panel), function(theirs), strict=True):
            assert np.array_equal(ours, other)
    assert (agreement.consensus(theirs)[0] >= 0).all()


@settings(max_examples=40, deadline=None)
@given(panels, st.randoms(use_true_random=False))
def test_names_of_scorers_do_not_matter_where_nothing_ties(panel, random):
    soft = agreement.soft_agreement(panel)
    assume(len(set(np.round(soft, 9))) == len(soft))
    order = random.sample(range(len(panel)), len(panel))  # new scorer k is old order[k]
    stages, ranking = agreement.consensus(panel)
    shuffled, again = agreement.consensus([panel[k] for k in order])
    assert np.array_equal(stages, shuffled)
    assert [order[k] for k in again] == ranking.tolist()


@pytest.mark.parametrize("scorers", range(2, 7))
def test_one_opinion(scorers):
    night = np.random.default_rng(scorers).choice([*range(5), UNSCORED], 50)
    panel = np.tile(night, (scorers, 1))
    stages, ranking = agreement.consensus(panel)
    assert np.array_equal(stages, night) and ranking.tolist() == list(range(scorers))
    assert (agreement.votes(panel) == min(scorers, 4)).all() and (agreement.soft_agreement(panel) == 1).all()
    scored = int((night != UNSCORED).sum())
    assert (np.trace(agreement.against_others(panel), axis1=1, axis2=2) == scored).all()
    assert np.array_equal(agreement.pairwise_kappa(panel), np.ones((scorers, scorers)))


# The example of the chapter "How well do experts agree?": five scorers, five epochs.
BY_HAND = np.array(
    [
        [W, N1, N2, N3, REM],
        [N1, N1, N2, N3, REM],
        [W, W, N2, N2, N1],
        [N1, N1, N1, N2, REM],
        [W, N1, N3, N2, REM],
    ]
)


def test_the_example_of_the_chapter():
    assert 15 * agreement.soft_agreement(BY_HAND) == pytest.approx([13, 11, 9, 10, 12])
    stages, ranking = agreement.consensus(BY_HAND)
    assert ranking.tolist() == [0, 4, 1, 3, 2]
    # Epochs 0 and 3 are ties of two and two: the first scorer, the best, decides. In epoch 3 most of all five have N2.
    assert stages.tolist() == [W, N1, N2, N3, REM]
    assert agreement.votes(BY_HAND).tolist() == [2, 4, 2, 2, 4]
    assert agreement.consensus(BY_HAND, best=5)[0].tolist() == [W, N1, N2, N2, REM]
    # The first scorer is never wrong against a consensus that this scorer decides, and once against that of the others.
    assert metrics.accuracy(agreement.against(stages, BY_HAND[0])) == 1
    assert metrics.accuracy(agreement.against_others(BY_HAND)) == pytest.approx([0.8, 0.6, 0.4, 0.4, 0.6])


def test_who_votes_and_what_a_tie_is():
    voters = np.array([[W], [N2], [N2], [N3], [N3]])
    assert agreement.elect(voters[:1])[0] == W
    assert agreement.elect(voters[:2])[0] == W, "one against one: the first"
    assert agreement.elect(voters[:4])[0] == N2, "a majority, though the first stands alone"
    stages, votes = agreement.elect(voters)
    assert (stages[0], votes[0]) == (W, 1), "two pairs: the facts' rule asks the best, not those who tie"
    stages, votes = agreement.elect([[UNSCORED], [UNSCORED], [N1]])
    assert (stages[0], votes[0]) == (UNSCORED, 2)


@settings(max_examples=40, deadline=None)
@given(panels)
def test_each_scorer_against_the_others(panel):
    panel = np.array(panel)
    stages, votes = agreement.of_others(panel)
    ranking = agreement.rank(panel).tolist()
    counts = agreement.against_others(panel)
    for s in range(len(panel)):
        others = [panel[r] for r in ranking if r != s]
        assert np.array_equal(stages[s], agreement.elect(others)[0])
        assert np.array_equal(votes[s], agreement.elect(others)[1])
        expected = np.zeros((5, 5))
        for one, other in zip(stages[s], panel[s], strict=True):
            if UNSCORED not in (one, other):
                expected[one, other] += 1
        assert np.array_equal(counts[s], expected)


def test_a_scorer_is_judged_by_the_others_and_not_by_itself():
    """The consensus of others does not change with what the scorer says, as long as the ranking is the same."""
    rng = np.random.default_rng(0)
    good = np.tile(rng.integers(0, 5, 200), (4, 1))
    for k in range(4):
        good[k, 40 * k : 40 * k + 5 * k] = 0  # so that they are ranked
    first, second = (np.vstack([good, rng.integers(0, 5, 200)]) for _ in range(2))
    assert agreement.rank(first).tolist() == agreement.rank(second).tolist()
    assert np.array_equal(agreement.of_others(first)[0][4], agreement.of_others(second)[0][4])


def test_chance_against_others():
    guesses = np.random.default_rng(1).integers(0, 5, (5, 20_000))
    counts = agreement.against_others(guesses)
    assert metrics.kappa(counts) == pytest.approx(0, abs=0.02)
    assert metrics.accuracy(counts) == pytest.approx(0.2, abs=0.01)
    inside = agreement.against(agreement.consensus(guesses, best=5)[0], guesses[0])
    assert metrics.accuracy(inside) > 0.35, "a consensus that contains the scorer flatters"


def test_doubtful_epochs_count_less():
    counts = agreement.against([W, N1, N2, UNSCORED, REM], [W, N2, N2, W, UNSCORED], votes=[4, 1, 2, 3, 3])
    expected = np.zeros((5, 5))
    expected[W, W], expected[N1, N2], expected[N2, N2] = 4, 1, 2
    assert np.array_equal(counts, expected)
    assert metrics.accuracy(counts) == pytest.approx(6 / 7)


@pytest.mark.parametrize("votes", [[1, 2], [1, 2, 3, 4], [[1, 2, 3]]])
def test_votes_are_those_of_the_epochs(votes):
    with pytest.raises(SleeplibError, match="shapes"):
        agreement.against([W, N1, UNSCORED], [W, N1, N1], votes)


def test_kappa_of_pairs_is_the_one_of_the_panel():
    panel = _panels(4)[0]
    panel[1, :5] = UNSCORED
    found = agreement.pairwise_kappa(panel)
    for a, b in combinations(range(4), 2):
        assert found[a, b] == found[b, a] == pytest.approx(cohen_kappa_score(panel[a, 5:], panel[b, 5:]))
    assert (np.diag(found) == 1).all()
    assert found[np.triu_indices(4, 1)].mean() == pytest.approx(agreement.between([panel])["kappa"])


@given(panels)
def test_the_span_is_the_readers(panel):
    try:
        _, expected = cut([Hypnogram(row) for row in panel])
    except SleeplibError:
        with pytest.raises(SleeplibError, match="no epoch"):
            agreement.common_span(panel)
    else:
        assert agreement.common_span(panel) == expected


def test_limits_of_the_span():
    panel = np.array([[9, 0, 1, 2, 2, 9], [-1, -1, 9, 2, 2, 2]])
    assert agreement.common_span(panel) == (3, 5)
    assert agreement.common_span(panel, start=4) == (4, 5) and agreement.common_span(panel, start=1) == (3, 5)
    assert agreement.common_span(panel, end=4) == (3, 4) and agreement.common_span(panel, end=9) == (3, 5)
    with pytest.raises(SleeplibError, match="no epoch"):
        agreement.common_span(panel, start=5)


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        ([[0, 1, 2]], "of 2 scorers or more"),
        ([0, 1, 2], "expected"),
        ([[], []], "expected"),
        ([[0, 1], [0]], "differ in length"),
        ([[0, 5], [0, 1]], "5"),
        ([[0, 0.5], [0, 1]], "0.5"),
    ],
)
def test_bad_panels_are_told(panel, message):
    for function in (agreement.consensus, agreement.soft_agreement, agreement.pairwise_kappa):
        with pytest.raises(SleeplibError, match=message):
            function(panel)


def test_somebody_has_to_vote():
    for function in (agreement.consensus, agreement.votes):
        with pytest.raises(SleeplibError, match="at least one"):
            function(BY_HAND, best=0)


# Real nights.


@pytest.fixture(scope="module")
def dodh(shared):
    """The reference of DOD-H, arrays of epochs as lists of nights, unscored as -1."""
    with np.load(shared / "reference/vectors/dodh_consensus.npz") as file:
        edges = file["dodh_offsets"][1:-1]
        split = {
            name.removeprefix("dodh_"): np.split(file[name], edges, axis=-1)
            for name in file
            if file[name].shape[-1] == 24_665
        }
        return split | {
            name: file[f"dodh_{name}"] for name in ("recordings", "bounds", "raw_lengths", "rank")
        }


@pytest.fixture(scope="module")
def expected(shared):
    return json.loads((shared / "reference/vectors/dodh_consensus_expected.json").read_text())["dodh"]


def test_the_consensus_of_all_real_nights(dodh, expected):
    for panel, stages, votes, ranking in zip(
        dodh["scorers"], dodh["consensus"], dodh["votes"], dodh["rank"], strict=True
    ):
        ours, order = agreement.consensus(panel)
        assert np.array_equal(ours, np.where(stages < 0, UNSCORED, stages))
        assert np.array_equal(order, ranking) and np.array_equal(agreement.votes(panel), votes)
    assert sum((c < 0).sum() for c in dodh["consensus"]) == 3
    soft = np.mean([agreement.soft_agreement(panel) for panel in dodh["scorers"]], axis=0)
    assert soft == pytest.approx(list(expected["soft_agreement"].values()), abs=1e-12)


def test_from_the_raw_files_to_the_consensus(dodh, shared):
    folder, limits = shared / "data/hypnograms/dodh", cohorts.load("dodh").hypnogram["limits"]
    for i, name in enumerate(dodh["recordings"]):
        files = [folder / f"scorer_{k}" / f"{name}.json" for k in range(1, 6)]
        panel = np.stack([readers.read_hypnogram(file).stages for file in files])
        assert panel.shape == (5, dodh["raw_lengths"][i])
        first, last = limits.get(str(name), (None, None))
        start, end = agreement.common_span(panel, first or 0, last)
        assert [start, end] == dodh["bounds"][i].tolist()
        stages, ranking = agreement.consensus(panel[:, start:end])
        assert np.array_equal(np.where(stages == UNSCORED, -1, stages), dodh["consensus"][i])
        assert np.array_equal(ranking, dodh["rank"][i])


def _weighted_f1(c):
    """Mean of the stages' F1, weighted with how often they occur."""
    return np.nansum(metrics.f1(c) * c.sum(-1), axis=-1) / c.sum((-2, -1))


WEIGHTED = {"f1": _weighted_f1, "acc": metrics.accuracy, "kappa": metrics.kappa}


@pytest.mark.parametrize(
    "model",
    ["Chambon_et_Al", "DeepSleepNet", "MixedNeuralNetwork", "SeqSleepNet", "SimpleNet", "Tsinalis_et_Al"],
)
def test_published_scores_of_networks_against_the_consensus(dodh, expected, model):
    nights = list(zip(dodh["scorers"], dodh[f"pred_{model}"], strict=True))
    weighted, plain = (
        np.stack([
            agreement.against(agreement.consensus(panel)[0], said, agreement.votes(panel) if weigh else None)
            for panel, said in nights
        ])
        for weigh in (True, False)
    )  # fmt: skip
    found = {f"weighted_{name}": function(weighted).mean() for name, function in WEIGHTED.items()}
    found |= {f"std_weighted_{name}": function(weighted).std() for name, function in WEIGHTED.items()}
    pooled = plain.sum(0)
    found |= {"pooled_mf1": metrics.macro_f1(pooled), "pooled_acc": metrics.accuracy(pooled)}
    f1 = metrics.f1(plain)
    # In a night that has no N3 and is not called so, its F1 is 1 there (facts A4.1); ours would leave it out.
    found |= {
        "pooled_kappa": metrics.kappa(pooled),
        "recordwise_mf1_unweighted": np.where(np.isnan(f1), 1, f1).mean(),
    }
    assert found == pytest.approx(expected[model], abs=1e-12)


def test_published_scores_of_the_scorers_against_the_others(dodh, expected):
    """In the published program an epoch that a scorer left unscored is a wrong one: a sixth column."""
    found, ours = [], []
    for panel in dodh["scorers"]:
        stages, votes = agreement.of_others(panel)
        counts = np.zeros((5, 6, 6))
        for s in range(5):
            scored = stages[s] != UNSCORED
            column = np.where(panel[s] < 0, 5, panel[s])[scored]
            np.add.at(counts[s], (stages[s][scored], column), votes[s][scored])
        found.append(counts)
        ours.append([agreement.against(*row) for row in zip(stages, panel, votes, strict=True)])
    for name, function in WEIGHTED.items():
        key = {"f1": "f1_score", "acc": "accuracy_score", "kappa": "cohen_kappa"}[name]
        published = [expected["scorers"][f"scorer_{k}"][key] for k in range(1, 6)]
        values = function(np.stack(found))  # (nights, scorers)
        assert values.mean(0) == pytest.approx(published, abs=1e-12)
        assert values.mean() == pytest.approx(expected["Overall Scorers"][key], abs=1e-12)
        assert function(np.stack(ours)).mean(0) == pytest.approx(published, abs=1e-3)


def test_the_numbers_of_the_chapter(dodh):
    panels = [np.where(panel < 0, UNSCORED, panel) for panel in dodh["scorers"]]
    agreed = [agreement.consensus(panel)[0] for panel in panels]
    votes = [agreement.votes(panel) for panel in panels]
    shares = np.bincount(np.concatenate(votes), minlength=5) / 24_665
    assert shares == pytest.approx([0, 0.001, 0.098, 0.203, 0.698], abs=6e-4)
    differs = [c != agreement.consensus(p, best=5)[0] for c, p in zip(agreed, panels, strict=True)]
    assert sum(d.sum() for d in differs) == 896
    assert sum((v[d] == 2).sum() for v, d in zip(votes, differs, strict=True)) == 877
    others = np.stack([agreement.against_others(panel) for panel in panels])  # (nights, 5, 5, 5)
    inside = sum(np.stack([agreement.against(c, s) for s in p]) for c, p in zip(agreed, panels, strict=True))
    pairs = np.mean([agreement.pairwise_kappa(p)[np.triu_indices(5, 1)].mean() for p in panels])
    found = [pairs, metrics.kappa(others.sum(0)).mean(), metrics.kappa(inside).mean()]
    assert found == pytest.approx([0.70, 0.77, 0.82], abs=0.005)
    # Four others ranked among themselves, so that the fifth has no say in their ties.
    alone = [[agreement.consensus(np.delete(p, s, axis=0))[0] for s in range(5)] for p in panels]
    kappas = [
        metrics.kappa(np.stack([agreement.against(*pair) for pair in zip(one, p, strict=True)])).mean()
        for one, p in zip(alone, panels, strict=True)
    ]
    assert metrics.kappa(others).mean() == pytest.approx(0.764, abs=5e-4)
    assert np.mean(kappas) == pytest.approx(0.757, abs=5e-4)
    places = np.stack([agreement.rank(panel) for panel in panels])
    assert (places[:, 4] == 3).sum() == 15
    soft = [agreement.soft_agreement(panel)[0] for panel in panels]
    strange = int(np.argmin(soft))
    assert soft[strange] == pytest.approx(0.40, abs=0.005)
    assert agreement.pairwise_kappa(panels[strange])[0, 1:].max() == pytest.approx(0.18, abs=0.005)
    without = metrics.kappa(np.delete(others, strange, axis=0).sum(0)).mean()
    assert without == pytest.approx(0.78, abs=0.005)
    distance = [metrics.distance_to_transition(c, np.zeros(len(c))) for c in agreed]
    far = np.concatenate(distance)
    one = np.concatenate([((p == p[0]) & (p != UNSCORED)).all(0) for p in panels])
    found = [one[far == d].mean() for d in (0, 1, 2, 4)] + [one[far >= 10].mean()]
    assert found == pytest.approx([0.25, 0.41, 0.49, 0.60, 0.78], abs=0.006)
