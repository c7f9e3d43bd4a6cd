"""All overlapping sequences of epochs that lie inside one night, in an order that depends on seed and step alone."""

from dataclasses import dataclass

import numpy as np
import torch

from sleeplib.errors import SleeplibError
from sleeplib.stages import UNSCORED
from sleeplib.store import Store


@dataclass
class Nights:
    """Nights laid end to end in memory.

    Attributes
    ----------
    inputs : tensor (E, C, T, F) or (E, C, S)
        Log-power images, or signals in microvolts, of all epochs of all nights.
    labels : tensor (E,) int64
        Stages; 9 is unscored.
    lengths : list of int
        Epochs of each night, in order.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    lengths: list[int]

    @classmethod
    def from_store(cls, store: Store, which=None, signals: bool = False) -> "Nights":
        """Load the log-power images (or `signals`) of the nights with index or mask `which`, by default all.

        Raises
        ------
        SleeplibError
            If the store has no montage of roles, or no night was chosen.
        """
        if store.preparation.montage is None:
            raise SleeplibError(
                f"{store.folder}: holds every channel of each night; a network of fixed channels needs a store "
                "made by `sleeplib prepare --for seqsleepnet`"
            )
        which = np.arange(len(store)) if which is None else np.asarray(which)
        which = np.flatnonzero(which) if which.dtype == np.bool_ else which
        if not len(which):
            raise SleeplibError(f"{store.folder}: none of its nights was chosen")
        lengths = [store.recordings[i]["n_epochs"] for i in which]
        read = store.epochs if signals else store.images
        # Filled night by night, so that the inputs never stand in memory twice.
        inputs, first = torch.empty((sum(lengths), *read(which[0]).shape[1:])), 0
        for i, n in zip(which, lengths, strict=True):
            inputs[first : first + n] = torch.from_numpy(read(i))
            first += n
        labels = torch.cat([torch.from_numpy(store.stages(i)).long() for i in which])
        return cls(inputs, labels, lengths)

    def split(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs and labels of each night."""
        return list(zip(self.inputs.split(self.lengths), self.labels.split(self.lengths), strict=True))

    def scored(self, size: int) -> list[torch.Tensor]:
        """Inputs of the scored epochs, in parts of at most `size`, without a copy where all of a part are scored.

        Raises
        ------
        SleeplibError
            If there is none.
        """
        parts = list(zip(self.inputs.split(size), (self.labels != UNSCORED).split(size), strict=True))
        if not any(which.any() for _, which in parts):
            raise SleeplibError("the training nights have no scored epoch")
        return [x if which.all() else x[which] for x, which in parts if which.any()]

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation for the z-score of scored epochs: `(C, F)` of images, `(C,)` of signals."""
        axes = (0, 2)  # of images (E, C, T, F) the frames, of signals (E, C, S) the samples
        parts = self.scored(2048)
        moments = [(x.mean(axes), x.square().mean(axes)) for x in (part.double() for part in parts)]
        weights = torch.tensor([len(part) for part in parts], dtype=torch.float64)
        mean, square = (
            torch.einsum("b...,b->...", torch.stack(m), weights) / weights.sum()
            for m in zip(*moments, strict=True)
        )
        # What never varies (silence) is only centred.
        std = (square - mean.square()).clamp_min(0).sqrt()
        return mean.float(), torch.where(std > 1e-3, std, torch.ones_like(std)).float()


class Sequences:
    """All overlapping sequences of `length` epochs that lie inside one night (SeqSleepNet, section V-B).

    A batch is a pure function of (seed, step): each pass over the data is a fresh permutation drawn from
    (seed, pass). A run that is resumed at a step therefore sees exactly the batches it would have seen.

    Parameters
    ----------
    length : epochs of a sequence
    reach : how many more labels than epochs, on both sides: multitask networks also say the neighbours' stages
    balanced : draw, with replacement, so that the middle epoch is each stage equally often; the labels of the other
        epochs of a sequence, which are not balanced, are given as unscored

    Raises
    ------
    SleeplibError
        If no night has as many epochs as a sequence with its neighbours, or none of them is scored.
    """

    def __init__(
        self, nights: Nights, length: int, batch_size: int, seed: int = 0, reach: int = 0, balanced: bool = False
    ):  # fmt: skip
        self.nights, self.length, self.seed, self.reach = nights, length, seed, reach
        window = length + 2 * reach
        first = np.cumsum([0, *nights.lengths[:-1]])
        starts = [np.arange(a, a + n - window + 1) for a, n in zip(first, nights.lengths, strict=True)]
        starts = np.concatenate(starts).astype(np.int64)
        # A sequence without one scored epoch teaches nothing.
        scored = np.cumsum(np.r_[0, (nights.labels != UNSCORED).numpy()])
        if not len(starts):
            raise SleeplibError(
                f"no night has {window} epochs in a row; the longest has {max(nights.lengths, default=0)}"
            )
        self.starts = starts[scored[starts + window] > scored[starts]]
        if not len(self.starts):
            raise SleeplibError("the training nights have no scored epoch")
        self.batch_size = min(batch_size, len(self.starts))
        self.steps_per_pass = len(self.starts) // self.batch_size
        self._by_stage = self._sort(window) if balanced else None
        self._pass = (-1, None)

    def _sort(self, window: int) -> list[np.ndarray]:
        """The starts of the sequences whose middle epoch is W, N1, ...; a stage that is missing has none."""
        middle = self.nights.labels.numpy()[self.starts + window // 2]
        if (middle == UNSCORED).all():
            raise SleeplibError("no sequence of the training nights has a scored epoch in its middle")
        return [self.starts[middle == stage] for stage in np.unique(middle[middle != UNSCORED])]

    def _order(self, number: int) -> np.ndarray:
        """The starts in the order of a pass."""
        rng = np.random.default_rng((self.seed, number))
        if self._by_stage is None:
            return rng.permutation(self.starts)
        n = self.steps_per_pass * self.batch_size
        share = -(-n // len(self._by_stage))
        drawn = [rng.choice(starts, share) for starts in self._by_stage]
        # One of each stage in turn, so that every batch is balanced, too.
        return np.stack(drawn, axis=1).ravel()[:n]

    def epochs(self, step: int) -> torch.Tensor:
        """Indices `(B, L + 2 * reach)` of the epochs in the batch of a step."""
        number, position = divmod(step, self.steps_per_pass)
        if self._pass[0] != number:
            self._pass = (number, self._order(number))
        starts = self._pass[1][position * self.batch_size : (position + 1) * self.batch_size]
        return torch.from_numpy(starts)[:, None] + torch.arange(self.length + 2 * self.reach)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs `(B, L, ...)` and labels `(B, L + 2 * reach)` of a step."""
        index = self.epochs(step)
        inputs, labels = (
            self.nights.inputs[index[:, self.reach : self.reach + self.length]],
            self.nights.labels[index],
        )
        if self._by_stage is not None and self.length > 1:
            middle = torch.arange(labels.shape[1]) == labels.shape[1] // 2
            labels = labels.where(middle, UNSCORED)
        return inputs, labels
