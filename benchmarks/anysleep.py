"""What AnySleep, its variants and U-Sleep's vote cost: staging an 8-h night, and a step of training.

    python benchmarks/anysleep.py [--threads 2] [--times 3] [--networks anysleep usleep] [--no-plain] [--no-training]

Full size, random weights. Each configuration has a process of its own, whose peak memory counts the interpreter, torch
and the signals, too. `staged` is `inference.night_posteriors`, `plain` the network called once for the whole night (for
U-Sleep, once for each pair). Wall times are only good on an idle machine; CPU seconds bear some company. On a GPU there
are training steps with bfloat16 and `torch.compile`, too.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from functools import partial

import torch
from torch.nn import functional

from sleeplib import inference, models, provenance
from sleeplib.inference.nights import eeg_eog_pairs
from sleeplib.models.usleep import USleep

NIGHT = 960 * 3840  # samples of 8 hours
CHANNELS, RESOLUTIONS = (2, 7, 12), {"30 s": 1, "128 Hz": 3840}
WINDOW, WINDOW_CHANNELS = 35 * 3840, 3  # of a training window

# The authors' implementation, measured once on another day: an idle machine of 2 cores (AMD EPYC), torch 2.13.0+cpu,
# float32 (facts D). Network, channels, output: median wall s, median CPU s, peak MiB.
AUTHORS = {
    ("anysleep", 2, "30 s"): (3.43, 6.0, 1361),
    ("anysleep", 2, "128 Hz"): (4.11, 7.3, 1369),
    ("anysleep", 7, "30 s"): (6.95, 12.2, 2968),
    ("anysleep", 7, "128 Hz"): (6.95, 12.3, 2941),
    ("anysleep", 12, "30 s"): (10.06, 17.8, 4620),
    ("anysleep", 12, "128 Hz"): (10.00, 17.8, 4602),
    ("usleep", 2, "30 s"): (2.40, 4.1, 1248),
    ("usleep", 7, "30 s"): (15.42, 26.2, 1275),
    ("anysleep-early", 7, "30 s"): (3.21, 5.5, 1358),
    ("anysleep-late", 7, "30 s"): (18.66, 33.2, 5435),
}


def measured(function, times: int) -> tuple[float, float]:
    """Least wall and CPU seconds of a function."""
    found = []
    for _ in range(times):
        begun, cpu = time.perf_counter(), time.process_time()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append((time.perf_counter() - begun, time.process_time() - cpu))
    return tuple(map(min, zip(*found, strict=True)))


def plain(network, signals: torch.Tensor, kinds, per_epoch: int) -> torch.Tensor:
    """Posteriors (N, 5) as the network itself gives them, for U-Sleep the mean over all pairs."""
    rows = [range(len(signals))]
    if isinstance(network, USleep):
        rows = eeg_eog_pairs(kinds, len(signals))
    with torch.inference_mode():
        return sum(network(signals[list(row)][None], per_epoch)[0].softmax(-1) for row in rows) / len(rows)


def one(name: str, channels: int, output: str, way: str, times: int) -> None:
    """Print wall s, CPU s and peak MiB of one configuration; this process does nothing else."""
    torch.manual_seed(0)
    network, signals = models.build(name).eval(), torch.randn(channels, NIGHT)
    kinds = ["EEG"] * (channels - 1) + ["EOG"]
    function = {"staged": inference.night_posteriors, "plain": plain}[way]
    seconds = measured(lambda: function(network, signals, kinds, per_epoch=RESOLUTIONS[output]), times)
    print(*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def in_own_process(*configuration, threads: int, times: int) -> tuple[float, ...]:
    """What `one` prints."""
    command = [sys.executable, __file__, "--threads", threads, "--times", times, "--one", *configuration]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1]
        raise SystemExit(f"{' '.join(map(str, configuration))}: {last}")
    return tuple(map(float, done.stdout.split()))


def staging(names, with_plain: bool, threads: int, times: int) -> None:
    print(f"8-h nights, {threads} threads, least of {times}: wall s, CPU s, peak MiB")
    print("(goal for AnySleep, 7 channels: 6.95 s and 1,300 MiB)")
    heads = [f"{'staged':>20s}", *([f"{'plain':>20s}", f"{'staged/plain':>15s}"] if with_plain else [])]
    print(" " * 31, *heads, "authors, their machine and run", sep="  ")
    run = partial(in_own_process, threads=threads, times=times)
    for name in names:
        for channels in CHANNELS:
            for output in RESOLUTIONS:
                cells = [run(name, channels, output, "staged")]
                if with_plain:
                    cells.append(run(name, channels, output, "plain"))
                    cells.append([ours / its for ours, its in zip(*cells, strict=True)])
                report(
                    f"{name:15s}{channels:3d} channels {output:6s}",
                    cells,
                    AUTHORS.get((name, channels, output)),
                )


def report(label: str, cells: list, authors) -> None:
    """One line of the table."""
    numbers = ["{:6.2f}{:7.2f}{:7.0f}".format(*cell) for cell in cells[:2]]
    numbers += ["{:5.2f}{:5.2f}{:5.2f}".format(*cell) for cell in cells[2:]]
    numbers += ["{:6.2f}{:6.1f}{:7.0f}".format(*authors)] if authors else []
    print(label, *numbers, sep="  ", flush=True)


def trainer(device: str, batch: int, amp: bool = False, compiled: bool = False):
    """A function that makes one step of training AnySleep: forward, loss, backward and Adam."""
    network = models.build("anysleep").to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, amsgrad=True)
    signals = torch.randn(batch, WINDOW_CHANNELS, WINDOW, device=device)
    labels = torch.zeros(batch, 35, dtype=torch.long, device=device)
    forward = torch.compile(network) if compiled else network

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            logits = forward(signals)
        loss = functional.cross_entropy(logits.float().transpose(1, 2), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def training(times: int) -> None:
    kinds = {"CPU, batch 8": ("cpu", 8)}
    if torch.cuda.is_available():
        kinds["GPU, batch 64"] = ("cuda", 64)
        kinds["GPU, batch 64, bfloat16"] = ("cuda", 64, True)
        kinds["GPU, batch 64, bfloat16, compiled"] = ("cuda", 64, True, True)
    print(
        f"a training step of AnySleep, windows of 35 epochs and {WINDOW_CHANNELS} channels, least of {times}:"
    )
    for name, settings in kinds.items():
        step = trainer(*settings)
        step()
        wall, cpu = measured(step, times)
        print(f"  {name:34s}{wall:7.3f} s ({cpu:.3f} CPU s)  {settings[1] / wall:8.1f} windows/s")


def main() -> None:
    """Measure all of it and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(models.NIGHT_NETWORKS))
    parser.add_argument(
        "--no-plain", action="store_true", help="without the plain networks (5 GiB and minutes less)"
    )
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.one:
        name, channels, output, way = a.one
        one(name, int(channels), output, way, a.times)
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(platform.platform(), provenance.device(), provenance.versions(), sep="\n")
    print(f"load of the machine before: {load:.1f}")
    staging(a.networks, not a.no_plain, a.threads, a.times)
    if not a.no_training:
        training(a.times)


if __name__ == "__main__":
    main()
