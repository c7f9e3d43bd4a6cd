"""Several scorers of the same nights in, how much they agree out."""

from itertools import combinations

import numpy as np

from sleeplib.analysis.metrics import confusion, kappa
from sleeplib.stages import STAGES, UNSCORED


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
        where one scorer saw the row's stage, another saw the column's.
    """
    panels = [np.asarray(panel) for panel in panels]
    scored = [panel[:, (panel != UNSCORED).all(axis=0)] for panel in panels]
    together = np.concatenate(scored, axis=1)  # (S, epochs)
    mixed = sum(confusion(a, b) + confusion(b, a) for a, b in combinations(together, 2))
    return {
        "kappa": float(
            np.mean([kappa(confusion(a, b)) for panel in scored for a, b in combinations(panel, 2)])
        ),
        "stages": {
            name: float(np.mean([kappa(confusion(a == k, b == k, 2)) for a, b in combinations(together, 2)]))
            for k, name in enumerate(STAGES)
        },
        "unanimous": float((together == together[0]).all(axis=0).mean()),
        "confusion": mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1),
    }
