"""What was said of each person, and how well: years or votes in, scores with intervals over persons out."""

from collections.abc import Sequence

import numpy as np

from sleeplib.analysis import metrics, statistics
from sleeplib.errors import SleeplibError

TASKS = ("age", "sex", "apnea")  # a number; two classes, 0 and 1; two classes
PER = ("person", "recording")


def choose(what: str, value, known: Sequence[str]) -> None:
    """Refuse a value that is not among the known ones."""
    if value not in known:
        raise SleeplibError(f"traits: {what} {value!r} is not known; choose {', '.join(known)}")


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
    choose("task", task, TASKS)
    choose("per", per, PER)
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
    choose("task", task, TASKS)
    mean, _ = summary(values)
    k = int(np.argmin(mean) if task == "age" else np.argmax(mean))
    return int(np.asarray(resolutions)[k]), float(mean[k])
