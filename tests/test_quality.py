"""What is wrong with a channel is measured and told; what is right is not."""

import numpy as np
import pytest

from sleeplib import quality
from sleeplib.simulator import night

RATE = 100.0


def brain(minutes=20, seed=0):
    """Noise with most of its power at low frequencies, 20 uV."""
    x = np.cumsum(np.random.default_rng(seed).standard_normal(round(minutes * 60 * RATE)))
    x = np.diff(np.convolve(x, np.ones(10) / 10, "same"), prepend=0)
    return (20 * x / x.std()).astype(np.float32)


def test_a_good_channel_has_no_faults():
    measured = quality.inspect(brain(), RATE)
    assert measured["sd"] == pytest.approx(20, rel=0.1) and quality.faults(measured) == []
    assert measured["flat"] == measured["disconnected"] == 0 and measured["clipped"] < 1e-4


@pytest.mark.parametrize("site", [{}, {"rate": 256}])
def test_simulated_nights_are_good_and_their_lost_electrodes_are_found(site):
    for dropouts, low, high in ((0.0, 0.0, 0.01), (0.2, 0.02, 0.6)):
        recording = night(3, hours=2, site=site | {"dropouts": dropouts})
        lost = [
            quality.inspect(x, rate)["disconnected"]
            for x, rate in zip(recording.signals[:6], recording.rates, strict=False)
        ]
        assert low <= np.mean(lost) <= high


def test_each_fault_is_measured_and_told():
    x = brain()
    flat = x.copy()
    flat[: len(x) // 4] = 3.0
    assert quality.inspect(flat, RATE)["flat"] == pytest.approx(0.25, abs=0.03)
    assert quality.faults(quality.inspect(flat, RATE)) == ["flat 25%"]
    clipped = np.clip(x, -30, 30)
    share = np.mean(np.abs(clipped) == 30)
    assert 0.5 * share < quality.inspect(clipped, RATE)["clipped"] <= share
    assert "clipped" in quality.faults(quality.inspect(clipped, RATE))[0]
    mains = x.copy()
    t = np.arange(len(x) // 5) / RATE
    mains[: len(t)] = 100 * np.sin(2 * np.pi * 49 * t)
    assert quality.inspect(mains, RATE)["disconnected"] == pytest.approx(0.2, abs=0.03)
    assert quality.inspect(mains, RATE, "EMG")["disconnected"] == 0, "muscles are fast"
    loud = x.copy()
    loud[: len(x) // 5] *= 1000
    assert quality.inspect(loud, RATE)["disconnected"] == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_volts_and_counts_are_suspected(factor):
    measured = quality.inspect(brain() * np.float32(factor), RATE)
    assert "wrong unit?" in " ".join(quality.faults(measured))
    assert quality.faults(measured, "%") == [], "only what claims to be microvolts"


@pytest.mark.parametrize("x", [np.zeros(5000), np.full(10, 7.0), np.ones(1)])
def test_silent_and_very_short_channels_are_flat(x):
    measured = quality.inspect(x.astype(np.float32), RATE)
    assert measured["flat"] == 1 and measured["clipped"] == measured["disconnected"] == 0
    assert quality.faults(measured) == ["flat 100%"]
