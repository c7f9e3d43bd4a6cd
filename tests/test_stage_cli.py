"""`sleeplib stage` as a user calls it: files and folders in, results beside them, one line for whatever is wrong."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime

import edfio
import numpy as np
import pytest

from sleeplib import cli, export, staging
from sleeplib.cli import stage as command
from sleeplib.models import weights
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.readers import read_hypnogram
from sleeplib.readers.edf import write_edf, write_edf_annotations
from sleeplib.recording import Event
from sleeplib.stages import STAGES
from tests.test_staging import NETWORK, recording

REVERSED = "\u202e".encode()  # turns the rest of a terminal's line round


def call(*arguments):
    return cli.main(["stage", *map(str, arguments)])


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small/anysleep"
    return weights.save(NETWORK, "anysleep", path, Preparation(**ANYSLEEP), simulated=True)


@pytest.fixture
def nights(tmp_path):
    """A folder of two nights, the annotations of one, and a file that is none."""
    folder = tmp_path / "nights"
    folder.mkdir()
    for name, minutes in (("a", 3), ("b", 5)):
        write_edf(recording(minutes), folder / f"{name}.edf")
    write_edf_annotations(folder / "a-Hypnogram.edf", [Event("Sleep stage W", 0, 30)], datetime(2001, 2, 3))
    (folder / "notes.txt").write_text("not a night")
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_in_results_beside_the_files(nights, net, capsys):
    before = set(names(nights))
    assert call(nights, "--weights", net, "--report", "--summary", nights / "all.csv") == 0
    made = {f"{n}{end}" for n in "ab" for end in ("_hypnogram.edf", "_hypnogram.csv", "_report.html")}
    assert set(names(nights)) == before | made | {"all.csv"}
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:4] == ["night", "channels", "confidence", "TST"] and out[1].split()[:2] == [
        "a",
        "3",
    ]
    assert len(out) == 4 and out[3] == f"table in {nights / 'all.csv'}"
    expected = staging.stage(nights / "b.edf", net)
    assert np.array_equal(read_hypnogram(nights / "b_hypnogram.edf").stages, expected.hypnogram.stages)
    with (nights / "b_hypnogram.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == [STAGES[code] for code in expected.hypnogram.stages]
    assert np.allclose([float(row["p_N2"]) for row in rows], expected.posteriors[:, 2], atol=1e-4)
    with (nights / "all.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["night"] for row in table] == ["a", "b"] and float(table[1]["TIB (min)"]) == 5
    page = (nights / "a_report.html").read_text()
    assert "simulated nights only" in page and "<title>" in page


def test_every_format_and_option(nights, net, tmp_path, capsys):
    out = tmp_path / "deep/out"
    assert set(command.FORMATS) == set(export.FORMATS)
    options = [
        "--format",
        ",".join(command.FORMATS),
        "--resolution",
        3.75,
        "--arousals",
        "--channels",
        "c3-m2, ECG",
    ]
    assert (
        call(nights / "b.edf", "--out", out, "--weights", net, *options, "--start", "23:51", "--end", 240)
        == 0
    )
    assert len(names(out)) == len(export.FORMATS) + 1  # and the sidecar
    with np.load(out / "b_hypnogram.npz") as arrays:
        told = json.loads(str(arrays["generated_by"]))
        assert (len(arrays["stages"]), len(arrays["fine"]), float(arrays["onset"])) == (6, 48, 60.0)
        assert arrays["arousals"].shape[1] == 2 and arrays["channels"].tolist() == ["C3-M2", "ECG"]
    assert told["Network"]["simulated"] and told["Network"]["sha256"] and told["ArousalsDetected"]
    assert "not among the channels" in told["ChannelsLeftOut"]["EEG F3-M2"]


def test_failures_do_not_stop_the_rest(nights, net, capsys):
    raw = (nights / "a.edf").read_bytes()
    (nights / "cut.edf").write_bytes(raw[: len(raw) // 2])
    (nights / "empty.edf").touch()
    (nights / "page.edf").write_text("<html>404</html>" * 100)
    (nights / "wide.edf").write_bytes(raw[:236] + b"99999999" + raw[244:])
    write_edf(recording(2, ["ECG___", "SpO2"]), nights / "heart.edf")
    write_edf(recording(2, ["C3-M2"], rate=32.0), nights / "slow.edf")
    (nights / "heart.edf").write_bytes(
        (nights / "heart.edf").read_bytes().replace(b"ECG___", b"ECG" + REVERSED)
    )
    options = ["--weights", net, "--format", "csv", "--jobs", 2]
    given = [nights / name for name in ("nosuch.edf", "notes.txt", "a-Hypnogram.edf")]
    assert call(nights, *given, *options) == 1
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("sleeplib: ")]
    assert (
        lines[-1] == "sleeplib: 9 of 11 nights failed, told above"
        and len(lines) == 10
        and REVERSED.decode() not in err
    )
    for name, told in (
        ("nosuch.edf", "no such file"),
        ("cut.edf", "truncated"),
        ("empty.edf", "truncated in its header"),
        ("page.edf", "neither EDF nor BDF"),
        ("wide.edf", "truncated: the header promises"),
        ("heart.edf", "no EEG or EOG among its channels"),
        ("notes.txt", "cannot read .txt"),
        ("slow.edf", "can be shown: C3-M2 (32 Hz; EEG needs at least 40)"),
        ("a-Hypnogram.edf", "holds annotations and no signals"),
    ):
        assert sum(str(nights / name) in line and told in line for line in lines) == 1, name
    assert [line.split()[0] for line in out.splitlines()] == ["night", "a", "b"]
    assert not [name for name in names(nights) if name.endswith(".part")]
    assert {"a_hypnogram.csv", "b_hypnogram.csv"} <= set(names(nights)) and "cut_hypnogram.csv" not in names(
        nights
    )


def test_a_bug_or_a_lack_of_memory_costs_one_night(nights, net, capsys, monkeypatch):
    real = staging.stage

    def stage(path, **options):
        if path.name == "a.edf":
            raise MemoryError
        if path.name == "b.edf":
            raise KeyError("x")
        return real(path, **options)

    monkeypatch.setattr(staging, "stage", stage)
    write_edf(recording(2), nights / "c.edf")
    assert call(nights, "--weights", net) == 1
    err = capsys.readouterr().err
    assert (
        "a.edf: not enough memory" in err
        and "an error of sleeplib itself, please report it (KeyError('x'))" in err
    )
    assert "c_hypnogram.csv" in names(nights) and "a_hypnogram.csv" not in names(nights)


def discontinuous(path, minutes=4, gap=75):
    """An EDF+D whose recorder paused in the middle."""
    write_edf(recording(minutes), path)
    raw = bytearray(path.read_bytes().replace(b"EDF+C", b"EDF+D", 1))
    stamps = list(re.finditer(rb"\+(\d+)\x14\x14", raw))
    for stamp in stamps[len(stamps) // 2 :]:
        later = b"+%d\x14\x14" % (int(stamp[1]) + gap)
        raw[stamp.start() : stamp.start() + len(later)] = later
    path.write_bytes(bytes(raw))


def test_a_pause_of_the_recorder_has_no_stage(nights, net):
    discontinuous(nights / "gap.edf")
    assert (
        call(nights / "gap.edf", "--weights", net, "--report", "--format", "csv,edf,bids,npz,yasa,yasa-json")
        == 0
    )
    with (nights / "gap_hypnogram.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [i for i, row in enumerate(rows) if row["stage"] == "?"] == [4, 5, 6] and rows[5]["p_W"] == ""
    assert read_hypnogram(nights / "gap_hypnogram.edf").stages[4:7].tolist() == [9, 9, 9]
    assert "gap_report.html" in names(nights)


def fails(capsys, *arguments):
    """The line of a call that does nothing."""
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("sleeplib: ") and err.count("\n") == 1
    return err


def test_results_are_not_written_over(nights, net, capsys, monkeypatch):
    monkeypatch.setattr(staging, "find_weights", lambda *_: pytest.fail("work has begun"))
    for made, options in (
        ("b_hypnogram.csv", []),
        ("a_report.html", ["--report"]),
        ("b_events.json", ["--format", "bids"]),
        ("all.tsv", ["--summary", nights / "all.tsv"]),
    ):
        (nights / made).write_text("precious")
        assert f"{nights / made} exists; choose another name or pass --force" in fails(
            capsys, nights, *options
        )
        assert (nights / made).read_text() == "precious"
        (nights / made).unlink()
    monkeypatch.undo()
    (nights / "a_hypnogram.csv").write_text("old")
    assert call(nights, "--weights", net, "--force") == 0
    assert (nights / "a_hypnogram.csv").read_text().startswith("onset,")


def test_bad_arguments_do_no_work(nights, net, capsys, tmp_path):
    (tmp_path / "none").mkdir()
    (nights / "more").mkdir()
    write_edf(recording(2), nights / "more/a.edf")
    write_edf(recording(2), nights / "x_hypnogram.edf")
    one = nights / "b.edf"
    for arguments, told in (
        ((tmp_path / "none",), "no recordings in this folder"),
        ((one, "--format", "edf,pdf"), "no format pdf; known: edf, csv"),
        ((one, "--resolution", 4), "take 5 or 3.75 s"),
        ((one, "--weights", "nosuch"), "no weights 'nosuch'"),
        ((one, "--weights", net, "--device", "abacus"), "device 'abacus' cannot be used"),
        ((one, "--summary", nights / "all.pdf"), "ends in .csv or .tsv"),
        ((one, "--out", one), "is no folder"),
        ((one, "--out", one / "below"), "b.edf/below: cannot be written (not a directory)"),
        ((one, "--out", nights, "--summary", one / "all.csv"), "b.edf: cannot be written ("),
        ((one, "--channels", ""), "--channels names no channel"),
        ((one, "--channels", " ,"), "--channels names no channel"),
        ((nights, "--out", tmp_path / "out"), "would both be"),
        ((nights / "x_hypnogram.edf", nights / "x.edf", "--force"), "is a recording to be staged"),
    ):
        assert told in fails(capsys, *arguments)
    assert not (tmp_path / "out").exists() and "b_hypnogram.csv" not in names(nights)
    for arguments in ((), (one, "--resolution", "abc"), (one, "--jobs", 0)):
        with pytest.raises(SystemExit) as stop:
            call(*arguments)
        assert stop.value.code == 2


def test_an_empty_name_is_not_the_current_folder(nights, net, capsys, monkeypatch):
    monkeypatch.chdir(nights)
    for arguments in (("",), ("b.edf", "--out", ""), ("b.edf", "--summary", "")):
        with pytest.raises(SystemExit) as stop:
            call(*arguments)
        assert stop.value.code == 2 and "an empty name; the current folder is `.`" in capsys.readouterr().err
    assert call(".", "--weights", net, "--format", "csv") == 0 and "b_hypnogram.csv" in names(nights)


def test_channels_are_told_without_staging(nights, capsys, monkeypatch):
    monkeypatch.setattr(staging, "stage", lambda *_: pytest.fail("staged"))
    write_edf(recording(1, ["C3", "M2", "Weird___", "ECG"]), nights / "c.edf")
    (nights / "c.edf").write_bytes((nights / "c.edf").read_bytes().replace(b"___", REVERSED))
    (nights / "d.edf").write_bytes(b"0" * 300)
    assert call(nights, "--list-channels") == 1
    out, err = capsys.readouterr()
    assert (
        "shown to the network: EEG F3-M2 (EEG), C3-M2 (EEG), EOG1-M2 (EOG)" in out
        and REVERSED.decode() not in out
    )
    assert "shown to the network: C3-M2 (EEG)" in out and f"{nights / 'c.edf'}: 4 channels" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "no" in rows["ECG"].split() and "the heart" in rows["ECG"]
    assert err.startswith(f"sleeplib: {nights / 'd.edf'}: ") and len(err.splitlines()) == 1
    assert not [name for name in names(nights) if "hypnogram.csv" in name]


def test_the_demonstration_is_announced_once(nights, net, capsys, monkeypatch):
    monkeypatch.setattr(staging, "find_weights", lambda *_: (net, "offline: has seen simulated nights only"))
    assert call(nights) == 0
    assert capsys.readouterr().err.count("has seen simulated nights only") == 1


def test_warnings_of_a_night_are_told_with_its_file(nights, net, capsys):
    flat = recording(2)
    for x in flat.signals:
        x[:] = 0
    write_edf(flat, nights / "flat.edf")
    assert call(nights / "flat.edf", "--weights", net) == 0
    assert (
        f"{nights / 'flat.edf'}: flat: flat in 100% of the night in every channel" in capsys.readouterr().err
    )


def test_help_needs_nothing_heavy():
    """Under -X importtime each module that is loaded has a line."""
    run = [sys.executable, "-X", "importtime", "-m", "sleeplib", "stage", "--help"]
    told = subprocess.run(run, capture_output=True, text=True, check=True)
    assert all(
        option in told.stdout
        for option in ("--list-channels", "--arousals", "--force", "edf,csv", "lights off")
    )
    assert not any(heavy in told.stderr for heavy in ("torch", "numpy", "pandas", "scipy", "joblib", "yaml"))


def test_a_bdf_is_found_in_a_folder_and_staged(nights, net, capsys):
    signals = [
        edfio.BdfSignal(x, 128, label=name, physical_dimension="uV")
        for x, name in zip(recording(2).signals, ("C3-M2", "F3-M2", "EOG1-M2", "ECG", "Status"), strict=True)
    ]
    edfio.Bdf(signals).write(nights / "c.BDF")
    assert call(nights, "--weights", net, "--format", "npz") == 0
    with np.load(nights / "c_hypnogram.npz") as arrays:
        assert arrays["channels"].tolist() == ["C3-M2", "F3-M2", "EOG1-M2"] and len(arrays["stages"]) == 4
        left = json.loads(str(arrays["generated_by"]))["ChannelsLeftOut"]
    assert left["Status"].startswith("a mark or state")
    assert call(nights / "c.BDF", "--list-channels") == 0
    assert "shown to the network: C3-M2 (EEG), F3-M2 (EEG), EOG1-M2 (EOG)" in capsys.readouterr().out


def test_the_age_decides_what_is_usual(nights, net):
    write_edf(recording(181), nights / "long.edf")
    for age, row in ((None, "Usual</th>"), (25, "Usual</th>"), (85, "Usual</th>")):
        options = ["--age", age] if age else []
        assert call(nights / "long.edf", "--weights", net, "--report", "--force", *options) == 0
        page = (nights / "long_report.html").read_text()
        assert (row in page) == bool(age) and (f"{age} years" in page) == bool(age)
    for age in (-1, 131, "old"):
        with pytest.raises(SystemExit):
            call(nights, "--age", age)


# What a header may say of a person, and how the outputs might say it again.
PATIENT = "MCH-0234567 F 02-MAY-1951 Haagse_Harry age=51 ahi=4.5"
RECORDER = "Startdate 17-MAR-2002 EMG561 BK/JOP Sony._MNC"
NAMED = (
    "MCH",
    "0234567",
    "Haagse",
    "Harry",
    "EMG561",
    "BK/JOP",
    "Sony",
    "1951",
    "2002",
    "17.03.02",
    "17 Mar",
)


def named(path):
    """A night whose header, file and folder name somebody."""
    write_edf(recording(3), path)
    raw = path.read_bytes()
    path.write_bytes(
        raw[:8] + PATIENT.encode().ljust(80) + RECORDER.encode().ljust(80) + b"17.03.02" + raw[176:]
    )


def contents(folder):
    """All that the files of a folder say, archives unpacked."""
    for path in folder.rglob("*"):
        yield path.name.encode()
        yield path.read_bytes()
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                yield from (repr(arrays[name]).encode() for name in arrays)


def told(text, folder):
    return [each for each in contents(folder) if text.casefold().encode() in each.lower()]


def test_nobody_is_named_in_an_anonymous_result(nights, net, capsys, tmp_path):
    folder = tmp_path / "Haagse"
    folder.mkdir()
    named(folder / "Haagse_Harry.edf")
    write_edf(recording(2), folder / "Zoe.edf")
    options = ["--weights", net, "--report", "--arousals", "--format", ",".join(export.FORMATS)]
    for out, more in ((tmp_path / "open", []), (tmp_path / "closed", ["--anonymous"])):
        assert call(folder, "--out", out, *options, "--summary", out / "all.csv", *more) == 0
    stems = {path.name.split("_")[0] for path in (tmp_path / "closed").iterdir()}
    assert stems == {"night-001", "night-002", "all.csv"}
    for text in (*NAMED, "Zoe", "2001"):
        assert not told(text, tmp_path / "closed"), text
    for text in ("MCH-0234567", "Haagse", "2002", "Zoe"):
        assert told(text, tmp_path / "open"), f"{text} would have been found"
    out = capsys.readouterr().out
    assert (
        f"night-001 is {folder / 'Haagse_Harry.edf'}" in out and f"night-002 is {folder / 'Zoe.edf'}" in out
    )
    page = (tmp_path / "closed/night-001_report.html").read_text()
    assert "51 years" in page and "female" in page and "23:50 to" in page
    raw = (tmp_path / "closed/night-001_hypnogram.edf").read_bytes()
    assert raw[8:88].split() == [b"night-001", b"F", b"X", b"X", b"age=51"]
    assert raw[88:168].split()[:2] == [b"Startdate", b"X"] and raw[168:184] == b"01.01.8523.50.00"
    assert read_hypnogram(tmp_path / "closed/night-001_hypnogram.edf").stages.size == 6
    assert "cannot know them" in fails(capsys, folder, "--anonymous", "--resume")


def test_a_batch_goes_on_where_it_stopped(nights, net, capsys, monkeypatch):
    real, seen = staging.stage, []

    def stage(path, **options):
        seen.append(path.name)
        if path.name == "b.edf" and len(seen) == 2:
            raise KeyboardInterrupt
        return real(path, **options)

    monkeypatch.setattr(staging, "stage", stage)
    options = [nights, "--weights", net, "--format", "csv,bids", "--report"]
    assert call(*options) == 130
    assert "interrupted; add --resume to go on where it stopped" in capsys.readouterr().err
    assert "a_report.html" in names(nights) and not [n for n in names(nights) if n.startswith((".", "b_"))]
    before = (nights / "a_report.html").read_bytes()
    assert "exists; choose another name or pass --force" in fails(capsys, *options)
    assert call(*options, "--resume") == 0 and seen == ["a.edf", "b.edf", "b.edf"]
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "1 of 2 nights have their results and are skipped, in the table too"
    assert [line.split()[0] for line in out[2:]] == ["b"] and "b_events.json" in names(nights)
    assert (nights / "a_report.html").read_bytes() == before
    (nights / "all.csv").write_text("of all")
    assert "would lack the nights" in fails(capsys, *options, "--resume", "--summary", nights / "all.csv")
    assert (nights / "all.csv").read_text() == "of all"
    assert call(*options, "--resume") == 0 and len(seen) == 3
    assert capsys.readouterr().out == "2 of 2 nights have their results and are skipped, in the table too\n"
    (nights / "b_events.json").unlink()  # a part of its results: whose the others are nobody knows
    (nights / "b_hypnogram.csv").write_text("corrected by hand")
    assert call(*options, "--resume") == 0 and seen[3:] == ["b.edf"]  # interrupted between two of its files
    assert (nights / "b_events.json").exists() and (
        nights / "b_hypnogram.csv"
    ).read_text() == "corrected by hand"


def test_a_scheduler_that_ends_the_command_leaves_nothing_half_written(nights, net, capsys, monkeypatch):
    real, handler = export.write, signal.getsignal(signal.SIGTERM)

    def write(night, folder, formats):
        real(night, folder, formats)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(export, "write", write)
    before = names(nights)
    assert call(nights, "--weights", net) == 130
    assert names(nights) == before and signal.getsignal(signal.SIGTERM) is handler
    assert "interrupted; add --resume" in capsys.readouterr().err
