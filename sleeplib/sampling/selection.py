"""Which recordings of which data sets take part: a part of a split, less what a network cannot use."""

from collections.abc import Sequence

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.sampling.channels import Channels
from sleeplib.store import Store


class Selection:
    """R recordings from D data sets, one row for each.

    Parameters
    ----------
    stores : list of Store, one for each data set
    which : list of arrays of the recordings' numbers, such as those of the training part, or of booleans, one for each
        recording; default: all
    channels : see `Channels`; recordings without what the mode needs are left out
    shortest : recordings of fewer epochs are left out

    Attributes
    ----------
    store, recording : arrays (R,)
        Number of the store, and of the recording in it.
    montage : array (R,)
        Number of the montage, counted through all stores, as `channels` does.
    lengths : array (R,)
        Epochs.
    counts : array (D,)
        Recordings of each data set.
    skipped : dict of reason to list of `cohort/id` of the recordings that were left out for it

    Raises
    ------
    SleeplibError
        If the stores differ in their preparation, a mask is not of their recordings, or nothing is left.
    """

    def __init__(
        self, stores: Sequence[Store], which: Sequence | None = None, channels: str = "all", shortest: int = 1
    ):
        self.stores = list(stores)
        _check_alike(self.stores)
        self.channels = Channels([montage for store in self.stores for montage in store.montages], channels)
        every = [np.ones(len(store), bool) for store in self.stores]
        chosen = [
            _numbers(w, len(s)) for w, s in zip(every if which is None else which, self.stores, strict=True)
        ]
        self.store = np.repeat(np.arange(len(self.stores)), [len(w) for w in chosen])
        self.recording = np.concatenate(chosen)
        first = np.cumsum([0, *(len(s.montages) for s in self.stores)])
        pairs = list(zip(self.stores, chosen, strict=True))
        self.montage = np.concatenate([a + s.montage[w] for a, (s, w) in zip(first[:-1], pairs, strict=True)])
        self.lengths = np.concatenate([s.lengths[w] for s, w in pairs])
        self._leave_out(shortest)
        self.counts = np.bincount(self.store, minlength=len(self.stores))
        if not len(self):
            raise SleeplibError(f"no recording is left of {len(self.stores)} data sets; {self.why()}")

    def __len__(self) -> int:
        return len(self.recording)

    def _leave_out(self, shortest: int) -> None:
        needed = "an EEG and an EOG channel" if self.channels.mode == "pair" else "an EEG or EOG channel"
        short, deaf = self.lengths < shortest, ~self.channels.usable[self.montage]
        reasons = {f"shorter than {shortest} epochs": short, f"without {needed}": deaf & ~short}
        rows = {reason: np.flatnonzero(out) for reason, out in reasons.items() if out.any()}
        self.skipped = {reason: [self.name(row) for row in found] for reason, found in rows.items()}
        for key in ("store", "recording", "montage", "lengths"):
            setattr(self, key, getattr(self, key)[~(short | deaf)])

    def name(self, row: int) -> str:
        """`cohort/id` of a row."""
        store = self.stores[self.store[row]]
        return f"{store.cohort}/{store.ids[self.recording[row]]}"

    def why(self) -> str:
        """One line that says how many recordings were left out and why."""
        return "left out: " + (", ".join(f"{len(ids)} {why}" for why, ids in self.skipped.items()) or "none")


def _numbers(which, n: int) -> np.ndarray:
    """Numbers of recordings, also where they are given as a mask of all `n`."""
    which = np.asarray(which)
    if which.dtype != bool:
        return which.astype(int)
    if which.shape != (n,):
        raise SleeplibError(f"a mask of {len(which)} recordings for a store of {n}")
    return np.flatnonzero(which)


def _check_alike(stores: list[Store]) -> None:
    for store in stores[1:]:
        for setting in ("rate", "epoch_seconds", "scaling", "filters"):
            ours, first = getattr(store.preparation, setting), getattr(stores[0].preparation, setting)
            if ours != first:
                raise SleeplibError(
                    f"{store.folder}: prepared with {setting} {ours}, {stores[0].folder} with {first}; "
                    "run `sleeplib prepare` again"
                )
