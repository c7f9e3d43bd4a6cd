"""Random forests that tell age, sex and apnea from triplets, each person left out in turn; and a linear model."""

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
from sleeplib.analysis.traits.scoring import PER, TASKS, choose
from sleeplib.errors import SleeplibError


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
        choose("task", task, TASKS)
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


def splits(person, target, task: str, by: str = "person", folds: int | None = None, seed: int = 0) -> list:
    """Nights that are trained on and tested in each fold, as pairs of indices into the R nights.

    Parameters
    ----------
    by : "person" leaves all nights of a person out; "recording" one night, as the authors' code does, so that another
        night of the same person may stay
    folds : so many folds of whole persons (classes kept even) instead of one for each, for small budgets
    """
    choose("task", task, TASKS)
    choose("by", by, PER)
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
