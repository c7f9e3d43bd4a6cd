"""Real files, each against an independent reading of its bytes. None of them is part of the project."""

import csv
import json
import re
from collections import Counter
from datetime import datetime

import numpy as np
import pytest

from sleeplib import readers
from sleeplib.readers.bids import read_bids
from sleeplib.readers.edf import read_edf_scoring
from sleeplib.readers.scorings import read_scorings

RK = {"W": 0, "1": 1, "2": 2, "3": 3, "4": 3, "R": 4, "?": 9}


def some(folder, pattern):
    paths = sorted(folder.glob(pattern))
    return paths or pytest.skip(f"{folder} has no {pattern}")


@pytest.fixture(scope="module")
def dreams(shared):
    return some(shared / "data/edf-samples", "dreams-excerpt3.edf")[0]


def by_hand(path):
    """Labels, units and microvolts of an EDF file, read with numpy alone."""
    raw = path.read_bytes()
    header, records, n = int(raw[184:192]), int(raw[236:244]), int(raw[252:256])

    def column(start, width):
        texts = (raw[256 + start * n + width * i :][:width].decode() for i in range(n))
        return [text.strip() for text in texts]

    low, high, first, last = (np.array(column(start, 8), float) for start in (104, 112, 120, 128))
    sizes = np.array(column(216, 8), int)
    data = np.frombuffer(raw, "<i2", offset=header).reshape(records, sizes.sum())
    gain = (high - low) / (last - first)
    parts = np.split(data, np.cumsum(sizes)[:-1], axis=1)
    units = column(96, 8)
    factors = [{"UV": 1.0, "MV": 1e3}.get(unit, 1.0) for unit in units]
    signals = [
        (part.ravel() - first[i]) * gain[i] * factors[i] + low[i] * factors[i] for i, part in enumerate(parts)
    ]
    return column(0, 16), units, signals


def test_a_clinical_file_of_other_software(dreams):
    night = readers.read(dreams)
    assert night.start == datetime(2003, 11, 17, 3, 27) and night.duration == 1800
    assert night.subject.id == "dreams-excerpt3" and not night.gaps and night.hypnogram is None
    assert night.rates == [50.0] * 15 + [1.0] * 5
    labels, units, signals = by_hand(dreams)
    assert night.channels == labels and night.channels[:2] == ["O1-A1", "EMG1"]
    for ours, theirs in zip(night.signals, signals, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-3)
    # Voltages are microvolts, whatever the file has them in: its ECG is in millivolts.
    assert night.units == [{"UV": "uV", "MV": "uV"}.get(unit, unit) for unit in units]
    assert units[labels.index("ECG")] == "MV" and night.units[labels.index("SAO2")] == "%"


def test_known_samples_of_it(dreams):
    # C3-A1 is the seventh of channels with 100 samples in a record; -20385 to 18393 is -204 to 184 uV in its header.
    at = 5376 + 6 * 100 * 2
    digital = np.frombuffer(dreams.read_bytes()[at : at + 6], "<i2")
    assert digital.tolist() == [1121, 517, 742]
    assert np.allclose(readers.read(dreams, ["C3-A1"]).signals[0][:3], [11.182, 5.139, 7.390], atol=1e-3)


def test_its_hypnogram_and_events_are_channels(dreams):
    night = readers.read(dreams, ["hypnogram", "event_pneumo", "hypnogram_aut"])
    assert night.rates == [1.0] * 3 and night.units == ["stade", "ev", "stade"]
    stages, events, automatic = (x.astype(int) for x in night.signals)
    assert np.abs(night.signals[0] - stages).max() < 1e-3
    assert dict(zip(*np.unique(stages, return_counts=True), strict=True)) == {1: 80, 2: 1120, 3: 440, 5: 160}
    assert set(automatic) == {0, 1, 2, 4, 5} and set(events) == {0, 1, 3, 10}
    assert readers.header(dreams).samples == [90_000] * 15 + [1800] * 5


def tals(path):
    """`(onset, duration, text)` of a hypnogram of Sleep-EDF, straight from its bytes."""
    raw = path.read_bytes()[512:]
    return [
        (int(a), int(b), text.decode())
        for a, b, text in re.findall(rb"\+(\d+)\x15(\d+)\x14([^\x14]+)\x14\0", raw)
    ]


@pytest.fixture(scope="module")
def hypnograms(shared):
    paths = some(shared / "data/hypnograms/sleep-edf", "*-Hypnogram.edf")
    assert len(paths) == 32
    return paths


def test_all_hypnograms_of_sleep_edf(hypnograms):
    for path in hypnograms:
        marks = tals(path)
        epochs = Counter()
        for _, seconds, text in marks:
            epochs[9 if text == "Movement time" else RK[text.removeprefix("Sleep stage ")]] += seconds // 30
        hypnogram, events = read_edf_scoring(path)
        assert hypnogram.epoch_seconds == 30 and not events
        assert hypnogram.onset == marks[0][0]
        assert len(hypnogram) * 30 == marks[-1][0] + marks[-1][1] - marks[0][0] == 30 * sum(epochs.values())
        assert Counter(hypnogram.stages.tolist()) == epochs
        assert hypnogram.stages[0] == RK.get(marks[0][2][-1], 9)


def test_the_tail_of_the_cassette_nights_and_the_late_beginning_of_the_others(hypnograms):
    read = {path.name[:7]: readers.read_hypnogram(path) for path in hypnograms}
    for name, hypnogram in read.items():
        if name.startswith("SC"):  # filled up to a day with what nobody recorded
            assert hypnogram.onset == 0 and len(hypnogram) == 2880 and not hypnogram.scored[-1]
    late = {name: h.onset for name, h in read.items() if h.onset}
    assert {late[name] for name in ("ST7041J", "ST7042J", "ST7061J")} == {750, 540, 30}
    assert all(name.startswith("ST") for name in late)


def test_the_persons_of_sleep_edf(hypnograms, shared):
    folder = shared / "data/hypnograms/sleep-edf"
    table = {}
    for name, key in (
        ("mne_SC_age_records.csv", "fname"),
        ("mne_ST_temazepam_records.csv", "fname_Hypnogram"),
    ):
        with (folder / name).open() as file:
            table |= {row[key]: (float(row["age"]), row["sex"][0].upper()) for row in csv.DictReader(file)}
    for path in hypnograms:
        subject = readers.read(path).subject
        assert (subject.age, subject.sex) == table[path.name], path.name


def test_the_nights_of_deepsleepnet_are_cut_from_these(hypnograms, shared):
    for path in hypnograms:
        prepared = shared / f"data/sleep-edf-20-5s/{path.name[:6]}E0.npz"
        if prepared.exists():
            ours, theirs = (np.bincount(readers.read_hypnogram(p).stages)[1:5] for p in (path, prepared))
            assert (ours == theirs).all()


def test_the_five_scorers_of_all_dreem_nights(shared):
    folder = shared / "data/hypnograms/dodh"
    published = np.load(shared / "reference/vectors/dodh_consensus.npz")
    names = published["dodh_recordings"].tolist()
    assert len(names) == 25 == len(some(folder, "scorer_1/*.json"))
    for i, name in enumerate(names):
        scorings = read_scorings(folder / f"{name}.h5")
        assert [s.scorer for s in scorings] == [f"scorer_{k}" for k in range(1, 6)]
        start, end = published["dodh_bounds"][i]
        inside = published["dodh_scorers"][:, slice(*published["dodh_offsets"][i : i + 2])]
        for scoring, theirs in zip(scorings, inside, strict=True):
            assert len(scoring) == published["dodh_raw_lengths"][i]
            cut = scoring.stages[start:end]
            assert Counter(cut.tolist()) == Counter(np.where(theirs < 0, 9, theirs).tolist())
            codes = json.loads((folder / scoring.scorer / f"{name}.json").read_text())
            assert Counter(scoring.stages.tolist()) == Counter(9 if code == -1 else code for code in codes)
            assert (
                readers.read_hypnogram(folder / scoring.scorer / f"{name}.json").stages == scoring.stages
            ).all()


def test_all_nights_of_boas(shared):
    import pandas as pd

    paths = some(shared / "data/hypnograms/boas", "*_events.tsv")
    assert len(paths) == 64
    total = Counter()
    for i, path in enumerate(paths):
        table = pd.read_csv(path, sep="\t")
        for column in ("stage_hum", "stage_ai") if i % 8 == 0 else ("stage_hum",):
            hypnogram, events = read_bids(path, column)
            assert hypnogram.onset == 0 and hypnogram.epoch_seconds == 30 and not events
            assert len(hypnogram) * 30 == table.onset.max() + 30 == 30 * len(table)
            assert (hypnogram.stages == table[column].replace({8: 9, -2: 9}).to_numpy()).all()
        total.update(read_bids(path)[0].stages.tolist())
    assert total == {0: 9507, 1: 1945, 2: 36353, 3: 3170, 4: 9593, 9: 165}
