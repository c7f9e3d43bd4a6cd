"""Spectra by stage: densities of noise and tones that are known, and means by loops."""

import numpy as np
import pytest

from sleeplib.analysis import spectra
from sleeplib.stages import STAGES


def naive_density(epoch, rate):
    """Welch's method by loops: Hann windows of 2.56 s, half overlapping, without their mean; one-sided."""
    size = round(2.56 * rate)
    taper = np.array([0.5 - 0.5 * np.cos(2 * np.pi * n / size) for n in range(size)])
    dft = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size)
    total, count = np.zeros(size // 2 + 1), 0
    for start in range(0, len(epoch) - size + 1, size - size // 2):
        part = epoch[start : start + size]
        total += np.abs(dft @ ((part - part.mean()) * taper)) ** 2
        count += 1
    density = total / count / (rate * (taper**2).sum())
    density[1 : -1 if size % 2 == 0 else None] *= 2
    return density


@pytest.mark.parametrize("rate", [100.0, 128.0])
def test_spectra_equal_the_naive_ones(rate):
    x = np.random.default_rng(0).normal(0, 20, (3, round(5 * rate))).cumsum(axis=1)
    hertz, power = spectra.spectra(x, rate)
    assert hertz[0] == 0 and hertz.max() <= 45 < hertz.max() + hertz[1]
    assert hertz[1] == pytest.approx(1 / 2.56, rel=0.002) and power.shape == (3, hertz.size)
    for row, epoch in zip(power, x, strict=True):
        assert np.allclose(row, naive_density(epoch, rate)[: hertz.size], rtol=1e-6)


@pytest.mark.parametrize("rate", [100.0, 256.0])
def test_white_noise_has_the_flat_density_it_should(rate):
    x = np.random.default_rng(1).normal(0, 10, (60, round(30 * rate)))
    expected = 10 * np.log10(100 / (rate / 2))  # the variance over all frequencies up to half the rate
    assert np.abs(spectra.bands(x, rate).mean(axis=0) - expected).max() < 0.35


def test_a_tone_is_in_its_band_with_its_power():
    t = np.arange(3000) / 100
    x = np.stack([a * np.sin(2 * np.pi * 13 * t) for a in (10.0, 20.0)])
    hertz, power = spectra.spectra(x, 100.0)
    assert power.sum(axis=1) * hertz[1] == pytest.approx([50, 200], rel=0.01)  # half the amplitude's square
    bands = spectra.bands(x, 100.0)
    assert [spectra.BANDS[i] for i in bands.argmax(axis=1)] == [(12, 14)] * 2
    assert bands[1, 7] - bands[0, 7] == pytest.approx(6.02, abs=0.01)


def test_bands_are_means_of_densities_over_their_bins():
    x = np.random.default_rng(2).normal(0, 5, (4, 3000)).cumsum(axis=1)
    hertz, power = spectra.spectra(x, 100.0)
    for i, (low, high) in enumerate(spectra.BANDS):
        inside = [k for k, f in enumerate(hertz) if low <= f < high]
        assert inside, (low, high)
        expected = [10 * np.log10(sum(row[k] for k in inside) / len(inside)) for row in power]
        assert np.allclose(spectra.bands(x, 100.0)[:, i], expected)
    edges = np.array(spectra.BANDS)
    assert (edges[1:, 0] == edges[:-1, 1]).all(), "nothing lies between two bands"


def test_silence_is_a_floor():
    assert spectra.decibels(np.array([0.0, 1e-9, 1.0, 100.0])).tolist() == [-40, -40, 0, 20]
    assert (spectra.bands(np.zeros((1, 3000)), 100.0) == -40).all()


def test_means_and_spreads_by_stage_equal_loops():
    rng = np.random.default_rng(3)
    nights = [rng.normal(night, 1 + night, (200, 2)) for night in range(4)]
    stages = [rng.integers(0, 5, 200) for _ in nights]
    stages[0][stages[0] == 3] = 2
    stages[0][:4] = 3  # four epochs are too few to count
    nights[0][:4] = 1e6
    stages[1][:9] = 9  # unscored epochs count nowhere
    nights[1][:9] = 1e6
    found = spectra.by_stage(nights, stages)
    for k in range(len(STAGES)):
        parts = [x[s == k] for i, (x, s) in enumerate(zip(nights, stages, strict=True)) if (i, k) != (0, 3)]
        means = np.array([[sum(column) / len(column) for column in part.T] for part in parts])
        center = means.sum(0) / len(means)
        between = np.sqrt(((means - center) ** 2).sum(0) / (len(means) - 1))
        within = sum(np.sqrt(((p - m) ** 2).mean(0)) for p, m in zip(parts, means, strict=True)) / len(parts)
        for name, expected in (("mean", center), ("between", between), ("within", within)):
            assert found[name].shape == (5, 2) and np.allclose(found[name][k], expected), (name, k)


def test_the_typical_epoch_is_nearest_to_its_stages_median():
    rng = np.random.default_rng(4)
    stages = np.repeat(np.arange(5), 9)
    loud = np.tile([1, 2, 4, 8, 16, 32, 64, 128, 256], 5) * np.repeat([1.0, 3, 5, 7, 9], 9)
    noise = rng.normal(size=500)
    order = rng.permutation(45)
    epochs = (loud[:, None] * noise)[order]
    found = spectra.typical(epochs, stages[order], 100.0)
    assert found.shape == (5, 500)
    assert np.allclose(found, 16 * np.array([1, 3, 5, 7, 9])[:, None] * noise)


def test_a_stage_that_does_not_occur_has_none():
    rng = np.random.default_rng(0)
    stages = np.repeat([0, 1, 2, 4], 10)
    found = spectra.by_stage([rng.normal(size=(40, 12))], [stages])
    assert np.isnan(found["mean"][3]).all() and np.isfinite(found["mean"][[0, 1, 2, 4]]).all()
    assert np.isnan(found["between"]).all(), "one night is no spread"
    chosen = spectra.typical(rng.normal(size=(40, 3000)), stages, 100.0)
    assert np.isnan(chosen[3]).all() and np.isfinite(chosen[[0, 1, 2, 4]]).all()
