"""What is wrong with a channel, before anybody learns from it: flat, clipped, disconnected, in the wrong unit."""

import numpy as np
from scipy.fft import rfft

_FEW = 0.05  # share of a night above which a fault is told
_VOLTS = (
    0.5,
    2_000.0,
)  # microvolts within which the median epoch's standard deviation lies for EEG, EOG and EMG
_SECONDS = 30
_LOOK = 4  # seconds of each epoch that are looked at for noise
_NOISE = 40.0  # Hz; an electrode without contact brings mains and noise, the brain hardly anything above


def inspect(x: np.ndarray, rate: float, kind: str = "EEG") -> dict[str, float]:
    """Measure a channel (T,) at its own rate; `kind` is "EEG", "EOG" or "EMG".

    Returns
    -------
    dict
        `sd`: median over the epochs of their standard deviation, in the channel's unit; shares of the epochs that are
        `flat` (no variation at all) or `disconnected` (standard deviation more than 30 times the median one or, in EEG
        and EOG, most of the power above 40 Hz), and the share of the samples that are `clipped` (pairs of neighbours
        at the highest or the lowest value).
    """
    size = max(round(_SECONDS * rate), 2)
    n = max(len(x) // size, 1)
    epochs = np.resize(x, (n, size)) if len(x) < size else x[: n * size].reshape(n, size)
    spread = epochs.std(axis=1)
    middle = float(np.median(spread))
    flat = np.ptp(epochs, axis=1) == 0
    lost = spread > 30 * middle if middle else np.zeros(n, bool)
    if kind != "EMG" and rate / 2 > _NOISE:
        lost |= _noisy(epochs, rate)
    return {
        "sd": middle,
        "flat": float(flat.mean()),
        "disconnected": float((lost & ~flat).mean()),
        "clipped": _clipped(x),
    }


def _noisy(epochs: np.ndarray, rate: float) -> np.ndarray:
    """Mask (N,) of the epochs whose first seconds have most of their power above 40 Hz."""
    n = min(round(_LOOK * rate), epochs.shape[1])
    spectrum = np.square(np.abs(rfft(epochs[:, :n], axis=1)))
    step = rate / n  # Hz; the first bins hold offset and drift
    total, high = spectrum[:, round(0.5 / step) :].sum(1), spectrum[:, round(_NOISE / step) :].sum(1)
    return high > 0.5 * total


def _clipped(x: np.ndarray) -> float:
    """Share of samples that stay where the signal can go no further; a flat channel is not clipped."""
    low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 0.0)
    if low == high:
        return 0.0
    at_edge = (x == high) | (x == low)
    return float((at_edge[1:] & at_edge[:-1] & (x[1:] == x[:-1])).mean())


def faults(measured: dict[str, float], unit: str = "uV") -> list[str]:
    """What of it is worth telling, in words."""
    told = [f"{name} {measured[name]:.0%}" for name in ("flat", "disconnected") if measured[name] > _FEW]
    if measured["clipped"] > _FEW / 10:
        told.append(f"clipped {measured['clipped']:.1%}")
    low, high = _VOLTS
    if measured["flat"] <= 0.5 and unit == "uV" and not low <= measured["sd"] <= high:
        told.append(f"wrong unit? ({measured['sd']:.3g} uV)")
    return told
