"""What a physiologist would check on the signals of simulated nights, and what a technician on their sites."""

from datetime import timedelta

import numpy as np
import pytest
from scipy.signal import butter, find_peaks, sosfiltfilt, welch

from sleeplib import cohorts
from sleeplib.errors import SleeplibError
from sleeplib.readers import read
from sleeplib.readers.edf import write_edf
from sleeplib.simulator import head, mixture, night, people, waveforms
from sleeplib.simulator.nights import streams
from sleeplib.stages import N1, N2, N3, REM, W

EPOCH = 30 * 128
CLEAN = {
    "gain_sd": 0, "noise_uv": 0, "mains_uv": 0, "ecg_uv": 0, "sweat": 0, "dropouts": 0, "pops_per_hour": 0
}  # fmt: skip
CAP = [name for name in head.SCALP if name not in ("Fpz", "Oz")]  # the 19 electrodes of the clinic
ONE = {"channels": {"C4-M1": "C4 - M1"}}
TWO = {"channels": {"C4-M1": "C4 - M1", "Chin": "Chin"}}


@pytest.fixture(scope="module")
def nights():
    return [night(seed, age=30, ahi=2, hours=3) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def caps():
    """Nights against linked mastoids without artefacts, of persons who have alpha."""
    site = CLEAN | {"channels": {name: f"{name} - mastoids" for name in (*CAP, "E1", "E2")}}
    seeds = [seed for seed in range(12) if people.draw(streams(seed)[0], 30).alpha_uv > 8][:5]
    return [night(seed, age=30, ahi=2, hours=1, site=site) for seed in seeds]


def _density(recording, channel, low, high):
    """Band power (epochs,) of 30-s epochs."""
    x, rate = recording.channel(channel)
    f, p = welch(x.reshape(-1, round(30 * rate)), rate, nperseg=round(4 * rate), axis=-1)
    return p[:, (f >= low) & (f <= high)].mean(1)


def _power(recording, channel, low, high):
    """Median band power of each stage's pure epochs, (5,)."""
    pure, power = recording.truth.reshape(-1, EPOCH), _density(recording, channel, low, high)
    parts = [power[(pure == k).mean(1) > 0.7] for k in range(5)]
    return np.array([np.median(part) if part.size else np.nan for part in parts])


def _band(x, low, high):
    return sosfiltfilt(butter(2, (low, high), "band", fs=128, output="sos"), x)


def _seconds(x):
    """RMS of each second."""
    return np.sqrt(np.square(x.reshape(-1, 128)).mean(1))


# --- what comes out


def test_what_a_night_is_made_of(nights):
    r = nights[0]
    assert r.channels == [
        "F3-M2", "F4-M1", "C3-M2", "C4-M1", "O1-M2", "O2-M1", "E1-M2", "E2-M2", "Chin1-Chin2",
    ]  # fmt: skip
    assert all(x.dtype == np.float32 and len(x) == 3 * 3600 * 128 and np.isfinite(x).all() for x in r.signals)
    assert r.truth.dtype == np.int8 and r.truth.size == len(r.signals[0])
    assert len(r.hypnogram) == 360 and r.subject.age == 30 and r.subject.sex in "FM" and r.start is not None
    assert {e.kind for e in r.events} >= {"arousal"} and {e.kind for e in r.true_events} >= {"arousal"}


def test_the_seed_is_the_night():
    a, b, c = (night(seed, hours=0.5) for seed in (7, 7, 8))
    assert (
        all((x == y).all() for x, y in zip(a.signals, b.signals, strict=True)) and (a.truth == b.truth).all()
    )
    assert not (a.signals[0] == c.signals[0]).all()
    assert night(7, sex=a.subject.sex, hours=0.5).subject == a.subject, (
        "what is given must not change what is drawn"
    )


def test_truth_is_that_of_the_events(nights):
    for r in nights:
        for event in r.true_events:
            inside = r.truth[round(event.onset * 128) + 1 : round((event.onset + event.duration) * 128) - 1]
            assert (inside == W).all() if event.kind == "arousal" else (inside != W).all()


def test_hypnogram_is_close_to_the_truth(nights):
    for r in nights:
        share = np.stack([(r.truth.reshape(-1, EPOCH) == k).mean(1) for k in range(5)], axis=1)
        assert 0.7 < (share.argmax(1) == r.hypnogram.stages).mean() < 0.97


def test_without_signals_all_the_rest_is_the_same():
    full, bare = night(4, ahi=20, hours=1), night(4, ahi=20, hours=1, signals=False)
    assert bare.signals == [] and bare.channels == [] and bare.rates == []
    assert np.array_equal(full.truth, bare.truth)
    assert np.array_equal(full.hypnogram.stages, bare.hypnogram.stages)
    assert full.events == bare.events and full.true_events == bare.true_events
    assert full.subject == bare.subject and full.start == bare.start


def test_the_truth_does_not_depend_on_who_records_it():
    a, b = night(5, hours=0.5), night(5, hours=0.5, site={"channels": {"x": "Pz - O1"}, "rate": 100})
    assert np.array_equal(a.truth, b.truth) and a.true_events == b.true_events
    assert a.subject == b.subject and np.array_equal(a.hypnogram.stages, b.hypnogram.stages)


def test_another_night_of_the_same_person():
    first, again, second = (night(6, hours=1, nth=n, signals=False) for n in (0, 0, 1))
    assert np.array_equal(first.truth, again.truth)
    assert first.subject == second.subject and not np.array_equal(first.truth, second.truth)


def test_five_scorers_and_their_majority():
    r = night(7, hours=1, scorers=5, signals=False)
    readings = np.stack([h.stages for h in r.scorings])
    assert readings.shape == (5, 120) and len(np.unique(readings, axis=0)) == 5
    votes = np.stack([(readings == k).sum(0) for k in range(5)])
    assert (votes[r.hypnogram.stages, np.arange(120)] == votes.max(0)).all()
    assert night(7, hours=1, signals=False).scorings == []


def test_scoring_of_rechtschaffen_and_kales_has_epochs_of_20_s():
    r = night(7, hours=1, scoring="rk", scorers=2, signals=False)
    assert r.hypnogram.epoch_seconds == 20 and len(r.hypnogram) == 180
    assert [(h.epoch_seconds, len(h)) for h in r.scorings] == [(20, 180)] * 2
    most = np.stack([(r.truth.reshape(180, -1) == k).mean(1) for k in range(5)]).argmax(0)
    assert (most == r.hypnogram.stages).mean() > 0.65


def test_a_cohorts_site_by_name():
    r = night(8, hours=0.5, site="mass-c3")
    channels = cohorts.load("mass-c3").simulation["site"]["channels"]
    assert r.channels == list(channels) and set(r.rates) == {256.0}
    assert sum(d.split(" - ")[0] in CAP for d in channels.values()) == 19
    assert all(len(x) == 1800 * 256 and np.isfinite(x).all() for x in r.signals)
    assert r.truth.size == 1800 * 128
    assert len(night(8, hours=0.5, site="dodh", signals=False).scorings) == 5


def test_up_and_about_before_and_after_the_night():
    site = CLEAN | {"channels": {"Fp1": "Fp1 - mastoids", "O1": "O1 - mastoids"}}
    seed = 2
    bed = night(seed, hours=1, site=site)
    day = night(seed, hours=1, site=site | {"awake": (30, 30)})
    half = 1800 * 128
    assert day.truth.size == bed.truth.size + 2 * half and len(day.signals[0]) == day.truth.size
    assert np.array_equal(day.truth[half:-half], bed.truth)
    assert (day.truth[:half] == W).all() and (day.truth[-half:] == W).all()
    assert [(e.kind, e.onset, e.duration) for e in day.true_events] == [
        (e.kind, e.onset + 1800, e.duration) for e in bed.true_events
    ]
    assert len(day.hypnogram) == 240 and day.start == bed.start - timedelta(minutes=30)
    pads = np.r_[day.hypnogram.stages[:60], day.hypnogram.stages[-60:]]
    assert (pads == W).mean() > 0.8
    # Open eyes blink: ten or so times a minute, positive at the forehead.
    blinks = find_peaks(_band(day.channel("Fp1")[0], 0.7, 8), height=60, distance=40)[0]
    per_minute = np.bincount(blinks // (60 * 128), minlength=120)
    assert np.median(per_minute[:30]) > 5 and np.median(per_minute[-30:]) > 5
    assert np.median(per_minute[40:80]) < 3


# --- derivations


def test_derivations_of_one_recording_fit_together():
    site = CLEAN | {"channels": {"F3-M2": "F3 - M2", "C3-M2": "C3 - M2", "F3-C3": "F3 - C3"}}
    site |= {"dropouts": 0.05, "pops_per_hour": 20, "ecg_uv": 20}  # what electrodes pick up fits together too
    f3, c3, bipolar = night(9, hours=0.5, site=site).signals
    assert bipolar.std() > 3 and np.abs(f3 - c3 - bipolar).max() < 1e-4 * np.abs(f3).max()


def test_the_common_average_sums_to_zero():
    site = CLEAN | {"channels": {name: f"{name} - average" for name in head.SCALP}}
    x = np.stack(night(10, hours=0.5, site=site).signals)
    assert x.std(axis=1).min() > 1 and np.abs(x.sum(axis=0)).max() < 1e-3 * np.abs(x).max()


def test_linked_mastoids_are_the_mean_of_both():
    site = CLEAN | {"channels": {"a": "C4 - mastoids", "b": "C4 - M1", "c": "C4 - M2"}}
    a, b, c = night(9, hours=0.5, site=site).signals
    assert np.abs(b - c).std() > 1 and np.abs(a - (b + c) / 2).max() < 1e-4 * np.abs(b).max()


def test_neighbours_correlate_more_than_strangers(caps):
    for r in caps:
        leads = [r.channel(name)[0][r.truth == N2] for name in ("F3", "C3", "P3", "O1")]
        near, middle, far = np.corrcoef(leads)[0, 1:]
        assert 0.95 > near > middle + 0.15 > far + 0.3 > 0.2


# --- the electroencephalogram


def test_rhythms_and_waves_are_where_they_belong(nights):
    for r in nights:
        assert _power(r, "C4-M1", 12, 15)[N2] > 1.3 * _power(r, "C4-M1", 12, 15)[REM]
        slow = _power(r, "F4-M1", 0.5, 2)
        assert slow[N3] > 2 * slow[N2] and slow[N2] > 2 * slow[REM]
        assert slow[N3] > 1.3 * _power(r, "O2-M1", 0.5, 2)[N3]
    sigma = np.mean([np.log(_power(r, "C4-M1", 12.5, 14.5)) for r in nights], axis=0)
    assert sigma[N2] > sigma[W] and sigma[N2] > sigma[N1]


def test_slow_spindles_are_frontal_and_fast_ones_centro_parietal(caps):
    slow, fast = ({c: [_power(r, c, *hz)[N2] for r in caps] for c in CAP} for hz in ((11, 12.5), (13.5, 15)))
    ratio = {c: np.mean(np.log(np.divide(slow[c], fast[c]))) for c in CAP}
    assert ratio["Fz"] > ratio["Cz"] > ratio["Pz"] and ratio["Fz"] - ratio["Pz"] > np.log(2)
    largest = {name: max(CAP, key=lambda c: np.mean(np.log(p[c]))) for name, p in (("s", slow), ("f", fast))}
    assert largest["s"] in ("Fz", "F3", "F4") and largest["f"] in ("Cz", "Pz")


def test_slow_waves_are_frontal_and_alpha_is_occipital(caps):
    slow = {c: np.mean([np.log(_power(r, c, 0.5, 2)[N3]) for r in caps]) for c in CAP}
    alpha = {c: np.mean([np.log(_power(r, c, 8, 12)[W]) for r in caps]) for c in CAP}
    assert max(slow, key=slow.get) in ("Fz", "F3", "F4") and slow["F3"] - slow["O1"] > np.log(2)
    assert max(alpha, key=alpha.get) in ("O1", "O2") and alpha["O1"] - alpha["F3"] > np.log(1.5)


def test_slow_wave_activity_falls_over_the_night():
    falls, deep = [], []
    for seed in range(6):
        r = night(seed, age=25, ahi=1, hours=7, site=CLEAN | {"channels": {"F4-M1": "F4 - M1"}})
        share = np.stack([(r.truth.reshape(-1, EPOCH) == k).mean(1) for k in (N2, N3)])
        power, hours = _density(r, "F4-M1", 0.75, 4.5), np.arange(share.shape[1]) / 120
        early, late, nrem, n3 = hours < 2, hours > 4, share.sum(0) > 0.9, share[1] > 0.9
        falls.append(power[nrem & late].mean() / power[nrem & early].mean())
        deep += [(power[n3 & part], part is late) for part in (early, late)]
    assert 0.2 < np.mean(falls) < 0.85, "in all of NREM sleep"
    first, last = (np.concatenate([p for p, is_late in deep if is_late == which]) for which in (False, True))
    assert last.size > 20 and np.median(last) < 0.95 * np.median(first), "and within N3"


def test_arousals_are_fast_and_tense(nights):
    for channel, low, least in (("C4-M1", 16, 1.15), ("Chin1-Chin2", 12, 1.15)):
        ratios = []
        for r in nights:
            size = _seconds(_band(r.channel(channel)[0], low, 40))
            for e in (e for e in r.true_events if e.kind == "arousal" and e.onset > 12):
                first, stop = int(np.ceil(e.onset)), int(e.onset + e.duration)
                ratios.append(size[first:stop].mean() / size[first - 11 : first - 1].mean())
        assert len(ratios) > 60 and np.median(ratios) > least, channel
        assert np.mean(np.array(ratios) > 1) > 0.75, channel


# --- eyes and chin


def test_eyes_move_against_each_other_in_rem_and_together_in_n3(nights):
    for r in nights:
        left, right = r.channel("E1-M2")[0], r.channel("E2-M2")[0]
        together = {k: np.corrcoef(left[r.truth == k], right[r.truth == k])[0, 1] for k in (N3, REM)}
        assert together[REM] < 0 and together[N3] > 0.4


def test_sideways_eye_movements_leak_into_the_frontal_eeg(caps):
    """The difference of the frontal leads on that of the eyes: most of the brain's share is in neither."""
    for r in caps:
        x = {c: _band(r.channel(c)[0], 0.3, 5)[r.truth == REM] for c in ("E1", "E2", "F3", "F4", "O1", "O2")}
        eyes = x["E1"] - x["E2"]
        leak = [np.dot(eyes, x[a] - x[b]) / np.dot(eyes, eyes) for a, b in (("F3", "F4"), ("O1", "O2"))]
        assert 0.13 < leak[0] < 0.3 and abs(leak[1]) < 0.05


def test_rapid_eye_movements_show_in_the_frontal_eeg_by_15_to_30_percent():
    leads = ["F3", "F4", "E1", "E2", "M1", "M2"]
    rng = np.random.default_rng(0)
    fields = waveforms.rapid_eye_movements(rng, np.full(9000, 0.3), people.draw(rng, 30), leads).weights
    size = np.sqrt(np.square(fields - fields[:, 4:].mean(1, keepdims=True)).mean(0))
    assert 0.15 < size[:2].mean() / size[2:4].mean() < 0.30


def test_the_eye_leads_see_frontal_slow_waves(caps):
    for r in caps:
        x = {c: _band(r.channel(c)[0], 0.5, 2)[r.truth == N3] for c in ("E1", "E2", "F3", "F4")}
        for eye, front in (("E1", "F3"), ("E2", "F4")):
            assert np.corrcoef(x[eye], x[front])[0, 1] > 0.4
            assert 0.4 < x[eye].std() / x[front].std() < 1


def test_chin_tone_falls_from_wake_to_rem(nights):
    tone = np.mean(
        [[np.log(_band(r.signals[8], 12, 50)[r.truth == k].std()) for k in range(5)] for r in nights], 0
    )
    assert tone[W] > tone[N1] > tone[N2] > tone[REM]
    assert 0.1 < np.exp(tone[REM] - tone[W]) < 0.5


# --- persons


def test_a_tenth_of_people_have_no_alpha():
    rng = np.random.default_rng(0)
    assert np.mean([people.draw(rng).alpha_uv == 0 for _ in range(4000)]) == pytest.approx(0.1, abs=0.02)


def test_spindles_fall_with_age_and_women_have_more():
    def mean(**who):
        return np.mean([people.draw(np.random.default_rng(seed), **who).spindles for seed in range(300)])

    young, old = mean(age=25), mean(age=70)
    assert 1 < old < 0.75 * young < 6
    assert 1.02 < mean(age=40, sex="F") / mean(age=40, sex="M") < 1.3


def test_age_shows_in_the_sigma_band_of_n2():
    def excess(age, seed):
        """Power at the spindles' frequency over that beside it."""
        r = night(seed, age=age, sex="F", ahi=1, hours=1.5, site=CLEAN | ONE)
        return np.log(_power(r, "C4-M1", 12.5, 15.5)[N2] / _power(r, "C4-M1", 18, 22)[N2])

    assert np.mean([excess(22, seed) - excess(75, seed) for seed in range(5)]) > 0.3


# --- sites


@pytest.mark.parametrize(("hz", "other"), [(50, 60), (60, 50)])
def test_the_mains_hum_at_their_frequency(hz, other):
    r = night(11, hours=0.5, site=TWO | {"mains_hz": hz, "mains_uv": 5, "eeg_band": (0.3, 64), "dropouts": 0})
    for channel in r.channels:
        line, beside, elsewhere = (_density(r, channel, f - 0.3, f + 0.3).mean() for f in (hz, hz - 3, other))
        assert line > 8 * beside and elsewhere < 2 * beside


@pytest.mark.parametrize("rate", [100, 200, 256])
def test_the_rate_changes_nothing_but_the_number_of_samples(rate):
    a, b = (night(12, hours=0.5, site=TWO | {"rate": r, "rates": {"Chin": 128}}) for r in (128, rate))
    assert len(b.signals[0]) == 1800 * rate and b.rates == [rate, 128]
    assert np.array_equal(a.signals[1], b.signals[1])
    f, p = welch(a.signals[0], 128, nperseg=512)
    g, q = welch(b.signals[0], rate, nperseg=4 * rate)
    assert np.allclose(p[(f > 2) & (f < 35)], q[(g > 2) & (g < 35)], rtol=0.05)
    assert (
        np.argmax(np.correlate(a.signals[0][:1280:32], b.signals[0][: 10 * rate : rate // 4], "same")) == 20
    )


def test_the_filters_cut_where_they_say():
    def power(low, high, band):
        return _density(
            night(13, hours=0.5, site=CLEAN | ONE | {"eeg_band": (low, high)}), "C4-M1", *band
        ).mean()

    wide = {band: power(0.3, 45, band) for band in ((0.25, 0.75), (5, 8), (28, 32))}
    assert power(0.3, 10, (28, 32)) < 0.05 * wide[28, 32]
    assert power(3, 45, (0.25, 0.75)) < 0.2 * wide[0.25, 0.75]
    assert power(0.5, 40, (5, 8)) == pytest.approx(wide[5, 8], rel=0.03)
    # At a corner half of the power is left.
    assert 0.4 < power(0.3, 30, (29, 31)) / power(0.3, 64, (29, 31)) < 0.6


def test_gains_spread_and_change_nothing_else():
    logs = []
    for seed in (14, 15, 16):
        even, uneven = (night(seed, hours=0.5, site={"gain_sd": sd}) for sd in (0, 0.3))
        gain = [np.dot(x, y) / np.dot(x, x) for x, y in zip(even.signals, uneven.signals, strict=True)]
        assert all(
            np.allclose(g * x, y, atol=1e-3)
            for g, x, y in zip(gain, even.signals, uneven.signals, strict=True)
        )
        logs.extend(np.log(gain))
    assert 0.2 < np.std(logs) < 0.42 and abs(np.mean(logs)) < 0.2


def test_flips_reverse_every_derivation():
    a, b = (night(17, hours=0.5, site=TWO | {"flips": share}) for share in (0, 1))
    assert all(np.array_equal(x, -y) and x.any() for x, y in zip(a.signals, b.signals, strict=True))


def test_the_heart_beats_in_what_refers_to_a_mastoid():
    site = CLEAN | {"channels": {"C3-M2": "C3 - M2", "C4-M1": "C4 - M1", "C3-C4": "C3 - C4", "Chin": "Chin"}}
    without, heart = (night(18, hours=0.5, site=site | {"ecg_uv": uv}) for uv in (0, 40))
    right, left, between, chin = (y - x for x, y in zip(without.signals, heart.signals, strict=True))
    assert np.abs(between).max() < 1e-3 < 5 < np.abs(left).max() and chin.std() > 0.5
    assert np.corrcoef(left, right)[0, 1] < -0.9, "the two sides of the neck see it with opposite signs"
    beats = find_peaks(-left, height=0.5 * -left.min(), distance=40)[0]
    assert 40 < beats.size / 30 < 85 and np.diff(beats).std() / np.diff(beats).mean() < 0.15


def test_electrodes_pop_as_often_as_the_site_says():
    site = CLEAN | {"channels": {name: name for name in ("F3", "C3", "P3", "O1")}}
    calm, popping = (night(19, hours=0.5, site=site | {"pops_per_hour": n}) for n in (0, 40))
    jumps = [np.abs(np.diff(y - x)) > 25 for x, y in zip(calm.signals, popping.signals, strict=True)]
    n = sum(find_peaks(j.astype(float), distance=13)[0].size for j in jumps)
    assert 45 < n < 115  # 4 electrodes, half an hour: 80, and a few too small or too near each other


def test_contact_is_lost_for_the_share_that_the_site_says():
    site = CLEAN | {"channels": {name: name for name in CAP}}
    kept, lost = (night(20, hours=1, site=site | {"dropouts": share}) for share in (0, 0.08))
    out = [_seconds(y - x) > 3 for x, y in zip(kept.signals, lost.signals, strict=True)]
    assert np.mean(out) == pytest.approx(0.08, rel=0.4)
    assert np.std([o.mean() for o in out]) > 0.01, "each electrode by itself"


def test_who_sweats_drifts():
    def drifts(share, seed):
        site = CLEAN | ONE | {"eeg_band": (0.05, 45), "sweat": share}
        return _seconds(_band(night(seed, hours=2, site=site).signals[0], 0.1, 0.5)).max()

    assert np.mean([drifts(1, seed) / drifts(0, seed) for seed in range(4)]) > 1.1


def test_a_site_may_have_a_chin_and_nothing_else():
    single = night(21, hours=0.5, site=CLEAN | TWO).signals[1]
    alone = night(21, hours=0.5, site=CLEAN | {"channels": {"Chin": "Chin"}}).signals[0]
    assert alone.std() == pytest.approx(single.std(), rel=0.1)


def test_two_chin_leads_are_two_signals():
    single = night(21, hours=0.5, site=CLEAN | TWO).signals[1]
    site = {"channels": {"C4-M1": "C4 - M1", "Chin1": "Chin", "Chin2": "Chin"}, "rates": {"Chin2": 64}}
    _, one, two = night(21, hours=0.5, site=CLEAN | site | {"emg_band": (10, 20)}).signals
    _, alone = night(21, hours=0.5, site=CLEAN | TWO | {"emg_band": (10, 20)}).signals
    assert single.std() > alone.std() == pytest.approx(one.std(), rel=0.05)
    assert two.size == one.size // 2 and two.std() == pytest.approx(alone.std(), rel=0.05)


# --- the mixture


def naive_mixture(stages):
    """A Gaussian of 4 s, cut at 4 sigma, over the shares of seconds; at the ends the night is mirrored."""
    n = len(stages) // 128
    share = [[np.mean(stages[128 * s : 128 * s + 128] == k) for k in range(5)] for s in range(n)]
    weight = {lag: np.exp(-0.5 * (lag / 4) ** 2) for lag in range(-16, 17)}
    blend = np.zeros((n, 5))
    for s in range(n):
        for lag, w in weight.items():
            at = s + lag
            at = -1 - at if at < 0 else 2 * n - 1 - at if at >= n else at
            blend[s] += w * np.array(share[at])
    return blend / sum(weight.values())


def test_the_mixture_equals_the_naive_one():
    rng = np.random.default_rng(0)
    stages = np.repeat(rng.integers(0, 5, 12), rng.integers(500, 3000, 12)).astype(np.int8)
    blend = mixture(stages)
    assert blend.shape == (stages.size // 128, 5) and np.allclose(blend.sum(1), 1, atol=1e-6)
    assert np.abs(blend - naive_mixture(stages)).max() < 1e-5


def test_the_mixture_at_finer_steps_agrees():
    stages = np.repeat([W, N1, N2, REM], 60 * 128).astype(np.int8)
    one, four = mixture(stages), mixture(stages, rate=4)
    assert four.shape == (4 * len(one), 5) and np.allclose(four.sum(1), 1, atol=1e-6)
    assert np.abs(four.reshape(-1, 4, 5).mean(1) - one).max() < 0.003
    wake = four[:, W]
    assert wake[239] > 0.5 > wake[240], "a transition is half done when the stage ends"
    assert (wake > 0.84).sum() / 4 == pytest.approx(60 - 4, abs=0.5) and (
        np.diff(wake[: 4 * 90]) < 1e-6
    ).all()


# --- files and errors


def test_edf_round_trip(tmp_path):
    r = night(3, age=50, sex="F", ahi=20, hours=0.5)
    write_edf(r, tmp_path / "a.edf")
    back = read(tmp_path / "a.edf")
    assert back.channels == r.channels and back.start == r.start
    assert (back.hypnogram.stages == r.hypnogram.stages).all()
    assert (back.subject.age, back.subject.sex, back.subject.ahi) == (50, "F", 20)
    assert len(back.events) == len(r.events)
    for x, y in zip(r.signals, back.signals, strict=True):
        assert np.abs(x - y).max() <= np.ptp(x) / 60000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"seed": 1, "age": 3}, "age"),
        ({"seed": 1, "sex": "X"}, "sex"),
        ({"seed": 1, "ahi": -2}, "AHI"),
        ({"seed": 1, "hours": 0.01}, "hours"),
        ({"seed": 1, "hours": "long"}, "hours"),
        ({"seed": 1, "site": {"nois": 1}}, "noise_uv"),
        ({"seed": 1, "site": {"channels": {}}}, "no channels"),
        ({"seed": 1, "site": {"channels": {"a": "XX - M1"}}}, "no electrode 'XX'"),
        ({"seed": 1, "site": {"rates": {"a": 1}}}, "rates of a"),
        ({"seed": 1, "site": {"rate": 0}}, "rate 0"),
        ({"seed": 1, "site": "nowhere"}, "mass-c3"),
        ({"seed": 1, "scorer": {"bias": 1}}, "jitter"),
        ({"seed": 1, "architecture": {"naps": 1}}, "rem_growth"),
        ({"seed": 1, "scorers": 0}, "scorers 0"),
        ({"seed": 1, "scoring": "aa"}, "aasm, rk"),
        # of the site, what only shows when signals are made
        ({"seed": 1, "hours": 0.5, "site": {"awake": (0.33, 0)}}, "awake"),
        ({"seed": 1, "hours": 0.5, "site": {"awake": (-5, 0)}}, "awake"),
        ({"seed": 1, "hours": 0.5, "site": {"awake": 5}}, "awake"),
        ({"seed": 1, "hours": 0.5, "site": {"eeg_band": (0, 45)}}, "eeg_band"),
        ({"seed": 1, "hours": 0.5, "site": {"eeg_band": (45, 0.3)}}, "eeg_band"),
        ({"seed": 1, "hours": 0.5, "site": {"channels": ["C4 - M1"]}}, "channels"),
        ({"seed": 1, "hours": 0.5, "site": {"noise_uv": "loud"}}, "noise_uv"),
        ({"seed": 1, "hours": 0.5, "site": {"dropouts": -1}}, "dropouts"),
        ({"seed": 1, "hours": 0.5, "site": "mass-c3", "scorers": "x"}, "scorers"),
    ],
)
def test_bad_arguments_get_one_clear_line(arguments, words):
    with pytest.raises(SleeplibError, match=words) as error:
        night(**arguments)
    assert "\n" not in str(error.value)


def test_the_plan_of_the_night_can_be_changed():
    early, late = (
        night(5, hours=8, signals=False, architecture={"before": before}) for before in (1.0, 60.0)
    )
    onset = [(r.truth > W).argmax() / 128 / 60 for r in (early, late)]
    assert onset[1] > onset[0] + 20
    with pytest.raises(SleeplibError, match="known: before"):
        night(5, signals=False, architecture={"bedtime": 1})
