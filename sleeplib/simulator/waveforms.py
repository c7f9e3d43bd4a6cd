"""The events that a scorer looks for, as waveforms: when they happen, their shapes, and where on the head they show.

Each kind is one function `(rng, rate per second of the night, person) -> Train`; all waveforms of a train are computed
at once as a matrix and then added to the channels. Head and face are eight leads: F3 F4 C3 C4 O1 O2 E1 E2.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import sawtooth

RATE = 128  # Hz
LEADS = ("F3", "F4", "C3", "C4", "O1", "O2", "E1", "E2")

#                        F3    F4    C3    C4    O1    O2    E1    E2
_FRONTAL = np.array([1.00, 1.00, 0.70, 0.70, 0.40, 0.40, 0.40, 0.40])
_CENTRAL = np.array([0.60, 0.60, 1.00, 1.00, 0.35, 0.35, 0.10, 0.10])
_PARIETAL = np.array([0.55, 0.55, 1.00, 1.00, 0.60, 0.60, 0.08, 0.08])
# Eyes move together: the cornea nears one electrode and leaves the other; each leaks into the frontal lead of its side.
_EYES = np.array([0.22, -0.22, 0.08, -0.08, 0.02, -0.02, 1.00, -1.00])
_LIDS = np.array([0.55, 0.55, 0.18, 0.18, 0.03, 0.03, -0.60, 1.00])


@dataclass(frozen=True)
class Train:
    """Waveforms `shapes` (n, S) in uV that begin at samples `starts` (n,), and their `weights` (n, 8) in the leads."""

    starts: np.ndarray
    shapes: np.ndarray
    weights: np.ndarray


def add(leads: np.ndarray, train: Train) -> None:
    """Add a train to the leads (8, T) in place; what would overhang the end is left out."""
    size = train.shapes.shape[1]
    keep = (train.starts >= 0) & (train.starts + size <= leads.shape[1])
    waves = train.weights[:, :, None].astype(np.float32)
    for start, shape, weight in zip(train.starts[keep], train.shapes[keep], waves[keep], strict=True):
        leads[:, start : start + size] += weight * shape


def times(rng, rate: np.ndarray, gap: float = 0.0) -> np.ndarray:
    """Onsets in samples, sorted: a Poisson process of `rate` (seconds,) per second, at least `gap` s between onsets."""
    seconds = np.repeat(np.arange(rate.size), rng.poisson(rate))
    onsets = np.sort(seconds + rng.random(seconds.size))
    if gap and onsets.size:
        onsets = onsets[np.r_[True, np.diff(onsets) > gap]]
    return (onsets * RATE).astype(int)


def _axis(n: int, seconds: float) -> np.ndarray:
    return np.broadcast_to(np.arange(int(seconds * RATE), dtype=np.float32) / RATE, (n, int(seconds * RATE)))


def _column(rng, n: int, median: float, sigma: float) -> np.ndarray:
    """(n, 1) log-normal numbers."""
    return (median * np.exp(sigma * rng.standard_normal((n, 1)))).astype(np.float32)


def _bell(t, centre, width):
    return np.exp(-(((t - centre) / width) ** 2))


def _hump(t, length, power):
    """Rises and falls once within `length`, zero after it."""
    return np.sin(np.pi * np.clip(t / length, 0, 1)).clip(0) ** power


def _places(rng, base: np.ndarray, n: int, spread: float = 0.15) -> np.ndarray:
    """Weights (n, 8): the same place on the head, never quite the same twice, one hemisphere often the stronger."""
    sides = np.tile([1.0, -1.0], 4) * rng.standard_normal((n, 1)) * spread
    return base * np.exp(spread * rng.standard_normal((n, 8)) + sides)


def spindles(rng, rate, person, fast: bool) -> Train:
    """Waxing and waning 11-15 Hz, 0.5-2 s: slow ones frontal, fast ones centro-parietal."""
    starts = times(rng, rate, gap=2.0)
    n = starts.size
    t = _axis(n, 2.2)
    length = np.clip(_column(rng, n, 0.95, 0.3), 0.5, 2.1)
    hz = person.spindle_hz - (0.0 if fast else 1.7) + 0.3 * rng.standard_normal((n, 1)).astype(np.float32)
    envelope = _hump(t, length, 1.3)
    phase = 2 * np.pi * (hz * t - 0.25 * t**2) + rng.uniform(0, 6.28, (n, 1)).astype(np.float32)
    shapes = _column(rng, n, person.spindle_uv, 0.35) * envelope * np.sin(phase)
    return Train(starts, shapes, _places(rng, _PARIETAL if fast else _FRONTAL, n))


def k_complexes(rng, rate, person) -> Train:
    """A sharp negative wave and a slower positive one, at least 0.5 s, standing out, largest over the front."""
    starts = times(rng, rate, gap=3.0)
    n = starts.size
    t = _axis(n, 1.8)
    width = _column(rng, n, 0.12, 0.15)
    peak = 3 * width
    shape = -_bell(t, peak, width) + 0.65 * _bell(t, peak + 3.4 * width, 2 * width)
    amplitude = _column(rng, n, 0.7 * person.slow_wave_uv, 0.3)
    return Train(starts, amplitude * shape, _places(rng, _FRONTAL, n))


def slow_waves(rng, rate, size, person) -> Train:
    """One cycle of 0.6-1.4 Hz each, the negative half steeper; `size` (seconds,) is the factor of the amplitude."""
    starts = times(rng, rate, gap=0.35)
    n = starts.size
    t = _axis(n, 1.8)
    length = np.clip(_column(rng, n, 1.05, 0.25), 0.6, 1.8)
    warped = np.clip(t / length, 0, 1) ** 0.85  # the negative half-wave is the shorter one
    shape = -np.sin(2 * np.pi * warped) * _hump(t, length, 0.6)
    amplitude = _column(rng, n, 0.5 * person.slow_wave_uv, 0.3) * size[starts // RATE, None]
    return Train(starts, (amplitude * shape).astype(np.float32), _places(rng, _FRONTAL, n, 0.2))


def vertex_waves(rng, rate, person) -> Train:
    """A sharp wave over the vertex, under half a second, in late N1."""
    starts = times(rng, rate, gap=1.5)
    t = _axis(starts.size, 0.6)
    shape = -_bell(t, 0.2, 0.055) + 0.4 * _bell(t, 0.33, 0.08)
    return Train(starts, _column(rng, starts.size, 50, 0.3) * shape, _places(rng, _CENTRAL, starts.size))


def sawtooth_waves(rng, rate, person) -> Train:
    """Trains of triangular 2-4 Hz over the centre, often before bursts of eye movements in REM sleep."""
    starts = times(rng, rate, gap=6.0)
    n = starts.size
    t = _axis(n, 4.0)
    length, hz = np.clip(_column(rng, n, 2.2, 0.3), 1, 4), _column(rng, n, 2.8, 0.15)
    envelope = _hump(t, length, 0.5)
    shapes = _column(rng, n, 16, 0.3) * envelope * sawtooth(2 * np.pi * hz * t, 0.75)
    return Train(starts, shapes.astype(np.float32), _places(rng, _CENTRAL, n))


def rapid_eye_movements(rng, rate, person) -> Train:
    """Quick, irregular, conjugate: a rise of 50-150 ms, then the amplifier's or the eye's return."""
    starts = times(rng, rate, gap=0.25)
    n = starts.size
    t = _axis(n, 2.0)
    rise, fall = _column(rng, n, 0.035, 0.3), _column(rng, n, 0.28, 0.4)
    shape = (1 - np.exp(-((t / rise) ** 2))) * np.exp(-t / fall)
    sign = rng.choice(np.float32([-1, 1]), (n, 1))
    # Vertical movements show less in the leads beside the eyes.
    amplitude = sign * _column(rng, n, person.eye_uv, 0.5) * rng.uniform(0.4, 1.1, (n, 1)).astype(np.float32)
    return Train(starts, amplitude * shape, _places(rng, _EYES, n, 0.08))


def slow_eye_movements(rng, rate, person) -> Train:
    """Rolling of the closed eyes, 0.2-0.6 Hz, while falling asleep."""
    starts = times(rng, rate, gap=6.0)
    n = starts.size
    t = _axis(n, 9.0)
    hz, turns = _column(rng, n, 0.3, 0.25), rng.integers(1, 3, (n, 1)).astype(np.float32)
    length = np.minimum(turns / hz, 9.0)
    shape = np.sin(2 * np.pi * hz * t) * _hump(t, length, 0.5)
    amplitude = _column(rng, n, 0.55 * person.eye_uv, 0.35) * rng.choice(np.float32([-1, 1]), (n, 1))
    return Train(starts, (amplitude * shape).astype(np.float32), _places(rng, _EYES, n, 0.08))


def blinks(rng, rate, person) -> Train:
    """Lid and eye together, 0.2-0.4 s, the eyes open."""
    starts = times(rng, rate, gap=0.5)
    n = starts.size
    t = _axis(n, 0.7)
    shape = _bell(t, 0.22, _column(rng, n, 0.08, 0.2)) - 0.25 * _bell(t, 0.45, 0.12)
    return Train(starts, _column(rng, n, 1.1 * person.eye_uv, 0.35) * shape, _places(rng, _LIDS, n, 0.1))
