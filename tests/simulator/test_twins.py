"""Twins of real archives: what is simulated is written in the archive's formats, read back, and nothing is lost."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from sleeplib import cohorts
from sleeplib.montages import Montage
from sleeplib.preparation import ANYSLEEP
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


def test_profusions_file_tells_the_same_as_nsrrs(twin, tmp_path):
    manifest, folder = twin
    if manifest.hypnogram["format"] != "nsrr":
        pytest.skip("not of NSRR")
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*-nsrr.xml"))
    first, second = (cohorts.recordings(manifest, where) for where in (folder, tmp_path / "copy"))
    n_events = 0
    for ours, theirs in zip(first, second, strict=True):
        assert ours.scoring[0].name.replace("-nsrr", "-profusion") == theirs.scoring[0].name
        assert len(theirs.scoring) == 1
        source, read = cohorts.read(manifest, ours), cohorts.read(manifest, theirs)
        same_stages(source, read)
        same_events(source.events, read.events)
        n_events += len(source.events)
    assert n_events


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
    every, failures = prepare(manifest, folder, tmp_path / "every", progress=False, **ANYSLEEP)
    # A network that reads on through the night cannot have epochs of 20 s (SS2, SS4 and SS5 of MASS).
    assert all("epochs of 20 s" in failure for failure in failures)
    assert len(failures) == (3 if manifest.name == "mass" else 0)
    assert len(every) == len(roles) - len(failures) and every.epoch_size == 3840
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


def quick(name, persons, **changes):
    """The manifest of a twin whose nights hold one EEG channel and no others."""
    manifest = cohorts.load(name)
    site = {"channels": {"EEG": "C4 - M1"}, "rate": 100}
    changes = {"hours": 0.5, "nights": 1, "persons": persons, "site": site, "others": {}, **changes}
    return replace(manifest, simulation=manifest.simulation | {"variants": []} | changes)


def test_recordings_that_the_manifest_excludes_are_not_made(tmp_path):
    manifest = replace(quick("hpap", 3), exclude={"1600002": "as 1600052 is"})
    made = simulate(manifest, tmp_path, progress=False)
    assert [e.id for e in cohorts.recordings(manifest, tmp_path)] == ["1600001", "1600003"]
    assert len(made) == 2 and not list(tmp_path.rglob("*1600002*"))


@pytest.mark.parametrize(
    ("name", "persons", "id"), [("hpap", 52, "1600052"), ("chat", 51, "baseline-300051")]
)
def test_excluded_ids_are_no_nights(name, persons, id, tmp_path):
    manifest = cohorts.load(name)
    settings = module._read(vars(manifest), {"persons": persons})
    without, every = (
        [entry.id for entry, _, _ in module.nights(m, settings, tmp_path)]
        for m in (manifest, replace(manifest, exclude={}))
    )
    assert set(every) - set(without) == {id} and len(every) == persons * settings.nights


@pytest.mark.parametrize("name", COHORTS)
def test_more_persons_than_the_file_names_hold_are_refused_before_anything_is_made(name, tmp_path):
    manifest = cohorts.load(name)
    settings = module._read(vars(manifest), {"persons": 999})
    if not name.startswith("sedf-"):
        module._check_names(manifest, settings, tmp_path)
        return
    module._check_names(manifest, replace(settings, persons=99), tmp_path)
    with pytest.raises(
        module.SleeplibError, match=f"no file name of {name} .*; its file names hold 99 persons at most"
    ):
        simulate(manifest, tmp_path / "out", persons=100, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_simulated_cohort(tmp_path):
    first, second = quick("abc", 1), quick("svuh", 1)
    simulate(first, tmp_path, progress=False)
    signals = next(tmp_path.rglob("*.edf"))
    before = signals.stat().st_mtime_ns
    with pytest.raises(module.SleeplibError, match=r"holds the simulated cohort abc; .* for svuh") as error:
        simulate(second, tmp_path, progress=False)
    assert str(tmp_path) in str(error.value)
    simulate(first, tmp_path, progress=False)
    assert signals.stat().st_mtime_ns == before, "nothing was made anew"


@pytest.mark.parametrize("suffix", ["-nsrr.xml", "-profusion.xml"])
def test_a_night_of_nsrr_is_made_again_if_one_of_its_scorings_is_cut_short(suffix, tmp_path):
    manifest = quick("abc", 1)
    simulate(manifest, tmp_path, progress=False)
    (path,) = tmp_path.rglob(f"*{suffix}")
    whole = path.read_bytes()
    for cut in (whole[:-20], None):
        path.unlink() if cut is None else path.write_bytes(cut)
        simulate(manifest, tmp_path, progress=False)
        assert path.read_bytes() == whole


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
