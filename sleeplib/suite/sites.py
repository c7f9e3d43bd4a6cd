"""AnySleep's cohorts, real or as simulated twins, and how much training its networks get on them."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sleeplib import results
from sleeplib.cohorts import splits
from sleeplib.errors import SleeplibError
from sleeplib.preparation import ANYSLEEP
from sleeplib.store import Store
from sleeplib.suite.runs import nights
from sleeplib.training import NightTraining

# Table 2: the cohorts that are trained on, and those that only test.
TRAINING = (
    "abc", "ccshs", "cfs", "chat", "dcsm", "hpap", "mesa", "mros", "phys", "sedf-sc", "sedf-st", "shhs", "sof",
)  # fmt: skip
HOLD_OUT = ("dodh", "dodo", "isruc-sg1", "isruc-sg2", "isruc-sg3", "mass-c1", "mass-c3", "svuh")

# Of a laptop's CPU: networks of half the width, and larger steps on fewer windows. Few of them where all four are
# compared; as many as it takes to learn N1 for AnySleep alone.
_NARROW = {"complexity": 0.42}
_SHORT = {
    "learning_rate": 3e-3, "annealed": True, "batch_size": 8, "updates": 200, "training_epochs": 6, "amp": True,
}  # fmt: skip
_LONG = {
    "learning_rate": 3e-3, "annealed": True, "length": 12, "batch_size": 8, "updates": 1000, "training_epochs": 14,
}  # fmt: skip
_TINY = {"depth": 4, "complexity": 0.2}
_FEW = {"learning_rate": 1e-3, "batch_size": 2, "updates": 2, "training_epochs": 1}

# Settings and recipe. The paper's budget changes nothing.
NIGHT_BUDGETS = {
    "paper": ({}, {}), "long": (_NARROW, _LONG), "demo": (_NARROW, _SHORT), "smoke": (_TINY, _FEW),
}  # fmt: skip


@dataclass(frozen=True)
class NightSystem:
    """One of the four architectures: its name in Table 1, its network, settings and changes of its recipe."""

    label: str
    network: str
    settings: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)

    @property
    def recipe(self) -> NightTraining:
        """How it is trained."""
        return NightTraining.for_network(self.network, **self.training)


TABLE_1 = (
    NightSystem("U-Sleep", "usleep"),
    NightSystem("AnySleep", "anysleep"),
    NightSystem("early fusion", "anysleep-early"),
    NightSystem("late fusion", "anysleep-late"),
)


def night_systems(budget: str = "demo", seed: int = 0) -> list[NightSystem]:
    """The four architectures with as much training as the budget gives.

    Raises
    ------
    SleeplibError
        If there is no such budget.
    """
    if budget not in NIGHT_BUDGETS:
        raise SleeplibError(f"budget {budget!r} is not known; choose {', '.join(NIGHT_BUDGETS)}")
    settings, training = NIGHT_BUDGETS[budget]
    return [NightSystem(s.label, s.network, settings, training | {"seed": seed}) for s in TABLE_1]


def stores(
    names, root: str = "", persons: int | None = None, hours: float | None = None, jobs: int = 1
) -> list[Store]:
    """Every EEG and EOG channel of some cohorts, at 128 Hz: of their twins or, with `root`, of their real nights.

    Parameters
    ----------
    root : folder with a folder for each cohort
    persons, hours : of the twins
    """
    return [
        nights(name, str(Path(root, name)) if root else "", persons, hours, jobs, **ANYSLEEP)
        for name in names
    ]


def first_persons(store: Store, test: int, valid: int) -> dict[str, np.ndarray]:
    """A split whose test persons are the first, those who choose the training epoch the last; the others train.

    A twin of few persons holds the first of a twin of many: who trains on the large one can test on the small one,
    where the person after the test persons is one of the training.
    Families stay together; where there are few of them, fewer than `test` are kept, so that one is left to train on.

    Raises
    ------
    SleeplibError
        If nobody is left to train on.
    """
    people = sorted(set(store.groups.tolist()), key=lambda name: (len(name), name))  # as twins number them
    place = np.array([people.index(name) for name in store.groups.tolist()])
    test = min(test, len(people) - valid - 1)
    if test < 1:
        raise SleeplibError(
            f"{store.folder}: {len(people)} persons or families; one to test, {valid} to validate and one to train are "
            "the least"
        )
    return {
        "test": np.flatnonzero(place < test),
        "train": np.flatnonzero((place >= test) & (place < len(people) - valid)),
        "valid": np.flatnonzero(place >= len(people) - valid),
    }


def site_splits(prepared: list[Store], test: int = 2, valid: int = 1) -> list[dict[str, np.ndarray]]:
    """Who trains, validates and tests in each store: the published split of real nights, `first_persons` of twins."""
    if prepared[0].simulated:
        return [first_persons(store, test, valid) for store in prepared]
    from sleeplib.cohorts import downloads  # its library warns in notebooks

    path = downloads.fetch_split("usleep", results.data_folder() / "splits")
    published = splits.read_usleep_split(path)
    return [
        splits.assign(
            {part: names.get(s.cohort, []) for part, names in published.items()}, s.ids, s.groups, str(path)
        )
        for s in prepared
    ]
