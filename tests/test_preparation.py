"""From recordings to a store: the round trip, what is kept and what is refused."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from sleeplib import cohorts, signals, store
from sleeplib import preparation as preparation_of
from sleeplib import prepare as module
from sleeplib.errors import SleeplibError
from sleeplib.prepare import prepare, survey
from sleeplib.readers.edf import write_edf
from sleeplib.recording import Event, Hypnogram
from sleeplib.sampling import Nights
from tests.test_store import night

MANIFEST = cohorts.Manifest(
    name="toy",
    title="Toy",
    files={
        "fields": {"person": r"p\d+", "night": "[ab]"},
        "signals": "{person}-{night}.edf",
        "id": "{person}-{night}",
    },
    montage={"EEG": "C4", "EOG": "E1 - E2"},
    hypnogram={"format": "edf"},
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "files").mkdir()
    for i, id in enumerate(("p1-a", "p1-b", "p2-a")):
        write_edf(night(id, seed=i), tmp_path / "files" / f"{id}.edf")
    return tmp_path


def test_what_is_stored_is_what_was_prepared(root):
    prepared, failures = prepare(MANIFEST, root / "files", root / "store", progress=False)
    assert failures == [] and prepared.ids == ["p1-a", "p1-b", "p2-a"]
    assert prepared.persons.tolist() == ["p1", "p1", "p2"] and prepared.channels == ["EEG", "EOG"]
    original = night("p1-b", seed=1)
    expected = signals.resample(original.signals[1] - original.signals[2], 200, 100)
    stored = prepared.epochs(1)[:, 1].ravel()
    quantum = np.ptp(expected) / 30_000
    assert stored.shape == (15_000,) and np.abs(stored - expected).max() < 4 * quantum
    assert prepared.stages(1).tolist() == original.hypnogram.stages.tolist()
    assert prepared.images(1).shape == (5, 2, 29, 129)
    assert prepared.samples(1).dtype == np.int16 and isinstance(prepared.samples(1), np.memmap)


def test_nights_in_memory_are_those_of_the_store_end_to_end(root):
    prepared, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    nights = Nights.from_store(prepared, [2, 0])
    assert nights.lengths == [5, 5] and nights.inputs.shape == (10, 2, 29, 129)
    assert np.array_equal(nights.inputs[5:], prepared.images(0))
    assert nights.labels.tolist() == [*prepared.stages(2), *prepared.stages(0)]


def test_same_nights_same_digest_whatever_the_number_of_jobs(root):
    one, _ = prepare(MANIFEST, root / "files", root / "one", jobs=1, progress=False)
    two, _ = prepare(MANIFEST, root / "files", root / "two", jobs=2, progress=False)
    assert one.digest == two.digest
    assert (root / "one/p1-a.npy").read_bytes() == (root / "two/p1-a.npy").read_bytes()


def test_finished_nights_are_kept_and_changed_ones_prepared_again(root):
    prepare(MANIFEST, root / "files", root / "store", progress=False)
    times = {p.name: p.stat().st_mtime_ns for p in (root / "store").glob("*.npy")}
    (root / "store/p2-a.json").unlink()  # as if interrupted before its sidecar
    write_edf(night("p1-a", seed=7), root / "files/p1-a.edf")
    prepare(MANIFEST, root / "files", root / "store", progress=False)
    changed = {p.name for p in (root / "store").glob("*.npy") if p.stat().st_mtime_ns != times[p.name]}
    assert changed == {"p1-a.npy", "p2-a.npy"}
    prepare(MANIFEST, root / "files", root / "store", progress=False, rate=50.0)
    assert store.Store(root / "store").rate == 50


def test_a_bad_night_is_listed_and_the_rest_completes(root):
    raw = (root / "files/p1-b.edf").read_bytes()
    (root / "files/p1-b.edf").write_bytes(raw[: len(raw) // 2])
    write_edf(night("p2-a", stages=np.zeros(9, int)), root / "files/p2-a.edf")
    prepared, failures = prepare(MANIFEST, root / "files", root / "store", progress=False)
    assert prepared.ids == ["p1-a"] and len(failures) == 2
    assert "p1-b.edf" in failures[0] and "truncated" in failures[0]
    assert "p2-a.edf" in failures[1] and "9 scored epochs from 0 s do not fit 150 s" in failures[1]
    assert json.loads((root / "store/index.json").read_text())["failures"] == failures
    assert not list((root / "store").glob("*.part"))


def test_unscored_epochs_behind_the_end_do_no_harm():
    recording = night(stages=[0, 1, 2, 9, 3, 9, 9, 9, 9])
    rows, _, stages = preparation_of.night(recording, preparation_of.Preparation({"EEG": "C4"}))
    assert stages.tolist() == [0, 1, 2, 9, 3] and [len(row) for row in rows] == [15_000]


def test_a_wrong_channel_stops_with_the_names_that_are_there(root):
    wrong = cohorts.Manifest(**asdict(MANIFEST) | {"montage": {"EEG": "O1"}})
    with pytest.raises(
        SleeplibError, match=r"none of the 3 recordings .* no channel 'O1' for EEG; it has C4, E1, E2"
    ):
        prepare(wrong, root / "files", root / "store", progress=False)
    assert not (root / "store/index.json").exists()


def test_stages_that_do_not_fit_the_signal_are_refused():
    preparation = preparation_of.Preparation({"EEG": "C4"})
    recording = night(stages=np.zeros(8, int))
    with pytest.raises(SleeplibError, match="8 scored epochs from 0 s do not fit 150 s"):
        preparation_of.night(recording, preparation)
    recording.hypnogram = None
    with pytest.raises(SleeplibError, match="no sleep stages"):
        preparation_of.night(recording, preparation)
    recording.hypnogram = Hypnogram([0, 1], epoch_seconds=25)
    with pytest.raises(SleeplibError, match="epochs of 25 s; those of this cohort have 30 s"):
        preparation_of.night(recording, preparation)
    recording.hypnogram = Hypnogram([0, 1, 2], epoch_seconds=20)
    with pytest.raises(SleeplibError, match="epochs of 20 s; those of this cohort have 30 s"):
        preparation_of.night(recording, preparation_of.Preparation({"EEG": "C4"}, widen=False))


def test_a_hypnogram_somewhat_longer_than_the_signals_is_cut():
    preparation, samples = preparation_of.Preparation({"EEG": "C4"}), 960 * 3000
    for longer, fits in ((1, True), (31, True), (33, False)):
        hypnogram = Hypnogram(np.ones(960 + longer, int))
        if fits:
            assert len(preparation_of.place(hypnogram, samples, preparation)[1]) == 960
        else:
            with pytest.raises(SleeplibError, match="993 scored epochs from 0 s do not fit"):
                preparation_of.place(hypnogram, samples, preparation)


def test_what_lies_before_the_first_stage_is_kept_in_whole_unscored_epochs():
    preparation = preparation_of.Preparation({"EEG": "C4"})
    recording = night()
    recording.hypnogram = Hypnogram([2, 3], onset=45.0)
    (row,), starts, stages = preparation_of.night(recording, preparation)
    x = preparation_of.prepared_signals(recording, preparation)[0]
    assert np.array_equal(row, x[1500:10_500])
    assert stages.tolist() == [9, 2, 3] and starts.tolist() == [1500, 4500, 7500]


def test_the_scale_is_that_of_the_scored_part_without_gaps():
    preparation = preparation_of.Preparation({"EEG": "C4"}, scaling="robust")
    rng = np.random.default_rng(0)
    x = (20 * rng.standard_normal(30_000)).astype(np.float32)
    expected = preparation_of.epochs(x, np.arange(0, 30_000, 3000), preparation)
    loud = np.r_[1000 * x[:15_000], x]
    assert np.allclose(preparation_of.epochs(loud, np.arange(15_000, 45_000, 3000), preparation), expected)
    holes = np.r_[x[:15_000], np.zeros(12_000, np.float32), x[15_000:]]
    with_gap = preparation_of.epochs(holes, np.arange(0, 42_000, 3000), preparation, [(150.0, 120.0)])
    assert np.allclose(with_gap[:15_000], expected[:15_000]) and np.allclose(
        with_gap[27_000:], expected[15_000:]
    )


def test_robust_scaling_and_offsets(tmp_path):
    preparation = preparation_of.Preparation({"EEG": "C4"}, scaling="robust")
    x = preparation_of.prepared_signals(night(offset=1e4), preparation)
    assert np.abs(x).max() <= 20 and np.median(x) == pytest.approx(0, abs=1e-4)
    with pytest.raises(SleeplibError, match="choose none or robust or robust-authors"):
        preparation_of.prepared_signals(night(), preparation_of.Preparation({"EEG": "C4"}, scaling="zscore"))
    store.add(night(offset=1e4), tmp_path, preparation_of.Preparation({"EEG": "C4"}))
    sidecar = json.loads((tmp_path / "p1-a.json").read_text())
    assert sidecar["offset"][0] > 5e3, "an offset must not eat the 16 bits"


def test_nights_of_an_older_version_are_prepared_again(root):
    prepare(MANIFEST, root / "files", root / "store", progress=False)
    path = root / "store/p1-a.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1}))
    prepare(MANIFEST, root / "files", root / "store", progress=False)
    assert json.loads(path.read_text())["schema"] == store.SCHEMA


def test_real_nights(shared, tmp_path):
    manifest = cohorts.load("sleep-edf-npz")
    prepared, failures = prepare(manifest, shared / "data/sleep-edf-20-5s", tmp_path, progress=False)
    assert failures == [] and len(prepared) == 20 and len(set(prepared.persons)) == 10
    with np.load(shared / "data/sleep-edf-20-5s/SC4032E0.npz") as night:
        i = prepared.ids.index("SC4032E0")
        assert np.array_equal(prepared.stages(i), night["y"])
        assert np.abs(prepared.epochs(i)[:, 0] - night["x"][:, :, 0]).max() < 0.05  # uV
    assert prepared.recordings[0]["subject"] == {"id": "SC400", "age": 33.0, "sex": "F", "ahi": None}


def test_epochs_of_any_length_where_the_manifest_leaves_it_to_the_files(tmp_path):
    for i in range(2):
        x = np.random.default_rng(i).normal(size=(6, 3000, 1)).astype(np.float32)
        np.savez(tmp_path / f"SC40{i}1E0.npz", x=x, y=np.arange(6) % 5, fs=100, ch_label="EEG Pz-Oz")
    manifest = cohorts.load("sleep-edf-npz")
    prepared, _ = prepare(
        manifest, tmp_path, tmp_path / "store", progress=False, montage={"EEG": "EEG Pz-Oz"}
    )
    assert prepared.epoch_seconds == 30 and prepared.images(0).shape == (6, 1, 29, 129)
    np.savez(
        tmp_path / "SC4021E0.npz", x=np.zeros((6, 500, 1)), y=np.zeros(6, int), fs=100, ch_label="EEG Pz-Oz"
    )
    _, failures = prepare(
        manifest, tmp_path, tmp_path / "store", progress=False, montage={"EEG": "EEG Pz-Oz"}
    )
    assert len(failures) == 1 and "epochs of 5 s; those of this cohort have 30 s" in failures[0]


def test_standardised_images_through_the_store(root):
    decibels, _ = prepare(MANIFEST, root / "files", root / "dB", progress=False)
    standard, _ = prepare(MANIFEST, root / "files", root / "standard", progress=False, images="standardised")
    assert decibels.preparation.images == "dB" and standard.preparation.images == "standardised"
    assert store.Store(root / "standard").preparation == standard.preparation, "the index keeps it"
    assert np.array_equal(decibels.samples(0), standard.samples(0)), "the samples are the same"
    image = decibels.images(0)
    assert np.array_equal(image, signals.log_power_image(decibels.epochs(0)))
    assert np.array_equal(standard.images(0), signals.standardise(image))
    assert np.abs(standard.images(1).mean(axis=(0, 2))).max() < 1e-3
    assert np.abs(standard.images(1).std(axis=(0, 2)) - 1).max() < 1e-3
    nights = Nights.from_store(standard, [1])
    assert np.array_equal(nights.inputs, standard.images(1))


def test_an_index_from_before_standardised_images_means_decibels(root):
    prepared, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    index = json.loads((root / "store/index.json").read_text())
    del index["preparation"]["images"]
    (root / "store/index.json").write_text(json.dumps(index))
    old = store.Store(root / "store")
    assert old.preparation == prepared.preparation
    assert np.array_equal(old.images(0), prepared.images(0))


def test_unknown_images_are_refused_before_anything_is_prepared(root):
    with pytest.raises(SleeplibError, match="'power' is not known; choose dB or standardised") as error:
        preparation_of.log_power_images(
            np.zeros((1, 1, 3000)), preparation_of.Preparation({"EEG": "C4"}, images="power")
        )
    assert "\n" not in str(error.value)
    with pytest.raises(SleeplibError, match="'power' is not known; choose dB or standardised"):
        prepare(MANIFEST, root / "files", root / "store", progress=False, images="power")
    assert not (root / "store/index.json").exists()


def test_epochs_of_20_s_are_widened_to_30_and_the_outer_ones_dropped():
    """SeqSleepNet, section V-A: 5 s before and behind; windows overlap by 10 s."""
    preparation = preparation_of.Preparation({"EEG": "C4"})
    hypnogram = Hypnogram([0, 1, 9, 3, 4], epoch_seconds=20, onset=7.0)
    starts, stages = preparation_of.place(hypnogram, 12_000, preparation)
    assert stages.tolist() == [1, 9, 3]
    assert starts.tolist() == [100 * (7 + 20 * k - 5) for k in (1, 2, 3)]
    x = np.arange(12_000.0)[None]
    cut = preparation_of.epochs(x[0], starts, preparation)
    assert cut.shape == (9000,)
    assert cut[3000:3003].tolist() == [4200, 4201, 4202] and cut[2999] == 2200 + 2999
    events = [Event("arousal", onset, 3.0) for onset in (10.0, 27.0, 46.5, 70.0, 90.0)]
    moved = preparation_of.move(events, starts, preparation, 20)
    assert [e.onset for e in moved] == [5.0, 24.5, 60 + 8.0], "each with the epoch that it begins in"


@pytest.mark.parametrize("seconds", [30.002, 29.99])
def test_epochs_of_a_clock_that_is_a_little_off_begin_where_the_scorers_do(seconds):
    preparation = preparation_of.Preparation({"EEG": "C4"})
    hypnogram = Hypnogram(np.arange(1000) % 5, epoch_seconds=seconds, onset=70.0)
    starts, stages = preparation_of.place(hypnogram, 3_100_000, preparation)
    assert stages[:4].tolist() == [9, 9, 0, 1] and len(stages) == 1002
    true = 70 + seconds * np.arange(-2, 1000)
    assert np.abs(starts / 100 - true).max() <= 0.005 + 1e-9 and starts[0] >= 0
    late = Event("arousal", 70 + 999.5 * seconds, 3.0)
    (moved,) = preparation_of.move([late], starts, preparation, seconds)
    assert moved.onset == pytest.approx(1001 * 30 + seconds / 2, abs=0.01)
    with pytest.raises(SleeplibError, match=r"epochs of 30.05 s; those of this cohort have 30 s"):
        preparation_of.place(Hypnogram([0, 1], epoch_seconds=30.05), 9000, preparation)


@pytest.mark.parametrize(
    ("own", "wanted"), [(30.002, 30), (20.001, 30), (20, 30), (5, 5), (30, 30), (25.2, 25.2)]
)
def test_the_epochs_of_a_store_have_no_clock_that_is_off(own, wanted, monkeypatch):
    scored = SimpleNamespace(hypnogram=Hypnogram([0, 1], epoch_seconds=own))
    monkeypatch.setattr(module.nights, "header_of", lambda entry: None)
    monkeypatch.setattr(module.nights, "score", lambda *_: scored)
    assert module._seconds(MANIFEST, [None]) == wanted


def test_widened_epochs_of_a_clock_that_is_a_little_off():
    hypnogram = Hypnogram(np.zeros(1002, int), epoch_seconds=20.002)
    starts, _ = preparation_of.place(hypnogram, 2_100_000, preparation_of.Preparation({"EEG": "C4"}))
    assert np.abs(starts / 100 - (20.002 * np.arange(1, 1001) - 5)).max() <= 0.005 + 1e-9


def test_another_scorers_stages_are_found_by_time():
    preparation = preparation_of.Preparation({"EEG": "C4"})
    starts = np.array([1000, 4000, 7000, 10_000])
    other = Hypnogram([1, 2, 3], onset=40.0)
    assert preparation_of.stages_at(other, starts, preparation).tolist() == [9, 1, 2, 3]
    short = Hypnogram([1, 2, 4], epoch_seconds=20, onset=0.0)
    assert preparation_of.stages_at(short, starts - 500, preparation).tolist() == [2, 4, 9, 9]


def test_a_last_epoch_that_the_recording_cuts_off_is_dropped():
    preparation = preparation_of.Preparation({"EEG": "C4"})
    starts, stages = preparation_of.place(Hypnogram([0, 1, 2]), 8999, preparation)
    assert stages.tolist() == [0, 1] and starts.tolist() == [0, 3000]
    with pytest.raises(SleeplibError, match=r"3 scored epochs from 0 s do not fit 59\.99 s"):
        preparation_of.place(Hypnogram([0, 1, 2]), 5999, preparation)
    with pytest.raises(SleeplibError, match="0 scored epochs"):
        preparation_of.place(Hypnogram([9, 9]), 9000, preparation)


def test_epochs_in_a_gap_are_unscored():
    recording = night(stages=[0, 1, 2, 3, 4])
    recording.gaps = [(59.0, 2.0), (150.0, 1.0)]
    preparation = preparation_of.Preparation({"EEG": "C4"})
    assert preparation_of.night(recording, preparation)[2].tolist() == [0, 9, 9, 3, 4]


def test_the_order_of_scaling_and_clipping_matters_with_an_offset_only():
    rng = np.random.default_rng(0)
    x = (20 * rng.standard_normal(20_000)).astype(np.float32)
    x[::1000] = 3000.0
    how = {
        name: preparation_of.Preparation({"EEG": "C4"}, rate=128, scaling=name)
        for name in ("robust", "robust-authors")
    }
    paper, authors = (preparation_of.scaled(x, how[name]) for name in how)
    assert np.abs(paper).max() == pytest.approx(20) and np.abs(paper - authors).max() < 0.1
    paper, authors = (preparation_of.scaled(x + 1e4, how[name]) for name in how)
    assert paper.std() > 0.5 and np.ptp(authors) == 0, "the authors' clip about zero flattens it"


def test_the_filters_of_the_authors_program():
    t = np.arange(0, 60, 1 / 256)
    tones = {hz: np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (5, 20, 50, 60, 90)}
    left = {
        kind: [signals.seqsleepnet_filter(x, 256, kind)[2560:-2560].std() / x.std() for x in tones.values()]
        for kind in ("EEG", "EMG")
    }
    assert left["EEG"][0] == pytest.approx(1, abs=0.03) and left["EEG"][1] == pytest.approx(1, abs=0.03)
    assert max(left["EEG"][2:]) < 0.05
    assert left["EMG"][1] == pytest.approx(1, abs=0.06) and left["EMG"][4] == pytest.approx(1, abs=0.03)
    # 100 taps at 256 Hz make shallow notches; what matters is that they are the program's.
    assert left["EMG"][2] < 0.7 and left["EMG"][3] < 0.7


def test_scorers_and_events_go_with_the_night(tmp_path):
    recording = night(stages=[0, 1, 2, 3, 4])
    recording.hypnogram = Hypnogram([1, 2, 3], onset=45.0)
    recording.scorings = [Hypnogram([1, 2, 3], onset=45.0), Hypnogram([1, 1, 9], onset=45.0)]
    recording.events = [Event("arousal", 50.0, 4.0), Event("arousal", 10.0, 4.0)]
    preparation = preparation_of.Preparation({"EEG": "C4"})
    sidecar = store.add(recording, tmp_path, preparation)
    store.write_index(tmp_path, [sidecar], preparation, cohort="toy", title="Toy", notes=["short"])
    opened = store.Store(tmp_path)
    assert opened.stages(0).tolist() == [9, 1, 2, 3] and opened.notes == ["short"]
    assert opened.scorings(0).tolist() == [[9, 1, 2, 3], [9, 1, 1, 9]]
    assert opened.events(0) == [Event("arousal", 35.0, 4.0)], "the other began before the first epoch"


def test_a_changed_manifest_prepares_again(root):
    one, other = (
        cohorts.Manifest(
            **asdict(MANIFEST) | {"montage": {"EEG": "X"}, "channels": {"labels": {"X": [label]}}}
        )
        for label in ("C4", "E2")
    )
    prepare(one, root / "files", root / "store", progress=False)
    before = (root / "store/p1-a.npy").stat().st_mtime_ns
    prepare(one, root / "files", root / "store", progress=False)
    assert (root / "store/p1-a.npy").stat().st_mtime_ns == before
    old = (root / "store/p1-a.npy").read_bytes()
    prepare(other, root / "files", root / "store", progress=False)
    assert (root / "store/p1-a.npy").stat().st_mtime_ns > before and (
        root / "store/p1-a.npy"
    ).read_bytes() != old


def test_a_damaged_night_of_the_store_is_made_again(root):
    whole, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    path, digest = root / "store/p1-b.npy", whole.digest
    path.write_bytes(path.read_bytes()[:-100])
    again, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    assert again.digest == digest and again.samples(1).shape == (2, 15_000)


def test_an_interrupted_change_of_settings_leaves_no_index_that_lies(root, monkeypatch):
    prepare(MANIFEST, root / "files", root / "store", progress=False)
    monkeypatch.setattr(module.store, "write_index", lambda *a, **k: pytest.fail("interrupted"))
    with pytest.raises(pytest.fail.Exception):
        prepare(MANIFEST, root / "files", root / "store", progress=False, scaling="robust")
    with pytest.raises(SleeplibError, match=r"no index\.json"):
        store.Store(root / "store")


def test_a_night_killed_before_its_sidecar_is_not_taken_for_the_old_one(root, monkeypatch):
    whole, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    write_json = store._write_json

    def killed(path, content):
        if path.name == "p1-b.json":
            raise KeyboardInterrupt
        write_json(path, content)

    monkeypatch.setattr(store, "_write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(MANIFEST, root / "files", root / "store", progress=False, montage={"EEG": "E1", "EOG": "E2"})
    assert not (root / "store/p1-b.json").exists()
    monkeypatch.undo()
    again, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    assert again.digest == whole.digest
    assert np.array_equal(
        again.samples(1), prepare(MANIFEST, root / "files", root / "new", progress=False)[0].samples(1)
    )


def test_samples_that_are_not_those_of_the_sidecar_are_made_again(root):
    whole, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    folder, expected = root / "store", (root / "store/p1-a.npy").read_bytes()
    for older in (False, True):
        if older:  # a store of before there were probes
            for path in folder.glob("p*.json"):
                content = json.loads(path.read_text())
                del content["probe"]
                path.write_text(json.dumps(content))
        (folder / "p1-a.npy").write_bytes((folder / "p2-a.npy").read_bytes())
        times = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npy")}
        assert prepare(MANIFEST, root / "files", folder, progress=False)[0].digest == whole.digest
        assert (folder / "p1-a.npy").read_bytes() == expected
        changed = {p.name for p in folder.glob("*.npy") if p.stat().st_mtime_ns != times[p.name]}
        assert changed == {"p1-a.npy"}, "the others are kept"


def test_a_store_gives_way_only_where_it_may(root):
    whole, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    for changes, told in (
        ({"rate": 50.0}, r"prepared with rate 100.0, and 50.0 is asked for; name another folder .* --force"),
        ({"montage": {"EEG": "E1"}}, "prepared with montage .*C4.*, and {'EEG': 'E1'} is asked for"),
        (
            {"limit": 1},
            "2 of its nights would go, which are not among these 1: p1-b, p2-a; name another folder",
        ),
    ):
        with pytest.raises(SleeplibError, match=told):
            prepare(MANIFEST, root / "files", root / "store", progress=False, replace=False, **changes)
        assert store.Store(root / "store").digest == whole.digest
    again, _ = prepare(MANIFEST, root / "files", root / "store", progress=False, replace=False)
    assert again.digest == whole.digest
    fewer, _ = prepare(MANIFEST, root / "files", root / "store", progress=False, limit=1)
    assert fewer.ids == ["p1-a"]
    more, _ = prepare(MANIFEST, root / "files", root / "store", progress=False, replace=False)
    assert more.digest == whole.digest


def test_a_preparation_of_which_nothing_comes_leaves_the_store(root):
    whole, _ = prepare(MANIFEST, root / "files", root / "store", progress=False)
    with pytest.raises(SleeplibError, match="no channel 'O1' for EEG"):
        prepare(MANIFEST, root / "files", root / "store", progress=False, montage={"EEG": "O1"})
    assert store.Store(root / "store").digest == whole.digest


def test_a_store_of_another_cohort_is_left_alone(root):
    prepare(MANIFEST, root / "files", root / "store", progress=False)
    other = cohorts.Manifest(**asdict(MANIFEST) | {"name": "other"})
    with pytest.raises(SleeplibError, match="is the store of the cohort 'toy'; name another folder"):
        prepare(other, root / "files", root / "store", progress=False)
    assert store.Store(root / "store").cohort == "toy"


def test_a_bug_in_one_night_does_not_cost_the_others(root, monkeypatch):
    inspect, calls = module.quality.inspect, []

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError("of ours")
        return inspect(*arguments)

    monkeypatch.setattr(module.quality, "inspect", broken)
    prepared, failures = prepare(MANIFEST, root / "files", root / "store", progress=False)
    assert prepared.ids == ["p1-b", "p2-a"]
    assert len(failures) == 1 and "p1-a.edf: unexpected ZeroDivisionError: of ours" in failures[0]
    assert failures[0] in (root / "store/quality.tsv").read_text()


def test_the_report_names_what_is_wrong(root):
    recording = night("p1-a", seed=3)
    recording.signals[0][:] = 0
    recording.signals[1] = recording.signals[1] * 1e-6  # volts that claim to be microvolts
    recording.signals[2] = np.clip(recording.signals[2], -5, 5)
    write_edf(recording, root / "files/p1-a.edf")
    prepared, failures = prepare(
        MANIFEST,
        root / "files",
        root / "store",
        progress=False,
        montage={"EEG": "C4", "EOG": "E1", "EOG2": "E2"},
    )
    notes = " | ".join(prepared.quality(0)["notes"])
    assert not failures and prepared.quality(1)["notes"] == []
    for name, fault in (("EEG", "flat 100%"), ("EOG", "wrong unit?"), ("EOG2", "clipped")):
        assert fault in notes.partition(f"{name}: ")[2].partition(" | ")[0], notes
    table = (root / "store/quality.tsv").read_text().splitlines()
    assert table[0].split("\t")[:3] == ["recording", "person", "channel"] and len(table) == 1 + 3 * 3
    assert "flat 100%" in table[1]


def test_a_look_at_the_headers_says_what_would_be_prepared(root):
    (root / "files/p2-a.edf").write_bytes(b"no EDF")
    seen = survey(MANIFEST, root / "files", MANIFEST.montage, progress=False)
    assert [(one.id, one.person, bool(one.problem)) for one in seen] == [
        ("p1-a", "p1", False), ("p1-b", "p1", False), ("p2-a", "p2", True)
    ]  # fmt: skip
    assert seen[0].channels == ("EEG", "EOG") and seen[0].hours == pytest.approx(150 / 3600)
    assert "p2-a.edf: truncated" in seen[2].problem


def test_ray_prepares_the_same_bytes_as_loky(root):
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    one, _ = prepare(MANIFEST, root / "files", root / "loky", jobs=2, progress=False)
    other, _ = prepare(MANIFEST, root / "files", root / "ray", jobs=2, backend="ray", progress=False)
    assert one.digest == other.digest
    for path in sorted((root / "loky").iterdir()):
        assert path.read_bytes() == (root / "ray" / path.name).read_bytes(), path.name


def test_an_unknown_backend_is_refused(root):
    with pytest.raises(SleeplibError, match="backend 'dask' is not known; choose loky, threading, ray"):
        prepare(MANIFEST, root / "files", root / "store", backend="dask", progress=False)
