"""Nights at many resolutions: their stages, and the arousals told from them, held against those of an expert.

F resolutions, R nights.
"""

from collections.abc import Sequence

import numpy as np

from sleeplib import multicohort
from sleeplib.analysis import arousals
from sleeplib.recording import AROUSAL
from sleeplib.stages import RESOLUTIONS
from sleeplib.store import Store
from sleeplib.suite import across


def stage_nights(
    networks: dict, stores: list[Store], which: list, resolutions: Sequence[int] = RESOLUTIONS, jobs: int = 1
) -> tuple[dict[str, list[dict]], np.ndarray]:
    """Stages of some nights of each store, by label and night: dict of stages per epoch to int8 array `(N,)`.

    Parameters
    ----------
    networks : dict of label to a file of weights
    which : indices of the nights of each store

    Returns
    -------
    dict of label to list of R dicts; the person of each night, array (R,)
    """
    return across.gather(stages, networks, stores, which, jobs, resolutions=resolutions)


def stages(network, store: Store, i: int, resolutions: Sequence[int] = RESOLUTIONS) -> dict[int, np.ndarray]:
    """Stages `(N,)` int8 of a night at each resolution, from all channels that the network can use."""
    found = multicohort.posteriors_at(network, store, i, resolutions)
    return {n: x.argmax(-1).astype(np.int8) for n, x in zip(resolutions, found, strict=True)}


def expert_arousals(store: Store, i: int) -> np.ndarray:
    """Beginnings and ends `(n, 2)` in s of the arousals that an expert marked in a night."""
    marks = [(e.onset, e.onset + e.duration) for e in store.events(i) if e.kind == AROUSAL]
    return np.array(sorted(marks)).reshape(-1, 2)


def arousal_counts(
    network, store: Store, i: int, resolutions: Sequence[int] = RESOLUTIONS, iou: float = 0.2
) -> dict[str, np.ndarray]:
    """How the arousals of a night, told from its stages, agree with an expert's, at each resolution.

    Returns
    -------
    dict
        `tp`, `fp`, `fn` and `precision`, `recall`, `f1`, arrays (F,), as `arousals.match`; `seconds` (F, 5) of the
        expert's arousals on each predicted stage.
    """
    expert, each = expert_arousals(store, i), []
    for n, found in stages(network, store, i, resolutions).items():
        of_stages = {"seconds": arousals.time_by_stage(found, n, expert)}
        each.append(arousals.match(arousals.detect(found, n), expert, iou) | of_stages)
    return {key: np.array([counts[key] for counts in each]) for key in each[0]}
