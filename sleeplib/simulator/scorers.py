"""From the true state at 128 Hz to 30-s stages: the rules of the manual, then a human being.

The rules are those of the AASM manual as far as they concern time shares: wake fills at least half of the epoch; slow
waves fill at least a fifth of it; otherwise the stage that fills most of it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from sleeplib.stages import EPOCH_SECONDS, N3, REM, W

RATE = 128  # Hz, of the state
# In N3 slow waves fill about half of the time, so a fifth of an epoch of slow waves is two fifths of N3.
_N3_SHARE = 0.4
_NEARBY = 6  # epochs


@dataclass(frozen=True)
class Scorer:
    """A virtual scorer. `confusions` (5, 5): probability that an epoch of the row's stage is read as the column's."""

    jitter: float = 0.25  # probability that a stage boundary is set one epoch too early or too late
    confusions: tuple = (
        (0.988, 0.012, 0.000, 0.000, 0.000),
        (0.050, 0.880, 0.050, 0.000, 0.020),
        (0.002, 0.006, 0.980, 0.010, 0.002),
        (0.000, 0.000, 0.030, 0.970, 0.000),
        (0.002, 0.006, 0.004, 0.000, 0.988),
    )


def shares(state: np.ndarray, rate: int = RATE, seconds: float = EPOCH_SECONDS) -> np.ndarray:
    """Share of each stage in each epoch, (N, 5); samples after the last full epoch are left out."""
    n = int(rate * seconds)
    epochs = state[: len(state) // n * n].reshape(-1, n)
    return np.stack([(epochs == k).mean(axis=1) for k in range(5)], axis=1)


def rules(state: np.ndarray, rate: int = RATE) -> np.ndarray:
    """Stages (N,) int8 of 30-s epochs by rule, from the true state (T,)."""
    share = shares(state, rate)
    stages = 1 + share[:, 1:].argmax(axis=1)
    stages[share[:, N3] >= _N3_SHARE] = N3
    stages[share[:, W] >= 0.5] = W
    return stages.astype(np.int8)


def score(stages: np.ndarray, rng: np.random.Generator, scorer: Scorer | None = None) -> np.ndarray:
    """How one scorer reads a night: boundaries shifted by an epoch, some epochs confused with a similar stage.

    Parameters
    ----------
    stages : array (N,) of int
        The epochs by rule.

    Returns
    -------
    array (N,) of int8
    """
    scorer = scorer or Scorer()
    read = np.array(stages, np.int8)
    edges = np.flatnonzero(read[1:] != read[:-1])  # the last epoch of each bout
    shift = rng.random(edges.size)
    late, early = edges[shift < scorer.jitter / 2] + 1, edges[shift > 1 - scorer.jitter / 2]
    read[late], read[early] = read[late - 1], np.array(stages)[early + 1]
    cumulated = np.cumsum(scorer.confusions, axis=1)[read]  # (N, 5)
    seen = (rng.random((read.size, 1)) > cumulated).sum(axis=1).clip(0, 4).astype(np.int8)
    # Nobody reads REM sleep where there is none for minutes around.
    far = maximum_filter1d((read == REM).astype(np.int8), 2 * _NEARBY + 1) == 0
    return np.where((seen == REM) & far, read, seen)
