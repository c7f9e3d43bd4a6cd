"""Pure functions on arrays: resample, robust-scale, clip, quantise, log-power image."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import scipy

from sleeplib.errors import SleeplibError

# |X| below this counts as silence: 20 log10 gives -60 dB instead of minus infinity for a flat channel.
SILENCE = 1e-3
_LARGEST = 500_000  # number in a ratio; its filter has 20 times as many taps, 80 MB
_LIMIT = 1000  # times what 90 % of a channel in microvolts stay below: 1600 standard deviations of noise
_EPOCHS = 16  # whose images are made at a time: what is between stays in the cache, and needs no new memory


def resample(x: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Polyphase resampling of `x` (..., T) from `rate` to `new_rate` samples per second; any ratio.

    The ratio becomes a fraction whose error adds up to less than half an output sample over the whole signal. Clocks
    so near to a simple ratio that this takes a huge filter (255.9999 to 128 Hz) are resampled by the simple ratio, and
    then interpolated by cubic splines onto the exact times. The median is taken off while filtering, so that an offset
    rings neither at the ends nor between phases.
    """
    x, exact = np.asarray(x, np.float32), Fraction(new_rate / rate)
    ratios = [exact.limit_denominator(10_000 << k) for k in range(6)]
    ratio = next((r for r in ratios if abs(r - exact) * x.shape[-1] < 0.5 and r.numerator <= _LARGEST), None)
    if ratio:
        return _polyphase(x, ratio)
    simple = exact.limit_denominator(1000)
    y, times = _polyphase(x, simple), np.arange(math.ceil(x.shape[-1] * exact)) * float(simple / exact)
    return np.apply_along_axis(
        scipy.ndimage.map_coordinates, -1, y, times[None], np.float32, order=3, mode="nearest"
    )


def _polyphase(x: np.ndarray, ratio: Fraction) -> np.ndarray:
    if ratio == 1:
        return x
    return scipy.signal.resample_poly(x, ratio.numerator, ratio.denominator, axis=-1, padtype="median")


def robust_scale(x: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Subtract the median and divide by the inter-quartile range along the last axis (AnySleep, section 4.1).

    A channel whose inter-quartile range is zero is only centred.

    Parameters
    ----------
    known : the samples that median and range are taken of, if not all of `x`
    """
    low, middle, high = np.percentile(x if known is None else known, [25, 50, 75], axis=-1, keepdims=True)
    iqr = np.where(high > low, high - low, 1.0)
    return ((x - middle) / iqr).astype(np.float32)


def clip(x: np.ndarray, limit: float = 20.0) -> np.ndarray:
    """Clip a scaled signal to +-`limit` inter-quartile ranges (AnySleep: 20)."""
    return np.clip(x, -limit, limit)


def clip_about_zero(x: np.ndarray, known: np.ndarray | None = None, limit: float = 20.0) -> np.ndarray:
    """Clip to +-`limit` inter-quartile ranges about zero, before anything is subtracted (code of AnySleep's authors).

    Equal to the paper's order only where the median is near zero; a signal with a large offset is flattened.
    """
    low, high = np.percentile(x if known is None else known, [25, 75], axis=-1, keepdims=True)
    edge = limit * (high - low)
    return np.clip(x, -edge, edge).astype(np.float32)


def quantise(x: Sequence[np.ndarray], reach: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples (C, T) int16 of C rows (T,), with scale and offset (C,): physical = sample * scale + offset.

    A stretch of saturation must not eat the 16 bits: where rows have scales of their own, what is further from the
    median than `_LIMIT` times what nine samples out of ten stay below is clipped. Nine, because an electrode may be off
    for most of a night.

    Parameters
    ----------
    reach : of all rows from zero, if they share one scale without offset
    """
    samples = np.empty((len(x), len(x[0])), np.int16)
    scale, offset = np.full(len(x), (reach or 0) / 32767, np.float32), np.zeros(len(x), np.float32)
    for i, row in enumerate(x):  # row by row, to save memory
        if not reach:
            offset[i] = np.median(row)
            sizes = np.abs(row - offset[i])
            limit = _LIMIT * np.quantile(sizes, 0.9) or np.inf
            scale[i] = max(min(sizes.max(), limit) / 32767, 1e-12)
        samples[i] = np.clip(np.round((row - offset[i]) / scale[i]), -32767, 32767)
    return samples, scale, offset


def seqsleepnet_filter(x: np.ndarray, rate: float, kind: str) -> np.ndarray:
    """The filters of SeqSleepNet's program, which its paper does not mention: FIR of order 100, forwards and backwards.

    EEG and EOG pass from 0.3 to 40 Hz; EMG passes above 10 Hz, without 49-51 and 59-61 Hz. Edges that the rate cannot
    hold are left out.
    """
    edges = {"EMG": [([49, 51], "bandstop"), ([59, 61], "bandstop"), (10, "highpass")]}
    for edge, how in edges.get(kind, [([0.3, 40], "bandpass")]):
        if np.max(edge) < rate / 2:
            taps = scipy.signal.firwin(101, edge, pass_zero=how, fs=rate)
            x = scipy.signal.filtfilt(taps, 1.0, x).astype(np.float32)
    return x


def log_power_image(x: np.ndarray, rate: float = 100.0) -> np.ndarray:
    """Time-frequency image of epochs (SeqSleepNet, section III-A).

    Windows of 2 s with 50 % overlap and a symmetric Hamming taper, zero-padded to 256 points;
    the value is 20 log10 |X| in dB, floored at `SILENCE`.

    Parameters
    ----------
    x : array (..., S)
        Samples of each epoch, `S = rate * epoch_seconds`. Frames never cross epochs.
    rate : float
        Samples per second; 100 in the paper, at most 128 (a 2-s window must fit into 256 points).

    Returns
    -------
    array (..., T, F) float32
        `T = 29` frames of a 30-s epoch, `F = 129` bins from 0 Hz to `rate / 2`.
    """
    window, hop = round(2 * rate), round(rate)
    if window > 256:
        raise SleeplibError(
            f"a 2-s window at {rate:g} Hz has {window} samples, more than the 256 points of the FFT; resample to 100 Hz"
        )
    if x.shape[-1] < window:
        raise SleeplibError(
            f"an epoch of {x.shape[-1]} samples at {rate:g} Hz is shorter than the 2-s window"
        )
    taper = scipy.signal.get_window("hamming", window, fftbins=False)
    taper = taper.astype(x.dtype if x.dtype == np.float64 else np.float32)
    epochs = x.reshape(1, -1) if x.ndim == 1 else x
    images = np.empty((*epochs.shape[:-1], (x.shape[-1] - window) // hop + 1, 129), np.float32)
    for first in range(0, len(epochs), _EPOCHS):
        some = slice(first, first + _EPOCHS)
        images[some] = _decibels(epochs[some], taper, hop)
    return images[0] if x.ndim == 1 else images


def _decibels(epochs: np.ndarray, taper: np.ndarray, hop: int) -> np.ndarray:
    """Power in dB (..., T, 129) of the tapered frames of epochs (..., S)."""
    frames = np.lib.stride_tricks.sliding_window_view(epochs, len(taper), axis=-1)[..., ::hop, :]
    spectrum = np.fft.rfft(frames * taper, 256)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return 10 * np.log10(np.maximum(power, SILENCE**2))


def standardise(images: np.ndarray) -> np.ndarray:
    """Z-score of each channel's frequency bins over a recording's images (N, C, T, F).

    Takes out what amplifier, montage and person do to the spectrum of the whole night, without knowing a label.
    """
    mean, std = images.mean(axis=(0, 2), keepdims=True), images.std(axis=(0, 2), keepdims=True)
    return (images - mean) / np.where(std > 1e-3, std, 1.0)
