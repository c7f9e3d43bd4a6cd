"""From the true state at 128 Hz to epochs: the rules of the manual, then human beings.

The rules are those of the AASM manual (30 s) or of Rechtschaffen & Kales (20 s) as far as they concern time shares:
wake fills at least half of the epoch, or slow waves at least a fifth of it; otherwise the stage that fills most of it.

A human being sees evidence for each stage: the logarithm of what the epoch and its neighbours look like, the habits
of the scorer, and chance. Part of the chance is the night's own, shared by all who read it. Mixtures and transitions
are where scorers differ, because there the evidence is balanced.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

from sleeplib.errors import SleeplibError
from sleeplib.recording import Event
from sleeplib.simulator.macrostructure import RATE, Night
from sleeplib.stages import EPOCH_SECONDS, N1, N2, N3, REM, W

SECONDS = {"aasm": EPOCH_SECONDS, "rk": 20.0}  # length of an epoch by standard
# In N3 slow waves fill about half of the time, so a fifth of an epoch of slow waves is two fifths of N3.
_N3_SHARE = 0.4
_LENGTHS = (3.0, 15.0)  # s, of an arousal by the manual
_TYPICAL_S = 7.0  # s, of an arousal
_UNSEEN = 1e-6  # floor of what a stage looks like, before the logarithm


@dataclass(frozen=True)
class Scorer:
    """The style of a laboratory's scorers; one of them has `habits` of its own."""

    # what a pure epoch of the row's stage looks like, as shares of the column's
    looks: tuple = (
        (0.939, 0.055, 0.005, 0.000, 0.001),
        (0.055, 0.816, 0.110, 0.000, 0.018),
        (0.003, 0.019, 0.947, 0.025, 0.006),
        (0.003, 0.002, 0.200, 0.795, 0.000),
        (0.003, 0.050, 0.030, 0.000, 0.917),
    )
    habits: tuple = (0.1, 0.55, 0.0, 0.31, 0.0)  # added to the evidence for each stage
    habits_sd: tuple = (0.52, 0.70, 0.26, 0.97, 0.52)  # between the scorers of a laboratory
    nights_sd: tuple = (0.0, 0.0, 0.0, 0.55, 0.0)  # between nights, for all their scorers
    shared: float = 0.2  # noise of the evidence that all scorers of a night share ...
    own: float = 0.93  # ... and that each adds
    # correlation of the noise with that of the epoch before, by stage: nobody scores an epoch by itself
    memory: tuple = (0.88, 0.60, 0.88, 0.88, 0.88)
    onset: float = 0.95  # share of N2 epochs right after wake that are read as N1: sleep begins so
    context: float = 0.085  # weight of each neighbour in how an epoch looks
    jitter: float = 0.065  # probability that a stage boundary is set one epoch too early or too late
    # arousals
    misses: float = 0.22  # share of arousals that a scorer does not mark; short ones more often
    false_per_hour: float = 3.0  # marks where there was none
    edge_s: float = 1.0  # spread of a mark's beginning and end


def shares(state: np.ndarray, rate: int = RATE, seconds: float = EPOCH_SECONDS) -> np.ndarray:
    """Share of each stage in each epoch, (N, 5); samples after the last full epoch are left out."""
    n = int(rate * seconds)
    epochs = state[: len(state) // n * n].reshape(-1, n)
    return np.stack([(epochs == k).mean(axis=1) for k in range(5)], axis=1)


def rules(state: np.ndarray, rate: int = RATE, standard: str = "aasm") -> np.ndarray:
    """Stages (N,) int8 of 30-s (`aasm`) or 20-s (`rk`) epochs by rule, from the true state (T,).

    An epoch of N1 between two of REM sleep stays REM sleep: an arousal does not end it.
    """
    share = shares(state, rate, _seconds(standard))
    stages = 1 + share[:, 1:].argmax(axis=1)
    stages[share[:, N3] >= _N3_SHARE] = N3
    stages[share[:, W] >= 0.5] = W
    between = (stages[1:-1] == N1) & (stages[:-2] == REM) & (stages[2:] == REM)
    stages[1:-1][between] = REM
    return stages.astype(np.int8)


def _seconds(standard: str) -> float:
    if standard not in SECONDS:
        raise SleeplibError(f"scoring standard {standard!r}; known: {', '.join(SECONDS)}")
    return SECONDS[standard]


def panel(n: int, rng: np.random.Generator, style: Scorer | None = None) -> list[Scorer]:
    """`n` individuals of one laboratory: its style, and habits of their own."""
    style = style or Scorer()
    spread = rng.standard_normal((n, 5)) * style.habits_sd
    return [
        replace(style, habits=tuple((style.habits + own).tolist()), habits_sd=(0.0,) * 5) for own in spread
    ]


def read(
    truth: Night, rng, style: Scorer | None = None, n: int = 1, standard: str = "aasm"
) -> list[np.ndarray]:
    """How `n` scorers of a laboratory read one night.

    Returns
    -------
    list of n arrays (N,) of int8
        Stages of 30-s (`aasm`) or 20-s (`rk`) epochs.

    Raises
    ------
    SleeplibError
        If the standard is unknown.
    """
    style = style or Scorer()
    share = shares(truth.state, RATE, _seconds(standard))
    difficulty = common(len(share), rng, style)
    return [score(share, rng, scorer, difficulty) for scorer in panel(n, rng, style)]


def common(n_epochs: int, rng: np.random.Generator, style: Scorer) -> np.ndarray:
    """What chance adds to the evidence of all who read a night, (N, 5)."""
    return style.shared * _noise(n_epochs, style.memory, rng) + rng.standard_normal(5) * style.nights_sd


def score(
    epochs: np.ndarray, rng: np.random.Generator, scorer: Scorer | None = None, difficulty=0.0
) -> np.ndarray:
    """How one scorer reads a night: the stage with the most evidence, then boundaries that slip by an epoch.

    Parameters
    ----------
    epochs : array (N,) of int, or (N, 5)
        Stages, or the share of each stage in each epoch.
    difficulty : array (N, 5)
        What `common` gave for all scorers of this night.

    Returns
    -------
    array (N,) of int8
    """
    scorer = scorer or Scorer()
    share = np.eye(5)[epochs] if np.ndim(epochs) == 1 else np.asarray(epochs)
    padded = np.r_[share[:1], share, share[-1:]]
    share = (1 - 2 * scorer.context) * share + scorer.context * (padded[:-2] + padded[2:])
    evidence = np.log(np.maximum(share @ np.array(scorer.looks), _UNSEEN)) + scorer.habits + difficulty
    evidence += scorer.own * _noise(len(share), scorer.memory, rng)
    stages = _slip(evidence.argmax(axis=1).astype(np.int8), scorer.jitter, rng)
    begins = (stages[:-1] == W) & (stages[1:] == N2) & (rng.random(len(stages) - 1) < scorer.onset)
    stages[1:][begins] = N1
    return stages


def _noise(n_epochs, memory, rng) -> np.ndarray:
    """Noise (N, 5) of unit variance whose neighbours are correlated by `memory` (5,)."""
    settle = 50
    noise = rng.standard_normal((5, n_epochs + settle))
    columns = [lfilter([np.sqrt(1 - m**2)], [1, -m], x)[settle:] for m, x in zip(memory, noise, strict=True)]
    return np.stack(columns, axis=1)


def _slip(stages, jitter, rng) -> np.ndarray:
    """Stage boundaries set an epoch too early or too late with probability `jitter`."""
    read, edges = stages.copy(), np.flatnonzero(stages[1:] != stages[:-1])  # the last epoch of each bout
    chance = rng.random(edges.size)
    late, early = edges[chance < jitter / 2] + 1, edges[chance > 1 - jitter / 2]
    read[late], read[early] = stages[late - 1], stages[early + 1]
    return read


def majority(readings: list[np.ndarray]) -> np.ndarray:
    """Stages (N,) int8 that most scorers gave; where there is a tie, what the first of them in the list gave."""
    votes = np.sum([np.eye(5)[stages] for stages in readings], axis=0)  # (N, 5)
    first = np.stack([votes[np.arange(len(votes)), stages] for stages in readings])  # (n, N)
    return np.stack(readings)[first.argmax(axis=0), np.arange(len(votes))].astype(np.int8)


def annotate_arousals(
    events: list[Event], scorer: Scorer | None, rng: np.random.Generator, stages: np.ndarray | None = None
) -> list[Event]:
    """The arousals that one expert marks in a night: some missed, the short ones more often, and some that are none.

    Parameters
    ----------
    events : list of Event
        The true ones; other kinds than arousals are left out.
    stages : array (T,) of int
        At 128 Hz: false marks lie in sleep. Without it there are none.

    Returns
    -------
    list of Event
        Arousals of 3 to 15 s in order of time, apart from each other.
    """
    scorer = scorer or Scorer()
    true = np.array([(e.onset, e.onset + e.duration) for e in events if e.kind == "arousal"]).reshape(-1, 2).T
    missed = scorer.misses * _TYPICAL_S / (true[1] - true[0])
    seen = true[:, rng.random(missed.size) >= missed]
    marks = seen + scorer.edge_s * rng.standard_normal(seen.shape)
    asleep = np.flatnonzero(stages[::RATE] != W) if stages is not None else np.empty(0)
    marks = np.concatenate([marks, _false(asleep, scorer, rng)], axis=1)
    end = np.inf if stages is None else stages.size / RATE
    return _apart(marks[:, marks[0].argsort()], end)


def _false(asleep, scorer, rng) -> np.ndarray:
    """Beginnings and ends (2, n) of marks where no arousal was, in seconds."""
    n = rng.poisson(scorer.false_per_hour * asleep.size / 3600)
    start = (rng.choice(asleep, n) if n else np.empty(0)) + rng.random(n)
    return np.stack([start, start + rng.uniform(*_LENGTHS, n)])


def _apart(edges, end) -> list[Event]:
    """Events of 3 to 15 s within a night that ends at `end`; a mark that would overlap the one before is left out."""
    marks, free = [], 0.0
    for start, stop in edges.T:
        start = max(start, 0.0)
        length = float(np.clip(stop - start, *_LENGTHS))
        if start >= free and start + length <= end:
            marks.append(Event("arousal", float(start), length))
            free = start + length
    return marks
