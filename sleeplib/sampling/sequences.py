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
    images : tensor (E, C, T, F)
        Of all epochs of all nights.
    labels : tensor (E,) int64
        Stages; 9 is unscored.
    lengths : list of int
        Epochs of each night, in order.
    """

    images: torch.Tensor
    labels: torch.Tensor
    lengths: list[int]

    @classmethod
    def from_store(cls, store: Store, which=None) -> "Nights":
        """Load the log-power images of the nights with index (or mask) `which` of a store, by default all.

        Raises
        ------
        SleeplibError
            If the store has no montage of roles.
        """
        if store.preparation.montage is None:
            raise SleeplibError(
                f"{store.folder}: holds every channel of each night; a network of fixed channels needs a store "
                "made by `sleeplib prepare --for seqsleepnet`"
            )
        which = np.arange(len(store)) if which is None else np.asarray(which)
        which = np.flatnonzero(which) if which.dtype == np.bool_ else which
        lengths = [store.recordings[i]["n_epochs"] for i in which]
        shape = store.images(which[0]).shape[1:]
        # Filled night by night, so that the images never stand in memory twice.
        images, first = torch.empty((sum(lengths), *shape)), 0
        for i, n in zip(which, lengths, strict=True):
            images[first : first + n] = torch.from_numpy(store.images(i))
            first += n
        labels = torch.cat([torch.from_numpy(store.stages(i)).long() for i in which])
        return cls(images, labels, lengths)

    def split(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Images and labels of each night."""
        return list(zip(self.images.split(self.lengths), self.labels.split(self.lengths), strict=True))

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation `(C, F)` of each frequency bin over all frames, for the z-score of the images."""
        moments = [(x.mean((0, 2)), x.square().mean((0, 2))) for x in self.images.double().split(2048)]
        weights = torch.tensor([len(x) for x in self.images.split(2048)], dtype=torch.float64)
        mean, square = (
            torch.einsum("bcf,b->cf", torch.stack(m), weights) / weights.sum()
            for m in zip(*moments, strict=True)
        )
        # A bin that never varies (silence) is only centred.
        std = (square - mean.square()).clamp_min(0).sqrt()
        return mean.float(), torch.where(std > 1e-3, std, torch.ones_like(std)).float()


class Sequences:
    """All overlapping sequences of `length` epochs that lie inside one night (SeqSleepNet, section V-B).

    A batch is a pure function of (seed, step): each pass over the data is a fresh permutation drawn from
    (seed, pass). A run that is resumed at a step therefore sees exactly the batches it would have seen.

    Raises
    ------
    SleeplibError
        If no night has as many epochs as a sequence.
    """

    def __init__(self, nights: Nights, length: int, batch_size: int, seed: int = 0):
        self.nights, self.length, self.batch_size, self.seed = nights, length, batch_size, seed
        first = np.cumsum([0, *nights.lengths[:-1]])
        starts = [np.arange(a, a + n - length + 1) for a, n in zip(first, nights.lengths, strict=True)]
        starts = np.concatenate(starts).astype(np.int64)
        # A sequence without one scored epoch teaches nothing.
        scored = np.cumsum(np.r_[0, (nights.labels != UNSCORED).numpy()])
        self.starts = starts[scored[starts + length] > scored[starts]] if len(starts) else starts
        if not len(self.starts):
            raise SleeplibError(
                f"no night has {length} epochs in a row; the longest has {max(nights.lengths, default=0)}"
            )
        self.batch_size = min(batch_size, len(self.starts))
        self.steps_per_pass = len(self.starts) // self.batch_size
        self._pass = (-1, None)

    def epochs(self, step: int) -> torch.Tensor:
        """Indices `(B, L)` of the epochs in the batch of a step."""
        number, position = divmod(step, self.steps_per_pass)
        if self._pass[0] != number:
            self._pass = (number, np.random.default_rng((self.seed, number)).permutation(self.starts))
        starts = self._pass[1][position * self.batch_size : (position + 1) * self.batch_size]
        return torch.from_numpy(starts)[:, None] + torch.arange(self.length)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images `(B, L, C, T, F)` and labels `(B, L)` of a step."""
        index = self.epochs(step)
        return self.nights.images[index], self.nights.labels[index]
