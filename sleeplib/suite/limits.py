"""How well the nights of a twin can be staged at all: by who knows the truth, and by another expert.

Labels are one expert's (or what a few agreed on), and experts err. Nobody can know which errors this one made in this
night, so a macro F1 of 1 cannot be had, however good the stager. Of simulated nights one can say how much can be had.
"""

import zlib

import numpy as np

from sleeplib import cohorts
from sleeplib.errors import SleeplibError
from sleeplib.predictions import Predictions, System
from sleeplib.simulator import read_truth, scorers
from sleeplib.simulator.macrostructure import RATE, Night
from sleeplib.simulator.sites import Site
from sleeplib.stages import STAGES, W
from sleeplib.store import Store

EXPERT = System("another expert", "expert", role="limit")
TRUTH = System("true states, by the rules", "truth", role="limit")
LIMITS = (EXPERT, TRUTH)


def readings(store: Store, i: int, seed: int = 0) -> dict[str, np.ndarray]:
    """What the manual's rules make of the true states of night `i` of a twin, and what another of its experts does.

    The other expert is one of the laboratory, with habits and chance of their own, drawn anew for each night.

    Returns
    -------
    dict of label of `LIMITS` to stages (N,) int8, one for each epoch of the store

    Raises
    ------
    SleeplibError
        If the nights are real, or some of the cohort's are scored in epochs of 20 s.
    """
    plan = cohorts.load(store.cohort).simulation if store.simulated else {}
    by_standard = {part.get("scoring", "aasm") for part in (plan, *plan.get("variants", ()))}
    if not store.simulated or by_standard != {"aasm"}:
        raise SleeplibError(
            f"{store.folder}: only of simulated nights scored in epochs of 30 s is this known"
        )
    id, n, per_epoch = store.ids[i], len(store.stages(i)), 30 * RATE
    state, _ = read_truth(store.folder.parent / "truth" / f"{id}.tsv")
    # Nights are whole epochs long; what is more is the time before the first of them, in some archives.
    state = state[len(state) % per_epoch :][: n * per_epoch]
    rng = np.random.default_rng([seed, zlib.crc32(f"{store.cohort}/{id}".encode())])
    (expert,) = scorers.read(Night(state, state, []), rng, scorers.Scorer(**plan.get("scorer", {})))
    before, after = (round(2 * minutes) for minutes in plan["site"].get("awake", Site().awake))
    expert[:before] = expert[n - after :] = W  # everybody knows when the lights were on
    return {EXPERT.label: expert, TRUTH.label: scorers.rules(state)}


def add(stores: list[Store], tests: list, predictions: list[Predictions], seed: int = 0) -> None:
    """Add `LIMITS` to the predictions of the test nights of each store, as posteriors of 0 and 1."""
    certain = np.eye(len(STAGES), dtype=np.float32)
    for store, which, found in zip(stores, tests, predictions, strict=True):
        nights = [readings(store, int(i), seed) for i in which]
        for label in nights[0]:
            found.posteriors[label] = certain[np.concatenate([night[label] for night in nights])]
