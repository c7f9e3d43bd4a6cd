"""Nights at many resolutions: their stages, and the arousals told from them, held against those of an expert.

F resolutions, R nights.
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt

from sleeplib import multicohort
from sleeplib.analysis import arousals
from sleeplib.recording import AROUSAL
from sleeplib.stages import EPOCH_SECONDS, N2, RESOLUTIONS, W
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


def stages(
    network, store: Store, i: int, resolutions: Sequence[int] = RESOLUTIONS, rows=None
) -> dict[int, np.ndarray]:
    """Stages `(N,)` int8 of a night at each resolution, from some rows or all channels that the network can use."""
    found = multicohort.posteriors_at(network, store, i, resolutions, rows)
    return {n: x.argmax(-1).astype(np.int8) for n, x in zip(resolutions, found, strict=True)}


def expert_arousals(store: Store, i: int) -> np.ndarray:
    """Beginnings and ends `(n, 2)` in s of the arousals that an expert marked in a night."""
    marks = [(e.onset, e.onset + e.duration) for e in store.events(i) if e.kind == AROUSAL]
    return np.array(sorted(marks)).reshape(-1, 2)


def arousal_counts(
    network, store: Store, i: int, rules: dict[str, dict], resolutions: Sequence[int] = RESOLUTIONS, iou: float = 0.2
) -> dict[str, dict[str, np.ndarray]]:  # fmt: skip
    """How the arousals of a night, told from its stages by several rules, agree with an expert's at each resolution.

    Parameters
    ----------
    rules : dict of name to what is changed of `arousals.detect`

    Returns
    -------
    dict
        Under the name of each rule `tp`, `fp`, `fn` and `precision`, `recall`, `f1`, arrays (F,), as `arousals.match`;
        under `expert` what the stages are within the expert's arousals: `seconds` (F, 5) of each predicted stage,
        `runs` (F, 3) how many arousals hold no, one and more runs of wake.
    """
    expert, by = expert_arousals(store, i), stages(network, store, i, resolutions)
    found = {
        name: [arousals.match(arousals.detect(night, n, **rule), expert, iou) for n, night in by.items()]
        for name, rule in rules.items()
    }
    found["expert"] = [
        {"seconds": arousals.time_by_stage(night, n, expert), "runs": wake_runs(night, n, expert)}
        for n, night in by.items()
    ]
    return {
        name: {key: np.array([one[key] for one in each]) for key in each[0]} for name, each in found.items()
    }


def wake_runs(night: np.ndarray, per_epoch: int, events: np.ndarray) -> np.ndarray:
    """How many events (n, 2) in seconds hold no, one and more runs of wake, in stages of a night; array (3,)."""
    wake = arousals.runs(night == W) * EPOCH_SECONDS / per_epoch
    begun = np.searchsorted(wake[:, 0], events[:, 1], side="left")
    within = begun - np.searchsorted(wake[:, 1], events[:, 0], side="right")
    return np.bincount(np.minimum(within, 2), minlength=3)


def loud_arousals(
    _, store: Store, i: int, above: float = 8.0, factor: float = 2.0, iou: float = 0.2
) -> dict[str, float]:
    """Arousals that a detector without a network finds in a night, against an expert's, as `arousals.match`.

    Seconds in which the first EEG channel has at least `factor` times the night's median power from `above` Hz on are
    taken for wake.
    """
    (x,) = multicohort.signals(store, i, [store.types(i).index("EEG")])
    rate = round(store.rate)
    filtered = sosfiltfilt(butter(4, above, "highpass", fs=rate, output="sos"), x)
    power = np.square(filtered[: len(x) // rate * rate]).reshape(-1, rate).mean(axis=1)
    loud = np.where(power >= factor * np.median(power), W, N2)
    return arousals.match(arousals.detect(loud, int(EPOCH_SECONDS)), expert_arousals(store, i), iou)


def shifted_arousals(
    network, store: Store, i: int, per_epoch: int = 8, times: int = 20, iou: float = 0.2, seed: int = 0
) -> dict[str, float]:
    """How well a night's arousals agree with an expert's by chance: shifted in time, mean over `times` shifts.

    All events are shifted alike, and what leaves the night at its end comes back at its beginning, so that their
    number, lengths and gaps are kept.
    """
    night = store.lengths[i] * store.epoch_seconds
    found = arousals.detect(stages(network, store, i, [per_epoch])[per_epoch], per_epoch)
    expert, rng = expert_arousals(store, i), np.random.default_rng([seed, i])
    each = []
    for shift in rng.uniform(0, night, times):
        onset = (found[:, 0] + shift) % night
        each.append(arousals.match(np.stack([onset, onset + np.diff(found)[:, 0]], axis=1), expert, iou))
    return {key: float(np.mean([counts[key] for counts in each])) for key in each[0]}
