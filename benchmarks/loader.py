"""How fast windows are read and batches come: `python benchmarks/loader.py [--nights 4] [--folder /tmp]`.

Writes a few nights of seven channels, once as a store and once as HDF5 in the layout of AnySleep's authors (one
contiguous float32 data set for each channel), about 155 MB a night together, and reads the same random windows of 35
epochs x 3 channels from both, out of the page cache: on one core, then as batches of 64 with one and two workers.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: one core

import h5py
import numpy as np
import torch

from sleeplib import store
from sleeplib.preparation import Preparation
from sleeplib.sampling import Draw, Loader, Windows
from sleeplib.sampling.loader import read

EPOCHS, SIZE, CHANNELS, LENGTH, BATCH = 960, 3840, 7, 35, 64
NAMES = [f"EEG{i}" for i in range(5)] + ["EOG0", "EOG1"]
GOALS = {"windows/s": 3000, "ms": 15}


class ThreeChannels(Windows):
    """Windows whose batches all have three channels."""

    def draw(self, step: int) -> Draw:
        rows = np.random.default_rng(step).permuted(np.tile(np.arange(CHANNELS), (BATCH, 1)), axis=1)[:, :3]
        return replace(super().draw(step), channels=rows)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=4)
    parser.add_argument("--batches", type=int, default=40, help="batches of a measurement")
    parser.add_argument("--repeats", type=int, default=5, help="measurements; the best counts")
    parser.add_argument("--folder", type=Path, help="where the temporary files go")
    a = parser.parse_args()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"
    )
    print(f"h5py {h5py.__version__}, torch {torch.__version__}; {a.nights} nights, best of {a.repeats}")
    with tempfile.TemporaryDirectory(dir=a.folder) as folder, make(Path(folder), a.nights) as hdf5:
        windows = ThreeChannels([store.Store(folder)], batch_size=BATCH)
        one_core(windows, hdf5, a)
        for workers in (1, 2):
            feeding(windows, workers, a)


def make(folder: Path, nights: int) -> h5py.File:
    """Write the nights in both ways; the HDF5 file is returned open."""
    preparation, rng, sidecars = Preparation(None, rate=128.0, scaling="robust"), np.random.default_rng(0), []
    with h5py.File(folder / "nights.h5", "w") as file:
        for i in range(nights):
            x = rng.normal(size=(CHANNELS, EPOCHS * SIZE)).astype(np.float32)
            stages = rng.integers(0, 5, EPOCHS)
            types = [name[:3] for name in NAMES]
            sidecars.append(store.write_night(folder, f"n{i}", x, stages, NAMES, types, preparation))
            for name, signal in zip(NAMES, x, strict=True):
                file[f"set/n{i}/PSG/{name}"] = signal
            file[f"set/n{i}/hypnogram"] = stages
    store.write_index(folder, sidecars, preparation, cohort="benchmark", title="Benchmark", simulated=True)
    return h5py.File(folder / "nights.h5", "r")


def one_core(windows: Windows, hdf5: h5py.File, a) -> None:
    """Print windows per second of each way to read them, on one core."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    opened, shape = windows.stores[0], (BATCH, 3, LENGTH * SIZE)
    buffer = next(Loader(windows, 1, 1)(steps=1))._buffer
    floats, shorts = np.zeros(shape, np.float32), np.zeros(shape, np.int16)
    maps = [opened.samples(i) for i in range(len(opened))]

    def from_hdf5(where: Draw):
        for b, (i, first) in enumerate(zip(where.recording, where.first, strict=True)):
            part = np.s_[first * SIZE : (first + LENGTH) * SIZE]
            for row, channel in enumerate(where.channels[b]):
                hdf5[f"set/n{i}/PSG/{NAMES[channel]}"].read_direct(floats, part, np.s_[b, row])

    def from_maps(where: Draw, samples: Callable = maps.__getitem__):
        for b, (i, first) in enumerate(zip(where.recording, where.first, strict=True)):
            night = samples(i)
            for row, channel in enumerate(where.channels[b]):
                shorts[b, row] = night[channel, first * SIZE : (first + LENGTH) * SIZE]

    ways = {
        "loader (open, read, close)": lambda where: read(windows.stores, where, LENGTH, 0, buffer),
        "np.memmap, all nights kept open": from_maps,
        "np.memmap, opened for each window": lambda where: from_maps(where, opened.samples),
        "HDF5, float32, one data set a channel": from_hdf5,
    }
    rates = {
        name: BATCH / best(lambda way=way: passes(windows, way, a.batches), a) for name, way in ways.items()
    }
    reference = rates["HDF5, float32, one data set a channel"]
    print(f"windows/s on one core (goal {GOALS['windows/s']:,}), and times HDF5:")
    for name, rate in rates.items():
        print(f"  {name:40s} {rate:8,.0f} {rate / reference:6.1f}")
    if cores:
        os.sched_setaffinity(0, cores)


def passes(windows: Windows, way: Callable, batches: int) -> float:
    """Seconds per batch of a way to read."""
    start = time.perf_counter()
    for step in range(batches):
        way(windows.draw(step))
    return (time.perf_counter() - start) / batches


def best(measure: Callable[[], float], a) -> float:
    return min(measure() for _ in range(a.repeats))


def feeding(windows: Windows, workers: int, a) -> None:
    """Print milliseconds from batch to batch for a consumer that only waits."""

    def once() -> float:
        batches = Loader(windows, workers)(steps=a.batches + 5)
        for _ in range(5):  # until all buffers have been touched
            next(batches)
        start = time.perf_counter()
        for _ in batches:
            pass
        return (time.perf_counter() - start) / a.batches

    goal = f" (goal {GOALS['ms']})" if workers == 2 else ""
    print(
        f"ms per batch of {BATCH} windows x 3 channels, {workers} workers{goal}: {best(once, a) * 1000:.1f}"
    )


if __name__ == "__main__":
    main()
