"""What electrodes pick up beside the brain: as large, as often and as fast as each function says."""

import numpy as np
import pytest
from scipy.signal import welch

from sleeplib.simulator import artefacts

RATE = 128


def _rng(seed=0):
    return np.random.default_rng(seed)


# --- drifts


def test_drifts_have_the_size_asked_for_and_their_band():
    x = np.zeros((8, 1800 * RATE), np.float32)
    artefacts.drifts(_rng(), np.full(1800, 12.0), x)
    assert x.std(axis=1).mean() == pytest.approx(12, rel=0.08)
    f, p = welch(x, RATE, nperseg=60 * RATE)
    share = p[:, (f > 0.05) & (f < 1.2)].sum() / p.sum()
    assert share > 0.95 and p[:, (f >= 0.1) & (f <= 0.7)].sum() / p.sum() > 0.75
    assert p[:, f > 4].sum() / p.sum() < 1e-3, "no steps that would sound at higher frequencies"


def test_electrodes_share_half_the_power_of_drifts():
    x = np.zeros((6, 3600 * RATE), np.float32)
    artefacts.drifts(_rng(1), np.full(3600, 5.0), x)
    apart = np.corrcoef(x)[np.triu_indices(6, 1)]
    assert apart.mean() == pytest.approx(0.5, abs=0.08)
    x[:] = 0
    artefacts.drifts(_rng(1), np.full(3600, 5.0), x, shared=1.0)
    assert np.allclose(x, x[0]) and x.any()


def test_drifts_follow_their_size_and_are_added():
    size = np.r_[np.zeros(300), np.full(300, 20.0), np.zeros(300)]
    x = np.full((1, 900 * RATE), 7.0, np.float32)
    artefacts.drifts(_rng(2), size, x)
    first, middle, last = x.reshape(3, -1)
    assert (first[:-RATE] == 7).all() and (last[RATE:] == 7).all() and 14 < middle.std() < 26


# --- the heart


def _beats(ecg):
    """Seconds of the R peaks."""
    return np.flatnonzero((ecg[1:] > 0.5) & (ecg[:-1] <= 0.5)) / RATE


def _pace(seed, asleep, minutes=10):
    return _beats(artefacts.heart(_rng(seed), 60 * minutes, np.full(60 * minutes, asleep))).size / minutes


@pytest.mark.parametrize("asleep", [0.0, 0.8, 1.0])
def test_nearly_all_hearts_beat_55_to_75_times_a_minute(asleep):
    paces = np.array([_pace(seed, asleep) for seed in range(60)])
    assert np.mean((paces >= 54.5) & (paces <= 75.5)) > 0.9 and paces.std() > 2


def test_hearts_are_slower_in_who_sleeps():
    falls = [_pace(seed, 0.0) - _pace(seed, 1.0) for seed in range(20)]
    assert 3 < np.mean(falls) < 9


def test_the_heart_slows_when_sleep_begins():
    awake, asleep = [], []
    for seed in range(10):
        beats = _beats(artefacts.heart(_rng(seed), 1200, np.repeat([0.0, 1.0], 600)))
        awake.append((beats < 600).sum())
        asleep.append((beats >= 600).sum())
    assert np.mean(asleep) < 0.97 * np.mean(awake)


def test_beats_are_sharp_of_unit_size_and_never_quite_regular():
    ecg = artefacts.heart(_rng(3), 600, np.ones(600))
    assert ecg.size == 600 * RATE and ecg.dtype == np.float32
    assert 0.9 < ecg.max() <= 1.05 and ecg.min() > -0.5
    intervals = np.diff(_beats(ecg))
    assert 0.02 < intervals.std() / intervals.mean() < 0.12 and intervals.min() > 0.5
    assert (ecg > 0.5).mean() < 0.06, "an R peak lasts some hundredths of a second"


def test_the_heart_beats_to_the_end():
    for seed in range(10):
        beats = _beats(artefacts.heart(_rng(seed), 3600, np.full(3600, 0.9)))
        assert beats[-1] > 3597.5 and np.diff(beats).max() < 2


# --- pops


def test_pops_come_as_often_as_asked_and_die_away():
    x = np.zeros((10, 3600 * RATE), np.float32)
    artefacts.pops(_rng(4), 5.0, x)
    starts = [np.flatnonzero(np.abs(np.diff(row)) > 30) for row in x]
    assert sum(s.size for s in starts) == pytest.approx(50, abs=22)
    assert len({s.size for s in starts}) > 1, "electrodes pop by themselves"
    assert 60 < np.abs(x).max() < 1500 and x.min() < -60 and x.max() > 60
    for row, onset in zip(x, starts, strict=True):
        for s in onset[np.diff(np.r_[onset, 10**9]) > 4 * RATE]:
            after = np.abs(row[s + 1 : s + 4 * RATE])
            assert after[0] > 30 and (after[2 * RATE :] < 0.15 * after[0]).all()


def test_a_site_may_be_without_pops():
    x = np.zeros((2, 600 * RATE), np.float32)
    artefacts.pops(_rng(5), 0.0, x)
    assert not x.any()


# --- lost contact


def test_contact_is_lost_for_about_the_share_asked_for():
    out = []
    for seed in range(12):
        x = np.full((10, 3600 * RATE), 1000.0, np.float32)
        artefacts.losses(_rng(seed), 0.03, 50.0, x)
        out.append((x != 1000).mean(axis=1))
    assert np.mean(out) == pytest.approx(0.03, rel=0.25)
    assert 0.1 < np.mean(np.array(out) > 0) < 0.95, "each electrode by itself, and not all of them in an hour"


def test_a_lost_electrode_shows_the_mains_and_noise_instead_of_the_head():
    t = np.arange(3600 * RATE) / RATE
    head = (300 * np.sin(2 * np.pi * 10 * t)).astype(np.float32)
    for hz in (50.0, 60.0):
        x = np.stack([head] * 4)
        artefacts.losses(_rng(6), 0.1, hz, x)
        bouts, lost = [], x != head
        for row, gone in zip(x, lost, strict=True):
            edges = np.flatnonzero(np.diff(np.r_[0, gone, 0]))
            bouts += [(row[a:b], (b - a) / RATE) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        assert len(bouts) >= 5
        lengths = np.array([seconds for _, seconds in bouts])
        assert 40 < np.median(lengths) < 150 and lengths.max() < 900
        for part, _ in (b for b in bouts if b[1] > 20):
            f, p = welch(part, RATE, nperseg=4 * RATE)
            quiet = np.median(p)
            assert p[np.abs(f - hz).argmin()] > 3 * quiet and quiet > 0.005
            assert p[np.abs(f - 10).argmin()] < 0.005 * 300**2, "the head is gone"
