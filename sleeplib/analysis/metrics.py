"""How good is a stager? All numbers come from confusion matrices, so that thousands of resampled ones cost nothing.

A confusion matrix `(..., K, K)` counts epochs with the truth in rows and the prediction in columns; leading axes are
matrices of persons or resamples, and every function keeps them.
"""

import numpy as np

from sleeplib.stages import STAGES, UNSCORED


def confusion(truth, predicted, k: int = len(STAGES)) -> np.ndarray:
    """Counts `(K, K)` of scored epochs.

    Truth in rows, prediction in columns; unscored epochs of the truth are left out.
    """
    truth, predicted = np.asarray(truth).astype(int), np.asarray(predicted).astype(int)
    scored = truth != UNSCORED
    return np.bincount(k * truth[scored] + predicted[scored], minlength=k * k).reshape(k, k)


def _ratio(part, whole) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _diagonal(c: np.ndarray) -> np.ndarray:
    return np.diagonal(c, axis1=-2, axis2=-1)


def accuracy(c: np.ndarray) -> np.ndarray:
    """Share of epochs whose stage is right."""
    return _ratio(_diagonal(c).sum(-1), c.sum((-2, -1)))


def kappa(c: np.ndarray) -> np.ndarray:
    """Cohen's kappa: (observed - expected agreement) / (1 - expected), expected from the two marginals (Cohen 1960)."""
    total = c.sum((-2, -1))
    observed = accuracy(c)
    expected = _ratio((c.sum(-1) * c.sum(-2)).sum(-1), np.square(total.astype(float)))
    return _ratio(observed - expected, 1 - expected)


def sensitivity(c: np.ndarray) -> np.ndarray:
    """Of the epochs that are a stage, the share found: recall, `(..., K)`; NaN for a stage that does not occur."""
    return _ratio(_diagonal(c), c.sum(-1))


def selectivity(c: np.ndarray) -> np.ndarray:
    """Of the epochs called a stage, the share that is right: precision, `(..., K)`; NaN for a stage never called."""
    return _ratio(_diagonal(c), c.sum(-2))


def specificity(c: np.ndarray) -> np.ndarray:
    """Of the epochs that are not a stage, the share not called it, `(..., K)`."""
    total = c.sum((-2, -1))[..., None]
    others = total - c.sum(-1)
    return _ratio(others - c.sum(-2) + _diagonal(c), others)


def f1(c: np.ndarray) -> np.ndarray:
    """Harmonic mean of sensitivity and selectivity, `(..., K)`.

    NaN only for a stage that neither occurs nor is called.
    """
    return _ratio(2 * _diagonal(c), c.sum(-1) + c.sum(-2))


def macro_f1(c: np.ndarray) -> np.ndarray:
    """Unweighted mean of the stages' F1; a stage that occurs and is never found counts 0, an absent one is left out."""
    present = (c.sum(-1) + c.sum(-2)) > 0
    return _ratio(np.nansum(f1(c), axis=-1), present.sum(-1))


HEADLINE = {"accuracy": accuracy, "kappa": kappa, "macro_f1": macro_f1}
