"""Damaged files through `sleeplib stage`: `python benchmarks/fuzz_stage.py [--files 10000] [--commands 100]`.

Small EDF, EDF+C, EDF+D, BDF and BDF+C files are written, damaged (the same damage for the same seed and number), and
staged one after the other in a process of its own, which a second one watches. Each must be staged, or refused in one
line; within 5 s of processor time and 1 GB; and leave all of its results, or none, and nothing else. `--commands` of
them go through the command line, too. What fails is kept in `--keep`.

Up to 20 MB of zeros are appended, which make nights of 14 hours.
"""

import argparse
import contextlib
import csv
import faulthandler
import io
import multiprocessing
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

SECONDS, MEGABYTES = 5.0, 1000  # that a file may take
_TURN = 1000  # files of a process: safetensors keeps 22 kB of each network that it has loaded
_PATIENCE = 60.0  # s by the clock after which a file hangs; other work slows this machine down
_LABELS = ("C3-M2", "EOG1-M2", "EMG chin", "SpO2")
_LENGTH = 90  # s of a base file
_NUMBERS = (b"-1", b"0", b"1", b"nan", b"inf", b"1e300", b"1e-300", b"99999999", b"-9999999", b"0.0001", b"2147483648",
            b"4294967296", b"9" * 30, b"", b"\xff\xff", b"1,5", b"0x10", b"1e3", b"12 34")  # fmt: skip
_TEXTS = (b"C3-M2", b"EEG", b"C3", b"M2", b"EDF Annotations", b"BDF Annotations", bytes(16), b"\x1b[2J\x07",
          b"../../../../etc", b"<script>alert(1)", b"'; DROP TABLE;--", b"%s%s%s%n{0}", b"C4-M1:C3-M2", b"-" * 16,
          b"\xff\xfe\xfd", b"C3-M2\nC4-M1", b"$(reboot)`id`", b"(" * 16, "\u202eC4-M1".encode(),
          "Größe µV".encode("latin-1"))  # fmt: skip
# Place and width of each field that all signals share; then the width of each that every signal has.
_FIXED = ((0, 8), (8, 80), (88, 80), (168, 8), (176, 8), (184, 8), (192, 44), (236, 8), (244, 8), (252, 4))
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)


class Outcome(NamedTuple):
    """What came of a file: what was said, seconds of the processor and of the clock, megabytes, and what is wrong."""

    said: str
    cpu: float
    wall: float
    megabytes: float
    wrong: str


def bases() -> dict[str, bytes]:
    """The valid files that are damaged, by the end of their names."""
    import edfio

    rng = np.random.default_rng(0)
    rates = (64, 64, 64, 1)
    signals = [rng.normal(0, 40, _LENGTH * rate) for rate in rates]
    notes = [edfio.EdfAnnotation(30.0 * i, 30.0, f"Sleep stage {s}") for i, s in enumerate("W12")]
    found = {}
    for kind, whole, part in (("edf", edfio.Edf, edfio.EdfSignal), ("bdf", edfio.Bdf, edfio.BdfSignal)):
        for plus in (False, True):
            channels = [
                part(x, rate, label=label, physical_dimension="%" if label == "SpO2" else "uV")
                for x, rate, label in zip(signals, rates, _LABELS, strict=True)
            ]
            file = whole(
                channels, data_record_duration=1, annotations=notes if plus else None,
                patient=edfio.Patient(code="P7", sex="F"),
            )  # fmt: skip
            found[f"{'plus' * plus}.{kind}"] = file.to_bytes()
    found["gaps.edf"] = _with_gap(found["plus.edf"])
    return found


def _with_gap(raw: bytes) -> bytes:
    """As EDF+D, with a pause of 9 s in the middle."""
    later = re.compile(rb"\+(\d+)\x14\x14")
    cut = later.search(raw, raw.index(b"+%d\x14\x14" % (_LENGTH // 2)))
    tail = later.sub(lambda m: b"+%d\x14\x14" % (int(m[1]) + 9), raw[cut.start() :])
    return (raw[: cut.start()] + tail)[: len(raw)].replace(b"EDF+C", b"EDF+D", 1)


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """A file with one to three kinds of damage."""
    data = bytearray(raw)
    for damage in rng.choices(DAMAGES, k=rng.choice((1, 1, 1, 2, 3))):
        damage(data, rng)
    return bytes(data)


def _put(data: bytearray, place: int, width: int, text: bytes) -> None:
    data[place : place + width] = text.ljust(width)[:width]


def flips(data: bytearray, rng: random.Random) -> None:
    """Some bytes anywhere."""
    for _ in range(rng.choice((1, 8, 64))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)


def flips_of_header(data: bytearray, rng: random.Random) -> None:
    """Some bytes of the header."""
    for _ in range(rng.choice((1, 2, 4, 16))):
        if data:
            data[rng.randrange(min(len(data), 256 * 6))] = rng.choice(
                b"0123456789+-.,eE \0\xff" + rng.randbytes(4)
            )


def truncation(data: bytearray, rng: random.Random) -> None:
    """The end is missing; half of the header's promises are taken back."""
    del data[rng.randrange(len(data) + 1) :]
    if len(data) > 256 and rng.random() < 0.5:
        _put(data, 236, 8, b"-1")


def absurd_field(data: bytearray, rng: random.Random) -> None:
    """A number that the signals share, such as the length of a record."""
    place, width = rng.choice(_FIXED)
    _put(data, place, width, rng.choice(_NUMBERS + _TEXTS))


def absurd_channel(data: bytearray, rng: random.Random) -> None:
    """A number of one signal, or of all."""
    n, k = 5, rng.randrange(2, len(_WIDTHS))
    begin = 256 + n * sum(_WIDTHS[:k])
    text = rng.choice(_NUMBERS)
    for i in rng.choice(([rng.randrange(n)], range(n))):
        _put(data, begin + i * _WIDTHS[k], _WIDTHS[k], text)


def labels(data: bytearray, rng: random.Random) -> None:
    """Hostile labels, or one label for several signals."""
    for i in range(rng.choice((1, 2, 5))):
        _put(data, 256 + 16 * i, 16, rng.choice(_TEXTS))


def notes(data: bytearray, rng: random.Random) -> None:
    """The signs that part annotations, their numbers and texts."""
    places = [m.start() for m in re.finditer(rb"[+\x14\x15]", bytes(data[512:]))]
    for _ in range(rng.choice((1, 3, 30)) if places else 0):
        place = 512 + rng.choice(places)
        piece = rng.choice(
            (b"\0", b"\x14", b"\x15", b"+", b"-", b"9" * 12, b"+1e9\x14", b"\x14\x14\x14", b"\xff")
        )
        data[place : place + len(piece)] = piece


def garbage(data: bytearray, rng: random.Random) -> None:
    """Bytes behind the end, up to 2 MB, or in the middle."""
    more = rng.randbytes(rng.choice((1, 100, 10_000, 2_000_000)))
    place = len(data) if rng.random() < 0.7 else rng.randrange(len(data) + 1)
    data[place:place] = more


def overlong(data: bytearray, rng: random.Random) -> None:
    """Records or channels far longer than the file, some of them with zeros enough to be there."""
    n = 5
    begin = 256 + n * sum(_WIDTHS[:8])
    _put(data, begin + 8 * rng.randrange(n), 8, rng.choice((b"1000", b"65536", b"999999", b"9999999")))
    if rng.random() < 0.5:
        _put(data, 236, 8, b"-1")
        data.extend(bytes(rng.choice((100_000, 20_000_000))))
    if rng.random() < 0.3:
        _put(data, 244, 8, rng.choice((b"0.01", b"60", b"3600", b"86400")))


DAMAGES = (flips, flips_of_header, truncation, absurd_field, absurd_channel, labels, notes, garbage, overlong)


def made(number: int, seed: int, folder: Path, valid: dict[str, bytes]) -> tuple[Path, list[str]]:
    """The damaged file of a number, and the options with which it is staged."""
    rng = random.Random(f"{seed} {number}")
    name = rng.choice(list(valid))
    path = folder / f"{number:05d}{name}"
    path.write_bytes(damaged(valid[name], rng))
    options = [o for o in ("--report", "--arousals", "--anonymous") if rng.random() < 0.2]
    return path, [
        *options,
        "--format",
        rng.choice(("edf,csv", "edf,csv,bids,npz", "csv,yasa,yasa-json,statistics")),
    ]


def wrong(code: int, said: str, out: Path, options: list[str]) -> str:
    """What is wrong with the end of a call: its code, what it said, and the files that it left; "" if nothing."""
    lines = _lines(said)
    if code not in (0, 1, 2):
        return f"exit code {code}"
    for line in lines:
        if not line.startswith("sleeplib: ") or not line.isprintable() or "error of sleeplib itself" in line:
            return f"said {line!r:.300}"
    if code and not lines:
        return "failed without a word"
    files = sorted(out.rglob("*")) if out.exists() else []
    expected = options[-1].count(",") + 1 + ("bids" in options[-1]) + ("--report" in options)
    if len(files) != (0 if code else expected):
        return f"{len(files)} files with exit code {code}: {', '.join(f.name for f in files)}"
    if empty := [f.name for f in files if not f.is_file() or not f.stat().st_size or f.suffix == ".part"]:
        return f"unfinished {', '.join(empty)}"
    return "" if code else _unequal(out)


def _lines(said: str) -> list[str]:
    """What was said, without the bar of progress."""
    return [line for line in said.splitlines() if line.strip() and not line.lstrip().startswith("staging:")]


def _unequal(out: Path) -> str:
    """Whether the tables of a night, read back, have other epochs than its annotations."""
    from sleeplib.readers import read_hypnogram
    from sleeplib.stages import STAGES

    tables, annotations = list(out.glob("*_hypnogram.csv")), list(out.glob("*_hypnogram.edf"))
    if not (tables and annotations):
        return ""
    with tables[0].open() as file:
        rows = [row["stage"] for row in csv.DictReader(file)]
    back = read_hypnogram(annotations[0]).stages
    return (
        "" if rows == [dict(enumerate(STAGES)).get(k, "?") for k in back] else "table and annotations differ"
    )


def staged(path: Path, options: list[str], weights: str) -> Outcome:
    """Stage a file in this process, and judge."""
    from sleeplib import cli

    _reset_peak()
    stderr, began, clock = io.StringIO(), time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(["stage", str(path), "--out", str(out), "--weights", weights, *options])
        took = time.process_time() - began, time.perf_counter() - clock, _peak()
        said = stderr.getvalue()
        fault = wrong(code, said, out, options) or _greedy(*took)
    return Outcome(("refused: " if code else "staged") + _kind(said, path) * bool(code), *took, fault)


def _greedy(cpu: float, wall: float, megabytes: float) -> str:
    if cpu > SECONDS:
        return f"{cpu:.1f} s of the processor"
    return f"{megabytes:.0f} MB" if megabytes > MEGABYTES else ""


def _kind(said: str, path: Path) -> str:
    """What a refusal says, without names and numbers."""
    text = next(iter(_lines(said)), "").replace(str(path), "").replace(path.stem, "")
    return re.sub(
        r"'[^']*'|\"[^\"]*\"|[\d.,]*\d", "#", text.removeprefix("sleeplib: ").strip(": ").partition("(")[0]
    )[:90]


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Megabytes of this process at their most, since `_reset_peak` where the system has that."""
    with contextlib.suppress(OSError):
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _worker(pipe, seed: int, folder: Path, weights: str) -> None:
    """Stage the numbers that come through a pipe."""
    faulthandler.enable()
    valid = bases()
    while (number := pipe.recv()) is not None:
        path, options = made(number, seed, folder, valid)
        outcome = staged(path, options, weights)
        if not outcome.wrong:
            path.unlink()
        pipe.send(outcome)


def run(numbers: range, seed: int, folder: Path, weights: str) -> list[Outcome]:
    """The outcomes of these files, in processes that are started again if they crash or hang."""
    context, found, worker, pipe = multiprocessing.get_context("spawn"), [], None, None
    for number in numbers:
        if worker and not len(found) % _TURN:
            print(f"{len(found)} files", flush=True)
            worker = _ended(worker, pipe)
        if worker is None:
            pipe, end = context.Pipe()
            worker = context.Process(target=_worker, args=(end, seed, folder, weights), daemon=True)
            worker.start()
            end.close()
        pipe.send(number)
        try:
            outcome = pipe.recv() if pipe.poll(_PATIENCE) else None
            outcome = outcome or Outcome("hung", _PATIENCE, _PATIENCE, 0.0, "hangs")
        except EOFError:
            outcome = Outcome("crashed", 0.0, 0.0, 0.0, f"crash with exit code {worker.exitcode}")
        if outcome.said in ("hung", "crashed"):
            worker.kill()
            worker = None
        if outcome.wrong:
            print(f"file {number} of seed {seed}: {outcome.wrong}", flush=True)
        found.append(outcome)
    if worker:
        _ended(worker, pipe)
    return found


def _ended(worker, pipe) -> None:
    pipe.send(None)
    worker.join()


def commands(numbers, seed: int, folder: Path, weights: str) -> list[str]:
    """What is wrong with the command line itself, of some of the files."""
    faults, valid = [], bases()
    for number in numbers:
        path, options = made(number, seed, folder, valid)
        with tempfile.TemporaryDirectory() as out:
            call = [
                sys.executable,
                "-m",
                "sleeplib",
                "stage",
                path,
                "--out",
                f"{out}/out",
                "--weights",
                weights,
                *options,
            ]
            ended = subprocess.run(call, capture_output=True, text=True)
            fault = wrong(ended.returncode, ended.stderr, Path(out) / "out", options)
        if fault:
            faults.append(f"command line, file {number} of seed {seed}: {fault}")
        else:
            path.unlink()
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, default=100)
    parser.add_argument("--weights", default="any/anysleep-0")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "fuzz-stage")
    a = parser.parse_args()
    a.keep.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    numbers = range(a.first, a.first + a.files)
    found = run(numbers, a.seed, a.keep, a.weights)
    for said, n in Counter(outcome.said for outcome in found).most_common(40):
        print(f"{n:6d}  {said}")
    for measure, unit in (("cpu", "s of the processor"), ("wall", "s by the clock"), ("megabytes", "MB")):
        most, number = max(
            zip((getattr(outcome, measure) for outcome in found), numbers, strict=True), default=(0, 0)
        )
        print(f"at most {most:.5g} {unit}, file {number}")
    faults = commands(range(numbers.stop, numbers.stop + a.commands), a.seed, a.keep, a.weights)
    print(*faults, sep="\n")
    bad = sum(bool(outcome.wrong) for outcome in found)
    print(
        f"{bad} of {len(found)} files and {len(faults)} of {a.commands} commands are wrong; {a.keep} has them"
    )
    print(f"{time.perf_counter() - began:.0f} s")
    return int(bool(bad or faults))


if __name__ == "__main__":
    sys.exit(main())
