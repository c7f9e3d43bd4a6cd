"""A night in, a staged night out: the same numbers from a file, a recording or MNE; damage told, nothing invented."""

import random
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import torch

import sleeplib
from sleeplib import inference, models, readers, staging
from sleeplib.analysis import arousals
from sleeplib.errors import SleeplibError
from sleeplib.models import published, weights
from sleeplib.preparation import ANYSLEEP, Preparation, prepared_signals
from sleeplib.readers.edf import write_edf, write_edf_annotations
from sleeplib.recording import Event, Recording, Subject
from sleeplib.staged import Staged
from sleeplib.stages import UNSCORED, W
from sleeplib.staging import networks, sources
from tests.models.test_published_weights import QUICK, server  # noqa: F401
from tests.readers.fuzz import mutated

NAMES = ["EEG F3-M2", "C3-M2", "EOG1-M2", "ECG", "Chin"]
SMALL = {"depth": 4, "complexity": 0.2}
START = datetime(2001, 2, 3, 23, 50)


def network(name="anysleep", **settings):
    """A small network of random weights that says something else at each channel and epoch."""
    torch.manual_seed(1)
    made = models.build(name, **SMALL | settings).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2)
    return made


NETWORK = network()


def recording(minutes=10.0, names=NAMES, rate=128.0, **changes):
    """Noise whose colour and loudness change every minute."""
    rng, n = np.random.default_rng(0), round(60 * rate * minutes)
    rows = []
    for _ in names:
        loud = np.repeat(rng.uniform(0.3, 3, round(np.ceil(minutes))), round(60 * rate))[:n]
        x = loud * np.convolve(rng.normal(0, 20, n), np.ones(9) / 3, "same")
        rows.append(x.astype(np.float32))
    return replace(Recording(rows, [rate] * len(names), list(names), "night-1", start=START), **changes)


@pytest.fixture(scope="module")
def edf(tmp_path_factory):
    path = tmp_path_factory.mktemp("nights") / "night-1.edf"
    write_edf(recording(), path)
    return path


def shown(r, names):
    return prepared_signals(r, Preparation(**ANYSLEEP | {"montage": {name: name for name in names}}))


def test_the_posteriors_are_those_of_the_network():
    r = recording()
    found = staging.stage(r, NETWORK, 3.75)
    x = shown(r, NAMES[:3])
    assert np.abs(found.posteriors - inference.night_posteriors(NETWORK, x).numpy()).max() < 1e-5
    assert np.abs(found.fine - inference.night_posteriors(NETWORK, x, None, 8).numpy()).max() < 1e-5
    assert found.channels == NAMES[:3] and list(found.left_out) == ["ECG", "Chin"]
    assert "heart" in found.left_out["ECG"] and "muscle" in found.left_out["Chin"]
    assert (found.id, found.start, found.onset, found.per_epoch) == ("night-1", START, 0.0, 8)
    assert found.unscored is None and found.arousals is None and found.network["name"] == "AnySleep"
    assert staging.stage(r, NETWORK).fine is None


def naive_attention(net, x, window):
    """Mean weights (K, C): each map is cut where the window begins and ends."""
    with torch.inference_mode():
        maps = net.maps(torch.from_numpy(x)[None])
    rows = []
    for first in range(0, x.shape[1], window):
        weights = []
        for fusion, each in zip(net.fusions, maps, strict=True):
            a, b = (round(s * each.shape[-1] / x.shape[1]) for s in (first, min(first + window, x.shape[1])))
            weights.append(fusion.weights(each[..., a:b])[0])
        rows.append(torch.stack(weights).mean(0))
    return torch.stack(rows).detach().numpy()


def test_attention_is_that_of_each_window():
    x = shown(recording(minutes=45), NAMES[:3])
    window = 35 * 3840
    _, found = networks.posteriors(NETWORK, x, ["EEG"] * 3, [1], window)
    assert found.shape == (3, 3) and np.allclose(found.sum(1), 1)
    assert np.abs(found - naive_attention(NETWORK, x, window)).max() < 1e-4
    assert np.ptp(found, axis=0).max() > 1e-4, "windows differ"


@pytest.mark.parametrize("name", ["anysleep", "anysleep-early", "anysleep-late"])
def test_attention_of_one_window_is_that_of_the_night(name):
    net, x = network(name), shown(recording(), NAMES[:3])
    at, found = networks.posteriors(net, x, ["EEG"] * 3, [1, 8], x.shape[1])
    assert found.shape == (1, 3)
    assert np.abs(found[0] - inference.attention(net, x).mean(0).numpy()).max() < 1e-5
    assert np.abs(at[8] - inference.night_posteriors(net, x, None, 8).numpy()).max() < 1e-5


def test_usleep_votes_and_has_no_attention():
    r = recording()
    found = staging.stage(r, network("usleep"))
    expected = inference.night_posteriors(network("usleep"), shown(r, NAMES[:3]), ["EEG", "EEG", "EOG"])
    assert np.abs(found.posteriors - expected.numpy()).max() < 1e-5 and found.attention is None
    with pytest.raises(SleeplibError, match="takes an EEG and an EOG channel"):
        staging.stage(r, network("usleep"), channels=NAMES[:2])


PAPER = ["C4-M1", "E1-M2", "E2-M2", "Chin1-Chin2", "ECG"]


def of_sequences():
    net = models.build("e2e-arnn", filters=8, hidden=8).eval()
    net.preparation = Preparation(inference.PAPER_MONTAGE)
    return net


def test_a_network_of_sequences_takes_its_own_montage():
    net, r = of_sequences(), recording(names=PAPER)
    found = staging.stage(r, net, start=60)
    cut = sources.part(r, r.channels, 60)
    assert np.array_equal(found.posteriors, inference.stage(cut, net)) and found.onset == 60
    assert found.channels == ["C4-M1", "E1-M2 - E2-M2", "Chin1-Chin2"] and list(found.left_out) == ["ECG"]
    named = staging.stage(r, net, channels=["C4-M1", "E1-M2 - E2-M2", "Chin1-Chin2"])
    assert named.channels == found.channels
    for options, told in (
        ({"resolution": 15}, "gives stages of 30 s"),
        ({"channels": ["C4-M1"]}, "takes 3 channels: EEG, EOG, EMG"),
    ):
        with pytest.raises(SleeplibError, match=told):
            staging.stage(r, net, **options)
    net.preparation = replace(net.preparation, epoch_seconds=5.0)
    with pytest.raises(SleeplibError, match="stages epochs of 5 s; take a network of epochs of 30 s"):
        staging.stage(r, net)


def test_a_network_of_sequences_tells_what_is_wrong_with_its_channels():
    net, eyes = of_sequences(), "E1-M2 - E2-M2"
    r = recording(names=PAPER)
    r.signals[3] *= 1e-6
    r.signals[0][: len(r.signals[0]) // 5] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        night = staging.stage(r, net)
    assert night.faults == {"C4-M1": ["flat 20%"], "Chin1-Chin2": [night.faults["Chin1-Chin2"][0]]}
    assert "wrong unit?" in night.faults["Chin1-Chin2"][0]
    r.signals[2] = r.signals[1]
    told = f"night-1: {eyes} is flat in 100% of the night, and this network can leave no channel out: do not trust"
    with pytest.warns(staging.StagingWarning, match=told):
        assert staging.stage(r, net).faults[eyes] == ["flat 100%"]
    for x in r.signals:
        x[:] = 0
    with pytest.warns(
        staging.StagingWarning, match="flat in 100% of the night in every channel .* do not trust"
    ) as all_flat:
        assert list(staging.stage(r, net).faults) == ["C4-M1", eyes, "Chin1-Chin2"]
    assert len(all_flat) == 1 and all_flat[0].filename == __file__
    gap = recording(names=PAPER, gaps=[(0.0, 240.0)])
    for x in gap.signals:
        x[: 240 * 128] = 0
    assert staging.stage(gap, net).faults == {}, "a gap is not a flat channel"


def test_a_network_of_sequences_says_how_to_name_its_channels():
    r = recording(names=["Fpz-Cz", "EOG", "Chin"])
    told = r"no channel 'C4-M1' for EEG; it has Fpz-Cz, EOG, Chin; .* in this order: --channels EEG,EOG,EMG$"
    with pytest.raises(SleeplibError, match=told):
        staging.stage(r, of_sequences())
    assert staging.stage(r, of_sequences(), channels=r.channels).channels == r.channels


def test_an_npz_needs_no_stages_and_tells_of_short_epochs(tmp_path):
    x = np.random.default_rng(0).normal(0, 20, (12, 3000, 1))
    np.savez(tmp_path / "long.npz", x=x, fs=100.0)
    np.savez(tmp_path / "short.npz", x=x.reshape(72, 500, 1), fs=100.0, y=np.zeros(72))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long = staging.stage(tmp_path / "long.npz", NETWORK)
    told = r"short\.npz: its epochs of 5 s were laid end to end .* give a file of whole epochs of 30 s"
    with pytest.warns(staging.StagingWarning, match=told) as caught:
        short = staging.stage(tmp_path / "short.npz", NETWORK)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert np.array_equal(short.posteriors, long.posteriors)


def test_why_no_channel_can_be_shown_is_told(tmp_path):
    r = recording(2, ["C3-M2", "EOG1-M2", "F3-M2", "ECG"])
    for i, step in ((0, 4), (1, 8), (2, 64)):
        r.signals[i], r.rates[i] = r.signals[i][::step], 128 / step
    told = (
        r"no EEG or EOG among its channels can be shown: C3-M2 \(32 Hz; EEG needs at least 40\), EOG1-M2 \(16 Hz; "
        r"EOG needs at least 20\), F3-M2 \(named like EEG, but 2 Hz is a trend\); name them by --channels"
    )
    with pytest.raises(SleeplibError, match=told):
        staging.stage(r, NETWORK)
    with pytest.raises(SleeplibError, match=r"EEG 4 \(12 Hz; .*\) and 3 more; name"):
        staging.stage(recording(1, [f"EEG {i}" for i in range(8)], 12.0), NETWORK)
    header = sources.opened(recording(1, ["C3", "M2", "C4-M1", "M1"])).header
    with pytest.raises(SleeplibError, match=r"C3 \(marked as bad\), C4-M1 \(marked as bad\); name"):
        staging.channels.choose(header, bad=frozenset({"C3", "C4-M1"}))
    (left,) = staging.channels.choose(header, bad=frozenset({"M2", "C4-M1"}))
    assert left.labels == ("C3", "M1"), "the other ear"
    why = staging.channels.left_out(header, [left], bad=frozenset({"M2", "C4-M1"}))
    assert why == {"M2": "marked as bad", "C4-M1": "marked as bad"}
    write_edf_annotations(tmp_path / "n.edf", [Event("Sleep stage W", 0, 30)], START)
    with pytest.raises(SleeplibError, match=r"n\.edf: holds annotations and no signals; name the file of"):
        staging.stage(tmp_path / "n.edf", NETWORK)


def test_channels_that_are_named_though_too_slow_are_told():
    r = recording(2, PAPER, 32.0)
    with pytest.warns(
        staging.StagingWarning, match="C4-M1 has 32 Hz, and EEG needs at least 40: do not"
    ) as caught:
        assert staging.stage(r, NETWORK, channels=["C4-M1", "E1-M2"]).channels == ["C4-M1", "E1-M2"]
    assert len(caught) == 1 and caught[0].filename == __file__, "20 Hz are enough for eyes"
    with pytest.warns(staging.StagingWarning, match="C4-M1 has 32 Hz") as caught:
        staging.stage(r, of_sequences())
    assert len(caught) == 1 and caught[0].filename == __file__


def test_a_file_a_recording_and_mne_are_one_night(edf):
    mne = pytest.importorskip("mne")
    own = staging.stage(edf, NETWORK, 3.75, arousals=True)
    assert np.abs(own.posteriors - staging.stage(recording(), NETWORK).posteriors).max() < 0.02  # 16 bits
    raw = mne.io.read_raw_edf(edf, verbose="error")
    theirs = staging.stage(raw, NETWORK, 3.75, arousals=True)
    assert np.abs(own.fine - theirs.fine).max() < 1e-3 and theirs.channels == own.channels
    assert (theirs.id, theirs.start) == (own.id, own.start) and np.allclose(
        own.spectrum, theirs.spectrum, atol=0.01
    )
    raw.info["bads"] = ["C3-M2"]
    cropped = staging.stage(raw.copy().crop(120), NETWORK)
    assert cropped.start == START.replace(minute=52) and len(cropped.posteriors) == 16
    assert cropped.channels == ["EEG F3-M2", "EOG1-M2"] and cropped.left_out["C3-M2"] == "marked as bad"
    raw.set_annotations(mne.Annotations([60], [20], ["BAD_ACQ_SKIP"]))
    assert np.flatnonzero(staging.stage(raw.copy().crop(30), NETWORK).unscored).tolist() == [1]


def test_annotations_go_back_into_mne(edf):
    mne = pytest.importorskip("mne")
    night = staging.stage(edf, NETWORK, start=60)
    raw = mne.io.read_raw_edf(edf, verbose="error").set_annotations(night.annotations())
    first, marks = night.hypnogram.stages, raw.annotations
    assert np.isclose(marks.onset[0], 60) and np.isclose(marks.duration.sum(), 30 * len(first))
    texts = ("Sleep stage W", "Sleep stage N1", "Sleep stage N2", "Sleep stage N3", "Sleep stage R")
    for onset, duration, text in zip(marks.onset, marks.duration, marks.description, strict=True):
        inside = first[round((onset - 60) / 30) : round((onset - 60 + duration) / 30)]
        assert {texts[code] for code in inside} == {text}
    marked = replace(night, arousals=np.array([[5.0, 9.5]])).annotations()
    i = list(marked.description).index("EEG arousal")
    assert (marked.onset[i], marked.duration[i]) == (65, 4.5)


def test_possible_resolutions_are_named():
    for seconds, per_epoch in ((30, 1), (15, 2), (3.75, 8), (1, 30), (30 / 128, 128), (1 / 128, 3840)):
        assert staging.stages_per_epoch(seconds) == per_epoch
    for seconds, told in (
        (4, r"4 s do not fill 30 s .* take 5 or 3\.75 s"),
        (60, "take 30 s"),
        (0, "take 0.0078125 s"),
        (-1, "take 0.0078125 s"),
        (1e-6, "take 0.0078125 s"),
    ):
        with pytest.raises(SleeplibError, match=told):
            staging.stages_per_epoch(seconds)
    with pytest.raises(SleeplibError):
        staging.stages_per_epoch(float("nan"))


def test_arousals_are_told_from_short_stages():
    r = recording()
    coarse, fine = (staging.stage(r, NETWORK, seconds, arousals=True) for seconds in (30, 3.75))
    assert coarse.fine is None and coarse.arousal_seconds == fine.arousal_seconds == 3.75
    assert np.array_equal(coarse.arousals, fine.arousals)
    assert np.array_equal(fine.arousals, arousals.detect(fine.fine_hypnogram.stages, 8))
    assert staging.stage(r, NETWORK, 1, arousals=True).arousal_seconds == 1
    p = np.full((160, 5), 0.05)
    p[:, 2] = 0.8
    p[[40, 41, 102, 103]] = [0.8, 0.05, 0.05, 0.05, 0.05]
    unscored = np.zeros(20, bool)
    assert len(staging._arousals(p, 8, unscored)) == 2
    unscored[13] = True  # right behind the second, whose end nobody saw
    assert staging._arousals(p, 8, unscored)[:, 0].tolist() == [150.0]


def test_a_part_of_the_night_by_seconds_and_by_the_clock():
    r = recording()
    cut = staging.stage(sources.part(r, r.channels, 120, 360), NETWORK)
    for start, end in ((120, 360), ("23:52", "23:56"), ("23:52:00", 360.0), ("120", "23:56:00")):
        night = staging.stage(r, NETWORK, start=start, end=end)
        assert (
            np.allclose(night.posteriors, cut.posteriors)
            and night.onset == 120
            and len(night.posteriors) == 8
        )
    header = sources.opened(replace(r, start=START.replace(minute=55))).header
    assert sources.span(header, "23:58", "00:03") == (180, 480)
    assert sources.span(header, None, "00:05") == (0, 600)
    late = sources.opened(replace(r, start=None)).header
    for start, end, told in (
        ("21:00", None, "start 21:00 does not lie within its 600 s from 23:55:00 on; give seconds or HH:MM"),
        (None, 900, "end 900 does not lie"),
        (-3, None, "start -3 does not lie"),
        ("24:10", None, "start 24:10 does not"),
        ("midnight", None, "start midnight does not"),
        (300, 200, "cannot be staged from 300 s to 200 s"),
        (590, None, "10 s are less than an epoch"),
        ("nan", None, "start nan does not"),
    ):
        with pytest.raises(SleeplibError, match=told):
            sources.span(header, start, end)
    with pytest.raises(SleeplibError, match=r"no clock time of its start, .* give seconds"):
        sources.span(late, "23:10")


def test_gaps_have_no_stage():
    r = recording(gaps=[(95.0, 40.0)])
    for x in r.signals:
        x[95 * 128 : 135 * 128] = 0
    night = staging.stage(r, NETWORK, 3.75, arousals=True, start=30)
    assert np.flatnonzero(night.unscored).tolist() == [2, 3]  # 90 to 150 s
    assert (night.hypnogram.stages == UNSCORED).sum() == 2 and night.hypnogram.scored.sum() == 17
    assert (night.fine_hypnogram.stages == UNSCORED).sum() == 16
    assert np.allclose(night.posteriors[2:4], 0.2) and np.isnan(night.spectrum[2:4]).all()
    assert night.faults == {}, "a gap is not a flat channel"
    assert "Sleep stage ?" in night.annotations().description
    with pytest.raises(SleeplibError, match="gaps, more than signal"):
        staging.stage(replace(r, gaps=[(0.0, 400.0)]), NETWORK)
    with pytest.raises(SleeplibError, match="touch all of its 20 epochs; none can be staged"):
        staging.stage(replace(r, gaps=[(30.0 * i + 5, 2.0) for i in range(20)]), NETWORK)


def test_channels_that_tell_nothing_are_left_out():
    r = recording()
    r.signals[1] = np.full_like(r.signals[1], 3)
    night = staging.stage(r, NETWORK)
    assert night.channels == ["EEG F3-M2", "EOG1-M2"] and night.attention.shape[1] == 2
    assert night.left_out["C3-M2"] == "flat in 100% of the night" and night.faults["C3-M2"] == ["flat 100%"]
    assert night.spectrum_channel == "EEG F3-M2"
    r.signals[0] = r.signals[0][: 128 * 400]
    assert staging.stage(r, NETWORK).left_out["EEG F3-M2"] == "ends 200 s before the others"
    r = recording()
    for x in r.signals:
        x[:] = 0
    with pytest.warns(
        staging.StagingWarning, match="flat in 100% of the night in every channel .* do not trust"
    ):
        night = staging.stage(r, NETWORK)
    assert len(night.channels) == 3 and np.isfinite(night.posteriors).all() and night.spectrum is None


def test_samples_that_are_no_numbers_do_not_spread():
    r = recording()
    r.signals[0][1000:1200] = np.nan
    r.signals[1][5] = np.inf
    r.signals[2][:] *= 1e30
    night = staging.stage(r, NETWORK)
    assert np.isfinite(night.posteriors).all() and "not a number 0.3%" in night.faults["EEG F3-M2"]
    with pytest.raises(SleeplibError, match="posteriors are not finite"):
        broken = network()
        next(broken.parameters()).data[:] = np.nan
        staging.stage(recording(), broken)


def test_channels_are_named_as_the_user_likes():
    r = recording(names=["C3", "C4", "M1", "M2", "LOC", "Chin"])
    assert staging.stage(r, NETWORK).channels == ["C3-M2", "C4-M1", "E1-M2"]
    for named, expected in (
        (["c3", "Chin"], ["C3", "Chin"]),
        (["C3 - M2"], ["C3 - M2"]),
        (["c3-m2", "C3-M2"], ["C3-M2"]),
    ):
        night = staging.stage(r, NETWORK, channels=named)
        assert night.channels == expected and "not among" in night.left_out["C4"]
    a, b = (staging.stage(r, NETWORK, channels=[name]) for name in ("C3 - M2", "C3-M2"))
    assert np.array_equal(a.posteriors, b.posteriors)
    for wrong, told in (
        (["Cz"], "no channel 'Cz'; it has C3, C4, M1, M2, LOC, Chin"),
        (["C3 - Cz"], "no channel 'C3 - Cz'"),
    ):
        with pytest.raises(SleeplibError, match=told):
            staging.stage(r, NETWORK, channels=wrong)
    r.rates[3], r.signals[3] = 64.0, r.signals[3][::2]
    with pytest.raises(SleeplibError, match="different rates: C3 128 Hz and M2 64 Hz"):
        staging.stage(r, NETWORK, channels=["C3 - M2"])
    with pytest.raises(SleeplibError, match=r"no EEG or EOG among its channels \(ECG\); name them"):
        staging.stage(recording(names=["ECG"]), NETWORK)
    many = recording(1, ["C3-M2", *(f"EOG {i}" for i in range(12))])
    assert len(staging.stage(many, NETWORK).channels) <= 9


def test_the_spectrum_is_in_microvolts():
    """White noise has the power 2 sd^2 / rate at each frequency; the median of exponential values is ln 2 of it."""
    rng, r = np.random.default_rng(0), recording()
    r.signals[1] = rng.normal(0, 10, len(r.signals[1])).astype(np.float32)
    t = np.arange(len(r.signals[1])) / 128
    night = staging.stage(r, NETWORK)
    assert night.spectrum_channel == "C3-M2" and night.hertz[20] == 10 and night.spectrum.shape == (20, 129)
    assert abs(night.spectrum[:, 10:100].mean() - 10 * np.log10(np.log(2) * 2 * 100 / 128)) < 0.3
    r.signals[1] = (50 * np.sin(2 * np.pi * 12 * t)).astype(np.float32)
    assert (staging.stage(r, NETWORK).spectrum.argmax(1) == 24).all()
    slow = recording(rate=50.0)
    assert staging.stage(slow, NETWORK).hertz[-1] == 25


def test_one_epoch_is_a_night_and_files_are_read_in_groups(monkeypatch, edf):
    assert len(staging.stage(recording(0.5), NETWORK).posteriors) == 1
    whole = staging.stage(edf, NETWORK)
    monkeypatch.setattr(staging.channels, "_AT_ONCE", 1)
    assert np.array_equal(staging.stage(edf, NETWORK).posteriors, whole.posteriors)
    monkeypatch.setattr(staging.channels, "_MOST_SAMPLES", 1000)
    with pytest.raises(SleeplibError, match="over 1,000 samples; export it at 256 Hz"):
        staging.stage(edf, NETWORK)


@pytest.fixture
def shelf(server, tmp_path, monkeypatch):  # noqa: F811
    """A data folder of its own, and a server of small published weights, which answers at once."""
    monkeypatch.setenv("SLEEPLIB_DATA", str(tmp_path / "data"))
    fetch = published.fetch
    monkeypatch.setattr(
        published, "fetch", lambda names, out, **_: fetch(names, out, base_url=server.url, **QUICK)
    )
    return server


def test_published_weights_are_fetched_once(shelf, tmp_path):
    path, told = staging.find_weights()
    assert path == tmp_path / "data/weights/anysleep-run1.safetensors" and path.is_file() and not told
    night = staging.stage(recording(), resolution=15)
    assert staging.find_weights("anysleep-run1") == (path, "") and len(shelf.log) == 1
    about = night.network
    assert (about["name"], about["simulated"], about["licence"]) == ("anysleep-run1", False, "MIT")
    assert about["title"] == "AnySleep, with the weights that its authors published"
    assert about["sha256"] == weights.load(path).card["sha256"]
    assert staging.stage(recording(), "usleep-run1").network["name"] == "usleep-run1"


def test_without_a_network_the_demonstration_stages_and_says_so(shelf, monkeypatch, tmp_path):
    shelf.acts["/anysleep-run1.pth"] = ["404"] * 9
    with pytest.warns(
        staging.StagingWarning, match="are not here .* has seen simulated nights only"
    ) as caught:
        night = staging.stage(recording(2))
    assert len(caught) == 1 and night.network["simulated"] and night.network["name"] == "anysleep-0"
    assert "simulated nights only" in night.network["title"]
    with pytest.raises(SleeplibError, match="`sleeplib weights fetch anysleep-run1` brings them"):
        staging.find_weights("anysleep-run1")
    monkeypatch.setattr(networks, "committed_folder", lambda: tmp_path / "installed/records")
    with pytest.raises(SleeplibError, match="are not here"):
        staging.find_weights()


def test_weights_by_name_and_path(tmp_path):
    path = weights.save(
        NETWORK, "anysleep", tmp_path / "mine/anysleep", Preparation(**ANYSLEEP), simulated=True
    )
    for name in (path, str(path), path.with_suffix(""), path.with_suffix(".json"), tmp_path / "mine"):
        assert staging.find_weights(name) == (path, "")
    assert networks.load(path).about["name"] == "mine" and networks.load(path).about["simulated"]
    assert staging.find_weights("any/anysleep-0")[0].name == "anysleep.safetensors"
    for wrong, told in (("nosuch", "no weights 'nosuch'"), (tmp_path, "no weights"), ("", "no weights ''")):
        with pytest.raises(SleeplibError, match=told):
            staging.find_weights(wrong)
    with pytest.raises(SleeplibError, match="device 'abacus' cannot be used"):
        staging.stage(recording(), NETWORK, device="abacus")


LIGHT = """
import sys
import sleeplib
assert not {"numpy", "torch"} & set(sys.modules) and "stage" in dir(sleeplib)
assert sleeplib.Hypnogram([0, 2, 2]).stages.tolist() == [0, 2, 2] and "torch" not in sys.modules
try:
    sleeplib.nosuch
except AttributeError:
    print("light")
"""


def test_the_package_is_light_and_its_three_names_are_there():
    told = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert told.stdout == "light\n", told.stderr
    assert sleeplib.stage is staging.stage and sleeplib.Recording is Recording


def test_a_hypnogram_draws_itself():
    from matplotlib import pyplot as plt

    night = sleeplib.stage(recording(), NETWORK)
    ax = plt.subplots()[1]
    assert night.hypnogram.plot(ax=ax) is ax
    drawn = ax.patches[0].get_data().values
    level = {0: 4, 4: 3, 1: 2, 2: 1, 3: 0}
    assert [level[code] for code in night.hypnogram.stages] == drawn.tolist()
    assert night.hypnogram.plot(start=START, colour="red").get_xlabel() == "clock time"
    plt.close("all")


def test_what_a_staged_night_refuses():
    p = np.full((3, 5), 0.2)
    with pytest.raises(SleeplibError, match="mask"):
        Staged("x", p, {"name": "n"}, unscored=np.zeros(2, bool))
    night = Staged("x", p, {"name": "n"}, unscored=np.array([False, True, False]))
    assert night.hypnogram.stages.tolist() == [W, UNSCORED, W]


def small_edf(path, discontinuous=False):
    night = recording(1.5, ["C3-M2", "EOG1-M2", "ECG"], rate=64.0)
    write_edf(night, path)
    if discontinuous:
        raw = path.read_bytes().replace(b"EDF+C", b"EDF+D", 1)
        path.write_bytes(raw)
    return path


@pytest.mark.parametrize("discontinuous", [False, True])
def test_damaged_files_are_staged_or_refused_in_one_line(tmp_path, discontinuous):
    """No other error, no warning of libraries, no long wait, nothing that is not finite."""
    path = small_edf(tmp_path / "n.edf", discontinuous)
    raw, net = path.read_bytes(), network(depth=2, complexity=0.05)
    outcomes = {"staged": 0, "refused": 0}
    for i in range(150):
        changed = bytearray(raw)
        head = mutated(raw[:1280], random.Random(f"{discontinuous} {i}"))
        path.write_bytes(head + raw[1280:] if i % 2 else mutated(bytes(changed), random.Random(i)))
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", staging.StagingWarning)
            try:
                night = staging.stage(path, net, 3.75, arousals=True)
            except SleeplibError as error:
                assert "\n" not in str(error) and len(str(error)) < 1000
                outcomes["refused"] += 1
            else:
                assert np.isfinite(night.fine).all() and np.allclose(night.posteriors.sum(1), 1, atol=1e-4)
                outcomes["staged"] += 1
        assert time.perf_counter() - began < 5
    assert min(outcomes.values()) > 20


def test_the_age_is_that_of_the_file_or_as_given(tmp_path):
    r = recording(2, subject=Subject("P7", 44.5, "F"))
    assert staging.stage(r, NETWORK).subject.age == 44.5
    assert staging.stage(r, NETWORK, age=60).subject == Subject("P7", 60.0, "F")
    assert staging.stage(recording(2), NETWORK, age=0).subject == Subject("night-1", 0.0)
    for age in (-1, 131, float("nan")):
        with pytest.raises(SleeplibError, match=r"an age of .* years; expected 0 to 130"):
            staging.stage(r, NETWORK, age=age)


def test_annotations_that_cannot_be_read_cost_no_night(edf, tmp_path):
    raw = edf.read_bytes().replace(b"+0\x14\x14" + bytes(4), b"+0\x14\x14\0\x15no", 1)
    (tmp_path / "night-1.edf").write_bytes(raw)
    with pytest.raises(SleeplibError, match=r"annotation .* cannot be read"):
        readers.read(tmp_path / "night-1.edf")
    with pytest.warns(
        staging.StagingWarning, match=r"annotation .*\(staged without its annotations\)"
    ) as told:
        found = staging.stage(tmp_path / "night-1.edf", NETWORK)
    assert len(told) == 1
    assert np.array_equal(found.posteriors, staging.stage(edf, NETWORK).posteriors)


def test_over_a_day_the_line_says_what_to_type():
    header = replace(sources.opened(recording(1)).header, samples=[128 * 180_000] * len(NAMES))
    with pytest.raises(SleeplibError) as error:
        sources.span(header)
    assert str(error.value) == (
        "night-1: 50.0 h are over a day; stage each day by itself: --start 0 --end 86400 --out day-1, then "
        "--start 86400 --end 172800 --out day-2"
    )
    assert sources.span(header, "86400", "172800") == (86400, 172800)
    with pytest.raises(
        SleeplibError, match="--start 100 --end 86500 --out day-1, then --start 86500 --end 86600"
    ):
        sources.span(header, 100, 86600)


def test_a_night_in_half_the_bits():
    net, r = network(), recording()
    full, half = (staging.stage(r, net, bfloat16=rough) for rough in (False, True))
    assert (full.posteriors.argmax(1) == half.posteriors.argmax(1)).mean() > 0.8
    assert 0 < np.abs(full.posteriors - half.posteriors).max() < 0.2
    assert next(net.parameters()).dtype == torch.float32
    with pytest.raises(SleeplibError, match="does not stage in bfloat16"):
        staging.load(models.build("seqsleepnet"), bfloat16=True)


def test_an_empty_list_of_channels_is_refused():
    with pytest.raises(SleeplibError, match="channels names none; leave it away"):
        staging.stage(recording(1, ["C3-M2"]), NETWORK, channels=[])
