"""Hand-crafted features against NumPy, SciPy and signals whose features are known."""

import numpy as np
import pytest
import torch
from scipy import signal, stats

from sleeplib.models.features import BANDS, FEATURES, feature_names, hand_crafted

D = len(FEATURES)


def of(x, rate=100.0):
    """Features of one epoch of one channel, by name."""
    x = torch.as_tensor(np.asarray(x), dtype=torch.float32)
    return dict(zip(FEATURES, hand_crafted(x[None, None], rate)[0].tolist(), strict=True))


def noise(seconds=30, rate=100, seed=0):
    """Something like an EEG, in microvolts: an AR(1) process."""
    rng = np.random.default_rng(seed)
    return signal.lfilter([5.0], [1, -0.9], rng.normal(size=round(seconds * rate)))


def sine(hertz, amplitude=20, seconds=30, rate=100):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(seconds * rate) / rate + 0.1)


@pytest.mark.parametrize("seconds", [5, 30])
def test_band_powers_are_those_of_welch(seconds):
    x, found = noise(seconds), of(noise(seconds))
    hertz, density = signal.welch(x - x.mean(), 100, nperseg=200)
    powers = {}
    for band, (low, high) in BANDS.items():
        powers[band] = density[(hertz >= low) & (hertz < high)].sum() * 0.5
        assert found[f"power {band}"] == pytest.approx(10 * np.log10(powers[band]), abs=1e-3)
    for band in BANDS:
        assert found[f"share {band}"] == pytest.approx(powers[band] / sum(powers.values()), abs=1e-4)
    assert found["ratio delta/theta"] == pytest.approx(
        10 * np.log10(powers["delta"] / powers["theta"]), abs=1e-3
    )


def test_spread_is_that_of_the_segments():
    x = noise()
    _, _, density = signal.spectrogram(x - x.mean(), 100, "hann", nperseg=200, noverlap=100)
    alpha = 10 * np.log10(density[16:24].sum(0) * 0.5)
    assert of(x)["spread alpha"] == pytest.approx(alpha.std(), abs=1e-3)


def test_frequencies_and_entropy_by_hand():
    x, found = noise(), of(noise())
    hertz, density = signal.welch(x, 100, nperseg=200)
    inside = [k for k in range(len(hertz)) if 0.5 <= hertz[k] < 45]
    total = sum(density[k] for k in inside)
    for name, share in (("median frequency", 0.5), ("edge frequency", 0.95)):
        below = 0
        for k in inside:
            below += density[k]
            if below >= share * total:
                break
        assert found[name] == hertz[k]
    p = [density[k] / total for k in inside]
    assert found["spectral entropy"] == pytest.approx(
        -sum(v * np.log(v) for v in p) / np.log(len(p)), abs=1e-4
    )


def test_hjorth_by_hand_and_of_a_sine():
    x, found = noise(), of(noise())
    x = x - x.mean()
    d1, d2 = np.diff(x), np.diff(np.diff(x))
    activity, m0, m1 = (x**2).mean(), (d1**2).mean() / (x**2).mean(), (d2**2).mean() / (d1**2).mean()
    assert found["activity"] == pytest.approx(10 * np.log10(activity), abs=1e-3)
    assert found["mobility"] == pytest.approx(np.sqrt(m0) * 100 / 2 / np.pi, rel=1e-4)
    assert found["complexity"] == pytest.approx(np.sqrt(m1 / m0), rel=1e-4)
    found = of(sine(3))
    assert found["mobility"] == pytest.approx(3, rel=0.01) and found["complexity"] == pytest.approx(
        1, abs=0.01
    )


def test_amplitudes_by_hand():
    x, found = noise() + 100, of(noise() + 100)  # an offset changes nothing

    def width(low, high):
        return 20 * np.log10(np.diff(np.quantile(x, [low, high], method="nearest"))[0])

    assert found["range"] == pytest.approx(width(0, 1), abs=1e-2)
    assert found["central range"] == pytest.approx(width(0.05, 0.95), abs=1e-2)
    assert found["interquartile range"] == pytest.approx(width(0.25, 0.75), abs=1e-2)
    assert found["skewness"] == pytest.approx(stats.skew(x), abs=1e-3)
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(x, fisher=False), abs=1e-2)
    centred = x - x.mean()
    assert found["crossings"] == pytest.approx((centred[1:] * centred[:-1] < 0).sum() / 30, abs=1e-4)


@pytest.mark.parametrize(
    ("hertz", "band"), [(2, "delta"), (6, "theta"), (10, "alpha"), (14, "sigma"), (20, "beta")]
)
def test_a_sine_is_in_its_band(hertz, band):
    found = of(sine(hertz))
    assert max(BANDS, key=lambda b: found[f"power {b}"]) == band and found[f"share {band}"] > 0.99
    assert found[f"power {band}"] == pytest.approx(10 * np.log10(200), abs=0.1)  # amplitude^2 / 2
    assert found["median frequency"] == hertz and found["crossings"] == pytest.approx(2 * hertz, abs=0.1)


@pytest.mark.parametrize("samples", [200, 500, 2000, 3000])
@pytest.mark.parametrize("value", [0.0, 37.1, -1e4])
def test_silence_is_finite(samples, value):
    x = torch.randn(3, 2, samples)
    x[:, 1] = value
    features = hand_crafted(x)
    assert features.shape == (3, 2 * D) and features.dtype == torch.float32 and features.isfinite().all()
    assert (features[:, D:] == features[:1, D:]).all()


@pytest.mark.parametrize("rate", [64, 128, 256])
def test_other_rates(rate):
    found = of(sine(10, rate=rate, seconds=10), rate)
    assert all(np.isfinite(v) for v in found.values()) and found["share alpha"] > 0.99


def test_each_epoch_and_channel_on_its_own():
    x = torch.randn(600, 2, 500) * 20
    features = hand_crafted(x)
    assert torch.allclose(features[[7, 300, 599]], hand_crafted(x[[7, 300, 599]]), atol=1e-4)
    assert torch.allclose(features[:, D:], hand_crafted(x[:, 1:]), atol=1e-4)
    assert torch.equal(x * 1, x) and not features.requires_grad


def test_names_are_those_of_the_columns():
    names = feature_names(["EEG", "EMG"])
    assert len(names) == 2 * D == len(set(names)) and names[0] == "EEG power delta"
    x = torch.stack([torch.tensor(sine(10)), torch.tensor(sine(20))])[None].float()
    named = dict(zip(names, hand_crafted(x)[0].tolist(), strict=True))
    assert named["EEG median frequency"] == 10 and named["EMG median frequency"] == 20
