"""Damaged files of every format: read, or refused by our own error, at once."""

import random

import pytest

from sleeplib.errors import SleeplibError
from tests.readers import fuzz


def test_nothing_but_our_own_error_comes_of_damage(tmp_path):
    counts = fuzz.run(1500, seed=2026, folder=tmp_path)
    assert sum(count["tried"] for count in counts.values()) == 1500
    for name, count in counts.items():
        assert count["read"] + count["refused"] == count["tried"] >= count["refused"] > 0, name


def test_the_fuzzer_notices_what_a_reader_does_wrong(tmp_path, monkeypatch):
    def make(folder):
        (folder / "x").write_text("valid")
        return folder / "x"

    def mistake(path):
        if path.read_text(errors="replace") != "valid":
            raise KeyError("oh")

    def silent(path):
        if path.read_text(errors="replace") != "valid":
            raise SleeplibError("something is wrong somewhere")

    monkeypatch.setattr(fuzz, "FORMATS", {"mistake": (make, mistake), "silent": (make, silent)})
    with pytest.raises(AssertionError, match=r"mistake: file 0 of seed 0, .* raised KeyError"):
        fuzz.run(9, 0, ["mistake"], tmp_path)
    with pytest.raises(AssertionError, match="said something is wrong"):
        fuzz.run(9, 0, ["silent"], tmp_path)


def test_damage_can_be_done_again():
    raw = b"0,60,W\n60,30,N1\n" * 9
    assert fuzz.mutated(raw, random.Random("0 1")) == fuzz.mutated(raw, random.Random("0 1")) != raw
