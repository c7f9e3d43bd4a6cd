"""Epochs of one channel in, their power spectra by stage out."""

import numpy as np
from scipy.signal import welch

from sleeplib.stages import STAGES

WINDOW = 2.56  # s, of Welch's periodograms: bins of 0.39 Hz, at 100 Hz a power of two
# Hz. The bands of the field, the broad ones halved.
BANDS = (
    (0.4, 1),
    (1, 2),
    (2, 4),
    (4, 6),
    (6, 8),
    (8, 10),
    (10, 12),
    (12, 14),
    (14, 16),
    (16, 20),
    (20, 25),
    (25, 35),
)


def spectra(epochs: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (F,) in Hz up to 45 and power (N, F) in uV^2/Hz of epochs (N, S) in uV."""
    hertz, power = welch(epochs, rate, nperseg=round(WINDOW * rate), axis=-1)
    shown = hertz <= 45
    return hertz[shown], power[..., shown]


def bands(epochs: np.ndarray, rate: float) -> np.ndarray:
    """Power density (N, 12) of the `BANDS` in dB re 1 uV^2/Hz."""
    hertz, power = spectra(epochs, rate)
    return decibels(
        np.stack([power[:, (hertz >= low) & (hertz < high)].mean(axis=1) for low, high in BANDS], axis=1)
    )


def decibels(power: np.ndarray) -> np.ndarray:
    """10 log10, with a floor of -40 dB for silence."""
    return 10 * np.log10(np.maximum(power, 1e-4))


def by_stage(values: list[np.ndarray], stages: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the nights have in common, and how they differ.

    Parameters
    ----------
    values, stages : lists of arrays (N, D) and (N,)
        In dB, night by night.

    Returns
    -------
    dict of arrays (5, D)
        `mean` of the nights' means; `between`, standard deviation of the nights' means; `within`, mean of the nights'
        standard deviations over epochs. A night without at least five epochs of a stage does not count for it; NaN
        where there are not enough nights.
    """
    nowhere = np.full(values[0].shape[1], np.nan)
    parts = [
        [x[s == k] for x, s in zip(values, stages, strict=True) if (s == k).sum() >= 5]
        for k in range(len(STAGES))
    ]
    means = [np.array([x.mean(axis=0) for x in part]) for part in parts]
    spreads = [np.array([x.std(axis=0) for x in part]) for part in parts]
    return {
        "mean": np.array([m.mean(axis=0) if len(m) else nowhere for m in means]),
        "between": np.array([m.std(axis=0, ddof=1) if len(m) > 1 else nowhere for m in means]),
        "within": np.array([s.mean(axis=0) if len(s) else nowhere for s in spreads]),
    }


def typical(epochs: np.ndarray, stages: np.ndarray, rate: float) -> np.ndarray:
    """Of each stage the epoch whose band powers lie nearest to the stage's median, (5, S): examples nobody picked.

    NaN for a stage that does not occur.
    """
    power = bands(epochs, rate)
    return np.stack([_nearest(epochs[stages == k], power[stages == k]) for k in range(len(STAGES))])


def _nearest(epochs, power) -> np.ndarray:
    if not len(epochs):
        return np.full(epochs.shape[1], np.nan)
    return epochs[np.abs(power - np.median(power, axis=0)).sum(axis=1).argmin()]
