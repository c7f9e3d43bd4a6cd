"""What nights of one's own cost: `python benchmarks/stage.py [--folder /tmp] [--hours 8] [--weights NAME ...]`.

Writes an EDF of 8 h, 8 channels and 256 Hz (118 MB) with invented signals, and lets the command `sleeplib stage` make
its hypnogram, table and report, in a process of its own: wall and CPU seconds, and peak memory. Wall times are good on
an idle machine only; CPU seconds bear some company. `full size` are random weights as large as the published. Then
`--nights` such nights, with more and more cores and as many `--jobs`, and the ratio to one core. Last, the start of
`sleeplib --help`, the best of five.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from sleeplib import models
from sleeplib.models import weights
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.readers.edf import write_edf
from sleeplib.recording import Recording

NAMES = ["F3-M2", "F4-M1", "C3-M2", "C4-M1", "O1-M2", "O2-M1", "E1-M2", "E2-M2"]
RATE = 256
GOALS = {"wall": 20.0, "MB": 1500, "help": 0.5}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where the temporary files go")
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--weights", nargs="*", default=["full size", "any/anysleep-0"])
    parser.add_argument("--nights", type=int, default=4, help="side by side")
    a = parser.parse_args()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"
    )
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        night = make(Path(folder) / "night.edf", a.hours)
        print(f"{night.stat().st_size / 1e6:.0f} MB; goals {GOALS['wall']:g} s, {GOALS['MB']} MB")
        for name in a.weights:
            chosen = full_size(Path(folder)) if name == "full size" else name
            told = measured("stage", night, "--report", "--force", "--weights", chosen)
            print(f"  {name:16s} wall {told[0]:5.1f} s   CPU {told[1]:5.1f} s   peak {told[2]:6.0f} MB")
            scaling(night, a.nights, chosen)
    best = min(measured("--help")[0] for _ in range(5))
    print(f"sleeplib --help: {best:.2f} s (goal {GOALS['help']})")


def scaling(night: Path, n: int, chosen) -> None:
    """Print what `n` such nights take by the number of cores, with one process (and its threads) and with many."""
    nights = [night.with_name(f"night-{i}.edf") for i in range(n)]
    for path in nights:
        path.unlink(missing_ok=True)
        os.link(night, path)
    alone = None
    for cores in sorted({1, 2, len(os.sched_getaffinity(0))}):
        for jobs in sorted({1, cores}):
            wall, *_ = measured("stage", *nights, "--force", "--weights", chosen, "--jobs", jobs, cores=cores)
            alone = alone or wall
            print(
                f"    {n} nights, {cores} cores, --jobs {jobs}: wall {wall:5.1f} s, {alone / wall:.2f} times one core"
            )


def make(path: Path, hours: float) -> Path:
    """An EDF of noise that falls with frequency, and slow waves that come and go."""
    rng, n = np.random.default_rng(0), round(hours * 3600 * RATE)
    slow = np.sin(2 * np.pi * 0.9 * np.arange(n) / RATE).astype(np.float32)
    depth = np.repeat(rng.uniform(0, 60, -(-n // (600 * RATE))), 600 * RATE)[:n].astype(np.float32)
    signals = [np.convolve(rng.normal(0, 20, n), np.ones(8) / 2, "same").astype(np.float32) for _ in NAMES]
    signals = [x + depth * slow for x in signals]
    write_edf(
        Recording(signals, [float(RATE)] * len(NAMES), NAMES, start=datetime(2001, 2, 3, 22, 50)),
        path,
        release=True,
    )
    return path


def full_size(folder: Path) -> Path:
    """Random weights of the published size, with a card."""
    torch.manual_seed(0)
    network = models.build("anysleep")
    return weights.save(network, "anysleep", folder / "full", Preparation(**ANYSLEEP), simulated=True)


def measured(*arguments, cores: int | None = None) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak megabytes of a command line in a process of its own, on some of the cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "sleeplib", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    told = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(told)
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
