"""Systems side by side, and what they say about the same nights."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sleeplib import models
from sleeplib.analysis import statistics
from sleeplib.stages import UNSCORED
from sleeplib.store import Store
from sleeplib.training import TrainingSettings


def slug(text: str) -> str:
    """A label or a title as the name of a file: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@dataclass(frozen=True)
class System:
    """A row of a table: a network with its settings and its training recipe, or a classical baseline.

    `role` is one of `results.ROLES`; `variant` that of `models.build`.
    """

    label: str
    network: str
    settings: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    role: str = "model"
    variant: str = "paper"

    @property
    def signals(self) -> bool:
        """Whether it takes raw signals rather than images."""
        return self.network in models.ON_SIGNALS

    @property
    def slug(self) -> str:
        """The label as the name of a folder."""
        return slug(self.label)

    @property
    def recipe(self) -> TrainingSettings:
        """How its network is trained."""
        return TrainingSettings.for_network(self.network, self.variant, **self.training)


# The two rows that stand in every table.
BASELINES = (
    System("majority class", "majority", role="chance"),
    System("band powers + LDA", "band-power-lda", role="baseline"),
)


@dataclass
class Predictions:
    """Posteriors of several systems for the same epochs, which lie recording after recording.

    Attributes
    ----------
    truth : array (N,) int8
    person : array (N,) of names; relatives who are kept together count as one
    recording : array (N,) of names
    posteriors : dict of system label to array (N, 5) float32
    folders : dict of system label to the folders of its runs, one for each split
    """

    truth: np.ndarray
    person: np.ndarray
    recording: np.ndarray
    posteriors: dict[str, np.ndarray]
    folders: dict[str, list[Path]] = field(default_factory=dict)

    def stages(self, label: str) -> np.ndarray:
        """The predicted stages `(N,)` int8 of a system."""
        return self.posteriors[label].argmax(-1).astype(np.int8)

    def confusions(self, label: str) -> np.ndarray:
        """One confusion matrix for each person, `(P, 5, 5)`."""
        return statistics.confusions_by_person(self.truth, self.stages(label), self.person)

    def rows(self, systems) -> list[dict]:
        """A scored row for each system, in the order given; pooled over epochs, intervals by person."""
        return [
            {"system": s.label, "role": s.role}
            | statistics.score(self.truth, self.stages(s.label), self.person, self.recording)
            for s in systems
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """What a result record keeps, small enough to commit: persons and recordings as numbers, stages as int8."""
        numbers = {
            key: np.unique(getattr(self, key), return_inverse=True)[1].astype(np.int16)
            for key in ("person", "recording")
        }
        return {"truth": self.truth} | numbers | {label: self.stages(label) for label in self.posteriors}


def pooled(store: Store, which, posteriors: dict[str, list]) -> Predictions:
    """Predictions for some nights of a store from the posteriors of each, by system."""
    stages = [store.stages(i) for i in which]
    lengths = [len(s) for s in stages]
    return Predictions(
        truth=np.concatenate(stages),
        person=np.repeat(store.groups[which], lengths),
        recording=np.repeat(np.array(store.ids)[which], lengths),
        posteriors={label: np.concatenate(parts).astype(np.float32) for label, parts in posteriors.items()},
    )


def describe(store: Store, predictions: Predictions) -> dict:
    """What a result record says about its data."""
    return {
        "cohort": store.cohort, "title": store.title, "digest": store.digest, "channels": store.preparation.montage,
        "epoch_seconds": store.epoch_seconds, "persons": len(np.unique(predictions.person)),
        "recordings": len(np.unique(predictions.recording)), "epochs": int((predictions.truth != UNSCORED).sum()),
    }  # fmt: skip
