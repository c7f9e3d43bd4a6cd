"""From stages to a person: how often the stage flickers, and what forests make of it (age, sex, sleep apnea).

After AnySleep, sections 2.3 and 4.5 (Perslev et al. 2021 before it); facts A4.6. A night is cut into blocks of an hour
and a half; of each, 80 kinds of stage triplets are counted. A forest is trained on blocks and judged on persons.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sleeplib import parallel
from sleeplib.analysis import architecture, metrics, statistics
from sleeplib.errors import SleeplibError
from sleeplib.stages import UNSCORED, W, check

BLOCK = 180  # epochs of 30 s: an hour and a half
# Codes of the three stages of each feature, (80, 3): neighbours differ, the first and the third may be the same.
TRIPLETS = np.array(
    [(i, j, k) for i in range(5) for j in range(5) for k in range(5) if i != j and j != k], np.int8
)
TASKS = ("age", "sex", "apnea")  # a number; two classes, 0 and 1; two classes
PER = ("person", "recording")
STATISTICS = ("asleep (h)", "awake after sleep onset (h)", "N1", "N2", "N3", "REM", "stage changes per hour")
# The same in `architecture.sleep_statistics`, and what its minutes and percents are multiplied with.
_REPORTED = {
    "total sleep time": 1 / 60, "wake after sleep onset": 1 / 60, "share N1": 0.01, "share N2": 0.01,
    "share N3": 0.01, "share REM": 0.01, "transitions": 1,
}  # fmt: skip
_UNSCORED = 5  # in triplets, so that 36 i + 6 j + k is below 256
_CODE = TRIPLETS.astype(int) @ [36, 6, 1]


def triplets(stages, per_epoch: int, stages_30s) -> np.ndarray:
    """How often three neighbouring stages differ, each from the next, in each block of a night.

    Parameters
    ----------
    stages : array (N * per_epoch,)
        Stages at the resolution asked for.
    per_epoch : int
        Stages in 30 s.
    stages_30s : array (N,)
        Stages of the 30-s epochs, by the same system: blocks begin at the first that is sleep and end before the last
        one (the released code leaves that one out). The last block may be shorter; counts are not scaled.

    Returns
    -------
    array (blocks, 80) of int
        In the order of `TRIPLETS`; no block where there is no sleep or a single epoch of it. Unscored epochs are no
        sleep, and triplets with an unscored stage are not counted.

    Raises
    ------
    SleeplibError
        If a code is no stage, or the lengths do not fit together.
    """
    fine, epochs = check(stages, "triplets: stages"), check(stages_30s, "triplets: stages_30s")
    whole = isinstance(per_epoch, int | np.integer) and not isinstance(per_epoch, bool)
    if not whole or per_epoch < 1 or fine.size != per_epoch * epochs.size:
        raise SleeplibError(
            f"triplets: {fine.size} stages do not fit {epochs.size} epochs at per_epoch={per_epoch!r}; "
            "give per_epoch stages for each epoch of 30 s"
        )
    asleep = np.flatnonzero((epochs != W) & (epochs != UNSCORED))
    if asleep.size < 2:
        return np.zeros((0, len(TRIPLETS)), np.int64)
    fine = fine[asleep[0] * per_epoch : asleep[-1] * per_epoch]
    fine, size = np.minimum(fine, _UNSCORED).astype(np.uint8), BLOCK * per_epoch
    code = 36 * fine[:-2] + 6 * fine[1:-1] + fine[2:]
    # All 216 kinds are counted, for which nothing has to be looked up; the 80 are taken from them.
    blocks = [code[start : start + size - 2] for start in range(0, fine.size, size)]
    return np.stack([np.bincount(block, minlength=6**3)[_CODE] for block in blocks])


def statistics_of_a_night(stages_30s) -> np.ndarray:
    """What a report says of a night (N,) of 30-s stages, from its first epoch of sleep to the last: `STATISTICS` (7,).

    They are `architecture.sleep_statistics` of this time, in h and as shares of 1: unscored epochs are time and no
    stage, and no change is counted across them. All are 0 without sleep, and none is ever NaN: REM latency and what
    else a night may lack are not among them.
    """
    epochs = check(stages_30s, "statistics_of_a_night")
    asleep = np.flatnonzero((epochs != W) & (epochs != UNSCORED))
    if not asleep.size:
        return np.zeros(len(STATISTICS))
    report = architecture.sleep_statistics(epochs[asleep[0] : asleep[-1] + 1])
    return np.array([report[name] * unit for name, unit in _REPORTED.items()])


@dataclass(frozen=True)
class Forest:
    """Settings of a random forest; all else is scikit-learn's default, with balanced classes (AnySleep, section 4.5).

    The authors' forests have no seed; here equal settings give equal predictions.
    """

    max_depth: int = 4
    min_samples_leaf: int = 4
    min_samples_split: int = 4
    max_features: str = "sqrt"  # or "log2"
    trees: int = 200
    seed: int = 0

    def build(self, task: str, seed: int):
        """An untrained forest of scikit-learn."""
        _choose("task", task, TASKS)
        settings = {key: value for key, value in asdict(self).items() if key not in ("trees", "seed")}
        settings |= {"n_estimators": self.trees, "random_state": seed}
        if task == "age":
            return RandomForestRegressor(**settings)
        return RandomForestClassifier(criterion="gini", class_weight="balanced", **settings)


def forests(n: int = 50, seed: int = 0, trees: int = 200) -> list[Forest]:
    """Settings drawn evenly from the paper's ranges: 2 to 7 for depth, leaf and split; square root or logarithm."""
    rng = np.random.default_rng(seed)
    drawn = [(*rng.integers(2, 8, 3).tolist(), str(rng.choice(["sqrt", "log2"]))) for _ in range(n)]
    return [Forest(*settings, trees=trees, seed=k) for k, settings in enumerate(drawn)]


def published_forests(path) -> list[Forest]:
    """The authors' 50 settings from their file `anysleep_rf_hyperparameters.json`.

    Raises
    ------
    SleeplibError
        If the file is missing or holds something else.
    """
    try:
        found = [{"max_depth": d.pop("max_tree_depth"), **d} for d in json.loads(Path(path).read_text())]
        return [Forest(**settings, seed=k) for k, settings in enumerate(found)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SleeplibError(
            f"{path}: no list of forest settings ({error}); name the authors' json, or draw with `forests`"
        ) from error


def _choose(what: str, value, known: Sequence[str]) -> None:
    if value not in known:
        raise SleeplibError(f"traits: {what} {value!r} is not known; choose {', '.join(known)}")


def splits(person, target, task: str, by: str = "person", folds: int | None = None, seed: int = 0) -> list:
    """Nights that are trained on and tested in each fold, as pairs of indices into the R nights.

    Parameters
    ----------
    by : "person" leaves all nights of a person out; "recording" one night, as the authors' code does, so that another
        night of the same person may stay
    folds : so many folds of whole persons (classes kept even) instead of one for each, for small budgets
    """
    _choose("task", task, TASKS)
    _choose("by", by, PER)
    names = np.arange(len(person)) if by == "recording" else person
    groups, first, group = np.unique(names, return_index=True, return_inverse=True)
    label = np.zeros(len(groups)) if task == "age" else np.asarray(target)[first]
    if task != "age" and min(np.unique(label, return_counts=True)[1]) < 2:
        raise SleeplibError(f"traits: {task} needs two persons of each class, one to learn from")
    if not 2 <= (folds or 2) <= len(groups):
        raise SleeplibError(f"traits: {folds} folds of {len(groups)} groups; at least 2, at most one each")
    fold = np.arange(len(groups))
    if folds:  # deal those of each class round, in an order drawn
        fold[np.lexsort((np.random.default_rng(seed).random(len(groups)), label))] = fold % folds
    fold = fold[group]
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]


def predict(
    features: Sequence[np.ndarray], person, target, forest: Forest, task: str, by: str = "person",
    folds: int | None = None, jobs: int = 1, backend: str = "loky", progress: bool = False,
) -> np.ndarray:  # fmt: skip
    """What a forest that did not see the person says of each night: mean of its predictions for the night's blocks.

    Parameters
    ----------
    features : list of R arrays (blocks, D)
        Of each night; each block is a training row with its person's label.
    person, target : arrays (R,)
        Whose night it is; age in years, or class 0 or 1.
    task : "age", "sex" or "apnea"
    by, folds : as for `splits`
    jobs : folds side by side; the result is the same for any number

    Returns
    -------
    array (R,)
        Years, or the share of blocks that were called class 1 (see `decide`). A night without blocks gets what is
        known without it: the mean of its fold's training nights, or 0.5.
    """
    features, target = _as_rows(features, person, target, task)
    found, tests = np.full(len(target), np.nan), splits(person, target, task, by, folds)
    bunch = max(1, -(-len(tests) // (4 * jobs)))  # several folds at once: processes start work seldom
    items = [(features, target, tests[k : k + bunch], k, forest, task) for k in range(0, len(tests), bunch)]
    for results in parallel.work(_folds, items, jobs, backend, f"Forests: {task}", "bunch", progress):
        for test, values in results:
            found[test] = values
    return found


def _as_rows(features, person, target, task: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Features as float32, which is what trees compare, and labels as numbers; all checked."""
    target = np.asarray(target, float)
    lengths = len(features), len(person), len(target)
    if len(set(lengths)) > 1 or not np.isfinite(target).all():
        raise SleeplibError(
            f"traits: {lengths[0]} nights, {lengths[1]} persons, {lengths[2]} labels; give one known label each"
        )
    if task != "age" and set(target) != {0, 1}:
        raise SleeplibError(f"traits: {task} has labels {sorted(set(target))[:9]}; expected both 0 and 1")
    if not any(len(x) for x in features):
        raise SleeplibError("traits: no night has a block of sleep; there is nothing to learn from")
    return [np.ascontiguousarray(x, np.float32) for x in features], target


def _folds(features, target, tests, number: int, forest: Forest, task: str) -> list:
    """Test nights and their predictions for some folds, of which the first has this number."""
    blocks = np.array([len(x) for x in features])
    rows, night, found = np.concatenate(features), np.repeat(np.arange(len(blocks)), blocks), []
    for k, (train, test) in enumerate(tests, number):
        values = np.full(len(test), target[train].mean() if task == "age" else 0.5)
        known, asked = np.isin(night, train), np.isin(night, test)
        if known.any() and asked.any():
            # Each fold has a seed of its own, whatever the number of processes.
            seed = int(np.random.SeedSequence((forest.seed, k)).generate_state(1)[0])
            model = forest.build(task, seed).fit(rows[known], target[night[known]])
            said = np.bincount(night[asked], model.predict(rows[asked]), len(blocks))[test]
            np.divide(said, blocks[test], out=values, where=blocks[test] > 0)
        found.append((test, values))
    return found


def predict_simply(values, person, target, task: str, by: str = "person", folds: int | None = None):
    """A linear model in the same folds, from a few numbers (R, D) of each night: ridge, or logistic regression.

    Returns years or class 0 or 1, (R,), to be scored as what `predict` returns.
    """
    values, target = np.asarray(values, float), np.asarray(target, float)
    found = np.empty(len(target))
    last = RidgeCV(np.logspace(-1, 3, 9)) if task == "age" else LogisticRegression(class_weight="balanced")
    for train, test in splits(person, target, task, by, folds):
        model = make_pipeline(StandardScaler(), last).fit(values[train], target[train])
        found[test] = model.predict(values[test])
    return found


def grid(
    features: dict, person, target, chosen: Sequence[Forest], task: str, folder, by: str = "person",
    folds: int | None = None, jobs: int = 1, backend: str = "loky", progress: bool = True,
) -> dict:  # fmt: skip
    """`predict` for each resolution and forest; each cell is written to `folder` when done, and skipped next time.

    Parameters
    ----------
    features : dict of anything (a resolution; a run and a resolution) to the features of the R nights

    Returns
    -------
    dict of the same keys to arrays (forests, R)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        (key, k): folder / f"{task}-{_digest(nights, person, target, forest, task, by, folds)}.npy"
        for key, nights in features.items()
        for k, forest in enumerate(chosen)
    }
    items = [
        (path, features[key], person, target, chosen[k], task, by, folds)
        for (key, k), path in named.items()
        if not path.exists()
    ]
    # Cells side by side or, where there are fewer than processes, the folds of one after the other.
    within, across = (jobs, 1) if len(items) < jobs else (1, jobs)
    items = [(*item, within, backend) for item in items]
    for _ in parallel.work(_cell, items, across, backend, f"Forests: {task}", "forest", progress):
        pass
    return {key: np.stack([np.load(named[key, k]) for k in range(len(chosen))]) for key in features}


def _cell(path: Path, *arguments) -> None:
    """Predict and write; the file appears complete or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        np.save(file, predict(*arguments))
    beside.replace(path)


def _digest(nights, person, target, *settings) -> str:
    """Names a cell by everything that decides its numbers: data, settings, this file and scikit-learn."""
    sha = hashlib.sha256(Path(__file__).read_bytes())
    for x in nights:
        x = np.ascontiguousarray(x, np.float32)
        sha.update(repr(x.shape).encode() + x.tobytes())
    sha.update(repr([np.asarray(person).tolist(), np.asarray(target, float).tolist()]).encode())
    sha.update(repr([*settings, sklearn.__version__]).encode())
    return sha.hexdigest()[:24]


def decide(shares, seed: int | tuple[int, ...] = 0) -> np.ndarray:
    """Classes 0 or 1 of shares of votes (...): 1 above one half; at exactly one half a seeded coin decides."""
    shares = np.asarray(shares, float)
    coin = np.random.default_rng(seed).integers(2, size=shares.shape)
    return np.where(np.isclose(shares, 0.5), coin, shares > 0.5).astype(int)


def tallies(
    predicted, target, person, task: str, per: str = "person", seed: int | tuple[int, ...] = 0, blocks=None
) -> np.ndarray:
    """What a score is made of, for each of P persons: (P, 2), sum and number of squared errors; or counts (P, 2, 2).

    Parameters
    ----------
    predicted, target, person : arrays (R,)
        Years, or shares of votes for class 1, of each night; what is true; whose night it is.
    per : "person" averages what is said of all blocks of a person (years or votes), as the paper's text does, and each
        person counts once; "recording" counts each night, as the authors' code does
    seed : of the coins of `decide`
    blocks : array (R,), optional
        How many blocks each night has, for `per="person"`: a night without any has no say where another has some.
        Without it the nights of a person weigh alike, as those of a linear model do.
    """
    _choose("task", task, TASKS)
    _choose("per", per, PER)
    predicted, target, person = np.asarray(predicted, float), np.asarray(target), np.asarray(person)
    if not np.isfinite(predicted).all():
        raise SleeplibError(
            "traits: predictions that are no numbers; give one of each night, as `predict` does"
        )
    if per == "person":
        predicted = _of_persons(predicted, person, np.ones(len(person)) if blocks is None else blocks)
        target, person = statistics.by_person(target, person), np.unique(person)
    if task != "age":
        return statistics.confusions_by_person(target, decide(predicted, seed), person)[:, :2, :2]
    index = np.unique(person, return_inverse=True)[1]
    return np.stack([np.bincount(index, (predicted - target) ** 2), np.bincount(index)], axis=1)


def _of_persons(predicted, person, blocks) -> np.ndarray:
    """Mean prediction (P,) of each person's blocks; of the nights, where none of them has any."""
    blocks, index = np.asarray(blocks, float), np.unique(person, return_inverse=True)[1]
    if not blocks.shape == predicted.shape == index.shape or not (blocks >= 0).all():
        raise SleeplibError(
            f"traits: predictions {predicted.shape}, persons {index.shape}, blocks {blocks.shape}; give one number of "
            "blocks, 0 or more, and one prediction for each night"
        )
    weight = np.where(np.bincount(index, blocks)[index] > 0, blocks, 1)
    return np.bincount(index, weight * predicted) / np.bincount(index, weight)


def rmse(tally: np.ndarray) -> np.ndarray:
    """Root mean squared error (...) of tallies (..., 2)."""
    return np.sqrt(tally[..., 0] / tally[..., 1])


METRIC = {"age": rmse, "sex": metrics.macro_f1, "apnea": metrics.macro_f1}


def score(
    predicted, target, person, task: str, per: str = "person", seed: int = 0, blocks=None
) -> tuple[float, float, float]:
    """RMSE in years, or macro F1 of two classes, with its 95 % interval over persons: value, low, high.

    Of predictions (K, R) of several forests the mean of their scores, not the score of their mean. Each forest has
    coins of its own, by `seed` and its number; arguments as of `tallies`.
    """
    counts = _of_forests(predicted, target, person, task, per, seed, blocks)
    found = statistics.bootstrap_by_person(lambda c: METRIC[task](c).mean(-1), counts, seed=seed)
    return tuple(float(x) for x in found)


def change(
    first, second, target, person, task: str, per: str = "person", seed: int = 0, blocks=None
) -> tuple[float, float, float]:
    """Score of `first` minus that of `second`, (R,) or (K, R), with the 95 % interval paired by person.

    Both have the blocks and the coins of `score`, so that the value is the difference of two scores.
    """
    both = [_of_forests(p, target, person, task, per, seed, blocks) for p in (first, second)]
    found = statistics.paired_difference(lambda c: METRIC[task](c).mean(-1), *both, seed=seed)
    return tuple(float(x) for x in found)


def scores(
    predicted, target, person, task: str, per: str = "person", seed: int = 0, blocks=None
) -> np.ndarray:
    """The score (...) of each of many predictions (..., R), without intervals; arguments as of `score`."""
    predicted = np.asarray(predicted, float)
    flat = predicted.reshape(-1, predicted.shape[-1])
    counts = _of_forests(flat, target, person, task, per, seed, blocks)
    return METRIC[task](counts.sum(0)).reshape(predicted.shape[:-1])


def _of_forests(predicted, target, person, task, per, seed, blocks) -> np.ndarray:
    """Tallies of predictions (K, R), (P, K, ...); coins by the seed and the number of the forest."""
    each = enumerate(np.atleast_2d(predicted))
    return np.stack([tallies(p, target, person, task, per, (seed, k), blocks) for k, p in each], axis=1)


def leave_one_out_mean(target, person) -> np.ndarray:
    """For each night (R,) the mean label of all other persons: the best guess of who does not look.

    Raises
    ------
    SleeplibError
        If there is one person only.
    """
    means, index = statistics.by_person(target, person), np.unique(person, return_inverse=True)[1]
    if len(means) < 2:
        raise SleeplibError("traits: the mean of all other persons needs two persons or more")
    return ((means.sum() - means) / (len(means) - 1))[index]


def coin_flips(target, n: int = 100, seed: int = 0) -> np.ndarray:
    """Macro F1 (n,) of random labels of R persons or recordings: the paper's baseline of the classes."""
    target = np.asarray(target, int)
    drawn = np.random.default_rng(seed).integers(2, size=(n, len(target)))
    return np.array([metrics.macro_f1(metrics.confusion(target, labels, 2)) for labels in drawn])


def summary(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (f,) of scores (runs, f, forests) over runs and forests, as in AnySleep's figure 3.

    The deviation says how much runs and forests differ, not how much persons do: it is no interval.
    """
    values = np.asarray(values)
    return values.mean((0, 2)), values.std((0, 2))


def best(values: np.ndarray, resolutions, task: str) -> tuple[int, float]:
    """Resolution with the best mean of scores (runs, f, forests), and that mean; chosen on the persons it is about."""
    _choose("task", task, TASKS)
    mean, _ = summary(values)
    k = int(np.argmin(mean) if task == "age" else np.argmax(mean))
    return int(np.asarray(resolutions)[k]), float(mean[k])
