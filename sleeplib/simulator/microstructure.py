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

from sleeplib.simulator import artefacts, head, waveforms
from sleeplib.simulator.macrostructure import RATE, Night
from sleeplib.simulator.people import Person
from sleeplib.simulator.sites import Site, amplify, derive
from sleeplib.stages import N1, N2, N3, REM, W

WINDOW = 2 * RATE  # samples of a synthesis window; they overlap by half, so one starts every second
_HZ = np.fft.rfftfreq(WINDOW, 1 / RATE)
_TRANSITION = 4.0  # s, sigma of the Gaussian that stages are blended with


@dataclass(frozen=True)
class Background:
    """Spectra of the background at C3/C4: power at 1 Hz (dB re 1 uV^2/Hz) and exponent for W, N1, N2, N3, REM."""

    level: tuple = (16.0, 14.0, 25.3, 30.0, 15.3)
    exponent: tuple = (1.88, 1.95, 2.65, 3.0, 2.10)
    knee_hz: float = 1.0  # below it the power law flattens


@dataclass(frozen=True)
class Course:
    """What goes on second by second: `stage` (S, 5) sharp and `blend` (S, 5) gradual shares, and what rides on them."""

    stage: np.ndarray
    blend: np.ndarray
    arousal: np.ndarray  # 0 to 1
    depth: np.ndarray  # slow-wave depth of NREM sleep, 0 to 1
    up: np.ndarray  # 0 or 1: awake and about, before lights off or after lights on
    eyes_closed: np.ndarray  # 0 or 1
    phasic: np.ndarray  # bursts within REM sleep, 0 or 1
    quiet: np.ndarray  # 0 to 1: moments of NREM sleep without spindles and K-complexes (cyclic alternation)
    pressure: np.ndarray  # falls over the night


def drift(rng, n: int, seconds: float) -> np.ndarray:
    """A slow random course (n,) of unit variance: a first-order autoregression that forgets within `seconds`."""
    a = np.exp(-1 / seconds)
    return lfilter([np.sqrt(1 - a * a)], [1, -a], rng.standard_normal(n)).astype(np.float32)


def mixture(stages: np.ndarray, rate: int = 1) -> np.ndarray:
    """How much of each stage is in the signals, (n, 5), `rate` times a second, from stages (T,) at 128 Hz.

    No stage ends with a click: a transition takes about a quarter of a minute (a Gaussian of 4 s).
    """
    blend = gaussian_filter1d(_shares(stages), _TRANSITION, axis=0)
    if rate > 1:
        n = len(blend)
        at = (np.arange(n * rate) + 0.5) / rate - 0.5  # a second's share is that of its middle
        blend = np.stack([np.interp(at, np.arange(n), x) for x in blend.T], axis=1)
    return blend / blend.sum(1, keepdims=True)


def _shares(stages: np.ndarray) -> np.ndarray:
    """Share of each stage in each second (S, 5), from stages (T,) at 128 Hz."""
    seconds = stages[: stages.size // RATE * RATE].reshape(-1, RATE)
    return np.stack([(seconds == k).mean(1, dtype=np.float32) for k in range(5)], axis=1)


def course(night: Night, up, rng) -> Course:
    """The slow processes behind the signals, on a grid of seconds (S,); `up` (S,) is 1 out of bed."""
    n = night.state.size // RATE
    stage = _shares(night.stages)
    arousal = (night.state != night.stages).reshape(n, RATE)
    awake = (night.state == W).reshape(n, RATE)
    arousal = (arousal & awake).mean(1, dtype=np.float32)
    hours = np.arange(n) / 3600
    return Course(
        stage=stage,
        blend=mixture(night.stages),
        arousal=arousal,
        depth=_depth(stage, n, rng),
        up=up,
        eyes_closed=(drift(rng, n, 60) > np.where(up, 1.3, -0.45)).astype(np.float32),
        phasic=(drift(rng, n, 35) > 0.85 - 0.06 * hours).astype(np.float32),
        quiet=np.clip(0.28 + 0.42 * drift(rng, n, 60), 0, 1),
        pressure=(0.55 + 0.45 * np.exp(-hours / 2.2)).astype(np.float32),
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
    return np.stack([*law, alpha, theta, _peak(person.spindle_hz - 0.8, 1.9), beta, muscle, movement, delta])


# Where each component is largest (degrees from the vertex and the nose), how wide it spreads, and its least amplitude.
_TOPOGRAPHY = (
    *[((25, 0), 80, 0.55)] * 5,  # the stages' backgrounds
    ((90, 180), 48, 0.22),  # alpha
    ((30, 0), 70, 0.40),  # theta
    ((15, 0), 60, 0.25),  # sigma
    ((60, 0), 75, 0.60),  # beta
    ((105, 0), 70, 0.60),  # muscle
    ((100, 0), 80, 0.80),  # movement
    ((62, 0), 68, 0.30),  # delta
)


def topography(electrodes) -> np.ndarray:
    """Power (J, E) of each component at the electrodes, 1 where it is largest."""
    return np.concatenate(
        [head.spread(electrodes, head.sphere([c]), w, low) ** 2 for c, w, low in _TOPOGRAPHY]
    )


def gains(c: Course, person: Person, rng) -> np.ndarray:
    """Gain of each component in each second, (J, S); every rhythm waxes and wanes by the minute on its own."""
    n = c.stage.shape[0]
    live = [np.exp(s * drift(rng, n, tau) - s * s / 2) for s, tau in _LIVELY]
    awake, light, n2, n3, rem = c.blend.T
    rest = c.eyes_closed * awake * (1 - 0.6 * c.up) + c.arousal * 0.6
    bursts = np.exp(0.9 * drift(rng, n, 4.0) - 0.4)  # alpha comes in spindles of seconds
    active = awake * (1 - 0.55 * c.eyes_closed) + 1.2 * c.arousal
    # In quiet moments of N2 the background is that of N1.
    stages = c.blend.T.copy()
    stages[N1] += n2 * c.quiet
    stages[N2] = n2 * (1 - c.quiet)
    stages[N3] *= c.pressure
    stages *= live[0] * (1 - 0.3 * c.arousal)
    settle = _settling(c.stage[:, W], rng)
    rows = [
        person.alpha_uv**2 * (rest + 0.06 * light + 0.03 * rem) * bursts * live[1],
        (8 * light + 2 * awake + 5 * rem + 5 * n2 + 7 * n3 + 5 * c.arousal) * live[2],
        (2.0 * n2 * (1 - 0.7 * c.quiet) + 2.0 * n3 + 0.4 * (light + awake + rem))
        * live[3]
        * (person.spindle_uv / 33) ** 2,
        (0.7 * active + 0.3 * awake + 0.5 * light + 0.2 * n2 + 0.1 * n3 + 0.45 * rem) * live[4],
        (0.22 * active + 0.04 * awake + 0.03 * light + 0.012 * (n2 + n3) + 0.012 * rem) * live[5],
        900 * settle + 120 * c.arousal * live[6],
        (60 * c.depth * c.pressure * (person.slow_wave_uv / 180) ** 2) * live[6],
    ]
    return np.concatenate([stages, np.stack(rows)]).astype(np.float32)


# Spread of the logarithm of power and memory, s: background, alpha, theta, sigma, beta, muscle, delta.
_LIVELY = ((0.55, 45), (0.9, 45), (0.7, 45), (1.0, 45), (0.6, 45), (0.8, 40), (0.8, 45))


def _settling(awake, rng) -> np.ndarray:
    """Body movements, (S,): at awakenings nearly always, and now and then while awake."""
    wakes = np.flatnonzero(np.diff(awake, prepend=awake[:1]) > 0.3)
    turns = np.concatenate([wakes, waveforms.times(rng, 0.008 * awake) // RATE])
    impulses = np.zeros(awake.size, np.float32)
    impulses[turns] = np.exp(rng.standard_normal(turns.size))
    return lfilter([1.0], [1, -0.6], impulses)


def mixing(electrodes) -> np.ndarray:
    """Matrices (F, E, E) that correlate independent noise: nearer electrodes more, low frequencies more."""
    place = head.positions(electrodes)
    apart = np.deg2rad(head.angles(place, place))
    reach = 1.9 - 0.9 * _HZ / _HZ[-1]
    correlation = 0.95 * np.exp(-apart / reach[:, None, None]) + 0.05 * np.eye(len(place))
    return np.linalg.cholesky(correlation).astype(np.float32)


def background(rng, gain, spectra, electrodes, out: np.ndarray, chunk: int = 256) -> None:
    """Fill the potentials `out` (E, S, RATE) with noise.

    Its power in each second is `gain` (J, S) times `spectra` (J, F), spread over the head by `topography`. Windows are
    sines, whose squares add up to one, so that the power is kept in the overlaps.
    """
    n = gain.shape[1]
    gain = np.concatenate([gain, gain[:, -1:]], axis=1)  # window b covers the seconds b-1 and b
    window = np.sin(np.pi * (np.arange(WINDOW, dtype=np.float32) + 0.5) / WINDOW)
    mix, places = mixing(electrodes), topography(electrodes).T.astype(np.float32)  # (F, E, E), (E, J)
    # Two unit Gaussians have power 2, irfft divides by the window's length, and a bin is RATE / WINDOW Hz wide.
    spectra = (spectra * (RATE * WINDOW / 4)).astype(np.float32)
    spectra[:, 0] = 0
    out[:] = 0
    for b in range(0, n + 1, chunk):
        g = (places[:, :, None] * gain[None, :, b : b + chunk]).transpose(0, 2, 1)  # (E, b, J)
        amplitude = np.sqrt(g @ spectra)  # (E, b, F)
        noise = rng.standard_normal((_HZ.size, len(places), 2 * g.shape[1]), np.float32)
        noise = (mix @ noise).view(np.complex64).transpose(1, 2, 0)  # (E, b, F)
        waves = irfft(noise * amplitude, WINDOW, axis=2, overwrite_x=True) * window
        first, last = max(b, 1), min(b + g.shape[1], n)
        out[:, first - 1 : b + g.shape[1] - 1] += waves[:, first - b :, :RATE]
        out[:, b:last] += waves[:, : last - b, RATE:]


def trains(c: Course, person: Person, electrodes, rng) -> list[waveforms.Train]:
    """All waveforms of the night; rates are per second."""
    awake, light, n2, n3, rem = (c.stage * (1 - c.arousal[:, None])).T
    # Spindles come in trains, every fifty seconds or so.
    wave = np.sin(2 * np.pi * np.arange(awake.size) / 50 + 0.6 * drift(rng, awake.size, 50))
    sigma = person.spindles / 60 * (1 + 0.9 * wave) * (n2 * (1 - 0.4 * c.depth) + 0.5 * n3 + 0.03 * light)
    lively = (1 - 0.8 * c.quiet) / 0.76  # 0.76: its mean, so that the night's densities stay the person's
    sigma *= lively
    k = lively * person.k_complexes / 60 * (n2 * np.exp(0.5 * drift(rng, awake.size, 90)) + 0.02 * light)
    burst = rem * c.phasic
    eyes_open = awake * (1 - c.eyes_closed)
    drowsy = light + 0.25 * awake * c.eyes_closed
    who = (person, electrodes)
    rapid = person.eye_rate * (0.7 * burst + 0.03 * rem) + 0.35 * eyes_open
    return [
        waveforms.spindles(rng, 0.6 * sigma, *who, fast=True),
        waveforms.spindles(rng, 0.4 * sigma, *who, fast=False),
        waveforms.k_complexes(rng, k, *who),
        waveforms.slow_waves(rng, 0.9 * c.depth**1.2, c.pressure, *who),
        waveforms.vertex_waves(rng, 0.06 * light + 0.004 * n2, *who),
        waveforms.sawtooth_waves(rng, 0.012 * rem + 0.03 * burst, *who),
        waveforms.rapid_eye_movements(rng, rapid, *who),
        waveforms.slow_eye_movements(rng, 0.08 * drowsy + 0.012 * rem, *who),
        waveforms.blinks(rng, 0.25 * eyes_open, *who),
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
    # Sixteen steps a second: a twitch lasts two or three of them.
    steps = np.interp(np.arange(n * 16) / 16, np.arange(n) + 0.5, tone).astype(np.float32)
    twitch = waveforms.times(rng, 0.12 * c.stage[:, REM] * c.phasic) // 8
    for lag in range(3):
        steps[np.minimum(twitch + lag, steps.size - 1)] += 0.5 * rng.exponential(1.0, twitch.size)
    noise = rng.standard_normal(n * RATE, np.float32)
    noise = sosfilt(butter(2, 12, "high", fs=RATE, output="sos").astype(np.float32), noise)
    return person.tone_uv * np.repeat(steps, 8) * noise


def render(night: Night, person: Person, site: Site, rng) -> list[np.ndarray]:
    """Signals in uV, float32, of the site's channels in their order, each (T,) at its own rate."""
    # Streams of their own, so that the events of a night do not depend on who records it.
    slow, events, noise, extras, face, amplifier = rng.spawn(6)
    c = course(night, _up(night, site), slow)
    electrodes, matrix = head.montage(site.derivations)
    n = c.stage.shape[0]
    signals = np.empty((max(matrix.shape) + 1, n * RATE), np.float32)
    potentials, muscle = signals[: len(electrodes)], signals[-1]
    if electrodes:
        spectra = components(person, Background())
        background(noise, gains(c, person, events), spectra, electrodes, potentials.reshape(-1, n, RATE))
    for train in trains(c, person, electrodes, events):
        waveforms.add(potentials, train)
    muscle[:] = _extras(c, site, electrodes, potentials, extras)
    derive(matrix, signals)
    if head.CHIN in site.channels.values():
        muscle += chin(c, person, face)
    rows = iter(signals)
    leads = [muscle.copy() if d == head.CHIN else next(rows) for d in site.channels.values()]
    return amplify(amplifier, leads, site)


def _up(night: Night, site: Site) -> np.ndarray:
    """Seconds (S,) of the recording before lights off and after lights on."""
    seconds = np.arange(night.state.size // RATE)
    before, after = (60 * minutes for minutes in site.awake)
    return (seconds < before) | (seconds >= seconds.size - after)


def _extras(c: Course, site: Site, electrodes, potentials, rng) -> np.ndarray:
    """Add drifts, sweat, the heart, pops and losses to the potentials; returns the ECG (T,) in uV."""
    awake = c.stage[:, W]
    drifting = 7.0 * awake + 2.5 * (1 - awake) + 4 * c.arousal
    if rng.random() < site.sweat:
        drifting = drifting + 40 * np.clip(drift(rng, awake.size, 600) - 0.8, 0, 1)
    artefacts.drifts(rng, drifting, potentials)
    ecg = artefacts.heart(rng, awake.size, 1 - awake)
    ecg *= np.float32(site.ecg_uv * rng.lognormal(0, 0.6))
    for name, sign in (("M1", 1.0), ("M2", -0.6)):  # the neck's electrodes see the heart, from its two sides
        if name in electrodes:
            potentials[electrodes.index(name)] += np.float32(sign) * ecg
    artefacts.pops(rng, site.pops_per_hour, potentials)
    artefacts.losses(rng, site.dropouts, site.mains_hz, potentials)
    return ecg
