"""What staging an 8-h night costs under onnxruntime, beside `inference`; from one run, with the same numbers out.

    python benchmarks/onnx_files.py [--threads 2] [--times 3] [--networks anysleep seqsleepnet] [--channels 7]

Full size, random weights. Each way has a process of its own, whose peak memory counts the interpreter, its libraries
(torch is none of onnxruntime's) and the input, too. `no arena` is onnxruntime without its own pool of memory. Wall
times are only good on an idle machine; CPU seconds bear some company. Not called onnx.py: Python would take it for the
package.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NIGHT = 960  # epochs of 8 hours
WAYS = ("inference", "onnxruntime", "no arena")


def night(name: str, channels: int) -> np.ndarray:
    """What the file takes: signals (1, C, T), or images (N, 3, T, F)."""
    shape = (NIGHT, 3, 29, 129) if name == "seqsleepnet" else (1, channels, NIGHT * 3840)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def network(name: str):
    """The same random weights each time."""
    import torch

    from sleeplib import models

    torch.manual_seed(0)
    return models.build(name).eval()


def ours(name: str, x: np.ndarray, threads: int):
    """A function that stages the night: posteriors (N, 5)."""
    import torch

    from sleeplib import inference

    torch.set_num_threads(threads)
    net, x = network(name), torch.from_numpy(x)
    if name == "seqsleepnet":
        return lambda: inference.posteriors(net, x).numpy()
    kinds = ["EEG"] * (x.shape[1] - 1) + ["EOG"]
    pairs = {"pairs": "mean"} if name == "usleep" else {}
    return lambda: inference.night_posteriors(net, x[0], kinds, **pairs).numpy()


def theirs(file: Path, x: np.ndarray, threads: int, arena: bool):
    """The same under onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: x}
    return lambda: session.run(["posteriors"], given)[0].reshape(-1, 5)


def one(name: str, channels: int, way: str, folder: Path, threads: int, times: int) -> None:
    """Print least wall s and CPU s and the peak MiB of one way, and keep its posteriors; nothing else."""
    x, file = night(name, channels), folder / f"{name}.onnx"
    function = (
        ours(name, x, threads) if way == "inference" else theirs(file, x, threads, way == "onnxruntime")
    )
    seconds = []
    for _ in range(times):
        begun, cpu = time.perf_counter(), time.process_time()
        posteriors = function()
        seconds.append((time.perf_counter() - begun, time.process_time() - cpu))
    np.save(folder / f"{way}.npy", posteriors)
    print(*map(min, zip(*seconds, strict=True)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def in_own_process(*configuration, threads: int, times: int) -> tuple[float, ...]:
    """What `one` prints."""
    command = [sys.executable, __file__, "--threads", threads, "--times", times, "--one", *configuration]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1]
        raise SystemExit(f"{' '.join(map(str, configuration))}: {last}")
    return tuple(map(float, done.stdout.split()))


def compare(name: str, channels: int, threads: int, times: int) -> None:
    """A line for each way of a network."""
    from sleeplib.models.onnx import export

    with tempfile.TemporaryDirectory() as temporary:
        folder, found = Path(temporary), {}
        export(network(name), folder / f"{name}.onnx", night=name == "seqsleepnet")
        for way in WAYS:
            found[way] = in_own_process(name, channels, way, folder, threads=threads, times=times)
            expected, given = (np.load(folder / f"{w}.npy") for w in ("inference", way))
            difference = np.abs(expected - given).max()
            ratio = found[way][1] / found["inference"][1]
            seen = f"{channels} channels" if name != "seqsleepnet" else "images"
            wall, cpu, peak = found[way]
            print(
                f"{name:15s} {seen:11s} {way:12s}{wall:8.2f}{cpu:8.2f}{peak:8.0f}{ratio:8.2f}    {difference:.0e}",
                flush=True,
            )


def main() -> None:
    """Measure all of it and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--channels", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=["anysleep", "seqsleepnet"])
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.one:
        name, channels, way, folder = a.one
        one(name, int(channels), way, Path(folder), a.threads, a.times)
        return
    import onnxruntime

    from sleeplib import provenance

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    versions = provenance.versions() | {"onnxruntime": onnxruntime.__version__}
    print(platform.platform(), provenance.device(), versions, sep="\n")
    print(f"load of the machine before: {load:.1f}")
    print(f"8-h nights, {a.threads} threads, least of {a.times}")
    print(" " * 39, "  wall s   CPU s     MiB   ratio of CPU s   largest difference of posteriors")
    for name in a.networks:
        compare(name, a.channels if name != "usleep" else 2, a.threads, a.times)


if __name__ == "__main__":
    main()
