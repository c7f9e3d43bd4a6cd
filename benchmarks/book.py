"""Where `make book` spends its time: `python benchmarks/book.py [NOTEBOOK ...] [--profile demo] [--least 20]`.

Notebooks run one after the other into empty folders, with one thread in each process, watched by py-spy (`pip install
py-spy`; elsewhere than here with `--spy PATH`). Processor seconds of all processes of a notebook; stages are the shares
of its samples that have such a file on their stack, the first that fits, good to a few per cent; `other` is what a
notebook itself computes, and papermill. Notebooks below `--least` seconds stand in one line. Finished notebooks are
kept in `--into FOLDER`, and not run again.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sleeplib import experiments, provenance

# What is looked for on a stack, in this order.
STAGES = {
    "imports": ("<frozen importlib", "numba/", "torch/_dynamo", "torch/_inductor"),
    "YASA": ("yasa/",),
    "forests": ("sklearn/ensemble", "sklearn/svm", "sklearn/tree", "models/classical", "analysis/traits"),
    "training": ("sleeplib/training/",),
    "files": ("simulator/files.py",),
    "images": ("log_power_image",),
    "simulation": ("sleeplib/simulator/",),
    "networks": ("sleeplib/inference/", "sleeplib/models/"),
    "reading": ("sleeplib/readers/", "sleeplib/prepar", "sleeplib/store", "sleeplib/signals", "sleeplib/quality",
                "sleeplib/cohorts/"),
    "analysis": ("sleeplib/analysis/", "sleeplib/suite/", "scipy/", "sklearn/", "pandas/"),
    "figures": ("matplotlib/", "sleeplib/plotting"),
}  # fmt: skip
_WAITS = ("multiprocessing/connection", "selectors.py", "concurrent/futures/thread", "threading.py")


def stage(stack: str) -> str:
    """The stage that a stack of frames belongs to."""
    return next((name for name, marks in STAGES.items() if any(mark in stack for mark in marks)), "other")


def watched(name: str, profile: str, spy: str, environment: dict) -> dict:
    """Processor and wall seconds of a notebook, and its samples by stage."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "stacks")
        record = [spy, "record", "--subprocesses", "--rate", "10", "--format", "raw", "--output", raw, "--"]
        command = [sys.executable, "-m", "sleeplib", "run", name, "--profile", profile, "--force"]
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*map(str, record), *command], capture_output=True, text=True, env=environment)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or not raw.exists():
            raise SystemExit(f"{name}: {(done.stderr or done.stdout).strip()[-2000:]}")
        samples: Counter = Counter()
        for line in raw.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            if count.isdigit() and not any(wait in stack.rsplit(";", 1)[-1] for wait in _WAITS):
                samples[stage(stack)] += int(count)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": time.perf_counter() - begun, "samples": dict(samples)}


def main() -> None:
    """Run, watch, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="by default all, in the order of the book")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--least", type=float, default=20, help="processor seconds of a notebook with a line")
    parser.add_argument("--spy", default="py-spy")
    parser.add_argument("--into", help="by default a temporary folder")
    a = parser.parse_args()
    print(platform.platform(), provenance.device(), provenance.versions(), sep="\n")
    with tempfile.TemporaryDirectory() as temporary:
        into = Path(a.into or temporary)
        environment = os.environ | {
            "OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", "SLEEPLIB_BUILD": str(into / "build"),
            "SLEEPLIB_DATA": str(into / "data"), "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        found = {}
        for run in experiments.plan(a.profile, a.notebooks or None):
            kept = into / "found" / f"{run.name}.json"
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(watched(run.name, a.profile, a.spy, environment)))
            found[run.name] = json.loads(kept.read_text())
            print(f"{run.name}: {found[run.name]['cpu']:.0f} s", file=sys.stderr, flush=True)
    table(found, a.least)


def table(found: dict[str, dict], least: float) -> None:
    """Markdown: a line for each notebook, processor seconds by stage."""
    rows, rest = [], {"cpu": 0.0, "shares": Counter()}
    total = {"cpu": 0.0, "shares": Counter()}
    for name, entry in found.items():
        scale = entry["cpu"] / max(sum(entry["samples"].values()), 1)
        shares = Counter({stage: n * scale for stage, n in entry["samples"].items()})
        for row in (total, *([] if entry["cpu"] >= least else [rest])):
            row["cpu"] += entry["cpu"]
            row["shares"] += shares
        if entry["cpu"] >= least:
            rows.append((name, entry["cpu"], shares))
    rows.sort(key=lambda row: -row[1])
    rows += [("the others", rest["cpu"], rest["shares"]), ("all", total["cpu"], total["shares"])]
    names = [*STAGES, "other"]
    print("| processor seconds | all |", " | ".join(names), "|")
    print("| --- | ---: |", " | ".join(["---:"] * len(names)), "|")
    for name, cpu, shares in rows:
        cells = [f"{shares[stage]:.0f}" if shares[stage] >= 0.5 else "" for stage in names]
        print(f"| {name} | {cpu:.0f} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
