"""How long it takes, and how much memory, to prepare a night from its EDF file, on one core.

    python benchmarks/preparation.py

A simulated night of 8 hours, nine channels at 256 Hz, is written as EDF with its hypnogram beside it (the layout
of MASS) and prepared in a fresh process: all nine channels at 128 Hz, scaled as AnySleep wants them, and SeqSleepNet's
three at 100 Hz.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

NINE = ("F3", "F4", "C3", "C4", "O1", "O2")


def manifest():
    """MASS SS3 with nine channels."""
    from sleeplib import cohorts

    whole = cohorts.load("mass-c3")
    channels = whole.simulation["site"]["channels"]
    kept = {k: v for k, v in channels.items() if k.startswith(("EOG", "EMG")) or v.split(" - ")[0] in NINE}
    assert len(kept) == 9
    site = whole.simulation["site"] | {"channels": kept}
    return replace(
        whole, simulation=whole.simulation | {"site": site, "others": {}, "persons": 1, "hours": 8}
    )


def child(network: str, root: str) -> None:
    """Prepare the night and print seconds and peak memory."""
    from sleeplib.preparation import ANYSLEEP
    from sleeplib.prepare import prepare

    settings = {}
    if network == "nine channels":
        montage = {label: label for label in manifest().simulation["site"]["channels"]}
        settings = ANYSLEEP | {"montage": montage}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=root) as out:
        store, failures = prepare(manifest(), Path(root) / "files", out, progress=False, **settings)
        assert not failures, failures
        seconds = time.perf_counter() - started
        # Not ru_maxrss: a child inherits its parent's.
        peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
        print(json.dumps({"seconds": seconds, "peak": peak, "channels": len(store.channels)}))


def main() -> None:
    """Make the night, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many is printed")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        return child(*a.child)
    from sleeplib import simulator

    with tempfile.TemporaryDirectory() as folder:
        simulator.simulate(manifest(), Path(folder) / "files", progress=False)
        size = sum(path.stat().st_size for path in (Path(folder) / "files").glob("*PSG.edf")) / 1e6
        print(
            f"{platform.processor() or platform.machine()}, Python {platform.python_version()}; {size:.0f} MB of EDF"
        )
        for network in ("nine channels", "seqsleepnet"):
            command = [sys.executable, __file__, "--child", network, folder]
            runs = [
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                for _ in range(a.repeats)
            ]
            best = min(runs, key=lambda run: run["seconds"])
            print(
                f"{network:<14} {best['seconds']:.2f} s, {best['peak']:.0f} MB at most, {best['channels']} channels "
                "(goal for nine: 4 s, 700 MB)"
            )


if __name__ == "__main__":
    main()
