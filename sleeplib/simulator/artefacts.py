"""What electrodes pick up that is neither brain nor eye nor chin: drift and sweat, the heart, pops and lost contact."""

import numpy as np
from scipy.signal import butter, sosfilt

from sleeplib.simulator.waveforms import RATE, times

_SLOW = 8  # samples per second in which drifts are made


def drifts(rng, size: np.ndarray, potentials: np.ndarray, shared: float = 0.5) -> None:
    """Add slow drifts (0.1-0.7 Hz), `size` (S,) uV RMS in each second, whose power electrodes have partly in common."""
    n = size.size * _SLOW
    size = np.repeat(size, _SLOW)
    band = butter(2, (0.1, 0.7), "band", fs=_SLOW, output="sos")
    # Unit power: the band is 2 * 0.6 / 8 of white noise's.
    noise = sosfilt(band, rng.standard_normal((len(potentials) + 1, n)) / np.sqrt(2 * 0.6 / _SLOW))
    ramp = np.arange(RATE // _SLOW, dtype=np.float32) * (_SLOW / RATE)
    for x, own in zip(potentials, noise[1:], strict=True):
        course = (size * (np.sqrt(shared) * noise[0] + np.sqrt(1 - shared) * own)).astype(np.float32)
        step = np.diff(course, append=course[-1:])
        x += (course[:, None] + step[:, None] * ramp).ravel()


def heart(rng, seconds: int, asleep: np.ndarray) -> np.ndarray:
    """An electrocardiogram (T,) of unit R peaks: about 68 beats a minute awake and 62 asleep, never quite regular."""
    pace = (rng.normal(68, 5) - 6 * asleep[:seconds]) / 60  # beats per second
    beat = np.arange(1, int(pace.sum()))
    # With every breath the heart is a little early or late.
    beat = beat + 0.04 * rng.standard_normal(beat.size) + 0.06 * np.sin(2 * np.pi * 0.25 * beat)
    beats = (np.interp(beat, np.cumsum(pace), np.arange(1, seconds + 1)) * RATE).astype(int)
    t = np.arange(round(0.55 * RATE)) / RATE
    wave = (
        np.exp(-(((t - 0.10) / 0.014) ** 2))
        - 0.25 * np.exp(-(((t - 0.14) / 0.016) ** 2))
        + 0.2 * np.exp(-(((t - 0.38) / 0.05) ** 2))
    )
    signal = np.zeros(seconds * RATE, np.float32)
    beats = beats[beats < signal.size - t.size]
    signal[beats[:, None] + np.arange(t.size)] = wave.astype(np.float32)
    return signal


def pops(rng, per_hour: float, potentials: np.ndarray) -> None:
    """Sudden jumps of single electrodes that die away within a second or two."""
    t = np.arange(3 * RATE, dtype=np.float32) / RATE
    for x in potentials:
        for start in times(rng, np.full(x.size // RATE - 4, per_hour / 3600)):
            jump = rng.choice([-1, 1]) * 150 * np.exp(0.5 * rng.standard_normal())
            x[start : start + t.size] += np.float32(jump) * np.exp(-t / np.float32(rng.uniform(0.15, 0.8)))


def losses(rng, share: float, mains_hz: float, potentials: np.ndarray) -> None:
    """Lost contact: for a minute or a few an electrode shows the mains and its own noise instead of the head."""
    minute = 60 * RATE
    for x in potentials:
        for start in times(rng, np.full(x.size // RATE, share / 90)):  # a mean loss is 90 s
            part = x[start : start + round(minute * rng.lognormal(0.1, 0.7))]
            hum = np.sin(2 * np.pi * mains_hz / RATE * np.arange(part.size))
            part *= 0.05
            part += rng.uniform(5, 40) * hum + rng.uniform(2, 30) * rng.standard_normal(part.size)
