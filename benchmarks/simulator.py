"""Time and memory of simulated nights and cohorts: `python benchmarks/simulator.py [--cohort 60]`.

Prints the seconds of an 8-h night of nine channels at 128 Hz on one core (simulated, and written as EDF+),
the peak memory, where the time goes, and how long a cohort takes on two cores.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: one core

import numpy as np

from sleeplib import cohorts
from sleeplib.readers.edf import write_edf
from sleeplib.simulator import night, simulate


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--cohort", type=int, default=0, help="persons of a cohort to make with two workers")
    arguments = parser.parse_args()
    night(0, hours=0.5)  # what only the first night pays
    hypnograms, made, written = np.array([one(seed) for seed in range(arguments.nights)]).T
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"s per 8-h night: {np.median(made):.2f}, with EDF+ {np.median(written):.2f} (best {written.min():.2f})"
    )
    print(
        f"of it the night without signals: {np.median(hypnograms):.2f} s, {np.median(hypnograms / made):.0%}"
    )
    print(f"simulated seconds per second: {8 * 3600 / np.median(made):,.0f}")
    print(f"peak memory: {peak:.0f} MB")
    if arguments.cohort:
        cohort(arguments.cohort)


def one(seed: int) -> tuple[float, float, float]:
    """Seconds of a night without signals, of one with them, and of the same with writing it."""
    start = time.perf_counter()
    night(seed, hours=8, signals=False)
    hypnogram = time.perf_counter() - start
    start = time.perf_counter()
    recording = night(seed, hours=8)
    made = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        write_edf(recording, Path(folder) / "night.edf", release=True)
    return hypnogram, made, time.perf_counter() - start


def cohort(persons: int) -> None:
    """Print the seconds of a cohort like the embedded one, with two workers."""
    manifest = vars(cohorts.load("embedded"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        simulate(manifest, folder, persons=persons, hours=8, jobs=2, progress=False)
        print(f"cohort of {persons} nights, two workers: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
