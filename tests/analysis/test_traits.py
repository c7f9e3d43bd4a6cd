"""Triplets and forests, against the authors' numbers and against loops."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from sleeplib.analysis import architecture, metrics, traits
from sleeplib.errors import SleeplibError

SMALL = traits.Forest(trees=15)


def naive_triplets(stages, per_epoch, epochs):
    """The rule, word by word, in loops."""
    asleep = [i for i, s in enumerate(epochs) if s not in (0, 9)]
    if not asleep:
        return np.zeros((0, 80))
    rows, a, b = [], asleep[0], asleep[-1]
    for start in range(a, b, 180):
        block = list(stages[start * per_epoch : min(start + 180, b) * per_epoch])
        seen = [tuple(block[i : i + 3]) for i in range(len(block) - 2)]
        rows.append([seen.count(tuple(t)) for t in traits.TRIPLETS.tolist()])
    return np.array(rows).reshape(-1, 80)


def a_night(epochs=400, per_epoch=2, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 1, 2, 3, 4, 9], epochs, p=[0.3, 0.2, 0.2, 0.14, 0.1, 0.06]).astype(np.int8)
    fine = np.repeat(coarse, per_epoch)
    anew = rng.random(fine.size) < 0.4
    fine[anew] = rng.integers(0, 5, anew.sum())
    return fine, coarse


def cohort(persons=24, nights=1, signal=3.0, own=0.3, seed=0, drop=()):
    """Nights of 3 blocks whose first counts depend on the label; the others are noise of the person."""
    rng = np.random.default_rng(seed)
    age, like = rng.uniform(20, 80, persons), rng.normal(0, own, (persons, 80))
    person = np.repeat([f"p{i:02d}" for i in range(persons)], nights)
    index = np.repeat(np.arange(persons), nights)
    rate = np.exp(1 + like[index])
    rate[:, :9] *= np.exp(signal * (age[index, None] - 50) / 60)
    features = [rng.poisson(r, (0 if k in drop else 3, 80)) for k, r in enumerate(rate)]
    return features, person, age[index]


def test_triplets_are_those_of_the_authors(shared):
    with np.load(shared / "reference/vectors/anysleep_rules.npz") as known:
        assert ["".join(map(str, t)) for t in traits.TRIPLETS] == known["triplet_order"].tolist()
        for f in (1, 4, 16, 128, 3840):
            found = traits.triplets(known[f"tri_stages_{f}"], f, known[f"tri_epochs_{f}"])
            assert np.array_equal(found, known[f"tri_features_{f}"])


@pytest.mark.parametrize("per_epoch", [1, 2, 5])
def test_triplets_equal_a_loop(per_epoch):
    for seed, epochs in enumerate((3, 181, 182, 362, 400)):
        fine, coarse = a_night(epochs, per_epoch, seed)
        expected = naive_triplets(fine, per_epoch, coarse)
        assert np.array_equal(traits.triplets(fine, per_epoch, coarse), expected)
        assert np.array_equal(traits.triplets(fine.astype(int), per_epoch, coarse.tolist()), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), min_size=1, max_size=60), st.integers(1, 3))
def test_triplets_of_any_night(codes, per_epoch):
    fine = np.roll(np.repeat(codes, per_epoch), 1)
    found = traits.triplets(fine, per_epoch, codes)
    assert np.array_equal(found, naive_triplets(fine, per_epoch, codes))
    wake = np.r_[np.zeros(4, int), codes, np.zeros(3, int)]
    padded = np.r_[np.zeros(4 * per_epoch, int), fine, np.zeros(3 * per_epoch, int)]
    assert np.array_equal(traits.triplets(padded, per_epoch, wake), found)  # wake outside of sleep is nothing


def test_ends_of_a_night():
    wake = np.zeros(300, np.int8)
    assert traits.triplets(np.repeat(wake, 4), 4, wake).shape == (0, 80)
    one = wake.copy()
    one[100] = 2  # a = b: the last epoch of sleep is left out, so nothing is left
    assert traits.triplets(one, 1, one).shape == (0, 80)
    two = one.copy()
    two[280] = 2  # 180 epochs from a to b: one whole block, not two
    assert traits.triplets(two, 1, two).shape == (1, 80)
    two[281] = 2
    assert traits.triplets(two, 1, two).shape == (2, 80)
    unscored = np.array([9, 2, 3, 9, 2, 3, 2, 9, 9], np.int8)
    found = traits.triplets(unscored, 1, unscored)  # of 2 3 9 2 3 there is none without the 9
    assert found.shape == (1, 80) and found.sum() == 0


@pytest.mark.parametrize(
    ("stages", "per_epoch", "epochs", "says"),
    [
        (np.zeros(7), 2, np.zeros(4), "7 stages do not fit 4 epochs"),
        (np.zeros(8), 0, np.zeros(4), "per_epoch=0"),
        (np.zeros(8), 2.0, np.zeros(4), "per_epoch=2.0"),
        (np.zeros(4), True, np.zeros(4), "per_epoch=True"),
        (np.full(4, 5), 1, np.zeros(4), "codes"),
        (np.full(4, -1, np.int8), 1, np.zeros(4), "codes"),
        (np.zeros(4), 1, np.full(4, 7, np.int8), "stages_30s"),
        (np.zeros((2, 2), np.int8), 1, np.zeros(4), "shape"),
    ],
)
def test_bad_stages_are_refused(stages, per_epoch, epochs, says):
    with pytest.raises(SleeplibError, match=says):
        traits.triplets(stages, per_epoch, epochs)


def test_statistics_of_a_night():
    epochs = [0, 0, 1, 2, 2, 0, 3, 4, 9, 0]
    hours = 1 / 120
    assert traits.statistics_of_a_night(epochs) == pytest.approx(
        [5 * hours, hours, 0.2, 0.4, 0.2, 0.2, 4 / (6 * hours)]
    )
    for none in ([0, 0, 9], [9], []):
        assert traits.statistics_of_a_night(none).tolist() == [0] * len(traits.STATISTICS)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), max_size=50))
def test_statistics_are_those_of_the_report(epochs):
    """Time asleep, wake, shares as in the report of the whole night; changes only between scored neighbours."""
    found, report = traits.statistics_of_a_night(epochs), architecture.report_statistics(epochs)
    assert np.isfinite(found).all()
    if report["TST"].value:
        names = ("TST", "WASO", "%N1", "%N2", "%N3", "%REM")
        expected = [report[k].value / (60 if k[0] != "%" else 100) for k in names]
        asleep = [i for i, s in enumerate(epochs) if s not in (0, 9)]
        pairs = [epochs[i : i + 2] for i in range(asleep[0], asleep[-1])]
        changes = sum(a != b for a, b in pairs if 9 not in (a, b))
        assert found == pytest.approx([*expected, changes / (report["SPT"].value / 60)])


def test_no_change_is_counted_across_what_nobody_scored():
    assert traits.statistics_of_a_night([2, 9, 3])[-1] == 0
    assert traits.statistics_of_a_night([2, 9, 3, 4])[-1] == pytest.approx(30)


def test_settings_of_forests(shared, tmp_path):
    drawn = traits.forests(400)
    assert drawn[:50] == traits.forests(50) != traits.forests(50, seed=1)
    for name in ("max_depth", "min_samples_leaf", "min_samples_split"):
        assert {getattr(f, name) for f in drawn} == {2, 3, 4, 5, 6, 7}
    assert {f.max_features for f in drawn} == {"sqrt", "log2"} and {f.trees for f in drawn} == {200}
    path = shared / "reference/vectors/anysleep_rf_hyperparameters.json"
    given, read = json.loads(path.read_text()), traits.published_forests(path)
    assert len(read) == 50 and [f.max_depth for f in read] == [d["max_tree_depth"] for d in given]
    assert [f.min_samples_leaf for f in read] == [d["min_samples_leaf"] for d in given]
    model = traits.Forest(3, 5, 6, "log2").build("sex", 1)
    assert model.criterion == "gini" and model.class_weight == "balanced" and model.n_estimators == 200
    (tmp_path / "bad.json").write_text('[{"depth": 3}]')
    for bad in (tmp_path / "bad.json", tmp_path / "none.json"):
        with pytest.raises(SleeplibError, match="no list of forest settings"):
            traits.published_forests(bad)


def test_folds_leave_persons_out_and_the_legacy_ones_do_not():
    person = np.repeat(["a", "b", "c", "d"], 2)
    label = np.repeat([0, 1, 0, 1], 2)
    for rule in ({}, {"folds": 2}):
        found = traits.splits(person, label, "sex", **rule)
        assert sorted(np.concatenate([test for _, test in found])) == list(range(8))
        assert all(not set(person[train]) & set(person[test]) for train, test in found)
    many = np.repeat([0, 1], [12, 20])
    dealt = traits.splits(np.arange(32), many, "sex", folds=4)
    assert [np.bincount(many[test]).tolist() for _, test in dealt] == [[3, 5]] * 4
    with pytest.raises(SleeplibError, match="two persons of each class"):
        traits.splits(person[:4], label[:4], "sex")
    legacy = traits.splits(person, label, "sex", by="recording")
    assert len(legacy) == 8 and all(set(person[test]) <= set(person[train]) for train, test in legacy)
    for bad in ({"by": "night"}, {"folds": 5}, {"folds": 1}, {"task": "height"}):
        with pytest.raises(SleeplibError, match="traits"):
            traits.splits(person, label, **{"task": "sex"} | bad)


@pytest.mark.parametrize("task", traits.TASKS)
def test_predictions_equal_a_loop_over_persons(task):
    features, person, age = cohort(8, nights=2, drop=(3,))
    label = age if task == "age" else (age > np.median(age)).astype(float)
    found = traits.predict(features, person, label, SMALL, task)
    for k, name in enumerate(np.unique(person)):
        train = [i for i in range(16) if person[i] != name]
        x = np.concatenate([features[i] for i in train])
        y = np.concatenate([[label[i]] * len(features[i]) for i in train])
        seed = int(np.random.SeedSequence((0, k)).generate_state(1)[0])
        model = SMALL.build(task, seed).fit(x.astype(np.float32), y)
        for i in set(range(16)) - set(train):
            nothing = label[train].mean() if task == "age" else 0.5
            expected = model.predict(features[i].astype(np.float32)).mean() if len(features[i]) else nothing
            assert found[i] == pytest.approx(expected)


def test_predictions_are_the_same_for_any_number_of_jobs_and_better_than_chance():
    features, person, age = cohort()
    found = traits.predict(features, person, age, SMALL, "age", folds=6)
    assert np.array_equal(
        found, traits.predict(features, person, age, SMALL, "age", folds=6, jobs=2, backend="threading")
    )
    guess = traits.leave_one_out_mean(age, person)
    assert traits.score(found, age, person, "age")[0] < 0.8 * traits.score(guess, age, person, "age")[0]
    simple = traits.predict_simply([f.mean(0)[:9] for f in features], person, age, "age", folds=6)
    assert traits.score(simple, age, person, "age")[2] < traits.score(guess, age, person, "age")[0]


def test_a_second_night_of_the_same_person_flatters():
    """Counts that say nothing about age but who it is."""
    features, person, age = cohort(nights=2, signal=0, own=1)
    forest = traits.Forest(7, 2, 2, trees=30)
    honest, legacy = (
        traits.scores(traits.predict(features, person, age, forest, "age", by), age, person, "age")
        for by in ("person", "recording")
    )
    assert legacy < 0.8 * honest


def test_finished_cells_are_not_made_again(tmp_path, monkeypatch):
    features, person, age = cohort(8)
    by_resolution, chosen = {1: features, 4: features[::-1]}, traits.forests(2, trees=5)
    first = traits.grid(by_resolution, person, age, chosen, "age", tmp_path, folds=2, progress=False)
    assert first[4].shape == (2, 8) and len(list(tmp_path.iterdir())) == 4
    assert np.array_equal(first[1][1], traits.predict(features, person, age, chosen[1], "age", folds=2))
    monkeypatch.setattr(traits.forest, "predict", lambda *_: pytest.fail("made again"))
    again = traits.grid(by_resolution, person, age, chosen, "age", tmp_path, folds=2, progress=False)
    assert all(np.array_equal(first[f], again[f]) for f in (1, 4))
    for change in ({"person": person[::-1]}, {"target": age + 1}, {"folds": 4}):
        asked = {"person": person, "target": age, "folds": 2} | change
        with pytest.raises(pytest.fail.Exception):
            traits.grid({1: features}, chosen=chosen, task="age", folder=tmp_path, progress=False, **asked)


def test_votes_ties_and_scores():
    coins = traits.decide(np.full(1000, 0.5))
    assert 400 < coins.sum() < 600 and np.array_equal(coins, traits.decide(np.full(1000, 0.5)))
    assert traits.decide([0.49, 0.51, 0.0, 1.0]).tolist() == [0, 1, 0, 1]
    person, label = np.array(["a", "a", "b", "c"]), np.array([1, 1, 0, 1])
    shares = np.array([0.9, 0.2, 0.1, 0.4])  # a: 0.55, so 1
    assert traits.score(shares, label, person, "sex")[0] == pytest.approx(
        f1_score([1, 0, 1], [1, 0, 0], average="macro")
    )
    legacy = traits.scores(shares, label, person, "sex", per="recording")
    assert legacy == pytest.approx(f1_score(label, [1, 0, 0, 0], average="macro"))
    age, said = np.array([40.0, 40.0, 60.0, 80.0]), np.array([44.0, 38.0, 60.0, 70.0])
    assert traits.scores(said, age, person, "age") == pytest.approx(np.sqrt((1 + 0 + 100) / 3))
    assert traits.scores(said, age, person, "age", per="recording") == pytest.approx(
        np.sqrt((16 + 4 + 100) / 4)
    )
    many = traits.scores(np.stack([[said, said + 1]] * 3), age, person, "age")
    assert many.shape == (3, 2) and many[0, 0] == traits.scores(said, age, person, "age")


def test_each_forest_and_each_seed_has_its_own_coins():
    label, person = np.tile([0, 1], 50), np.arange(100)
    undecided = np.full((8, 100), 0.5)
    scores = traits.scores(undecided, label, person, "sex")
    assert len(set(scores)) > 4, "one coin for all forests would give one score"
    assert not np.array_equal(scores, traits.scores(undecided, label, person, "sex", seed=1))
    assert np.array_equal(scores, traits.scores(undecided, label, person, "sex"))
    values = [traits.score(undecided, label, person, "sex", seed=s)[0] for s in (0, 0, 1, 2)]
    assert values[0] == values[1] == pytest.approx(scores.mean()) and len(set(values)) == 3
    sure = np.broadcast_to(label, (8, 100))
    changes = [traits.change(sure, undecided, label, person, "sex", seed=s)[0] for s in (0, 1)]
    assert changes == pytest.approx([1 - values[0], 1 - values[2]])


def test_a_person_is_the_mean_of_all_their_blocks():
    """Paper, section 4.5: the blocks of a subject vote, whichever night they are of."""
    person, target = np.array(["a", "a", "b", "b", "c"]), np.array([1, 1, 0, 0, 1])
    votes = [[1, 1, 1, 1], [0, 0], [0], [], []]  # of each block
    blocks, shares = [len(v) for v in votes], [1.0, 0.0, 0.0, 0.5, 0.5]
    # a: 4 of 6; b: the night without blocks has no say; c: a coin, for there is no other night.
    found = traits.tallies(shares, target, person, "sex", blocks=blocks)
    assert found[0, 1, 1] == 1 and found[1, 0, 0] == 1 and found[2, 1].sum() == 1
    alike = traits.tallies([0.9, 0.0, 0.0, 0.0, 1.0], target, person, "sex")
    assert alike[0, 1, 0] == 1, "without their numbers nights weigh alike: 0.45"
    years, age = np.array([60.0, 30.0, 50.0, 99.0, 41.0]), np.array([52.0, 52.0, 48.0, 48.0, 40.0])
    errors = traits.tallies(years, age, person, "age", blocks=blocks)
    assert errors.tolist() == [[4, 1], [4, 1], [1, 1]]  # a: (4 * 60 + 2 * 30) / 6 = 50 years
    whole = traits.scores(years, age, person, "age", blocks=blocks)
    assert whole == traits.score(years, age, person, "age", blocks=blocks)[0] == pytest.approx(np.sqrt(3))
    assert traits.change(years, age, age, person, "age", blocks=blocks)[0] == pytest.approx(np.sqrt(3))
    legacy = [traits.scores(years, age, person, "age", "recording", blocks=b) for b in (blocks, None)]
    assert legacy[0] == legacy[1]


def test_blocks_of_predictions_vote_as_one_by_one():
    """`predict`, then `tallies`, against the mean over all rows of a person."""
    features, person, age = cohort(8, nights=2)
    features = [x[: 1 + k % 3] for k, x in enumerate(features)]
    blocks = [len(x) for x in features]
    found = traits.predict(features, person, age, SMALL, "age")
    for k, name in enumerate(np.unique(person)):
        mine = np.flatnonzero(person == name)
        rows = np.concatenate([[found[i]] * blocks[i] for i in mine])
        error = traits.tallies(found, age, person, "age", blocks=blocks)[k, 0]
        assert error == pytest.approx((rows.mean() - age[mine[0]]) ** 2)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"task": "ahi"}, "task 'ahi' is not known; choose age, sex, apnea"),
        ({"per": "perso"}, "per 'perso' is not known; choose person, recording"),
        ({"blocks": [3, 3]}, r"blocks \(2,\)"),
        ({"blocks": [3, 3, -1]}, "0 or more"),
        ({"predicted": [1.0, np.nan, 3.0]}, "no numbers"),
    ],
)
def test_scores_that_cannot_be_are_refused(changed, says):
    asked = {
        "predicted": [30.0, 40.0, 50.0],
        "target": [31, 42, 50],
        "person": ["a", "b", "c"],
        "task": "age",
    }
    for function in (traits.tallies, traits.score, traits.scores):
        with pytest.raises(SleeplibError, match=says):
            function(**asked | changed)


def test_other_unknown_tasks_and_nobody_else_to_guess_from():
    with pytest.raises(SleeplibError, match="'ahi'"):
        SMALL.build("ahi", 0)
    with pytest.raises(SleeplibError, match="'ahi'"):
        traits.best(np.zeros((1, 2, 1)), [1, 2], "ahi")
    with pytest.raises(SleeplibError, match="two persons or more"):
        traits.leave_one_out_mean([40.0, 40.0], ["a", "a"])


def test_intervals_are_over_persons():
    rng = np.random.default_rng(0)
    person, age = np.arange(60), rng.uniform(20, 80, 60)
    said = age + rng.normal(0, 10, 60)
    value, low, high = traits.score(said, age, person, "age")
    assert low < value < high
    twice = [np.repeat(x, 2) for x in (said, age, person)]
    assert traits.score(*twice, "age", per="recording") == pytest.approx((value, low, high))


def test_a_change_is_paired_by_person():
    rng = np.random.default_rng(0)
    person, age = np.arange(40), rng.uniform(20, 80, 40)
    worse = age + rng.normal(0, 12, 40)
    better = age + 0.8 * (worse - age)
    value, low, high = traits.change(better, worse, age, person, "age")
    apart = [traits.score(x, age, person, "age") for x in (better, worse)]
    assert value == pytest.approx(apart[0][0] - apart[1][0]) and low < value < high < 0
    assert high - low < 0.5 * (apart[1][2] - apart[1][1])
    forests = np.stack([better, worse])
    found = traits.score(forests, age, person, "age")
    assert found[0] == pytest.approx(np.mean([apart[0][0], apart[1][0]])) and found[1] < found[0] < found[2]


def test_chance():
    target = np.r_[np.zeros(30, int), np.ones(50, int)]
    coins = traits.coin_flips(target)
    assert coins.shape == (100,) and coins.mean() == pytest.approx(0.49, abs=0.02)
    age, person = np.array([30.0, 30.0, 50.0, 70.0]), np.array(["a", "a", "b", "c"])
    assert traits.leave_one_out_mean(age, person).tolist() == [60, 60, 50, 40]


def test_published_scores_give_the_printed_numbers(shared):
    with np.load(shared / "reference/vectors/anysleep_high_freq_scores.npz") as known:
        freqs = known["freqs"]
        for key, task, best in (
            ("isruc_age", "age", (128, 13.8719)),
            ("isruc_sex", "sex", (64, 0.5953)),
            ("dodo_vs_dodh", "apnea", (256, 0.9061)),
        ):
            assert traits.best(known[key], freqs, task) == (best[0], pytest.approx(best[1], abs=5e-5))
            mean, sd = traits.summary(known[key])
            assert mean.shape == sd.shape == (14,)
            assert sd[3] == pytest.approx(np.std([known[key][r, 3, k] for r in range(3) for k in range(50)]))


def test_guessing_the_mean_age_of_isruc(shared):
    known = json.loads((shared / "reference/vectors/isruc_age_sex.json").read_text())["age"]
    age = np.array([a for a in known.values() if a is not None], float)
    keys = [k for k, a in known.items() if a is not None]
    person = np.array([k.rpartition("_")[0] if k.startswith("isruc-sg2") else k for k in keys])
    assert (len(keys), len(set(person))) == (124, 116)
    guess = np.full(124, age.mean())
    assert traits.scores(guess, age, person, "age", per="recording") == pytest.approx(16.0617, abs=1e-4)
    of_persons = np.full(124, np.mean([age[person == p][0] for p in set(person)]))
    assert traits.scores(of_persons, age, person, "age") == pytest.approx(15.9400, abs=1e-4)
    honest = traits.scores(traits.leave_one_out_mean(age, person), age, person, "age")
    assert honest == pytest.approx(15.94 * 116 / 115, abs=1e-3)


def test_bad_labels_are_refused():
    features, person, age = cohort(6)
    for changed in (
        {"target": age[:5]},
        {"target": np.where(age > 50, np.nan, age)},
        {"features": [f[:0] for f in features]},
        {"task": "sex"},
        {"task": "sex", "target": np.ones(6)},
    ):
        asked = {"features": features, "person": person, "target": age, "task": "age"} | changed
        with pytest.raises(SleeplibError, match="traits"):
            traits.predict(forest=SMALL, **asked)
    assert metrics.macro_f1(traits.tallies([1, 0], [1, 0], ["a", "b"], "sex").sum(0)) == 1
