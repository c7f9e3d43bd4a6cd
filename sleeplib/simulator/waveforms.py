"""The events that a scorer looks for, as waveforms: when they happen, their shapes, and where on the head they show.

Each kind is one function `(rng, rate per second of the night, person, electrodes) -> Train`; all waveforms of a train
are computed at once as a matrix and then added to the electrodes' potentials.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import sawtooth

from sleeplib.simulator import head

RATE = 128  # Hz

# Centres in degrees from the vertex and from the nose, and widths in degrees.
SLOW_SPINDLE = ((52, 0), 50)
FAST_SPINDLE = ((22, 180), 46)
FRONTAL = ((62, 0), 68)  # slow waves and K-complexes
VERTEX = ((0, 0), 42)
_EYE = 28  # width of the field of an eye, degrees


@dataclass(frozen=True)
class Train:
    """Waveforms `shapes` (n, S) in uV that begin at samples `starts` (n,), with `weights` (n, E) at the electrodes."""

    starts: np.ndarray
    shapes: np.ndarray
    weights: np.ndarray


def add(potentials: np.ndarray, train: Train) -> None:
    """Add a train to the potentials (E, T) in place; what would overhang the end is left out."""
    size = train.shapes.shape[1]
    keep = (train.starts >= 0) & (train.starts + size <= potentials.shape[1])
    waves = train.weights[:, :, None].astype(np.float32)
    shapes = train.shapes.astype(np.float32)
    for start, shape, weight in zip(train.starts[keep], shapes[keep], waves[keep], strict=True):
        potentials[:, start : start + size] += weight * shape


def times(rng, rate: np.ndarray, gap: float = 0.0) -> np.ndarray:
    """Onsets in samples, sorted: a Poisson process of `rate` (seconds,) per second, at least `gap` s between onsets."""
    seconds = np.repeat(np.arange(rate.size), rng.poisson(np.maximum(rate, 0)))
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


def _fields(rng, electrodes, place, n: int, scatter: float = 12.0) -> np.ndarray:
    """Weights (n, E) of sources about a `place` (centre, width): never quite the same twice."""
    centre, width = place
    return head.spread(electrodes, head.around(rng, centre, n, scatter), width)


def spindles(rng, rate, person, electrodes, fast: bool) -> Train:
    """Waxing and waning 11-15 Hz, 0.5-2 s: slow ones frontal, fast ones centro-parietal."""
    starts = times(rng, rate, gap=2.0)
    n = starts.size
    t = _axis(n, 2.2)
    length = np.clip(_column(rng, n, 0.95, 0.3), 0.5, 2.1)
    hz = person.spindle_hz - (0.0 if fast else 1.7) + 0.3 * rng.standard_normal((n, 1)).astype(np.float32)
    envelope = _hump(t, length, 1.3)
    phase = 2 * np.pi * (hz * t - 0.25 * t**2) + rng.uniform(0, 6.28, (n, 1)).astype(np.float32)
    shapes = _column(rng, n, person.spindle_uv, 0.25) * envelope * np.sin(phase)
    return Train(starts, shapes, _fields(rng, electrodes, FAST_SPINDLE if fast else SLOW_SPINDLE, n))


def k_complexes(rng, rate, person, electrodes) -> Train:
    """A sharp negative wave and a slower positive one, at least 0.5 s, standing out, largest over the front."""
    starts = times(rng, rate, gap=3.0)
    n = starts.size
    t = _axis(n, 1.8)
    width = _column(rng, n, 0.12, 0.15)
    peak = 3 * width
    shape = -_bell(t, peak, width) + 0.65 * _bell(t, peak + 3.4 * width, 2 * width)
    amplitude = _column(rng, n, 0.85 * person.slow_wave_uv, 0.3)
    return Train(starts, amplitude * shape, _fields(rng, electrodes, FRONTAL, n, 15.0))


def slow_waves(rng, rate, size, person, electrodes) -> Train:
    """One cycle of 0.6-1.4 Hz each, the negative half steeper; `size` (seconds,) is the factor of the amplitude."""
    starts = times(rng, rate, gap=0.35)
    n = starts.size
    t = _axis(n, 1.8)
    length = np.clip(_column(rng, n, 1.05, 0.25), 0.6, 1.8)
    warped = np.clip(t / length, 0, 1) ** 0.85  # the negative half-wave is the shorter one
    shape = -np.sin(2 * np.pi * warped) * _hump(t, length, 0.6)
    amplitude = _column(rng, n, 0.5 * person.slow_wave_uv, 0.3) * size[starts // RATE, None]
    return Train(starts, amplitude * shape, _fields(rng, electrodes, FRONTAL, n, 25.0))


def vertex_waves(rng, rate, person, electrodes) -> Train:
    """A sharp wave over the vertex, under half a second, in late N1."""
    starts = times(rng, rate, gap=1.5)
    n = starts.size
    t = _axis(n, 0.6)
    shape = -_bell(t, 0.2, 0.055) + 0.4 * _bell(t, 0.33, 0.08)
    return Train(starts, _column(rng, n, 50, 0.3) * shape, _fields(rng, electrodes, VERTEX, n))


def sawtooth_waves(rng, rate, person, electrodes) -> Train:
    """Trains of triangular 2-4 Hz over the centre, often before bursts of eye movements in REM sleep."""
    starts = times(rng, rate, gap=6.0)
    n = starts.size
    t = _axis(n, 4.0)
    length, hz = np.clip(_column(rng, n, 2.2, 0.3), 1, 4), _column(rng, n, 2.8, 0.15)
    envelope = _hump(t, length, 0.5)
    shapes = _column(rng, n, 16, 0.3) * envelope * sawtooth(2 * np.pi * hz * t, 0.75)
    return Train(starts, shapes, _fields(rng, electrodes, VERTEX, n))


def gaze(electrodes) -> np.ndarray:
    """Potentials (2, E) at the electrodes of a movement of unit size to the left and up.

    The cornea is positive: eyes that turn left bring it near E1 and away from E2 (by the manual a centimetre
    below the left and above the right outer canthus, so that movements up and down show against each other as well).
    """
    left, right, above = (head.sphere([place]) for place in ((108, -27), (108, 27), (84, 0)))
    sideways = (head.spread(electrodes, left, _EYE) - head.spread(electrodes, right, _EYE))[0]
    up = head.spread(electrodes, above, 26)[0]
    up = np.where(np.isin(electrodes, ("E1", "E2")), np.where(np.array(electrodes) == "E1", -0.45, 0.5), up)
    return np.stack([sideways, up])


def rapid_eye_movements(rng, rate, person, electrodes) -> Train:
    """Quick, irregular, conjugate: a rise of 50-150 ms, then the amplifier's or the eye's return."""
    starts = times(rng, rate, gap=0.25)
    n = starts.size
    t = _axis(n, 2.0)
    rise, fall = _column(rng, n, 0.035, 0.3), _column(rng, n, 0.28, 0.4)
    shape = (1 - np.exp(-((t / rise) ** 2))) * np.exp(-t / fall)
    amplitude = _column(rng, n, person.eye_uv, 0.5)
    return Train(starts, amplitude * shape, _directions(rng, n, 0.6) @ gaze(electrodes))


def slow_eye_movements(rng, rate, person, electrodes) -> Train:
    """Rolling of the closed eyes, 0.2-0.6 Hz, mostly sideways, while falling asleep."""
    starts = times(rng, rate, gap=6.0)
    n = starts.size
    t = _axis(n, 9.0)
    hz, turns = _column(rng, n, 0.3, 0.25), rng.integers(1, 3, (n, 1)).astype(np.float32)
    length = np.minimum(turns / hz, 9.0)
    shape = np.sin(2 * np.pi * hz * t) * _hump(t, length, 0.5)
    amplitude = _column(rng, n, 0.55 * person.eye_uv, 0.35)
    return Train(starts, amplitude * shape, _directions(rng, n, 0.25) @ gaze(electrodes))


def blinks(rng, rate, person, electrodes) -> Train:
    """Lid and eye together, 0.2-0.4 s, the eyes open: positive at the forehead."""
    starts = times(rng, rate, gap=0.5)
    n = starts.size
    t = _axis(n, 0.7)
    shape = _bell(t, 0.22, _column(rng, n, 0.08, 0.2)) - 0.25 * _bell(t, 0.45, 0.12)
    up = np.broadcast_to(gaze(electrodes)[1], (n, len(electrodes)))
    return Train(starts, _column(rng, n, 1.6 * person.eye_uv, 0.35) * shape, up)


def _directions(rng, n: int, vertical: float) -> np.ndarray:
    """Directions of gaze (n, 2): sideways and up; `vertical` is the spread of the second."""
    sideways = rng.choice([-1.0, 1.0], n) * rng.uniform(0.4, 1.1, n)
    return np.stack([sideways, vertical * rng.standard_normal(n)], axis=1)
