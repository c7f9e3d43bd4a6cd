"""Damage for every reader: small valid files are mutated, and nothing but our own error may come of it, soon.

    python -m tests.readers.fuzz --n 100000 --seed 0

prints how many files of each format were tried, read and refused. `FORMATS` is the register: name -> (a function that
writes a valid file into a folder and returns its path, a function that reads a path). What a crash leaves behind in the
folder is the file that caused it.
"""

import argparse
import faulthandler
import io
import random
import re
import resource
import tempfile
import time
import warnings
from collections import Counter
from datetime import datetime
from pathlib import Path
from unittest.mock import patch
from zipfile import ZipFile

import edfio
import h5py
import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers import bids, codes, edf, hdf5, isruc, npz, nsrr, respevt, scorings, tables, wfdb
from sleeplib.recording import Event, Hypnogram, Recording

SECONDS = 2.0  # that one file may take
MEGABYTES = 500  # by which memory may grow
START = datetime(2001, 2, 3, 23, 15, 30)
STAGES = [9, 0, 0, 1, 2, 2, 3, 4, 0]
EVENTS = [Event("Arousal|Arousal ()", 12.25, 4.5), Event("Hypopnea|Hypopnea", 60.0, 21.0)]
_NUMBERS = (
    b"-1",
    b"0",
    b"nan",
    b"inf",
    b"-inf",
    b"1e300",
    b"1e-300",
    b"99999999999999999999",
    b"2147483648",
    b"",
)


def _night(labels=("C3_M2", "EOG1", "EMG")) -> Recording:
    rng = np.random.default_rng(0)
    signals = [rng.normal(0, 40, 300).astype(np.float32) for _ in labels]
    return Recording(signals, [10.0] * len(labels), list(labels), start=START, hypnogram=Hypnogram(STAGES))


def _written(name: str, write):
    """A maker of valid files: `write(path)` puts one there."""

    def make(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return make


def _wfdb(suffix: str):
    """One of the three files of a record; the other two stand beside it, undamaged."""

    def make(folder: Path) -> Path:
        wfdb.write_wfdb(folder / "tr", _night())
        wfdb.write_wfdb_annotations(folder / "tr.arousal", 10.0, Hypnogram(STAGES), EVENTS)
        return folder / f"tr{suffix}"

    return make


def _scorings(folder: Path) -> Path:
    (folder / "scorer_1").mkdir(exist_ok=True)
    scorings.write_scoring(Hypnogram(STAGES), folder / "scorer_1/night.json")
    return folder / "scorer_1/night.json"


def _described(folder: Path) -> Path:
    """A Dreem night whose rates stand in its description alone."""
    hdf5.write_dod(folder / "dod.h5", _night())
    with h5py.File(folder / "dod.h5", "a") as file:
        for group in file["signals"].values():
            group.attrs.clear()
    return folder / "dod.h5"


_ROWS = [{"id": "0012", "age": "44.5", "sex": "F"}, {"id": "0013", "age": "12", "sex": ""}]
_BIDS = "onset\tduration\ttrial_type\tstage_hum\n0\t30\tn/a\t0\n30\t30\tarousal\t8\n60\t30\tn/a\t2\n"


def _marked() -> Recording:
    night = _night()
    night.events = EVENTS
    return night


def _bdf(path: Path) -> None:
    night = _marked()
    signals = [
        edfio.BdfSignal(x, 10, label=name) for x, name in zip(night.signals, night.channels, strict=True)
    ]
    edfio.Bdf(signals, annotations=edf.annotations_of(night.hypnogram, EVENTS)).write(path)


def _discontinuous(path: Path) -> None:
    """As EDF+D, with a pause of half a minute before the last data record."""
    edf.write_edf(_marked(), path)
    raw = path.read_bytes().replace(b"EDF+C", b"EDF+D", 1)
    path.write_bytes(raw.replace(b"+28\x14\x14", b"+58\x14\x14"))


FORMATS = {
    "edf": (_written("n.edf", lambda p: edf.write_edf(_marked(), p)), edf.read_edf),
    "edf+d": (_written("d.edf", _discontinuous), edf.read_edf),
    "bdf": (_written("n.bdf", _bdf), edf.read_edf),
    "edf header": (_written("n.edf", lambda p: edf.write_edf(_marked(), p)), edf.read_edf_header),
    "edf annotations": (
        _written("a.edf", lambda p: edf.write_edf_annotations(p, EVENTS * 3, START)),
        edf.read_edf_scoring,
    ),
    "bids": (_written("e.tsv", lambda p: p.write_text(_BIDS)), bids.read_bids),
    "npz": (
        _written("n.npz", lambda p: np.savez(p, x=np.ones((9, 50, 1)), y=np.array(STAGES), fs=10.0)),
        npz.read_npz,
    ),
    "nsrr": (
        _written("n.xml", lambda p: nsrr.write_nsrr(p, [9, 0, 0, 2, 4, 5, 6], EVENTS, start=START)),
        nsrr.read_nsrr,
    ),
    "profusion": (_written("p.xml", lambda p: nsrr.write_profusion(p, [9, 0, 2, 5], EVENTS)), nsrr.read_nsrr),
    "wfdb header": (_wfdb(".hea"), wfdb.read_wfdb),
    "wfdb signals": (_wfdb(".mat"), wfdb.read_wfdb),
    "wfdb annotations": (_wfdb(".arousal"), wfdb.read_wfdb_annotations),
    "dcsm": (_written("psg.h5", lambda p: hdf5.write_dcsm(p, _night())), hdf5.read_hdf5),
    "dcsm, packed": (_written("psg.h5", lambda p: hdf5.write_dcsm(p, _night(), "gzip")), hdf5.read_hdf5),
    "dod": (_written("dod.h5", lambda p: hdf5.write_dod(p, _night())), hdf5.read_hdf5),
    "dod, described": (_described, hdf5.read_hdf5),
    "codes": (
        _written("c.txt", lambda p: codes.write_codes(p, [0, 1, 2, 3, 5, 5], 1)),
        lambda p: codes.read_codes(p, codes.ISRUC),
    ),
    "ids": (_written("h.ids", lambda p: codes.write_ids(p, Hypnogram(STAGES))), codes.read_ids),
    "respevt": (
        _written(
            "r.txt", lambda p: respevt.write_respevt(p, [Event("HYP-O", 60, 21)] * 2, START, [True, False])
        ),
        lambda p: respevt.read_respevt(p, START),
    ),
    "isruc": (
        _written("1_1.xlsx", lambda p: isruc.write_isruc(p, Hypnogram(STAGES), EVENTS)),
        isruc.read_isruc,
    ),
    "csv": (_written("t.csv", lambda p: tables.write_table(p, _ROWS)), tables.read_table),
    "tsv": (_written("t.tsv", lambda p: tables.write_table(p, _ROWS)), tables.read_table),
    "xls": (_written("t.xls", lambda p: tables.write_table(p, _ROWS)), tables.read_table),
    "xlsx": (_written("t.xlsx", lambda p: tables.write_table(p, _ROWS)), tables.read_table),
    "scorings": (_scorings, lambda p: scorings.read_scoring_files([p])),
}


SLOW = {"dcsm", "dcsm, packed", "dod", "dod, described"}  # another process looks at each file first
_RARELY = 10


def _flip(raw: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        raw[rng.randrange(len(raw))] = rng.choice((rng.randrange(256), 0, 255, 1 << rng.randrange(8)))


def _truncate(raw: bytearray, rng: random.Random) -> None:
    del raw[rng.randrange(len(raw)) :]


def _span(raw: bytearray, rng: random.Random) -> slice:
    start = rng.randrange(len(raw))
    return slice(start, start + rng.choice((1, 2, 8, 64, 512)))


def _remove(raw: bytearray, rng: random.Random) -> None:
    del raw[_span(raw, rng)]


def _duplicate(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw))
    raw[at:at] = raw[_span(raw, rng)] * rng.choice((1, 2, 50))


def _splice(raw: bytearray, rng: random.Random) -> None:
    raw[_span(raw, rng)] = raw[_span(raw, rng)]


def _renumber(raw: bytearray, rng: random.Random) -> None:
    """Another number in a text; in other files another integer of four or eight bytes."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", raw))
    if found and rng.random() < 0.7:
        raw[slice(*rng.choice(found).span())] = rng.choice(_NUMBERS)
    else:
        at, size = rng.randrange(len(raw)), rng.choice((2, 4, 8))
        value = rng.choice((0, 1, (1 << 8 * size) - 1, 1 << 8 * size - 1, rng.getrandbits(8 * size)))
        raw[at : at + size] = value.to_bytes(size, "little")


def _shuffle(raw: bytearray, rng: random.Random) -> None:
    lines = raw.split(b"\n")
    rng.shuffle(lines)
    raw[:] = b"\n".join(lines)


_DAMAGES = (_flip, _flip, _truncate, _remove, _duplicate, _splice, _renumber, _renumber, _shuffle)


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """The bytes of a file after one to four damages; of an archive, those of one member as often as its own."""
    if raw[:2] == b"PK" and rng.random() < 0.7:
        return _mutated_member(raw, rng)
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if changed:
            rng.choice(_DAMAGES)(changed, rng)
    return bytes(changed)


def _mutated_member(raw: bytes, rng: random.Random) -> bytes:
    with ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([name for name in members if members[name]])
    members[name] = mutated(members[name], rng)
    with ZipFile(packed := io.BytesIO(), "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def run(n: int, seed: int, formats=None, folder=None) -> dict[str, Counter]:
    """Try `n` damaged files, of each format in turn, of slow ones now and then.

    Returns
    -------
    counts of `tried`, `read` and `refused` by format

    Raises
    ------
    AssertionError
        If a reader raises anything but `SleeplibError`, warns, is too slow or takes too much memory; the file is kept.
    """
    chosen = {name: FORMATS[name] for name in formats or FORMATS}
    counts = {name: Counter() for name in chosen}
    folder = Path(folder or tempfile.mkdtemp(prefix="fuzz-"))
    valid = {}
    for name, (make, read) in chosen.items():
        (folder / name).mkdir(exist_ok=True)
        path = make(folder / name)
        valid[name] = path, path.read_bytes()
        read(path)  # valid indeed; and whatever is imported late counts for no reader's time
    peak = _megabytes()
    turns = [name for k in range(_RARELY) for name in chosen if name not in SLOW or not k]
    for i in range(n):
        name = turns[i % len(turns)]
        path, raw = valid[name]
        path.write_bytes(mutated(raw, random.Random(f"{seed} {i}")))
        with patch.object(hdf5, "_SURVEY_SECONDS", 0.75 * SECONDS):
            outcome = _outcome(chosen[name][1], path, f"{name}: file {i} of seed {seed}, {path}")
        assert _megabytes() - peak < MEGABYTES, f"{name}: memory grew by over {MEGABYTES} MB at {path}"
        counts[name].update(("tried", outcome))
        path.write_bytes(raw)
    return counts


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _outcome(read, path: Path, what: str) -> str:
    """Whether a damaged file is read or refused."""
    began = time.perf_counter()
    faulthandler.dump_traceback_later(5 * SECONDS, exit=True)  # for loops in C, which no exception ends
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
        outcome = "read"
    except SleeplibError as error:
        assert "\n" not in str(error) and str(path.with_suffix("")) in str(error), f"{what}: said {error}"
        outcome = "refused"
    except Exception as error:
        raise AssertionError(f"{what}: raised {error!r}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
    took = time.perf_counter() - began
    assert took < SECONDS, f"{what}: took {took:.1f} s"
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", choices=FORMATS)
    parser.add_argument("--folder")
    options = parser.parse_args()
    counts = run(options.n, options.seed, options.formats, options.folder)
    print(f"{'format':20}{'tried':>8}{'read':>8}{'refused':>8}")
    for name, count in counts.items():
        print(f"{name:20}{count['tried']:8}{count['read']:8}{count['refused']:8}")


if __name__ == "__main__":
    main()
