"""Time and memory of a large index: `python benchmarks/index.py [--nights 20000]`.

Writes the indices (no samples) of 13 data sets as large as AnySleep's, seven channels a night; a fresh process then
opens them, prepares the draw, and draws 1,000 batches of 64 windows.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: one core

import numpy as np

from sleeplib.preparation import Preparation
from sleeplib.recording import Subject
from sleeplib.sampling import Windows
from sleeplib.store import SCHEMA, Store, write_index

# Training recordings of AnySleep's Table 2.
SIZES = [97, 387, 569, 1444, 190, 178, 1904, 3714, 844, 115, 30, 8227, 339]
CHANNELS = ["F3-M2", "F4-M1", "C3-M2", "C4-M1", "O1-M2", "E1-M2", "E2-M1"]
PREPARATION = Preparation(None, rate=128.0, scaling="robust")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes; the best time counts")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.measure:
        measure(a.measure)
        return
    print(f"{platform.platform()}, Python {platform.python_version()}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        size = sum(
            make(Path(folder, f"set{d:02d}"), d, n * a.nights // sum(SIZES)) for d, n in enumerate(SIZES)
        )
        print(f"{size / 1e6:.0f} MB of indices; best of {a.repeats} processes")
        command = [sys.executable, __file__, "--measure", folder]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for _ in range(a.repeats)
        ]
    report(np.array([[float(number) for number in run.split()] for run in runs]))


def make(folder: Path, number: int, nights: int) -> int:
    """Write the index of a data set; returns its bytes."""
    folder.mkdir()
    write_index(folder, sidecars(number, nights), PREPARATION, cohort=folder.name, title=folder.name)
    return sum(path.stat().st_size for path in folder.iterdir())


def sidecars(number: int, nights: int) -> Iterator[dict]:
    """What `write_night` would have returned for nights of 800 to 1,120 epochs."""
    rng = np.random.default_rng(number)
    types = [("EOG" if name.startswith("E") else "EEG") for name in CHANNELS]
    scale, offset = [20 / 32767] * len(CHANNELS), [0.0] * len(CHANNELS)
    for i in range(nights):
        stages = rng.choice(np.frombuffer(b"012349", np.uint8), rng.integers(800, 1121))
        subject = Subject(f"person-{i:06d}", 50.0, "F", 10.0)
        yield {
            "schema": SCHEMA, "id": f"night-{i:06d}", "subject": asdict(subject), "group": subject.id,
            "n_epochs": len(stages), "stages": stages.tobytes().decode(), "channels": CHANNELS, "types": types,
            "scale": scale, "offset": offset, "digest": f"{rng.integers(2**63):064x}",
        }  # fmt: skip


def measure(folder: Path) -> None:
    """Print seconds to open, to prepare and to draw, and MB that opening, preparing and the peak took."""
    before, start = resident(), time.perf_counter()
    stores = [Store(path) for path in sorted(folder.iterdir())]
    opened, memory = time.perf_counter() - start, resident() - before
    start = time.perf_counter()
    windows = Windows(stores)
    prepared, both = time.perf_counter() - start, resident() - before
    start = time.perf_counter()
    for step in range(1000):
        windows.draw(step)
    drawn = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(sum(map(len, stores)), opened, memory, prepared, both, drawn, peak)


def resident() -> float:
    """MB of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def report(runs: np.ndarray) -> None:
    nights, opened, memory, prepared, both, drawn, peak = runs.min(axis=0)
    print(f"{nights:,.0f} nights x {len(CHANNELS)} channels in {len(SIZES)} data sets")
    print(f"open the indices: {opened:.2f} s (goal 2), {memory:.0f} MB (goal 200)")
    print(f"prepare the draw: {prepared:.2f} s; together {both:.0f} MB, at the peak {peak:.0f} MB")
    print(f"1,000 batches of 64: {drawn:.2f} s (goal 1)")


if __name__ == "__main__":
    main()
