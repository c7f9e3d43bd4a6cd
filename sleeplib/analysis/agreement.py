"""Several scorers of the same nights in, how much they agree out, and the stages that they agree on.

Hypnograms of a night are an array `(S, N)`: S scorers, N epochs. An epoch that a scorer left unscored is 9, or -1 as in
the files of the Dreem nights; what comes out is always 9. The consensus is that of the Dreem Open Datasets (Guillot et
al. 2020; facts A1.6): cut to the `common_span`, rank the scorers by `soft_agreement`, let the four best vote.
"""

from itertools import combinations
from math import lcm

import numpy as np

from sleeplib.analysis.metrics import confusion, kappa
from sleeplib.errors import SleeplibError
from sleeplib.stages import STAGES, UNSCORED, check

_MISSING = -1  # in the files of the Dreem nights: nobody scored this epoch
_LABELS = len(STAGES) + 1  # what a scorer can vote for: a stage, or none


def between(panels) -> dict:
    """Agreement of the scorers of each night.

    Parameters
    ----------
    panels : list of arrays (S, N)
        Stages that S >= 2 scorers gave the N epochs of a night; epochs that one of them left unscored are left out.

    Returns
    -------
    dict
        `kappa`, Cohen's, mean over pairs of scorers and nights; `stages`, the same of each stage against all others,
        pooled over nights; `unanimous`, the share of epochs to which all gave one stage; `confusion` (5, 5), how often,
        where one scorer saw the row's stage, another saw the column's. A pair that gave one and the same stage
        throughout has no kappa and is left out of the mean; NaN if no pair has one.

    Raises
    ------
    SleeplibError
        If nights have other numbers of scorers, a code is no stage, or no epoch was scored by all.
    """
    panels = [_panel(panel) for panel in panels]
    if len({len(panel) for panel in panels}) != 1:
        raise SleeplibError(
            f"nights of {sorted({len(p) for p in panels})} scorers; give one or more nights with as many scorers each"
        )
    scored = [panel[:, (panel != UNSCORED).all(axis=0)] for panel in panels]
    together = np.concatenate(scored, axis=1)  # (S, epochs)
    if not together.size:
        raise SleeplibError("no epoch was scored by all scorers of a night; there is nothing to compare")
    mixed = sum(confusion(a, b) + confusion(b, a) for a, b in combinations(together, 2))
    return {
        "kappa": _mean([kappa(confusion(a, b)) for panel in scored for a, b in combinations(panel, 2)]),
        "stages": {
            name: _mean([kappa(confusion(a == k, b == k, 2)) for a, b in combinations(together, 2)])
            for k, name in enumerate(STAGES)
        },
        "unanimous": float((together == together[0]).all(axis=0).mean()),
        "confusion": mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1),
    }


def pairwise_kappa(hypnograms) -> np.ndarray:
    """Cohen's kappa of each scorer with each other, `(S, S)`, over the epochs that all scored; 1 on the diagonal.

    NaN for a pair that gave one and the same stage throughout. The mean of the others off the diagonal is the `kappa`
    of `between`.
    """
    panel = _panel(hypnograms)
    scored = panel[:, (panel != UNSCORED).all(axis=0)]
    found = np.eye(len(panel))
    for i, j in combinations(range(len(panel)), 2):
        found[i, j] = found[j, i] = kappa(confusion(scored[i], scored[j]))
    return found


def common_span(hypnograms, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """The first epoch `start` and the last + 1 `end` between every scorer's first and last stage (facts A1.6, step 1).

    Parameters
    ----------
    hypnograms : array (S, N)
    start, end : int
        Limits by hand, where lights went off or on inside the scoring; three nights of DOD-H have one (manifest
        `dodh`, `hypnogram: limits`).

    Raises
    ------
    SleeplibError
        If no epoch is left.
    """
    scored = _panel(hypnograms, least=1) != UNSCORED
    n = scored.shape[1]
    first = np.where(scored.any(axis=1), scored.argmax(axis=1), n)
    behind = n - scored[:, ::-1].argmax(axis=1)
    start, end = max(start, int(first.max())), min(n if end is None else end, int(behind.min()))
    if start >= end:
        raise SleeplibError(
            f"no epoch lies between every scorer's first and last stage ({start} to {end}); check the hypnograms"
        )
    return start, end


def soft_agreement(hypnograms) -> np.ndarray:
    """How far each scorer is with the others, `(S,)` from 0 to 1 (facts A1.6, step 2).

    In each epoch a scorer gets the votes of the others for the same label, divided by the votes that the others'
    favourite label got; the mean over epochs. "Unscored" is a label like any other.
    """
    own, favourite = _of_the_others(hypnograms)
    return (own / favourite).mean(axis=1)


def rank(hypnograms) -> np.ndarray:
    """Scorers `(S,)` by soft agreement, the best first, counted from 0; of equals the one that comes first.

    Equal is what is equal as fractions: the sums are of whole numbers, over the common denominator of 1 to S - 1.
    """
    own, favourite = _of_the_others(hypnograms)
    common = lcm(*range(1, len(own)))
    # Each epoch adds at most the denominator; Python's integers where those of 64 bits may not hold the sum.
    whole = np.int64 if common * own.shape[1] < 2**63 else object
    total = (own.astype(whole) * (common // favourite.astype(whole))).sum(axis=1)
    return np.argsort(-total, kind="stable")


def _of_the_others(hypnograms) -> tuple[np.ndarray, np.ndarray]:
    """Votes of the others, `(S, N)` each: for each scorer's label, and for the label that most of them gave."""
    panel = _labels(_panel(hypnograms))
    votes, own = _votes(panel), np.eye(_LABELS, dtype=int)[panel].transpose(0, 2, 1)  # (6, N), (S, 6, N)
    others = votes - own  # (S, 6, N): what all but this scorer say
    return (others * own).sum(axis=1), others.max(axis=1)


def consensus(hypnograms, best: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """What most of the `best` scorers of a night say (Guillot et al. 2020; facts A1.6, steps 2 to 4).

    Parameters
    ----------
    hypnograms : array (S, N)
        Stages of S >= 2 scorers, cut to their `common_span`; unscored epochs are 9 or -1.
    best : how many of them vote, those who agree most with all others; all S where there are no more

    Returns
    -------
    stages : array (N,) of int8
        Where there is a tie, what the best of all scorers says. Unscored (9) where that wins.
    ranking : array (S,)
        Scorers, the best first, counted from 0.

    Raises
    ------
    SleeplibError
        If there are fewer than two scorers, no epochs, other codes than -1 to 4 and 9, or nobody to vote.
    """
    panel, ranking = _panel(hypnograms), rank(hypnograms)
    return elect(panel[ranking[: _voters(best)]])[0], ranking


def votes(hypnograms, best: int = 4) -> np.ndarray:
    """How many of the `best` scorers voted for the consensus of each epoch, `(N,)` int8."""
    panel = _panel(hypnograms)
    return elect(panel[rank(panel)[: _voters(best)]])[1]


def elect(ranked) -> tuple[np.ndarray, np.ndarray]:
    """The majority of voters, and how many are with it.

    Parameters
    ----------
    ranked : array (V, N)
        Stages that V voters gave, the best of them first: in a tie, what the first says is elected. Up to four voters
        the first is always among those who tie; of five or more the first may stand alone against two pairs.

    Returns
    -------
    stages, votes : arrays (N,) of int8
    """
    labels = _labels(_panel(ranked, least=1))
    counted = _votes(labels)  # (6, N)
    tied = (counted == counted.max(axis=0)).sum(axis=0) > 1
    elected = np.where(tied, labels[0], counted.argmax(axis=0))
    for_it = np.take_along_axis(counted, elected[None], axis=0)[0]
    return np.where(elected == _LABELS - 1, UNSCORED, elected).astype(np.int8), for_it.astype(np.int8)


def of_others(hypnograms) -> tuple[np.ndarray, np.ndarray]:
    """For each scorer the consensus of all others, and how many of them are with it: stages and votes, `(S, N)` int8.

    Ties go to the best of the others in the ranking of the whole panel, as in the Dreem program.
    """
    panel, ranking = _panel(hypnograms), rank(hypnograms)
    elected = np.stack([elect(panel[ranking[ranking != s]]) for s in range(len(panel))])  # (S, 2, N)
    return elected[:, 0], elected[:, 1]


def against_others(hypnograms) -> np.ndarray:
    """Each scorer against the consensus of all others, the human ceiling: counts `(S, 5, 5)` for `analysis.metrics`.

    The consensus in rows, the scorer in columns; epochs that either left unscored are left out.
    """
    panel = _panel(hypnograms)
    return np.stack([against(*pair) for pair in zip(of_others(panel)[0], panel, strict=True)])


def against(consensus, stages, votes=None) -> np.ndarray:
    """Someone's stages against a consensus: counts `(5, 5)`, the consensus in rows; unscored epochs are left out.

    Parameters
    ----------
    consensus, stages : arrays (N,)
    votes : array (N,), optional
        Weights of the epochs instead of 1: the votes for the consensus, as in the Dreem program. Doubtful epochs then
        count less.

    Raises
    ------
    SleeplibError
        If the lengths differ, or a code is no stage.
    """
    consensus, stages = _panel([consensus, stages])
    # No truth where one of the two is missing: `confusion` would refuse stages that are.
    both = np.where(stages == UNSCORED, UNSCORED, consensus)
    return confusion(both, stages, weights=votes)


def _panel(hypnograms, least: int = 2) -> np.ndarray:
    """Hypnograms as an array (S, N) of int8 with 9 for unscored, checked."""
    try:
        panel = np.asarray(hypnograms)
    except ValueError as error:
        raise SleeplibError(
            "the hypnograms of a night differ in length; cut them to one span first"
        ) from error
    if panel.ndim != 2 or len(panel) < least or not panel.shape[1]:
        raise SleeplibError(f"hypnograms of shape {panel.shape}; expected (S, N) of {least} scorers or more")
    panel = np.where(panel == _MISSING, UNSCORED, panel)
    return check(panel.ravel(), "hypnograms").reshape(panel.shape)


def _mean(values) -> float:
    """Mean of those that are numbers; NaN if none is."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else np.nan


def _voters(best: int) -> int:
    if best < 1:
        raise SleeplibError(f"a consensus of the best {best} scorers; at least one has to vote")
    return best


def _labels(panel: np.ndarray) -> np.ndarray:
    """Stages as they are and 5 for unscored, so that all labels can be counted."""
    return np.where(panel == UNSCORED, _LABELS - 1, panel)


def _votes(labels: np.ndarray) -> np.ndarray:
    """How many scorers gave each label, (6, N)."""
    return (labels == np.arange(_LABELS)[:, None, None]).sum(axis=1)
