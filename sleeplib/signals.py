"""Pure functions on arrays: resample, robust-scale, clip, log-power image."""

from fractions import Fraction

import numpy as np
import scipy

from sleeplib.errors import SleeplibError

# |X| below this counts as silence: 20 log10 gives -60 dB instead of minus infinity for a flat channel.
SILENCE = 1e-3
_EPOCHS = 16  # whose images are made at a time: what is between stays in the cache, and needs no new memory


def resample(x: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Polyphase resampling of `x` (..., T) from `rate` to `new_rate` samples per second; any rational ratio.

    The median is taken off while filtering, so that an offset rings neither at the ends nor between phases.
    """
    ratio = Fraction(new_rate / rate).limit_denominator(10_000)
    if ratio == 1:
        return np.asarray(x, np.float32)
    return scipy.signal.resample_poly(
        np.asarray(x, np.float32), ratio.numerator, ratio.denominator, axis=-1, padtype="median"
    )


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
