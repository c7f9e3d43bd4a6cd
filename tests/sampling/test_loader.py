"""What the loader hands out: the right samples, in order, whatever the number of workers; and full recordings."""

import shutil
import threading
from itertools import islice

import numpy as np
import pytest
import torch

from sleeplib.errors import SleeplibError
from sleeplib.sampling import Loader, Recordings, Windows
from sleeplib.store import Store


@pytest.fixture(scope="module")
def windows(cohorts):
    return Windows(cohorts, batch_size=16, seed=2)


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("sleeplib-loader")]


def equal(a, b):
    return all(
        torch.equal(getattr(a, key), getattr(b, key)) for key in ("samples", "scale", "offset", "labels")
    )


def test_signals_and_labels_are_those_of_the_store(cohorts, windows):
    for batch in Loader(windows)(steps=8):
        where, n = batch.where, batch.where.channels.shape[1]
        assert batch.samples.shape == (16, n, 35 * 60) and batch.samples.dtype == torch.int16
        assert batch.scale.shape == batch.offset.shape == (16, n, 1) and batch.labels.dtype == torch.int64
        signals = batch.signals()
        assert signals.dtype == torch.float32
        for b, (d, i, first) in enumerate(zip(where.store, where.recording, where.first, strict=True)):
            epochs = cohorts[d].epochs(i)[first : first + 35, where.channels[b]]
            assert np.array_equal(signals[b], epochs.swapaxes(0, 1).reshape(n, -1))
            assert batch.labels[b].tolist() == cohorts[d].stages(i)[first : first + 35].tolist()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_do_not_depend_on_the_number_of_workers(windows, workers):
    alone = [batch.clone() for batch in Loader(windows, 1, 1)(steps=12)]
    assert [batch.step for batch in alone] == list(range(12))
    for batch, expected in zip(Loader(windows, workers)(steps=12), alone, strict=True):
        assert batch.step == expected.step and equal(batch, expected)


def test_a_resumed_run_sees_what_it_would_have_seen(windows):
    loader = Loader(windows)
    whole = [batch.clone() for batch in loader(steps=9)]
    assert all(equal(*pair) for pair in zip(loader(4, steps=5), whole[4:], strict=True))


def test_processes_share_a_batch(windows):
    whole = [batch.clone() for batch in Loader(windows)(steps=4)]
    parts = [[batch.clone() for batch in Loader(windows, part=(r, 3))(steps=4)] for r in range(3)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for r, share in enumerate(shares):
            assert torch.equal(share.samples, batch.samples[r::3]) and torch.equal(
                share.labels, batch.labels[r::3]
            )
            assert (
                np.array_equal(share.where.channels, batch.where.channels[r::3]) and share.step == batch.step
            )


def test_a_batch_is_good_until_the_next_and_a_clone_for_ever(windows):
    batches = Loader(windows, 1, 1)()
    first = next(batches)
    kept, copy = first.samples, first.clone()
    before = kept.clone()
    list(islice(batches, 3))
    assert torch.equal(copy.samples, before) and not torch.equal(kept, before)
    batches.close()


def test_memory_is_not_read_into_before_the_gpu_has_fetched_it(windows):
    class Event:
        waited = 0

        def synchronize(self):
            self.waited += 1

    event, batches = Event(), Loader(windows, 1, 1)()
    next(batches)._buffer.copied = event
    next(batches)
    next(batches)
    batches.close()
    assert event.waited == 1


def test_threads_end_with_the_iterator(windows):
    batches = Loader(windows, 3)()
    next(batches)
    assert threads()
    batches.close()
    assert not threads()
    assert len(list(Loader(windows)(steps=2))) == 2 and not threads()
    assert list(Loader(windows)(steps=0)) == []


def test_a_damaged_file_is_named_where_the_batches_are_used(cohorts, tmp_path):
    shutil.copytree(cohorts[2].folder, tmp_path / "c")
    opened = Store(tmp_path / "c")
    (tmp_path / "c/c0.npy").write_bytes(b"torn")
    with pytest.raises(SleeplibError, match=r"c0.npy: damaged or missing .*run `sleeplib prepare` again"):
        next(Loader(Windows([opened]))())
    assert not threads()


def test_validation_is_on_full_recordings_with_all_channels(cohorts):
    recordings = Recordings(cohorts, seed=1)
    assert len(recordings) == 8 and recordings.selection.skipped == {
        "without an EEG or EOG channel": ["b/b2"]
    }
    orders = set()
    for batch in recordings:
        d, i, rows = batch.where.store[0], batch.where.recording[0], batch.where.channels[0]
        usable = [row for row, kind in enumerate(cohorts[d].types(i)) if kind != "EMG"]
        assert sorted(rows) == usable
        orders.add(tuple(np.argsort(rows)))
        expected = cohorts[d].epochs(i).swapaxes(0, 1).reshape(len(cohorts[d].names(i)), -1)[rows]
        assert np.array_equal(batch.signals()[0], expected)
        assert batch.labels[0].tolist() == cohorts[d].stages(i).tolist()
    assert len(orders) > 4, "the order of the channels is random"


def test_u_sleep_s_pair_is_drawn_once_for_each_recording(cohorts):
    def pairs(seed):
        return [tuple(batch.where.channels[0]) for batch in Recordings(cohorts, channels="pair", seed=seed)]

    assert pairs(0) == pairs(0) and len(pairs(0)) == 7
    assert len({tuple(pairs(seed)) for seed in range(10)}) > 3
    recordings = Recordings(cohorts, [[], [0, 1], []], "pair")
    assert [cohorts[1].types(0)[row] for row in recordings[0].where.channels[0]] == ["EEG", "EOG"]
    assert len(recordings) == 1
    with pytest.raises(SleeplibError, match="no recording is left"):
        Recordings(cohorts, [[], [1], []], "pair")
