"""Hand-crafted features of an epoch: what staging by machine looked at before networks learned where to look.

Each channel on its own gives the numbers of `FEATURES`: powers of the field's frequency bands, shape of the spectrum,
and shape of the signal. The systems on hand-crafted features in Table II of Phan et al. (2019) are those of
Dong et al. (2017), whose exact list is not known to us (facts B2.6); this is the usual set instead, as reviewed by
Aboalayon et al. (2016), Entropy 18:272.
Shapes: N epochs, C channels, S samples, D features of a channel, F frequency bins, G segments.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sleeplib.models.raw import in_chunks

# Hz, lower bound included; the field's usual bands.
BANDS = {
    "delta": (0.5, 4),
    "theta": (4, 8),
    "alpha": (8, 12),
    "sigma": (12, 16),
    "beta": (16, 30),
    "gamma": (30, 45),
}

RATIOS = (("delta", "theta"), ("delta", "beta"), ("theta", "alpha"), ("sigma", "beta"))

SEGMENT = 2.0  # s; as the frames of SeqSleepNet's images, and short enough for epochs of a few seconds
FLOOR = 1e-6  # uV^2; less power is silence, and silence has a finite logarithm

# The features of a channel in their order: name, and meaning with unit.
FEATURES = {
    **{f"power {band}": f"power from {low:g} to {high:g} Hz, dB of 1 uV^2" for band, (low, high) in BANDS.items()},
    **{f"spread {band}": f"standard deviation of the {band} power in 2-s segments, dB" for band in BANDS},
    **{f"share {band}": f"{band} power / power of all bands" for band in BANDS},
    **{f"ratio {a}/{b}": f"{a} power / {b} power, dB" for a, b in RATIOS},
    "median frequency": "half of the power lies below, Hz",
    "edge frequency": "95 % of the power lie below, Hz",
    "spectral entropy": "flatness of the spectrum: 0 for one line, 1 for white noise",
    "activity": "Hjorth's activity: variance, dB of 1 uV^2",
    "mobility": "Hjorth's mobility: the signal's mean frequency, Hz",
    "complexity": "Hjorth's complexity: 1 for a sine, more for a wider spectrum",
    "crossings": "crossings of the mean per second",
    "range": "largest - smallest value, dB of 1 uV",
    "central range": "95th - 5th percentile, dB of 1 uV",
    "interquartile range": "75th - 25th percentile, dB of 1 uV",
    "skewness": "third standardised moment: 0 for a symmetric distribution",
    "kurtosis": "fourth standardised moment: 3 for a normal distribution",
}  # fmt: skip


def feature_names(channels: Sequence[str]) -> list[str]:
    """Names of the columns of `hand_crafted` for these channels: "EEG power delta", ..."""
    return [f"{channel} {feature}" for channel in channels for feature in FEATURES]


@torch.no_grad()
def hand_crafted(signals: Tensor, rate: float = 100.0) -> Tensor:
    """The features of each epoch.

    Parameters
    ----------
    signals : tensor (N, C, S)
        Epochs of at least 2 s, in microvolts.
    rate : float
        Hz. Below 90 Hz the upper bands are cut, down to silence.

    Returns
    -------
    tensor (N, C * D) float32
        The `FEATURES` of the first channel, of the second channel, ... All are finite, of silence, too.
    """
    return in_chunks(lambda x: _hand_crafted(x.float(), rate), signals, 256)


def _hand_crafted(x: Tensor, rate: float) -> Tensor:
    """Signals (N, C, S) -> (N, C * D)."""
    x = x - x.mean(-1, keepdim=True)
    found = _spectral(x, rate) | _hjorth(x, rate) | _amplitudes(x, rate)  # name: (N, C)
    return torch.stack([found[name] for name in FEATURES], dim=-1).flatten(1)


def spectra(x: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Power spectral densities of overlapping segments, whose mean is Welch's estimate.

    Welch (1967), IEEE Trans. Audio Electroacoust. 15:70: Hann windows with half overlap, each segment centred.

    Parameters
    ----------
    x : tensor (N, C, S)
    rate : float
        Hz.

    Returns
    -------
    hertz : tensor (F,)
    density : tensor (N, C, G, F)
        uV^2/Hz, one-sided.
    """
    size = min(round(SEGMENT * rate), x.shape[-1])
    segments = x.unfold(-1, size, max(size // 2, 1))  # (N, C, G, size)
    window = torch.hann_window(size, device=x.device)
    spectrum = torch.fft.rfft((segments - segments.mean(-1, keepdim=True)) * window)
    density = spectrum.abs().square() * 2 / (rate * window.square().sum())
    return torch.fft.rfftfreq(size, 1 / rate, device=x.device), density


def _spectral(x: Tensor, rate: float) -> dict[str, Tensor]:
    """Band powers and the shape of the spectrum from 0.5 to 45 Hz.

    Edge frequencies: Rampil (1998), Anesthesiology 89:980. Entropy: Inouye et al. (1991), Electroencephalogr. Clin.
    Neurophysiol. 79:204.
    """
    hertz, density = spectra(x, rate)
    inside = [(hertz >= low) & (hertz < high) for low, high in BANDS.values()]
    # sums, not a product with a matrix of bands: autocast would round that to half precision
    sums = torch.stack([density[..., bins].sum(-1) for bins in inside], dim=-1)
    segments = sums * hertz[1]  # (N, C, G, bands), uV^2
    powers = segments.mean(2)
    level, total = decibels(powers), powers.sum(-1, keepdim=True).clamp_min(FLOOR)
    spread = decibels(segments).std(2, correction=0)
    found = {}
    for b, band in enumerate(BANDS):
        found[f"power {band}"] = level[..., b]
        found[f"spread {band}"] = spread[..., b]
        found[f"share {band}"] = (powers / total)[..., b]
    for a, b in RATIOS:
        found[f"ratio {a}/{b}"] = found[f"power {a}"] - found[f"power {b}"]

    used = torch.stack(inside).any(0)
    hertz, mean = hertz[used], density.mean(2)[..., used]  # (F,), (N, C, F)
    p = mean / mean.sum(-1, keepdim=True).clamp_min(FLOOR)
    below = p.cumsum(-1)
    for name, share in (("median frequency", 0.5), ("edge frequency", 0.95)):
        found[name] = hertz[(below < share * below[..., -1:]).sum(-1)]
    found["spectral entropy"] = torch.special.entr(p).sum(-1) / math.log(len(hertz))
    return found


def _hjorth(x: Tensor, rate: float) -> dict[str, Tensor]:
    """Hjorth (1970), Electroencephalogr. Clin. Neurophysiol. 29:306, from variances of x and its derivatives."""
    d0, d1, d2 = ((d.square().mean(-1)).clamp_min(FLOOR) for d in (x, x.diff(), x.diff(n=2)))
    mobility = (d1 / d0).sqrt()
    return {
        "activity": decibels(d0),
        "mobility": mobility * rate / (2 * math.pi),
        "complexity": (d2 / d1).sqrt() / mobility,
    }


def _amplitudes(x: Tensor, rate: float) -> dict[str, Tensor]:
    """The distribution of the values of centred signals; percentiles are the nearest of the sorted values."""
    up = x > 0
    ordered = _sorted(x)

    def between(low: float, high: float) -> Tensor:
        """Distance of two percentiles in dB of 1 uV."""
        last = x.shape[-1] - 1
        return 2 * decibels(ordered[..., round(high * last)] - ordered[..., round(low * last)])

    z = x / x.square().mean(-1, keepdim=True).clamp_min(FLOOR).sqrt()
    cube = z * z * z
    return {
        "crossings": (up[..., 1:] != up[..., :-1]).float().sum(-1) * rate / x.shape[-1],
        "range": between(0, 1),
        "central range": between(0.05, 0.95),
        "interquartile range": between(0.25, 0.75),
        "skewness": cube.mean(-1),
        "kurtosis": (cube * z).mean(-1),
    }


def _sorted(x: Tensor) -> Tensor:
    """`x` with its last axis in ascending order."""
    if x.device.type != "cpu":
        return x.sort(-1).values
    return torch.from_numpy(np.sort(x.numpy()))  # 50 times as fast as torch, which also sorts indices


def decibels(power: Tensor) -> Tensor:
    """10 log10, of at least `FLOOR`."""
    return 10 * power.clamp_min(FLOOR).log10()
