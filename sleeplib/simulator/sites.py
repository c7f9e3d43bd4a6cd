"""A site: which derivations it records, at which rates, and what its electrodes and its amplifier do to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from sleeplib.errors import SleeplibError
from sleeplib.simulator import head
from sleeplib.simulator.people import check_number
from sleeplib.simulator.waveforms import RATE

# The embedded montage: contralateral mastoids, as the AASM manual recommends.
AASM = {
    "F3-M2": "F3 - M2", "F4-M1": "F4 - M1", "C3-M2": "C3 - M2", "C4-M1": "C4 - M1", "O1-M2": "O1 - M2",
    "O2-M1": "O2 - M1", "E1-M2": "E1 - M2", "E2-M2": "E2 - M2", "Chin1-Chin2": head.CHIN,
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """The room, its electrodes and its amplifier; a manifest's `simulation: site:`."""

    # Label in the file: derivation. "A - B" of two electrodes of the 10-20 system (M1, M2, E1, E2 among them);
    # "A - mastoids" against their mean, "A - average" against the mean of the scalp; "Chin" is the bipolar chin EMG.
    channels: dict = field(default_factory=lambda: dict(AASM))
    rate: float = 128.0  # samples per second of each channel ...
    rates: dict = field(default_factory=dict)  # ... but for these labels
    eeg_band: tuple = (0.3, 45.0)  # Hz, corners of the filters; EOG has those of the EEG
    emg_band: tuple = (10.0, 64.0)
    noise_uv: float = 1.0  # RMS of each channel's own white noise
    gain_sd: float = 0.10  # spread of a channel's gain, natural logarithm
    mains_hz: float = 50.0
    mains_uv: float = 0.3  # median amplitude
    ecg_uv: float = 4.0  # median peak of the heart's beat that bleeds in through the mastoids
    sweat: float = 0.15  # share of persons who sweat
    pops_per_hour: float = 0.3  # of each electrode
    dropouts: float = 0.003  # share of the night that an electrode has lost contact
    flips: float = 0.0  # share of derivations with reversed polarity
    awake: tuple = (0.0, 0.0)  # minutes up and about in the recording, before lights off and after lights on

    def __post_init__(self):
        if not isinstance(self.channels, Mapping) or not all(
            isinstance(d, str) for d in self.channels.values()
        ):
            raise SleeplibError(f"simulated site: channels {self.channels!r}; expected label: derivation")
        for name in ("noise_uv", "gain_sd", "mains_uv", "ecg_uv", "pops_per_hour"):
            check_number(f"simulated site: {name}", getattr(self, name), 0, 1000)
        for name in ("sweat", "dropouts", "flips"):
            check_number(f"simulated site: {name}, a share,", getattr(self, name), 0, 1)
        check_number("simulated site: mains_hz", self.mains_hz, 1, 64)
        for name in ("eeg_band", "emg_band"):
            low, high = _pair(name, getattr(self, name))
            if not 0 < low < high:
                raise SleeplibError(f"simulated site: {name} {low:g}-{high:g} Hz; expected 0 < low < high")
        for minutes in _pair("awake", self.awake):
            if minutes < 0 or minutes % 1:
                raise SleeplibError(
                    f"simulated site: awake {self.awake!r}; expected whole minutes before and after"
                )
        strange = sorted(set(self.rates) - set(self.channels))
        if strange:
            raise SleeplibError(
                f"simulated site: rates of {', '.join(strange)}, which are not among its channels"
            )
        if not self.channels:
            raise SleeplibError("simulated site: no channels")
        for rate in (self.rate, *self.rates.values()):
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 1 <= rate <= 1024:
                raise SleeplibError(f"simulated site: rate {rate!r}; expected 1 to 1024 samples per second")
        head.montage(self.derivations)

    @property
    def derivations(self) -> list[str]:
        """The derivations of electrodes on the head, in the order of the labels; the chin is not among them."""
        return [d for d in self.channels.values() if d != head.CHIN]


def _pair(name: str, value) -> tuple[float, float]:
    try:
        first, second = (float(x) for x in value)
    except (TypeError, ValueError) as error:
        raise SleeplibError(f"simulated site: {name} {value!r}; expected two numbers") from error
    return first, second


def derive(matrix: np.ndarray, signals: np.ndarray, chunk: int = 1 << 14) -> None:
    """Overwrite the first C rows of `signals` (>= C and E, T) with the derivations `matrix` (C, E) of its first E rows.

    Chunk by chunk, so that the night never stands in memory twice.
    """
    c, e = matrix.shape
    for start in range(0, signals.shape[1], chunk):
        part = signals[:, start : start + chunk]
        part[:c] = matrix @ part[:e]


def amplify(rng, channels: list[np.ndarray], site: Site) -> list[np.ndarray]:
    """What the amplifier makes of channels (T,) at 128 Hz: noise, mains, filters and gains; then their rates."""
    apart = 16 * RATE  # each reads the same noise 16 s later: as good as its own, at a fraction of the cost
    noise = rng.standard_normal(channels[0].size + apart * len(channels), np.float32)
    noise *= np.float32(site.noise_uv)
    recorded = []
    for i, ((label, derivation), x) in enumerate(zip(site.channels.items(), channels, strict=True)):
        x += noise[i * apart : i * apart + x.size]
        _hum(x, site.mains_hz, site.mains_uv * rng.lognormal(0, 0.5))
        x[:] = sosfilt(_filter(*(site.emg_band if derivation == head.CHIN else site.eeg_band)), x)
        sign = -1.0 if rng.random() < site.flips else 1.0
        x *= np.float32(sign * np.exp(site.gain_sd * rng.standard_normal()))
        ratio = Fraction(site.rates.get(label, site.rate) / RATE).limit_denominator(1024)
        recorded.append(x if ratio == 1 else resample_poly(x, ratio.numerator, ratio.denominator))
    return recorded


def _hum(x: np.ndarray, hz: float, amplitude: float) -> None:
    """Add the mains to a channel in place."""
    ten_seconds = np.arange(10 * RATE) / RATE  # whole periods of any frequency in tenths of a hertz
    hum = (amplitude * np.sin(2 * np.pi * hz * ten_seconds)).astype(np.float32)
    whole = x.size // hum.size * hum.size
    x[:whole].reshape(-1, hum.size)[:] += hum
    x[whole:] += hum[: x.size - whole]


def _filter(low: float, high: float) -> np.ndarray:
    """First-order high-pass and second-order low-pass sections; a corner at or above 64 Hz filters nothing."""
    sections = [butter(1, low, "high", fs=RATE, output="sos")]
    if high < RATE / 2:
        sections.append(butter(2, high, "low", fs=RATE, output="sos"))
    return np.concatenate(sections).astype(np.float32)
