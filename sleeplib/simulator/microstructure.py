"""From the state of the night to signals: background rhythms, the waveforms of each stage, eyes, chin and artefacts.

The background is noise made in the frequency domain: for every second an amplitude spectrum is put together from a few
components (one power law per stage, alpha, theta, sigma, beta, muscle, movement, delta), given to complex Gaussian
noise that is correlated between neighbouring leads (volume conduction), and overlap-added in windows of two seconds.
Waveforms with a shape of their own are then added (`waveforms`), and the chin is noise under an envelope.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, lfilter, sosfilt

from sleeplib.simulator import waveforms
from sleeplib.simulator.macrostructure import RATE, Night
from sleeplib.simulator.people import Person
from sleeplib.stages import N1, N2, N3, REM, W

CHANNELS = ("F3-M2", "F4-M1", "C3-M2", "C4-M1", "O1-M2", "O2-M1", "E1-M2", "E2-M2", "Chin1-Chin2")
WINDOW = 2 * RATE  # samples of a synthesis window; they overlap by half, so one starts every second
_HZ = np.fft.rfftfreq(WINDOW, 1 / RATE)

# Places of the leads, about in units of the head's radius: right, front; the eyes lie before the frontal leads.
_PLACES = np.array(
    [(-0.4, 0.5), (0.4, 0.5), (-0.45, 0), (0.45, 0), (-0.3, -0.95), (0.3, -0.95), (-0.55, 0.95), (0.55, 0.95)]
)


@dataclass(frozen=True)
class Site:
    """The room and its amplifier."""

    noise_uv: float = 1.0  # RMS of each channel's own white noise
    lowpass_hz: float = 45.0  # corner of the anti-alias filter
    highpass_hz: float = 0.3
    mains_hz: float = 50.0
    mains_uv: float = 0.3  # amplitude
    gain_sd: float = 0.10  # spread of a channel's gain, natural logarithm


@dataclass(frozen=True)
class Background:
    """Spectra of the background at C3/C4: power at 1 Hz (dB re 1 uV^2/Hz) and exponent for W, N1, N2, N3, REM."""

    level: tuple = (15.0, 14.0, 16.5, 20.0, 13.5)
    exponent: tuple = (1.55, 1.68, 2.05, 2.35, 1.72)
    knee_hz: float = 0.7  # below it the power law flattens


@dataclass(frozen=True)
class Course:
    """What goes on second by second: `stage` (S, 5) sharp and `blend` (S, 5) gradual shares, and what rides on them."""

    stage: np.ndarray
    blend: np.ndarray
    arousal: np.ndarray  # 0 to 1
    depth: np.ndarray  # slow-wave depth of NREM sleep, 0 to 1
    eyes_closed: np.ndarray  # 0 or 1
    phasic: np.ndarray  # bursts within REM sleep, 0 or 1
    quiet: np.ndarray  # 0 to 1: moments of NREM sleep without spindles and K-complexes (cyclic alternation)
    pressure: np.ndarray  # falls over the night


def drift(rng, n: int, seconds: float) -> np.ndarray:
    """A slow random course (n,) of unit variance: a first-order autoregression that forgets within `seconds`."""
    a = np.exp(-1 / seconds)
    return lfilter([np.sqrt(1 - a * a)], [1, -a], rng.standard_normal(n)).astype(np.float32)


def course(night: Night, person: Person, rng) -> Course:
    """The slow processes behind the signals, on a grid of seconds (S,)."""
    n = night.state.size // RATE
    stages = night.stages.reshape(n, RATE)
    stage = np.stack([(stages == k).mean(1, dtype=np.float32) for k in range(5)], axis=1)
    arousal = (night.state != night.stages).reshape(n, RATE)
    awake = (night.state == W).reshape(n, RATE)
    arousal = (arousal & awake).mean(1, dtype=np.float32)
    hours = np.arange(n) / 3600
    blend = gaussian_filter1d(stage, 7.0, axis=0)
    return Course(
        stage=stage,
        blend=blend / blend.sum(1, keepdims=True),
        arousal=arousal,
        depth=_depth(stage, n, rng),
        eyes_closed=(drift(rng, n, 60) > -0.45).astype(np.float32),
        phasic=(drift(rng, n, 35) > 0.85 - 0.06 * hours).astype(np.float32),
        quiet=np.clip(0.35 + 0.45 * drift(rng, n, 60), 0, 1),
        pressure=(0.62 + 0.38 * np.exp(-hours / 2.5)).astype(np.float32),
    )


def _depth(stage, n, rng) -> np.ndarray:
    """Slow-wave depth: N3 is entered and left over minutes, and light and deep moments alternate within it."""
    gradual = 0.55 * gaussian_filter1d(stage[:, N3], 60.0) + 0.45 * gaussian_filter1d(stage[:, N3], 8.0)
    restless = 0.34 * drift(rng, n, 60) + 0.14 * drift(rng, n, 240)
    depth = np.clip((gradual + 0.08 * stage[:, N2]) * (1 + 2 * restless), 0, 1.2) * (
        stage[:, N2] + stage[:, N3]
    )
    return np.maximum(depth, 0.32 * stage[:, N3])  # at the least, slow waves fill a fifth of the time


def _peak(hz: float, width: float) -> np.ndarray:
    """A spectral peak of unit power, 1/Hz."""
    return np.exp(-0.5 * ((_HZ - hz) / width) ** 2) / (width * np.sqrt(2 * np.pi))


def components(person: Person, back: Background) -> np.ndarray:
    """Power spectra (J, F), uV^2/Hz at unit gain: five stages, alpha, theta, sigma, beta, muscle, movement, delta."""
    law = [
        10 ** ((level + person.level) / 10)
        * (_HZ**2 + back.knee_hz**2) ** (-(exponent + person.steepness) / 2)
        for level, exponent in zip(back.level, back.exponent, strict=True)
    ]
    alpha = 0.9 * _peak(person.alpha_hz, 0.7) + 0.1 * _peak(2 * person.alpha_hz, 1.2)
    muscle = 10 ** (person.muscle / 10) * (_HZ / 25) ** 2 / (1 + (_HZ / 25) ** 2)
    movement = 1 / (0.25 + _HZ**2) + 0.003
    delta = np.exp(-0.5 * ((_HZ - 1.0) / 1.1) ** 2)
    theta = 10 ** (person.theta / 10) * _peak(5.5, 1.3)
    beta = 10 ** (person.beta / 10) * _peak(21, 5)
    return np.stack([*law, alpha, theta, _peak(person.spindle_hz - 0.6, 1.3), beta, muscle, movement, delta])


#                            F3    F4    C3    C4    O1    O2    E1    E2     power of each component in each lead
_TOPOGRAPHY = np.array(
    [[1.05, 1.05, 1.00, 1.00, 0.85, 0.85, 0.75, 0.75]] * 5
    + [
        [0.10, 0.10, 0.22, 0.22, 1.00, 1.00, 0.05, 0.05],  # alpha
        [0.90, 0.90, 1.00, 1.00, 0.70, 0.70, 0.35, 0.35],  # theta
        [0.90, 0.90, 1.00, 1.00, 0.45, 0.45, 0.15, 0.15],  # sigma
        [1.00, 1.00, 0.80, 0.80, 0.60, 0.60, 0.60, 0.60],  # beta
        [1.20, 1.20, 0.70, 0.70, 0.90, 0.90, 1.60, 1.60],  # muscle
        [1.00, 1.00, 0.80, 0.80, 1.10, 1.10, 1.30, 1.30],  # movement
        [1.20, 1.20, 0.85, 0.85, 0.40, 0.40, 0.60, 0.60],  # delta
    ],
    dtype=np.float32,
)  # (J, 8)


def gains(c: Course, person: Person, rng) -> np.ndarray:
    """Gain of each component in each second, (J, S); every rhythm waxes and wanes by the minute on its own."""
    n = c.stage.shape[0]
    live = [np.exp(s * drift(rng, n, tau) - s * s / 2) for s, tau in _LIVELY]
    awake, light, n2, n3, rem = c.blend.T
    rest = c.eyes_closed * awake + c.arousal * 0.6
    bursts = np.exp(0.9 * drift(rng, n, 4.0) - 0.4)  # alpha comes in spindles of seconds
    active = awake * (1 - 0.55 * c.eyes_closed) + 1.2 * c.arousal
    # In quiet moments of N2 the background is that of N1.
    stages = c.blend.T.copy()
    stages[N1] += n2 * c.quiet
    stages[N2] = n2 * (1 - c.quiet)
    stages *= live[0] * (1 - 0.3 * c.arousal)
    settle = _settling(c.stage[:, W], rng)
    rows = [
        person.alpha_uv**2 * (rest + 0.12 * light + 0.03 * rem) * bursts * live[1],
        (11 * light + 3 * awake + 5 * rem + 5 * n2 + 7 * n3 + 5 * c.arousal) * live[2],
        (2.2 * n2 * (1 - 0.7 * c.quiet) + 1.8 * n3 + 0.4 * (light + awake + rem))
        * live[3]
        * (person.spindle_uv / 16) ** 2,
        (1.8 * active + 0.7 * awake + 0.8 * light + 0.3 * n2 + 0.2 * n3 + 0.6 * rem) * live[4],
        (0.22 * active + 0.04 * awake + 0.03 * light + 0.012 * (n2 + n3) + 0.012 * rem) * live[5],
        900 * settle + 120 * c.arousal * live[6],
        (60 * c.depth * c.pressure * (person.slow_wave_uv / 140) ** 2) * live[6],
    ]
    return np.concatenate([stages, np.stack(rows)]).astype(np.float32)


# Spread of the logarithm of power and memory, s: background, alpha, theta, sigma, beta, muscle, delta.
_LIVELY = ((0.60, 45), (0.9, 45), (0.7, 45), (1.0, 45), (0.9, 45), (1.0, 40), (0.8, 45))


def _settling(awake, rng) -> np.ndarray:
    """Body movements, (S,): at awakenings nearly always, and now and then while awake."""
    wakes = np.flatnonzero(np.diff(awake, prepend=awake[:1]) > 0.3)
    turns = np.concatenate([wakes, waveforms.times(rng, 0.008 * awake) // RATE])
    impulses = np.zeros(awake.size, np.float32)
    impulses[turns] = np.exp(0.7 * rng.standard_normal(turns.size))
    return lfilter([1.0], [1, -0.6], impulses)


def mixing() -> np.ndarray:
    """Matrices (F, 8, 8) that correlate independent noise between leads: nearer leads more, low frequencies more."""
    distance = np.linalg.norm(_PLACES[:, None] - _PLACES, axis=2)
    reach = 1.9 - 0.9 * _HZ / _HZ[-1]
    correlation = 0.93 * np.exp(-distance / reach[:, None, None]) + 0.07 * np.eye(8)
    return np.linalg.cholesky(correlation).astype(np.float32)


def background(rng, gain: np.ndarray, spectra: np.ndarray, out: np.ndarray, chunk: int = 256) -> None:
    """Fill leads `out` (8, S, RATE) with noise whose power in each second is `gain` (J, S) times `spectra` (J, F).

    Windows are sines, whose squares add up to one, so that the power is kept in the overlaps.
    """
    n = gain.shape[1]
    gain = np.concatenate([gain, gain[:, -1:]], axis=1)  # window b covers the seconds b-1 and b
    window = np.sin(np.pi * (np.arange(WINDOW, dtype=np.float32) + 0.5) / WINDOW)
    mix = mixing()
    # Two unit Gaussians have power 2, irfft divides by the window's length, and a bin is RATE / WINDOW Hz wide.
    spectra = (spectra * (RATE * WINDOW / 4)).astype(np.float32)
    spectra[:, 0] = 0
    out[:] = 0
    for b in range(0, n + 1, chunk):
        g = (_TOPOGRAPHY.T[:, :, None] * gain[None, :, b : b + chunk]).transpose(0, 2, 1)  # (8, b, J)
        amplitude = np.sqrt(g @ spectra)  # (8, b, F)
        noise = rng.standard_normal((_HZ.size, 8, 2 * g.shape[1]), np.float32)
        noise = (mix @ noise).view(np.complex64).transpose(1, 2, 0)  # (8, b, F)
        waves = irfft(noise * amplitude, WINDOW, axis=2, overwrite_x=True) * window
        first, last = max(b, 1), min(b + g.shape[1], n)
        out[:, first - 1 : b + g.shape[1] - 1] += waves[:, first - b :, :RATE]
        out[:, b:last] += waves[:, : last - b, RATE:]


def trains(c: Course, person: Person, rng) -> list[waveforms.Train]:
    """All waveforms of the night; rates are per second."""
    awake, light, n2, n3, rem = (c.stage * (1 - c.arousal[:, None])).T
    wave = np.sin(
        2 * np.pi * np.arange(awake.size) / 50 + 0.6 * drift(rng, awake.size, 50)
    )  # spindles come in trains
    sigma = person.spindles / 60 * (1 + 0.9 * wave) * (n2 * (1 - 0.5 * c.depth) + 0.45 * n3 + 0.04 * light)
    lively = (1 - 0.8 * c.quiet) / 0.7  # 0.7: its mean, so that the night's densities stay the person's
    sigma *= lively
    k = lively * person.k_complexes / 60 * (n2 * np.exp(0.5 * drift(rng, awake.size, 90)) + 0.02 * light)
    burst = rem * c.phasic
    eyes_open = awake * (1 - c.eyes_closed)
    drowsy = light + 0.25 * awake * c.eyes_closed
    return [
        waveforms.spindles(rng, 0.6 * sigma, person, fast=True),
        waveforms.spindles(rng, 0.4 * sigma, person, fast=False),
        waveforms.k_complexes(rng, k, person),
        waveforms.slow_waves(rng, 0.9 * c.depth**1.2, c.pressure, person),
        waveforms.vertex_waves(rng, 0.045 * light + 0.004 * n2, person),
        waveforms.sawtooth_waves(rng, 0.012 * rem + 0.03 * burst, person),
        waveforms.rapid_eye_movements(
            rng, person.eye_rate * (0.45 * burst + 0.02 * rem) + 0.35 * eyes_open, person
        ),
        waveforms.slow_eye_movements(rng, 0.05 * drowsy + 0.012 * rem, person),
        waveforms.blinks(rng, 0.25 * eyes_open, person),
    ]


def chin(c: Course, person: Person, rng) -> np.ndarray:
    """Chin EMG (T,): noise of 10 Hz and above under an envelope of tone, arousals, movements and twitches."""
    n = c.stage.shape[0]
    tone = (
        c.stage
        @ np.float32(person.tone)
        * np.exp(0.22 * drift(rng, n, 150) + 0.42 * drift(rng, n, 50) + 0.15 * drift(rng, n, 8))
    )
    tone *= np.exp(c.stage[:, W] * 0.45 * drift(rng, n, 20))
    tone += c.arousal * rng.uniform(0.2, 1.2) + 1.5 * _settling(c.stage[:, W], rng)
    steps = np.interp(np.arange(n * 16) / 16, np.arange(n) + 0.5, tone).astype(
        np.float32
    )  # sixteen per second
    twitch = waveforms.times(rng, 0.12 * c.stage[:, REM] * c.phasic) // 8
    for lag in range(3):
        steps[np.minimum(twitch + lag, steps.size - 1)] += 0.5 * rng.exponential(1.0, twitch.size)
    noise = rng.standard_normal(n * RATE, np.float32)
    noise = sosfilt(butter(2, 12, "high", fs=RATE, output="sos").astype(np.float32), noise)
    return person.tone_uv * np.repeat(steps, 8) * noise


def render(night: Night, person: Person, site: Site, rng) -> np.ndarray:
    """Signals (9, T) in uV, float32, in the order of `CHANNELS`."""
    c = course(night, person, rng)
    signals = np.empty((9, night.state.size), np.float32)
    background(rng, gains(c, person, rng), components(person, Background()), signals[:8].reshape(8, -1, RATE))
    for train in trains(c, person, rng):
        waveforms.add(signals[:8], train)
    signals[8] = chin(c, person, rng)
    return _amplify(signals, site, rng)


def _amplify(signals, site: Site, rng) -> np.ndarray:
    """What the amplifier adds and takes: its noise, the mains, its gains and its filters."""
    ten_seconds = np.arange(10 * RATE) / RATE  # whole periods of any frequency in tenths of a hertz
    hum = np.resize(np.sin(2 * np.pi * site.mains_hz * ten_seconds).astype(np.float32), signals.shape[1])
    sections = np.concatenate(
        [
            butter(1, site.highpass_hz, "high", fs=RATE, output="sos"),
            butter(2, min(site.lowpass_hz, 0.49 * RATE), "low", fs=RATE, output="sos"),
        ]
    ).astype(np.float32)
    apart = (
        16 * RATE
    )  # each channel reads the same noise 16 s later: as good as its own, at a ninth of the cost
    noise = np.float32(site.noise_uv) * rng.standard_normal(signals.shape[1] + 8 * apart, np.float32)
    for i, x in enumerate(signals):
        x += noise[i * apart : i * apart + x.size]
        if site.mains_uv:
            x += np.float32(site.mains_uv * rng.lognormal(0, 0.5)) * hum
        filtered = sosfilt(sections[: 2 if i < 8 else 1], x)  # the chin keeps its high frequencies
        signals[i] = filtered * np.float32(np.exp(site.gain_sd * rng.standard_normal()))
    return signals
