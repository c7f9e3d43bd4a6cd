"""Damaged files through `sleeplib stage`, a small part of what `benchmarks/fuzz_stage.py` tries."""

import importlib.util
import random

import pytest

from sleeplib import readers, staging
from sleeplib.models import weights
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.provenance import root
from tests.test_staging import network


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_stage", root() / "benchmarks/fuzz_stage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny/anysleep"
    tiny = network(depth=2, complexity=0.05)
    return str(weights.save(tiny, "anysleep", path, Preparation(**ANYSLEEP), simulated=True))


def test_the_base_files_are_valid(fuzz, tmp_path):
    mne = pytest.importorskip("mne")
    for name, raw in fuzz.bases().items():
        path = tmp_path / f"x{name}"
        path.write_bytes(raw)
        ours = readers.read(path)
        assert ours.rates == [64, 64, 64, 1] and [len(x) for x in ours.signals][3] in (90, 99)
        assert ours.gaps == ([(45, 9)] if name == "gaps.edf" else [])
        assert (ours.hypnogram is not None) == ("plus" in name or "gaps" in name)
        if name != "gaps.edf":
            read = mne.io.read_raw_bdf if name.endswith("bdf") else mne.io.read_raw_edf
            assert read(path, verbose="error").n_times == 64 * 90


def test_damage_leaves_all_results_or_none(fuzz, net, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "MEGABYTES", float("inf"))  # the process holds what other tests have loaded
    valid, said = fuzz.bases(), []
    for number in range(60):
        path, options = fuzz.made(number, 2026, tmp_path, valid)
        outcome = fuzz.staged(path, options, net)
        assert not outcome.wrong, f"file {number}: {outcome.wrong}"
        said.append(outcome.said)
    assert 10 < said.count("staged") < 50 and len(set(said)) > 8


def test_damage_can_be_done_again(fuzz):
    for raw in fuzz.bases().values():
        first, again = (fuzz.damaged(raw, random.Random("0 1")) for _ in range(2))
        assert first == again != raw
    for damage in fuzz.DAMAGES:
        for size in (0, 1, 300, 2000):  # what other damage has left
            damage(bytearray(size), random.Random(size))


def test_what_is_wrong_is_noticed(fuzz, net, tmp_path, monkeypatch):
    options, out = ["--format", "edf,csv"], tmp_path / "out"
    assert fuzz.wrong(2, "sleeplib: x: truncated\n", out, options) == ""
    assert fuzz.wrong(1, "\nstaging: 10%\n", out, options) == "failed without a word"
    assert fuzz.wrong(139, "", out, options) == "exit code 139"
    for line in (
        "Warning: mean of empty slice",
        "sleeplib: \x1b[2J",
        "sleeplib: an error of sleeplib itself, x",
    ):
        assert fuzz.wrong(2, line, out, options).startswith("said ")
    assert fuzz.wrong(0, "", out, options) == "0 files with exit code 0: "
    out.mkdir()
    (out / "x_hypnogram.csv").touch()
    assert fuzz.wrong(1, "sleeplib: x", out, options) == "1 files with exit code 1: x_hypnogram.csv"
    (out / "x_hypnogram.edf.part").write_text("x")
    assert fuzz.wrong(0, "", out, options) == "unfinished x_hypnogram.csv, x_hypnogram.edf.part"
    assert fuzz._greedy(5.1, 0, 0) == "5.1 s of the processor" and fuzz._greedy(0, 0, 1001) == "1001 MB"

    def fail(*_, **__):
        raise KeyError("oh")

    monkeypatch.setattr(staging, "stage", fail)
    valid = {".edf": fuzz.bases()[".edf"]}
    monkeypatch.setattr(fuzz, "damaged", lambda raw, rng: raw)
    outcome = fuzz.staged(*fuzz.made(0, 0, tmp_path, valid), net)
    assert "an error of sleeplib itself" in outcome.wrong
