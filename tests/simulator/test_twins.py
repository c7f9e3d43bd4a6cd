"""Twins of real archives: what is simulated is written in the archive's formats, read back, and nothing is lost."""

from dataclasses import replace

import numpy as np
import pytest

from sleeplib import cohorts
from sleeplib.cohorts.channels import Montage
from sleeplib.preparation import anysleep
from sleeplib.prepare import prepare
from sleeplib.readers.scorings import read_scorings
from sleeplib.recording import EVENTS, Header
from sleeplib.simulator import cohort as module
from sleeplib.simulator import simulate

COHORTS = [name for name in cohorts.names() if cohorts.load(name).simulation]


def short(name):
    """The manifest of a twin that can be made in seconds: little time awake, and each variant once."""
    manifest = cohorts.load(name)
    simulation = dict(manifest.simulation)
    if any(simulation["site"].get("awake", ())):
        simulation["site"] = simulation["site"] | {"awake": [2, 1]}
    simulation["persons"] = max(len(simulation.get("variants", [])), 2)
    return replace(manifest, simulation=simulation | {"hours": 0.5})


def sources(manifest, out):
    """What was simulated for each recording, before it was written."""
    settings = module._read(vars(manifest), {})
    return {
        entry.id: module.simulated(manifest, settings, i, nth)[0]
        for entry, i, nth in module.nights(manifest, settings, out)
    }


@pytest.fixture(scope="module", params=COHORTS)
def twin(request, tmp_path_factory):
    """A twin's manifest and the folder of its files."""
    manifest, folder = short(request.param), tmp_path_factory.mktemp(request.param)
    simulate(manifest, folder, progress=False)
    return manifest, folder


def test_a_twin_comes_back_whole(twin):
    manifest, folder = twin
    entries, made = cohorts.recordings(manifest, folder), sources(manifest, folder)
    assert {entry.id for entry in entries} == set(made)
    for entry in entries:
        source, read = made[entry.id], cohorts.read(manifest, entry)
        same_stages(source, read)
        same_events(source.events, read.events)
        same_signals(manifest, source, read)
        assert entry.subject.id == source.subject.id
        if manifest.subjects:
            assert (entry.subject.age, entry.subject.sex) == (source.subject.age, source.subject.sex)


def same_stages(source, read):
    n = len(source.hypnogram)
    assert np.array_equal(read.hypnogram.stages[:n], source.hypnogram.stages)
    assert (read.hypnogram.stages[n:] == 9).all(), "archives fill up with unscored time"
    assert read.hypnogram.epoch_seconds == source.hypnogram.epoch_seconds
    assert read.hypnogram.onset == pytest.approx(source.hypnogram.onset, abs=1e-6)
    assert len(read.scorings) == len(source.scorings)
    for ours, theirs in zip(read.scorings, source.scorings, strict=True):
        assert np.array_equal(ours.stages, theirs.stages)


def same_events(source, read):
    source = sorted(source, key=lambda e: (e.onset, e.duration, e.kind))
    assert [e.kind for e in read] == [e.kind for e in source] and {e.kind for e in read} <= set(EVENTS)
    for ours, theirs in zip(read, source, strict=True):
        assert abs(ours.onset - theirs.onset) < 1 / 128 and abs(ours.duration - theirs.duration) < 1 / 128


def same_signals(manifest, source, read):
    lengths = [len(x) for x in source.signals]
    montage = Montage(manifest.channels, Header(source.channels, source.rates, source.units, lengths))
    expected = montage.every(("EEG", "EOG", "EMG"))
    assert read.channels == [d.name for d in expected] and read.channels
    for derivation, x in zip(expected, read.signals, strict=True):
        y = sum(w * source.signals[source.channels.index(label)] for label, w in derivation.terms.items())
        assert len(x) == len(y) and np.corrcoef(x, y)[0, 1] > 0.999


def test_a_twin_is_prepared_like_its_archive_for_both_networks(twin, tmp_path):
    manifest, folder = twin
    roles, failures = prepare(manifest, folder, tmp_path / "roles", progress=False)
    assert not failures and roles.simulated and roles.channels == list(manifest.montage)
    assert "imulated" in roles.title and roles.rate == 100
    settings = {key: getattr(anysleep(), key) for key in ("montage", "rate", "scaling")}
    every, failures = prepare(manifest, folder, tmp_path / "every", progress=False, **settings)
    assert not failures and len(every) == len(roles) and every.epoch_size == 3840
    for i in range(len(every)):
        eeg, eog = (every.types(i).count(kind) for kind in ("EEG", "EOG"))
        assert eeg >= 2 and eeg + eog == len(every.names(i))
        # Some files of CHAT hold derived EEG and bare eyes, from which no EOG can be formed.
        assert eog >= 1 or manifest.name == "chat"
        assert np.isfinite(every.epochs(i)).all() and np.abs(every.epochs(i)).max() <= 20


def test_events_of_a_prepared_twin_move_with_the_first_epoch(tmp_path):
    manifest = short("mass-c3")
    manifest = replace(manifest, simulation=manifest.simulation | {"hours": 1.5, "persons": 1})
    simulate(manifest, tmp_path / "files", progress=False)
    prepared, _ = prepare(manifest, tmp_path / "files", tmp_path / "store", progress=False)
    (source,) = sources(manifest, tmp_path / "files").values()
    onset = source.hypnogram.onset
    assert 1 <= onset <= 29 and source.events
    assert [e.onset for e in prepared.events(0)] == pytest.approx(
        [e.onset - onset for e in source.events if e.onset >= onset], abs=1e-2
    )


def test_the_manifest_knows_the_dialects_of_its_site():
    seeds = [cohorts.load(name).simulation["seed"] for name in COHORTS]
    assert len(set(seeds)) == len(COHORTS)
    assert cohorts.load("dodh").simulation["ahi"]["share_osa"] == 0
    assert cohorts.load("dodo").simulation["ahi"]["share_osa"] == 1


def test_five_scorers_and_their_majority(tmp_path):
    manifest = replace(short("dodo"), simulation=short("dodo").simulation | {"persons": 1, "hours": 1})
    simulate(manifest, tmp_path, progress=False)
    (entry,) = cohorts.recordings(manifest, tmp_path)
    recording = cohorts.read(manifest, entry)
    readings, majority = np.stack([s.stages for s in recording.scorings]), recording.hypnogram.stages
    assert readings.shape == (5, 120) and len({row.tobytes() for row in readings}) > 1
    votes = np.stack([(readings == stage).sum(axis=0) for stage in range(5)])
    assert (votes[majority, np.arange(120)] == votes.max(axis=0)).all()
    longer = read_scorings(tmp_path / "scorers/dodo" / entry.signals.name)
    assert all(len(s) > 120 for s in longer), "the lists of the scorers are longer than the signals"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"variants": [{"colour": 1}]}, "variants: unknown setting colour"),
        ({"onset": [1]}, "onset"),
        ({"stage4": 2}, "stage4"),
        ({"short": 0.5}, "short"),
        ({"colour": 1}, "unknown setting colour"),
    ],
)
def test_wrong_settings_of_a_twin_get_one_clear_line(wrong, words, tmp_path):
    manifest = short("svuh")
    with pytest.raises(module.SleeplibError, match=words):
        simulate(replace(manifest, simulation=manifest.simulation | wrong), tmp_path, progress=False)
