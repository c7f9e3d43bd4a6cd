"""The facts about real nights that the book quotes are what the script gathers from the real nights."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from sleeplib import results, suite
from sleeplib.analysis import arousals, spectra
from sleeplib.stages import RESOLUTIONS, STAGES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "book/facts"


@pytest.fixture(scope="module")
def facts():
    return json.loads((results.facts_folder() / "real_nights.json").read_text())


@pytest.fixture(scope="module")
def gather():
    spec = importlib.util.spec_from_file_location("gather", FOLDER / "gather.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def differences(found, expected, at="facts"):
    """Places where two nested structures differ by more than the last written digit."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            return [f"{at}: keys"]
        return [d for key in expected for d in differences(found[key], expected[key], f"{at}.{key}")]
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return [f"{at}: length"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{at}[{i}]")]
    if isinstance(expected, float) and isinstance(found, float):
        return [] if np.isclose(found, expected, rtol=0, atol=1.5e-4, equal_nan=True) else [at]
    return [] if found == expected else [at]


def test_the_facts_are_those_of_the_real_nights(facts, gather, shared):
    if not (shared / "data/hypnograms").is_dir():
        pytest.skip(f"{shared / 'data/hypnograms'} is not here")
    assert gather.FILE == FOLDER / "real_nights.json"
    found = json.loads(json.dumps(gather._plain(gather.facts(shared))))
    assert differences(found, facts) == []


def test_the_facts_are_found(tmp_path, monkeypatch):
    folder = results.facts_folder()
    assert folder.is_dir() and (folder / "real_nights.json").is_file()
    assert folder.resolve() == FOLDER.resolve(), "in the checkout; a wheel has them inside the package"
    wheel = tmp_path / "sleeplib"
    (wheel / "facts").mkdir(parents=True)
    monkeypatch.setattr(results, "__file__", str(wheel / "results.py"))
    assert results.facts_folder() == wheel / "facts"


def test_every_source_is_quoted_with_its_nights(facts):
    assert set(facts) == {"BOAS", "DOD-H", "Sleep-EDF"}
    assert len(facts["DOD-H"]["nights"]) == 25 and facts["DOD-H"]["scorers"] == 5
    assert len(facts["BOAS"]["nights"]) > 60 and facts["BOAS"]["scorers"] == 3
    for name in ("BOAS", "DOD-H"):
        source = facts[name]
        assert source["scoring"] and 5 < np.mean([night["hours"] for night in source["nights"]]) < 10
        rows = np.array(source["transitions"])
        assert rows.shape == (5, 5) and np.allclose(rows.sum(axis=1), 1, atol=5e-4)
        example = source["example"]
        assert set("01234") <= set(example) <= set("012349") and 800 < len(example) < 1200
    ages = [night["age"] for night in facts["BOAS"]["nights"]]
    assert 18 <= min(ages) < 30 < 60 < max(ages) <= 100
    agreement = facts["DOD-H"]["agreement"]
    assert agreement["kappa"] == pytest.approx(0.70, abs=0.005)
    assert agreement["unanimous"] == pytest.approx(0.589, abs=0.0005)
    assert min(agreement["stages"], key=agreement["stages"].get) == "N1"


def test_the_spectra_are_those_of_real_sleep(facts):
    source = facts["Sleep-EDF"]
    hertz, parts = np.array(source["hertz"]), {"persons 0-4", "persons 5-9", "all"}
    assert source["rate"] == 100 and hertz[1] == pytest.approx(1 / spectra.WINDOW, abs=1e-4)
    assert set(source["spectra"]) == set(source["bands"]) == parts
    for part in parts:
        mean = np.array(source["spectra"][part]["mean"])
        assert mean.shape == (len(STAGES), hertz.size) and np.isfinite(mean).all()
        slow = mean[:, (hertz > 0.5) & (hertz < 2)].mean(axis=1)
        assert slow.argmax() == STAGES.index("N3") and slow[3] > slow[2] + 3
        bands = {key: np.array(value) for key, value in source["bands"][part].items()}
        assert all(value.shape == (5, len(spectra.BANDS)) for value in bands.values())
        assert (bands["between"] > 0).all() and (bands["within"] > 0).all()
    halves = [np.array(source["bands"][part]["mean"]) for part in ("persons 0-4", "persons 5-9")]
    assert np.allclose(np.mean(halves, axis=0), source["bands"]["all"]["mean"], atol=2e-4)
    assert np.array(source["traces"]).shape == (5, 500)


def test_the_script_says_where_each_comes_from_and_how_it_is_called(gather):
    for source in ("Sleep-EDF", "BOAS", "DOD-H", "Kemp 2000", "ds005555", "Guillot 2020"):
        assert source in gather.__doc__
    for licence in ("ODC-BY", "CC0", "MIT"):
        assert licence in gather.__doc__


def test_pictures_are_drawn_from_the_recording(gather, shared, tmp_path, monkeypatch):
    if not (shared / "data/edf-samples").is_dir():
        pytest.skip(f"{shared / 'data/edf-samples'} is not here")
    monkeypatch.setattr(gather, "FILE", tmp_path / "real_nights.json")
    gather.pictures(shared)
    for name in ("real_panel.png", "real_arousal.png"):
        assert (tmp_path / name).stat().st_size > 50_000 and (FOLDER / name).is_file()


def test_marks_are_the_runs_of_a_channel_of_codes(gather):
    codes = np.array([1, 0, 0, 10, 10, 0, 3, 3, 3])  # the first second of DREAMS' channels is no event
    assert gather._marks(codes) == [(3.0, 2.0), (6.0, 3.0)]


def test_published_numbers_of_anysleep_are_those_of_the_vectors(shared):
    ours = json.loads((results.facts_folder() / "published_anysleep.json").read_text())
    theirs = json.loads((shared / "reference/vectors/published_numbers.json").read_text())
    networks = ("usleep", "anysleep-early", "anysleep", "anysleep-late")
    for cohort, row in theirs["anysleep_table1"]["rows"].items():
        pairs = [value for name in networks for value in ours["table_1"][cohort][name]]
        assert [ours["table_1"][cohort]["recordings"], *pairs] == row
    assert len(ours["table_1"]) == 21
    for part in ("in_distribution", "hold_out"):
        means = theirs["anysleep_table1"][f"weighted_mean_{part}"]
        assert [ours["means"][part][name] for name in networks] == means
        cohorts = suite.sites.TRAINING if part == "in_distribution" else suite.sites.HOLD_OUT
        counts = np.array([ours["table_1"][c]["recordings"] for c in cohorts])
        for name, mean in zip(networks, means, strict=True):  # from rounded rows
            rows = np.array([ours["table_1"][c][name][0] for c in cohorts])
            assert counts @ rows / counts.sum() == pytest.approx(mean, abs=0.0025)
    for label, name in (
        ("AnySleep, with an EOG", "anysleep_n_eeg_0_to_6_with_1_eog"),
        ("AnySleep, EEG only", "anysleep_n_eeg_1_to_6_no_eog"),
        ("U-Sleep, with an EOG", "usleep_n_eeg_1_to_6_with_1_eog"),
    ):
        assert [value for value in ours["figure_1b"][label] if value is not None] == theirs["anysleep_fig1b"][
            name
        ]
    table = suite.published_anysleep("figure_1b")
    assert (
        table.loc["AnySleep, EEG only", "1 EEG"] == "72.2"
        and table.loc["U-Sleep, with an EOG", "6 EEG"] == "75.7"
    )
    assert suite.published_anysleep().loc["shhs", "AnySleep"] == "0.80 (0.002)"


def test_published_curves_of_anysleep_are_those_of_the_vectors(shared):
    with np.load(shared / "reference/vectors/anysleep_arousals.npz") as arrays:
        scores = {
            ours: arrays[key][..., 2]
            for ours, key in (("precision", "prec"), ("recall", "rec"), ("f1", "f1"))
        }
        freqs = arrays["freqs"].tolist()
    with np.load(shared / "reference/vectors/anysleep_high_freq_scores.npz") as arrays:
        by = dict(arrays)
    facts = json.loads((results.facts_folder() / "published_anysleep.json").read_text())
    assert facts["resolutions"] == freqs == list(RESOLUTIONS) == by["freqs"].tolist()
    wake = by["arousal_stage_share"][..., 0]
    expected = arousals.by_resolution(scores) | {"wake_share": (wake.mean(0), wake.std(0))}
    assert suite.published_curves("figure_2").keys() == expected.keys()
    for name, key in (("age", "isruc_age"), ("sex", "isruc_sex"), ("apnea", "dodo_vs_dodh")):
        runs = by[key].swapaxes(0, 1).reshape(len(freqs), -1)  # (F, runs and forests)
        expected[name] = runs.mean(1), runs.std(1)
    found = suite.published_curves("figure_2") | suite.published_curves("figure_3")
    assert found.keys() == expected.keys()
    for name, curve in found.items():
        assert np.allclose([curve["mean"], curve["sd"]], expected[name], rtol=0, atol=6e-5)
