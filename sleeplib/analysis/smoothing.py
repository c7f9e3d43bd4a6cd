"""What is known of sleep without looking at it: stages last, and follow each other in some orders only.

`majority` lets neighbours vote. A hidden semi-Markov model (HSMM) knows how long bouts of each stage last and which
stage follows which, and finds the likeliest path through the posteriors. An HMM is the special case in which the end
of a bout is as likely at any age. Fit it on persons who are not tested.
Letters: N steps, K stages, D ages, R sequences side by side.
"""

from dataclasses import dataclass

import numpy as np

from sleeplib.analysis.resolution import at_resolution, edges
from sleeplib.errors import SleeplibError
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED

FINEST = 32  # steps in 30 s of the smoother; finer posteriors are averaged, so that a night takes seconds


def majority(stages, per_epoch: int, seconds: float) -> np.ndarray:
    """Stages `(N,)`, each replaced by the most frequent one around it; `seconds` is the length of the window.

    The window has an odd number of pieces, at most as long as asked for, with the piece in its centre, and is cut off
    at the ends. A stage replaces the centre only if it alone has the most votes. Unscored pieces stay and do not vote.
    """
    if seconds < 0:
        raise SleeplibError(f"a window of {seconds:g} s: it has to be 0 or more")
    stages = np.asarray(stages)
    half = int((seconds * per_epoch / EPOCH_SECONDS + 1e-9 - 1) // 2)
    if half < 1:
        return stages.copy()
    n = len(stages)
    low, high = np.arange(n) - half, np.arange(n) + half + 1
    low, high = low.clip(0), high.clip(max=n)
    best, most, alone = stages.copy(), np.zeros(n, np.int32), np.zeros(n, bool)
    for code in range(len(STAGES)):
        total = np.r_[0, np.cumsum(stages == code, dtype=np.int32)]
        votes = total[high] - total[low]
        more = votes > most
        alone = np.where(more, True, alone & (votes < most))
        best, most = np.where(more, code, best), np.maximum(votes, most)
    return np.where(alone & (stages != UNSCORED), best, stages).astype(stages.dtype)


@dataclass(frozen=True)
class SemiMarkov:
    """How a night goes, on a grid of `per_epoch` steps in 30 s.

    Attributes
    ----------
    start : array (K,)
        Probability of the first stage.
    hazard : array (K, D)
        Probability that a bout ends at the end of its d-th step, d = 1, ..., D, if it has lasted so long; beyond D
        that of D, so that the tail is geometric. D = 1 is an HMM.
    follow : array (K, K)
        Probability of the next stage, when a bout of the row's stage ends; 0 on the diagonal.
    prior : array (K,)
        Share of each stage in the night.
    """

    start: np.ndarray
    hazard: np.ndarray
    follow: np.ndarray
    prior: np.ndarray
    per_epoch: int


def grid(per_epoch: int) -> int:
    """Steps in 30 s for posteriors at a resolution: its own, or the most that divide it and are `FINEST` at most."""
    return max(f for f in range(1, FINEST + 1) if per_epoch % f == 0)


def fit(states, rate: float, per_epoch: int, longest: float = 60.0, extra: float = 0.5) -> SemiMarkov:
    """Learn durations and transitions from the true states of training persons.

    The hazard is constant between ages of 1, 2, 3, 4, 6, 8, 12, 16, ... steps, each estimated as bouts that ended over
    steps that they were alive (the piecewise exponential model of survival analysis). So a bout that the end of a night
    cuts off counts as alive, not as ended.

    Parameters
    ----------
    states : list of arrays (T,) of stages at `rate`, one for each night
    per_epoch : int
        Resolution of the posteriors to be smoothed.
    longest : float
        Seconds up to which durations are explicit; one step or less gives an HMM.
    extra : float
        What is added to each count, so that nothing is impossible.

    Raises
    ------
    SleeplibError
        If there are no states, or unscored ones.
    """
    f, k = grid(per_epoch), len(STAGES)
    nights = [at_resolution(state, rate, f) for state in states]
    if not nights or any((x == UNSCORED).any() or not len(x) for x in nights):
        raise SleeplibError("the smoother learns from whole nights: give one or more, without unscored time")
    ages = max(int(longest * f / EPOCH_SECONDS), 1)
    ends = [edges(x) for x in nights]
    kinds = np.concatenate([x[e[:-1]] for x, e in zip(nights, ends, strict=True)])
    lengths = np.concatenate([np.diff(e) for e in ends])
    ended = np.concatenate([np.arange(len(e) - 1) < len(e) - 2 for e in ends])
    follow = extra * (1 - np.eye(k))
    for x, e in zip(nights, ends, strict=True):
        np.add.at(follow, (x[e[:-2]], x[e[1:-1]]), 1)
    start = np.bincount([x[0] for x in nights], minlength=k) + extra
    prior = np.bincount(np.concatenate(nights), minlength=k) + extra
    hazard = np.stack([_hazard(lengths[kinds == s], ended[kinds == s], ages, extra) for s in range(k)])
    return SemiMarkov(
        start / start.sum(), hazard, follow / follow.sum(1, keepdims=True), prior / prior.sum(), f
    )


def _hazard(lengths, ended, ages: int, extra: float) -> np.ndarray:
    """Hazards `(D,)` of bouts with these lengths, some of which `ended` and others were cut off."""
    age = np.arange(1, max(lengths.max(initial=1), ages) + 1)
    alive = np.cumsum(np.bincount(lengths, minlength=len(age) + 1)[::-1])[::-1][1:]
    dead = np.bincount(lengths[ended], minlength=len(age) + 1)[1:]
    group = np.floor(2 * np.log2(np.minimum(age, ages)) + 1e-9).astype(int)
    group[age >= ages] = group.max() + (ages > 1)  # the tail, from the last explicit age on
    mean = max(lengths.sum(), 1) / max(len(lengths), 1)
    risk, deaths = np.bincount(group, alive), np.bincount(group, dead)
    # Ages that no bout reached have the hazard of all ages.
    return ((deaths + extra) / (risk + extra * max(mean, 2)))[group][:ages]


def evidence(posteriors, prior, weight: float = 1.0) -> np.ndarray:
    """What posteriors `(..., N, K)` say beyond a prior `(K,)`: `weight` (ln p - ln prior), a scaled likelihood.

    The prior is what the network says without looking, such as its mean posterior in training persons: the model has
    its own, in durations and transitions. Taken out in full, it makes rare stages as easy to say as common ones; a
    power of it between 0 and 1 does so in part. Neighbouring posteriors come from the same signals; a weight below 1
    keeps them from counting as independent. Both are for training persons to choose.
    """
    return weight * (np.log(np.maximum(posteriors, 1e-7)) - np.log(prior))


def on_grid(posteriors, per_epoch: int) -> np.ndarray:
    """Posteriors `(N, K)` on the smoother's grid: geometric means over each step, normalised.

    Raises
    ------
    SleeplibError
        If they do not fill one step.
    """
    m = per_epoch // grid(per_epoch)
    if m == 1:
        return np.asarray(posteriors)
    if len(posteriors) < m:
        raise SleeplibError(
            f"{len(posteriors)} posteriors at {per_epoch} in 30 s do not fill a step of the smoother; give {m} or more"
        )
    n = len(posteriors) // m
    log = np.log(np.maximum(posteriors[: n * m], 1e-7)).reshape(n, m, -1).mean(1)
    p = np.exp(log)
    return p / p.sum(1, keepdims=True)


def viterbi(scores, model: SemiMarkov) -> np.ndarray:
    """The likeliest stages `(..., N)` for evidence `(..., N, K)`, of all paths and durations.

    A path's value is its evidence, ln start, and for each bout the logarithm of its duration's probability and of the
    next stage's; of the last bout only that it lasted so long. A bout is followed through its ages 1, ..., D, so that
    a step costs K D + K^2 and not K^2 D. Steps are taken one by one, the sequences of leading axes side by side.
    """
    scores = np.asarray(scores, float)
    shape, (n, k) = scores.shape[:-1], scores.shape[-2:]
    if scores.size == 0:
        return np.zeros(shape, np.int8)
    scores = np.moveaxis(scores.reshape(-1, n, k), 1, 0)
    with np.errstate(divide="ignore"):
        leave, stay, follow, start = (
            np.log(x) for x in (model.hazard, 1 - model.hazard, model.follow, model.start)
        )
    ages = leave.shape[1]
    alive = np.full((scores.shape[1], k, ages), -np.inf)
    alive[..., 0] = start + scores[0]
    back = _Back.of(n, *alive.shape[:2])
    for t in range(1, n):
        exit_ = alive + leave
        back.age[t] = age = exit_.argmax(-1)
        enter = np.take_along_axis(exit_, age[..., None], -1) + follow  # (R, from, to)
        back.stage[t] = before = enter.argmax(1)
        alive += stay
        tail = alive[..., -1].copy()
        alive[..., 1:] = alive[..., :-1]
        alive[..., 0] = np.take_along_axis(enter, before[:, None], 1)[:, 0]
        # A bout of the last age keeps its age; with one age, it may also be entered anew.
        back.tail[t] = older = tail >= alive[..., -1]
        alive[..., -1] = np.where(older, tail, alive[..., -1])
        alive += scores[t][..., None]
    last = alive.reshape(len(alive), -1).argmax(1)
    return back.path(last // ages, last % ages, ages).reshape(shape)


@dataclass
class _Back:
    """Where the best paths came from, `(N, R, K)`: age at which a bout of K would end, stage before one of K, tail."""

    age: np.ndarray
    stage: np.ndarray
    tail: np.ndarray

    @classmethod
    def of(cls, *shape) -> "_Back":
        return cls(np.zeros(shape, np.int16), np.zeros(shape, np.int8), np.zeros(shape, bool))

    def path(self, stage, age, ages: int) -> np.ndarray:
        """Stages `(R, N)` of the paths that end in `stage` `(R,)` at `age` `(R,)`, counted from 0."""
        n, r = self.stage.shape[:2]
        rows, path = np.arange(r), np.empty((r, n), np.int8)
        for t in range(n - 1, 0, -1):
            path[:, t] = stage
            stays = (age == ages - 1) & self.tail[t, rows, stage]
            new = (age == 0) & ~stays
            stage_before = np.where(new, self.stage[t, rows, stage], stage)
            age = np.where(new, self.age[t, rows, stage_before], np.where(stays, age, age - 1))
            stage = stage_before
        path[:, 0] = stage
        return path


def smooth(posteriors, per_epoch: int, model: SemiMarkov, weight: float = 1.0, prior=None) -> np.ndarray:
    """The likeliest stages `(N,)` for posteriors `(N, 5)` at a resolution; `prior` by default the model's.

    Where that is finer than `FINEST` steps in 30 s, bouts last whole steps; that is the price of a bounded time.

    Raises
    ------
    SleeplibError
        If the model was fitted for a grid that is not that of the posteriors, or they do not fill one step of it.
    """
    if model.per_epoch != grid(per_epoch):
        raise SleeplibError(
            f"a smoother with {model.per_epoch} steps in 30 s for posteriors that need {grid(per_epoch)}; "
            f"fit it with per_epoch={per_epoch}"
        )
    m, prior = per_epoch // model.per_epoch, model.prior if prior is None else prior
    steps = viterbi(evidence(on_grid(posteriors, per_epoch), prior, weight), model)
    stages = np.repeat(steps, m)
    return np.pad(stages, (0, len(posteriors) - len(stages)), mode="edge")
