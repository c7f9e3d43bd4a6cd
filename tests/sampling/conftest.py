"""Small stores: cohorts with montages, lengths and stages of their own."""

import numpy as np
import pytest

from sleeplib import store
from sleeplib.preparation import Preparation

PREPARATION = Preparation(
    None, rate=2.0, scaling="robust"
)  # 60 samples per epoch: what is tested is where, not what
EEG, EOG, EMG = ("EEG", "EOG", "EMG")


def make(folder, cohort, nights, seed=0, preparation=PREPARATION, names=None):
    """A store of nights given as (id, stages, channel types), with random signals; `names` of all their channels."""
    rng, sidecars = np.random.default_rng(seed), []
    size = round(preparation.rate * preparation.epoch_seconds)
    folder.mkdir()
    for id, stages, types in nights:
        labels = names or [f"{kind}{i}" for i, kind in enumerate(types)]
        x = rng.uniform(-20, 20, (len(types), len(stages) * size)).astype(np.float32)
        sidecars.append(store.write_night(folder, id, x, stages, labels, types, preparation))
    store.write_index(folder, sidecars, preparation, cohort=cohort, title=cohort)
    return store.Store(folder)


@pytest.fixture(scope="session")
def cohorts(tmp_path_factory):
    """Three data sets of 4, 2 and 1 recordings; some lack stages, some channels, one is short."""
    folder, rng = tmp_path_factory.mktemp("stores"), np.random.default_rng(7)
    whole = [rng.choice([0, 1, 2, 3, 4, 9], n) for n in (60, 75, 35, 90, 50)]
    no_rem = rng.choice([0, 1, 2, 3], 64)
    awake = np.zeros(40, int)
    a = make(
        folder / "a", "a",
        [("a0", whole[0], [EEG, EEG, EOG, EEG]), ("a1", whole[1], [EEG, EOG]), ("a2", no_rem, [EEG, EEG, EMG, EOG]),
         ("short", whole[0][:20], [EEG, EOG]), ("a3", whole[2], [EOG, EEG])], 1,
    )  # fmt: skip
    b = make(
        folder / "b",
        "b",
        [("b0", whole[3], [EEG] * 5 + [EOG]), ("b1", awake, [EEG, EMG]), ("b2", awake, [EMG])],
        2,
    )
    c = make(folder / "c", "c", [("c0", whole[4], [EOG, EOG, EEG])], 3)
    return [a, b, c]
