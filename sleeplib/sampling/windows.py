"""Which windows go into a batch of AnySleep or U-Sleep: stages and data sets balanced, everything else by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.sampling.selection import Selection
from sleeplib.stages import STAGES
from sleeplib.store import Store

EDGES = ("authors", "paper")


def probabilities_of_sets(counts: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Probability `(D,)` of each data set from its number of recordings `(D,)` (AnySleep, eq. 1)."""
    counts = np.asarray(counts)
    return alpha / len(counts) + (1 - alpha) * counts / counts.sum()


@dataclass(frozen=True)
class Draw:
    """Where the B windows of a batch lie.

    Attributes
    ----------
    store, recording : arrays (B,)
        Number of the store, and of the recording in it.
    first : array (B,)
        First epoch of the window.
    channels : array (B, n)
        Rows of the recording's array.
    stage, epoch : arrays (B,) or None
        The stage that was drawn, and the epoch of that stage around which the window was laid.
    """

    store: np.ndarray
    recording: np.ndarray
    first: np.ndarray
    channels: np.ndarray
    stage: np.ndarray | None = None
    epoch: np.ndarray | None = None

    def rows(self, which: slice) -> "Draw":
        """Some of the windows."""
        return Draw(*(None if x is None else x[which] for x in vars(self).values()))


class Windows:
    """Random windows of `length` epochs from several data sets (AnySleep, section 4.3).

    For each window: a stage, all five alike; a data set by eq. 1; one of its recordings, all alike; one of the
    recording's epochs of that stage, all alike (where it has none: again from the data set on); the place of this epoch
    in the window, all alike. A batch is a pure function of (seed, step).

    Parameters
    ----------
    stores, which : the data sets and their training recordings; see `Selection`
    length : epochs of a window
    alpha : weight of equal shares of the data sets against shares by recordings, in eq. 1
    channels : "subsample", "pair" or "all"; see `Channels`
    edges : str
        Near the ends of a recording a window may reach outside. "authors" (as their code): its start is uniform on the
        starts that keep it inside. "paper": the number of preceding epochs is uniform on 0, ..., `length` - 1, and a
        window that reaches outside is moved inside. Elsewhere both are the same; neither pads.

    Attributes
    ----------
    selection : Selection
        The recordings that take part, and `skipped`, those that are too short or have not the channels.
    most_channels : int
        N_ch in eq. 2.

    Raises
    ------
    SleeplibError
        If the data sets were prepared differently, one has no recording left, or a stage occurs nowhere.
    """

    def __init__(
        self, stores: Sequence[Store], which: Sequence | None = None, length: int = 35, batch_size: int = 64,
        alpha: float = 0.5, channels: str = "subsample", edges: str = "authors", seed: int = 0,
    ):  # fmt: skip
        if edges not in EDGES:
            raise SleeplibError(f"edges {edges!r} are not known; choose {' or '.join(EDGES)}")
        self.length, self.batch_size, self.edges, self.seed = length, batch_size, edges, seed
        self.selection = chosen = Selection(stores, which, channels, shortest=length)
        if not chosen.counts.all():
            empty = chosen.stores[int(np.argmin(chosen.counts))]
            raise SleeplibError(f"{empty.folder}: no recording to draw from; {chosen.why()}")
        self.most_channels = int(chosen.channels.counts[chosen.montage].max())
        self._epochs, self._starts, self._counts = _by_stage(chosen)
        weights = (probabilities_of_sets(chosen.counts, alpha) / chosen.counts)[chosen.store]
        self._ladder = _ladder(weights, self._counts)

    @property
    def stores(self) -> list[Store]:
        """The data sets, in the order of `Draw.store`."""
        return self.selection.stores

    def draw(self, step: int) -> Draw:
        """The windows in the batch of a step."""
        rng, chosen = np.random.default_rng((self.seed, step)), self.selection
        # One uniform number says both: its whole part the stage, the rest the recording.
        rung = np.searchsorted(self._ladder, rng.random(self.batch_size) * len(STAGES), side="right")
        stage, row = np.divmod(rung, len(chosen))
        epoch = self._epochs[self._starts[row, stage] + rng.integers(self._counts[row, stage])].astype(int)
        return Draw(
            chosen.store[row], chosen.recording[row], self._first(rng, epoch, chosen.lengths[row] - self.length),
            chosen.channels.draw(rng, chosen.montage[row], self.most_channels), stage, epoch,
        )  # fmt: skip

    def _first(self, rng: np.random.Generator, epoch: np.ndarray, last: np.ndarray) -> np.ndarray:
        """First epochs of windows that hold the epochs `(B,)` and start at `last` `(B,)` at the latest."""
        if self.edges == "paper":
            return np.clip(epoch - rng.integers(self.length, size=len(epoch)), 0, last)
        return rng.integers(np.maximum(epoch - self.length + 1, 0), np.minimum(epoch, last) + 1)


def _by_stage(chosen: Selection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The epochs of each recording sorted by stage, end to end; where each stage starts there and how many there are.

    Returns
    -------
    epochs : array (E,)
    starts, counts : arrays (R, 5)
    """
    ends = np.cumsum(chosen.lengths)
    epochs = np.empty(ends[-1], np.min_scalar_type(chosen.lengths.max()))
    counts = np.empty((len(chosen), len(STAGES)), int)
    for row, (store, i) in enumerate(zip(chosen.store, chosen.recording, strict=True)):
        stages = chosen.stores[store].stages(i)
        epochs[ends[row] - len(stages) : ends[row]] = np.argsort(stages, kind="stable")
        counts[row] = np.bincount(stages, minlength=10)[: len(STAGES)]
    starts = (ends - chosen.lengths)[:, None] + np.cumsum(counts, axis=1) - counts
    return epochs, starts, counts


def _ladder(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rungs `(5 R,)` from 0 to 5: those of a stage climb to the next by the weight of each recording that has it.

    Drawing a recording again until it has the stage comes to the same as drawing from those that have it.
    """
    climbs = np.cumsum(np.where(counts.T > 0, weights, 0.0), axis=1)
    missing = [name for name, climb in zip(STAGES, climbs, strict=True) if climb[-1] == 0]
    if missing:
        raise SleeplibError(
            f"no recording has an epoch of {', '.join(missing)}; every stage is drawn as often"
        )
    return (climbs / climbs[:, -1:] + np.arange(len(STAGES))[:, None]).ravel()
