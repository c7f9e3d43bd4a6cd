"""What a network makes of other channels of the same night: by type, order and number (AnySleep, figures 1 and 4).

Each function takes one night; `across.each_night` gives it all of them.
"""

import re

import numpy as np

from sleeplib import inference, multicohort
from sleeplib.analysis import metrics
from sleeplib.models.usleep import USleep
from sleeplib.store import Store

# The places of figure 1a. Either eye stands for EOG.
PLACES = ("EOG", "F3", "F4", "C3", "C4", "O1", "O2")
# The channels of figure 4, of the left side.
LEFT = ("EOG", "F3", "C3", "O1")


def place(name: str, kind: str) -> str | None:
    """Where a channel lies: EOG, or the electrode of an EEG channel against ear or linked ears; None if bipolar.

    The rules are those of the authors' figures (facts A4.3).
    """
    if kind == "EOG":
        return "EOG"
    found = re.fullmatch(r"([A-Z]+[0-9z])-(?:[AM][12]|CLE|LER)", name, re.I)
    return found[1] if found and kind == "EEG" else None


def rows_of(store: Store, i: int, places=PLACES) -> dict[str, list[int]] | None:
    """Rows of a night's channels at each place; None where one of the places has none."""
    found = {wanted: [] for wanted in places}
    for row, (name, kind) in enumerate(zip(store.names(i), store.types(i), strict=True)):
        found.get(place(name, kind), []).append(row)
    return found if all(found.values()) else None


def nights_with(store: Store, which, places=PLACES) -> np.ndarray:
    """Those of some nights that have a channel at each of the places."""
    return np.array([i for i in which if rows_of(store, i, places)], int)


def _confusions(network, store: Store, i: int, sets: list[list[int]]) -> np.ndarray:
    """A confusion matrix for each set of channels of a night, `(S, 5, 5)`; each set is staged once."""
    rows = sorted({row for chosen in sets for row in chosen})
    here = [tuple(rows.index(row) for row in chosen) for chosen in sets]
    different = list(dict.fromkeys(here))
    staged = inference.posteriors_of_sets(network, multicohort.signals(store, i, rows), different)
    truth = store.stages(i)
    counts = {
        chosen: metrics.confusion(truth, posteriors.argmax(-1).numpy())
        for chosen, posteriors in zip(different, staged, strict=True)
    }
    return np.stack([counts[chosen] for chosen in here])


def pairs(network, store: Store, i: int, places=PLACES) -> np.ndarray:
    """Confusions of a night staged from each two of P places, `(E, P, P, 5, 5)`, one for each of E EOG channels.

    Row and column are the first and the second channel that the network is shown. On the diagonal it has one channel,
    which U-Sleep is given twice. AnySleep knows no order; each of its pairs is staged once.
    """
    found = rows_of(store, i, places)
    ordered = isinstance(network, USleep)
    sets = []
    for eog in found["EOG"]:
        channels = [eog if name == "EOG" else found[name][0] for name in places]
        for a in channels:
            for b in channels:
                sets.append([a, b] if ordered else sorted({a, b}))
    counts = _confusions(network, store, i, sets)
    return counts.reshape(len(found["EOG"]), len(places), len(places), *counts.shape[1:])


def numbers(network, store: Store, i: int, most: int = 6, draws: int = 1, seed: int = 0) -> np.ndarray:
    """Macro F1 of a night by the number of channels, `(2, most + 1, draws)`: without and with an EOG; by EEG channels.

    Channels are drawn at random. AnySleep stages them at once; of U-Sleep, whose first channel is EEG and second EOG,
    each EEG channel votes in a pair with the same EOG (figure 1b). NaN where the night has too few channels and where a
    network needs others.

    Returns
    -------
    array (2, most + 1, draws)
        [0, n]: n EEG channels; [1, n]: n EEG channels and one EOG.
    """
    rng = np.random.default_rng((seed, i))
    kinds = np.array(store.types(i))
    eeg, eog = (np.flatnonzero(kinds == kind) for kind in ("EEG", "EOG"))
    found = np.full((2, most + 1, draws), np.nan)
    chosen = [
        ((with_eog, n, draw), rng.permutation(eeg)[:n].tolist(), rng.permutation(eog)[:with_eog].tolist())
        for draw in range(draws)
        for with_eog in (0, 1)
        for n in range(most + 1)
        if n + with_eog and n <= len(eeg) and with_eog <= len(eog)
    ]
    if isinstance(network, USleep):
        return _elected(network, store, i, [x for x in chosen if x[1] and x[2]], found, seed)
    counts = _confusions(network, store, i, [sorted([*a, *b]) for _, a, b in chosen])
    for (where, _, _), count in zip(chosen, counts, strict=True):
        found[where] = metrics.macro_f1(count)
    return found


def _elected(network, store: Store, i: int, chosen: list, found: np.ndarray, seed: int) -> np.ndarray:
    """`numbers` of U-Sleep: each pair is staged once, and votes wherever it was drawn."""
    pairs = sorted({(a, b) for _, eeg, eog in chosen for a in eeg for b in eog})
    rows = sorted({row for pair in pairs for row in pair})
    here = [[rows.index(row) for row in pair] for pair in pairs]
    staged = inference.posteriors_of_sets(network, multicohort.signals(store, i, rows), here)
    votes = dict(zip(pairs, staged, strict=True))
    for where, eeg, eog in chosen:
        shares = inference.nights.elect([votes[a, b] for a in eeg for b in eog], seed)
        found[where] = metrics.macro_f1(metrics.confusion(store.stages(i), shares.argmax(-1).numpy()))
    return found


def weights(network, store: Store, i: int, places=LEFT) -> np.ndarray:
    """Weights `(M, P)` that the M attention modules give to the channels at P places of a night (figure 4).

    Of two EOG channels the first is taken, which is that of the left eye wherever eyes are named.
    """
    rows = [rows[0] for rows in rows_of(store, i, places).values()]
    return inference.attention(network, multicohort.signals(store, i, rows)).numpy()


def without_each(network, store: Store, i: int, places=LEFT) -> np.ndarray:
    """Confusions `(1 + 2 P, 5, 5)` of a night: from all P places, without each of them, and from each of them alone."""
    rows = [rows[0] for rows in rows_of(store, i, places).values()]
    return _confusions(
        network, store, i, [rows, *([r for r in rows if r != x] for x in rows), *([x] for x in rows)]
    )
