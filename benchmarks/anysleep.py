"""What AnySleep, its variants and U-Sleep's vote cost: staging a night of 8 h or more, and a step of training.

    python benchmarks/anysleep.py [--threads 2] [--times 3] [--networks anysleep usleep] [--no-plain] [--no-training]
        [--hours 8] [--channels 2 7 12]

Full size, random weights. Each configuration has a process of its own, whose peak memory counts the interpreter, torch
and the signals, too. `staged` is `inference.night_posteriors`, `bfloat16` the same in half the bits, `plain` the
network called once for the whole night (for U-Sleep, once for each pair). Wall times are only good on an idle machine;
CPU seconds bear some company. On a GPU there are training steps with bfloat16 and `torch.compile`, too.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial

import torch
from torch.nn import functional

from sleeplib import inference, memory, models, provenance
from sleeplib.inference.nights import eeg_eog_pairs
from sleeplib.models.channels_last import ChannelsLast
from sleeplib.models.usleep import USleep

HOUR = 120 * 3840  # samples
RESOLUTIONS = {"30 s": 1, "128 Hz": 3840}
WINDOW, WINDOW_CHANNELS = 35 * 3840, 2  # of a training window

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


def one(name: str, hours: int, channels: int, output: str, way: str, times: int) -> None:
    """Print wall s, CPU s and peak MiB of one configuration; this process does nothing else."""
    torch.manual_seed(0)
    network, signals = models.build(name).eval(), torch.randn(channels, hours * HOUR)
    kinds = ["EEG"] * (channels - 1) + ["EOG"]
    function = plain if way == "plain" else inference.night_posteriors
    if way == "bfloat16":
        network = network.bfloat16()
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


def staging(names, hours: int, numbers, with_plain: bool, threads: int, times: int) -> None:
    print(f"{hours}-h nights, {threads} threads, least of {times}: wall s, CPU s, peak MiB")
    print(
        "goals of 8 h: AnySleep 7 channels 1.6 s, in bfloat16 1.0 s, 12 channels 2.7 s, on one thread 7 channels 2.9 s;"
    )
    print("U-Sleep, 6 x 1 pairs 3.5 s; late fusion, 7 channels 4 s; 700 MiB")
    heads = ["staged", "bfloat16", *(["plain", "staged/plain"] if with_plain else [])]
    print(" " * 31, *(f"{head:>20s}" for head in heads), "authors, their machine and run", sep="  ")
    run = partial(in_own_process, threads=threads, times=times)
    for name in names:
        for channels in numbers:
            for output in RESOLUTIONS:
                cells = [run(name, hours, channels, output, way) for way in ("staged", "bfloat16")]
                if with_plain:
                    cells.append(run(name, hours, channels, output, "plain"))
                    cells.append([ours / its for ours, its in zip(*cells[::2], strict=True)])
                report(
                    f"{name:15s}{channels:3d} channels {output:6s}",
                    cells,
                    AUTHORS.get((name, channels, output)) if hours == 8 else None,
                )


def report(label: str, cells: list, authors) -> None:
    """One line of the table."""
    numbers = ["{:6.2f}{:7.2f}{:7.0f}".format(*cell) for cell in cells[:3]]
    numbers += ["{:8.2f}{:6.2f}{:6.2f}".format(*cell) for cell in cells[3:]]
    numbers += ["{:6.2f}{:6.1f}{:7.0f}".format(*authors)] if authors else []
    print(label, *numbers, sep="  ", flush=True)


def trainer(name: str, device: str, batch: int, fast: bool, amp: bool = False, compiled: bool = False):
    """A function that makes one step of training: forward, loss, backward and Adam."""
    torch.manual_seed(0)
    network = models.build(name).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, amsgrad=True)
    signals = torch.randn(batch, WINDOW_CHANNELS, WINDOW, device=device)
    labels = torch.zeros(batch, 35, dtype=torch.long, device=device)
    forward = ChannelsLast(network) if fast else network
    forward = torch.compile(forward) if compiled else forward

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            logits = forward(signals)
        loss = functional.cross_entropy(logits.float().transpose(1, 2), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def training(times: int) -> None:
    """Readable beside fast: each network as its file has it, then as `fit_nights` trains it."""
    kinds = [("CPU", "cpu", 8, {})]
    if torch.cuda.is_available():
        kinds.append(("GPU", "cuda", 64, {}))
        kinds.append(("GPU, bfloat16", "cuda", 64, {"amp": True}))
        kinds.append(("GPU, bfloat16, compiled", "cuda", 64, {"amp": True, "compiled": True}))
    print(
        f"a training step, windows of 35 epochs and {WINDOW_CHANNELS} channels, least of {times}: wall s, CPU s,"
        " windows/s; share of the readable network's wall and CPU s"
    )
    for name in ("usleep", "anysleep"):
        for where, device, batch, options in kinds:
            ways = [("readable", False, nullcontext), ("readable, memory kept", False, memory.kept)]
            if not options.get("compiled"):  # it is compiled only as its file has it
                ways.append(("fast, memory kept", True, memory.kept))
            first = None
            for way, fast, context in ways if device == "cpu" else ways[::2]:
                step = trainer(name, device, batch, fast, **options)
                with context():
                    step()
                    found = measured(step, times)
                first = first or found
                shares = [a / b for a, b in zip(found, first, strict=True)]
                print(
                    f"  {f'{name}, {where}, batch {batch}':44s}{way:22s}{found[0]:7.3f}{found[1]:7.3f}"
                    f"{batch / found[0]:8.1f}{shares[0]:8.2f}{shares[1]:6.2f}",
                    flush=True,
                )


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
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--channels", type=int, nargs="+", default=[2, 7, 12])
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.one:
        name, hours, channels, output, way = a.one
        one(name, int(hours), int(channels), output, way, a.times)
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(platform.platform(), provenance.device(), provenance.versions(), sep="\n")
    print(f"load of the machine before: {load:.1f}")
    staging(a.networks, a.hours, a.channels, not a.no_plain, a.threads, a.times)
    if not a.no_training:
        training(a.times)


if __name__ == "__main__":
    main()
