"""The format of the store: what is written comes back, what does not fit or is damaged is refused."""

import json
import pickle

import numpy as np
import pytest

from sleeplib import preparation as preparation_of
from sleeplib import store
from sleeplib.errors import SleeplibError
from sleeplib.recording import Event, Hypnogram, Recording, Subject


def night(id="p1-a", epochs=5, rate=200.0, seed=0, stages=None, offset=0.0):
    rng = np.random.default_rng(seed)
    x = [
        (rng.normal(size=int(30 * rate * epochs)).cumsum() * 2).astype(np.float32) + offset for _ in range(3)
    ]
    stages = rng.integers(0, 5, epochs) if stages is None else stages
    return Recording(
        x, [rate] * 3, ["C4", "E1", "E2"], id=id, subject=Subject(id[:2]), hypnogram=Hypnogram(stages)
    )


def test_folders_that_are_no_store(tmp_path):
    with pytest.raises(SleeplibError, match="sleeplib prepare"):
        store.Store(tmp_path)
    for content in ("{", "[]", '{"schema": 2}'):
        (tmp_path / "index.json").write_text(content)
        with pytest.raises(SleeplibError, match="damaged index"):
            store.Store(tmp_path)
    (tmp_path / "index.json").write_text('{"schema": 1, "recordings": []}')
    with pytest.raises(SleeplibError, match=r"schema 1, this one reads 2\); run `sleeplib prepare` again"):
        store.Store(tmp_path)


ROBUST = preparation_of.Preparation(None, rate=128.0, scaling="robust")


def write(folder, id, channels, types, epochs=4, seed=0, **more):
    """A night of random signals in +-20; returns sidecar, signals and stages."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-20, 20, (len(channels), epochs * 3840)).astype(np.float32)
    stages = rng.integers(0, 5, epochs)
    return store.write_night(folder, id, x, stages, channels, types, ROBUST, **more), x, stages


@pytest.fixture
def mixed(tmp_path):
    """Three nights of two montages, the last two of one family."""
    nights = [
        write(tmp_path, "a", ["C3-M2", "E1-M2"], ["EEG", "EOG"], seed=1),
        write(tmp_path, "b", ["C3-M2", "C4-M1", "E1-M2"], ["EEG", "EEG", "EOG"], 6, seed=2, group="family"),
        write(
            tmp_path, "c", ["C3-M2", "E1-M2"], ["EEG", "EOG"], 5, seed=3,
            subject=Subject("p3", 40.0, "F"), group="family", events=[Event("arousal", 31.5, 4.0)],
            scorings=[[0, 1, 2, 3, 9], [4, 4, 4, 4, 4]], quality={"flat": ["E1-M2"]},
        ),
    ]  # fmt: skip
    excluded = {"d": "no EEG"}
    store.write_index(
        tmp_path,
        [n[0] for n in nights],
        ROBUST,
        cohort="toy",
        title="Toy",
        failures=["e: torn"],
        excluded=excluded,
    )
    return store.Store(tmp_path), nights


def test_nights_with_channels_of_their_own(mixed):
    opened, nights = mixed
    assert opened.montages == [
        [("C3-M2", "EEG"), ("E1-M2", "EOG")],
        [("C3-M2", "EEG"), ("C4-M1", "EEG"), ("E1-M2", "EOG")],
    ]
    assert opened.names(1) == ["C3-M2", "C4-M1", "E1-M2"] and opened.types(2) == ["EEG", "EOG"]
    assert opened.channels == ["C3-M2", "E1-M2", "C4-M1"], "all that occur"
    assert opened.persons.tolist() == ["a", "b", "p3"] and opened.groups.tolist() == ["a", "family", "family"]
    assert opened.lengths.tolist() == [4, 6, 5] and opened.preparation.montage is None
    assert opened.excluded == {"d": "no EEG"} and opened.epoch_size == 3840
    for i, (_, x, stages) in enumerate(nights):
        assert np.array_equal(opened.stages(i), stages) and np.array_equal(
            opened.stages(i, 1, 2), stages[1:3]
        )
        assert np.abs(opened.epochs(i).swapaxes(0, 1).reshape(x.shape) - x).max() <= 10 / 32767 + 1e-5
    assert opened.events(0) == [] and opened.events(2) == [Event("arousal", 31.5, 4.0)]
    assert opened.scorings(0).shape == (0, 4) and opened.scorings(2).tolist() == [[0, 1, 2, 3, 9], [4] * 5]
    assert opened.quality(2) == {"flat": ["E1-M2"]}


def test_scaled_signals_share_one_quantum_and_have_no_offset(mixed):
    for i in range(3):
        scale, offset = mixed[0].scale(i)
        assert (
            (scale == np.float32(20 / 32767)).all()
            and (offset == 0).all()
            and len(scale) == len(mixed[0].names(i))
        )


def test_windows_are_read_straight_from_the_file(mixed):
    opened, _ = mixed
    out = np.zeros((3, 2 * 3840), np.int16)
    opened.read(1, [2, 0, 2], 3, out)
    assert np.array_equal(out, opened.samples(1)[[2, 0, 2], 3 * 3840 : 5 * 3840])
    with pytest.raises(SleeplibError, match=r"b.npy: has 6 epochs, too few from epoch 5 on"):
        opened.read(1, [2, 2, 2], 5, out)


def test_damaged_nights_are_named_with_the_remedy(mixed):
    opened, _ = mixed
    out = np.zeros((1, 3840), np.int16)
    (opened.folder / "a.npy").unlink()
    path = opened.folder / "b.npy"
    path.write_bytes(path.read_bytes()[:-1000])
    np.save(opened.folder / "c.npy", np.zeros((2, 7), np.int16))
    for i, id in enumerate("abc"):
        for act in (lambda i=i: opened.samples(i), lambda i=i: opened.read(i, [0], 0, out)):
            with pytest.raises(
                SleeplibError, match=rf"{id}.npy: .*; delete {id}.json and run `sleeplib prepare`"
            ):
                act()
    (opened.folder / "c.json").write_text("{}")
    with pytest.raises(SleeplibError, match=r"c.json: damaged or missing \('events'\)"):
        opened.events(2)


def test_a_file_of_the_right_size_and_another_shape_is_noticed(mixed):
    opened, _ = mixed
    np.save(opened.folder / "a.npy", np.zeros((4, 2 * 3840), np.int16))
    with pytest.raises(SleeplibError, match=r"a\.npy: .*header is not what the index says"):
        opened.read(0, [0], 0, np.zeros((1, 3840), np.int16))
    with pytest.raises(SleeplibError, match=r"a\.npy: .*is not what the index says"):
        opened.samples(0)


def test_a_sidecar_speaks_of_its_own_samples_alone(mixed):
    folder, (sidecar, *_) = mixed[0].folder, mixed[1][0]
    older = {key: value for key, value in sidecar.items() if key != "probe"}
    assert store.stands(folder, sidecar) and store.stands(folder, older)
    write(folder, "a", ["C3-M2", "E1-M2"], ["EEG", "EOG"], seed=9)
    assert not store.stands(folder, sidecar) and not store.stands(folder, older)
    np.save(folder / "a.npy", np.zeros((4, 2 * 3840), np.int16))
    assert not store.stands(folder, sidecar) and not store.stands(folder, older)


def test_the_two_files_of_the_index_belong_together(mixed, tmp_path):
    folder = mixed[0].folder
    arrays = (folder / "index.npz").read_bytes()
    store.write_index(folder, [mixed[1][0][0]], ROBUST, cohort="toy", title="Toy")
    assert len(store.Store(folder)) == 1
    (folder / "index.npz").write_bytes(arrays)
    with pytest.raises(SleeplibError, match=r"index.npz: damaged index \(it does not belong"):
        store.Store(folder)
    (folder / "index.npz").unlink()
    with pytest.raises(SleeplibError, match=r"index.npz: damaged index"):
        store.Store(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": ["EEG"]}, "2 signals, 2 names, 1 types"),
        ({"types": ["EEG", "ECG"]}, "known are EEG, EOG, EMG, other"),
        ({"channels": ["A", "A"]}, "two channels of one name"),
        ({"stages": [0, 1]}, r"2 stages do not fit \[11520\] samples"),
        ({"stages": [0, 1, 7]}, r"codes \[7\]"),
        ({"scorings": [[0, 1]]}, "disagree on the number of epochs"),
        ({"x": np.full((2, 11_520), np.nan)}, r"no numbers or beyond \+-20"),
        ({"x": np.full((2, 11_520), 21.0)}, r"no numbers or beyond \+-20"),
        ({"x": np.zeros(11_520)}, "the signals are no rows of samples"),
    ],
)
def test_nights_whose_parts_do_not_fit_are_refused(tmp_path, changes, message):
    good = {"x": np.zeros((2, 11_520)), "stages": [0, 1, 2], "channels": ["A", "B"], "types": ["EEG", "EOG"]}
    with pytest.raises(SleeplibError, match=f"night: .*{message}"):
        store.write_night(tmp_path, "night", **good | changes, preparation=ROBUST)
    assert not list(tmp_path.iterdir())


def test_events_and_scorers_keep_their_place_when_the_beginning_is_cut(tmp_path):
    recording = night()
    recording.hypnogram = Hypnogram([2, 3], onset=45.0)
    recording.scorings = [Hypnogram([0, 2, 3, 4], onset=15.0), Hypnogram([3], onset=75.0)]
    recording.events = [Event("arousal", 10.0, 3.0), Event("arousal", 70.0, 3.0), Event("arousal", 95.0, 3.0)]
    preparation = preparation_of.Preparation({"EEG": "C4", "EOG": "E1 - E2", "pulse": "E2"})
    sidecar = store.add(recording, tmp_path, preparation)
    # The whole epoch from 15 s on is kept as unscored; what begins before or behind the epochs is not.
    assert sidecar["stages"] == "923" and sidecar["types"] == ["EEG", "EOG", "other"]
    assert sidecar["events"] == [["arousal", 55.0, 3.0], ["arousal", 80.0, 3.0]]
    assert sidecar["scorings"] == ["023", "993"] and sidecar["group"] == "p1"


def test_a_store_goes_to_other_processes_by_its_folder(mixed, tmp_path):
    opened, _ = mixed
    sent = pickle.dumps(opened)
    assert len(sent) < 1000
    again = pickle.loads(sent)
    assert again.ids == opened.ids and np.array_equal(again.samples(1), opened.samples(1))
    write(tmp_path, "a", ["C3-M2", "E1-M2"], ["EEG", "EOG"], seed=9)
    sidecars = [json.loads((tmp_path / f"{id}.json").read_text()) for id in "abc"]
    store.write_index(tmp_path, sidecars, ROBUST, cohort="toy", title="Toy")
    store._opened.cache_clear()
    with pytest.raises(SleeplibError, match="was prepared anew meanwhile"):
        pickle.loads(sent)
