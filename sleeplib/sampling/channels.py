"""Which channels of a recording a network sees: AnySleep's subsampling, U-Sleep's pairs, or all."""

import numpy as np

from sleeplib.errors import SleeplibError

MODES = ("subsample", "pair", "all")


def probabilities_of_numbers(most: int) -> np.ndarray:
    """Probability `(most,)` of 1, 2, ... channels in a batch (AnySleep, eq. 2): 1 / (n H), H the sum of all 1/i."""
    weights = 1 / np.arange(1, most + 1)
    return weights / weights.sum()


def numbers_of_channels(rng: np.random.Generator, most: int, size: int | None = None):
    """Numbers of channels, 1 to `most`, drawn by eq. 2."""
    inner = np.cumsum(probabilities_of_numbers(most))[:-1]
    return 1 + np.searchsorted(inner, rng.random(size), side="right")


class Channels:
    """EEG and EOG channels of recordings with different montages, drawn for a whole batch at once.

    Parameters
    ----------
    montages : list of M lists of (name, type)
        Channels of another type than EEG and EOG are never drawn.
    mode : str
        "subsample" (AnySleep, section 4.3): one number of channels n for the batch, drawn by eq. 2; each recording
        gives n of its channels whatever their type, without replacement if it has that many, else all n with
        replacement. "pair" (U-Sleep): one EEG and one EOG channel. "all": every channel, in a random order.

    Attributes
    ----------
    counts : array (M,)
        How many channels there are to choose from.
    usable : array (M,) of bool
        Whether the montage has what the mode needs.
    """

    def __init__(self, montages: list[list[tuple[str, str]]], mode: str = "subsample"):
        if mode not in MODES:
            raise SleeplibError(f"channels {mode!r} are not known; choose {', '.join(MODES)}")
        self.mode = mode
        eeg, eog, both = (_rows(montages, types) for types in (("EEG",), ("EOG",), ("EEG", "EOG")))
        self._pools = [_table(rows) for rows in ((eeg, eog) if mode == "pair" else (both,))]
        self.counts = sum(counts for _, counts in self._pools)
        self.usable = np.all([counts > 0 for _, counts in self._pools], axis=0)

    def draw(self, rng: np.random.Generator, montage: np.ndarray, most: int | None = None) -> np.ndarray:
        """Rows `(B, n)` of the channels of B recordings whose montages have the numbers `montage` `(B,)`.

        `most` is the greatest number of channels of any training recording, N_ch in eq. 2.

        Raises
        ------
        SleeplibError
            If all channels are wanted and the recordings differ in their number.
        """
        if self.mode == "pair":
            return np.stack(
                [rows[montage, rng.integers(counts[montage])] for rows, counts in self._pools], axis=1
            )
        rows, count = self._pools[0][0][montage], self.counts[montage]
        if self.mode == "subsample":
            return _some(rng, rows, count, numbers_of_channels(rng, most))
        if count.min() < count.max():
            raise SleeplibError(
                f"recordings of {count.min()} to {count.max()} channels make no batch of all channels; choose "
                "'subsample', or batches of one"
            )
        return _some(rng, rows, count, count[0])


def _some(rng: np.random.Generator, rows: np.ndarray, count: np.ndarray, n: int) -> np.ndarray:
    """n of the first `count` `(B,)` entries of each row of `rows` `(B, most)`; with replacement if there are fewer."""
    keys = rng.random(rows.shape)
    keys[np.arange(rows.shape[1]) >= count[:, None]] = 1  # what only fills up the table comes last
    shuffled = np.argsort(keys, axis=1)[:, :n]
    repeated = rng.integers(count[:, None], size=(len(rows), n))
    return np.take_along_axis(rows, np.where(count[:, None] < n, repeated, shuffled), axis=1)


def _rows(montages, types: tuple[str, ...]) -> list[list[int]]:
    return [[row for row, (_, kind) in enumerate(montage) if kind in types] for montage in montages]


def _table(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists as one array `(M, longest)`, filled up with -1, and their lengths `(M,)`."""
    counts = np.array([len(rows) for rows in lists])
    table = np.full((len(lists), counts.max(initial=1)), -1)
    for filled, rows in zip(table, lists, strict=True):
        filled[: len(rows)] = rows
    return table, counts
