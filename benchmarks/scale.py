"""A dry run over 20,000 virtual nights: files found, paired and looked into, without a signal.

    python benchmarks/scale.py [--nights 20000] [--jobs 2] [--backend ray]

Writes the headers of so many EDF files in the layout of SHHS (the signals behind them are holes that take no space)
with a hypnogram beside each, and does what `sleeplib prepare shhs --dry-run` does. `benchmarks/index.py` measures the
index of as many prepared nights.
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path

from sleeplib import cohorts
from sleeplib.cohorts import splits
from sleeplib.prepare import survey
from sleeplib.readers.edf import write_edf
from sleeplib.recording import Recording
from sleeplib.simulator import files

LABELS = ("EEG(sec)", "EEG", "EOG(L)", "EOG(R)", "EMG", "ECG", "SaO2")
HOURS = 8


def virtual(manifest, out: Path, nights: int) -> None:
    """Headers of nights of eight hours with holes behind them, two visits of each second person."""
    import numpy as np

    silent = [np.zeros(125 * 30, np.float32) for _ in LABELS]
    write_edf(Recording(silent, [125.0] * len(LABELS), list(LABELS)), out / "one.edf")
    one = (out / "one.edf").read_bytes()
    header, record = one[: 256 * (len(LABELS) + 1)], len(one) - 256 * (len(LABELS) + 1)
    records = int(header[236:244])
    many = records * HOURS * 120
    header = header[:236] + f"{many:<8}".encode() + header[244:]
    for i in range(nights):
        person, visit = divmod(i, 3)
        fields = {"person": f"2{2 * person + (visit == 2):05d}", "visit": str(1 + visit % 2)}
        entry = files.entry(manifest, fields, 1, out)
        for path in (entry.signals, *entry.scoring):
            path.parent.mkdir(parents=True, exist_ok=True)
        entry.scoring[0].touch()
        with entry.signals.open("wb") as file:
            file.write(header)
            file.truncate(len(header) + record * HOURS * 120)


def main() -> None:
    """Make the headers, then look at them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--backend", choices=("loky", "ray"), default="loky")
    a = parser.parse_args()
    manifest = cohorts.load("shhs")
    with tempfile.TemporaryDirectory() as folder:
        out, started = Path(folder), time.perf_counter()
        virtual(manifest, out, a.nights)
        print(f"{platform.machine()}, Python {platform.python_version()}, {a.jobs} jobs of {a.backend}")
        print(f"headers of {a.nights:,} nights written in {time.perf_counter() - started:.1f} s")
        started = time.perf_counter()
        found = cohorts.recordings(manifest, out)
        print(
            f"found and paired with their hypnograms: {len(found):,} in {time.perf_counter() - started:.2f} s"
        )
        started = time.perf_counter()
        seen = survey(manifest, out, jobs=a.jobs, backend=a.backend)
        hours = sum(one.hours for one in seen)
        print(
            f"dry run: {len(seen):,} nights, {hours:,.0f} h, {time.perf_counter() - started:.1f} s, "
            f"{sum(bool(one.problem) for one in seen)} problems"
        )
        started = time.perf_counter()
        parts = splits.protocol([entry.group for entry in found])
        splits.check_disjoint(parts, [entry.group for entry in found])
        numbers = ", ".join(f"{part} {len(which):,}" for part, which in parts.items())
        print(f"split by person: {numbers} nights, {time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
