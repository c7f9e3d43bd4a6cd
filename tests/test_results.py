"""Result records: what is written can be read, re-scored and shown, and damage is named."""

import json

import numpy as np
import pytest

from sleeplib import provenance, results
from sleeplib.analysis import statistics, traits
from sleeplib.errors import SleeplibError

DATA = {"cohort": "embedded", "digest": "0123", "persons": 3, "recordings": 3, "epochs": 12}
TRUTH = np.array([0, 1, 2, 3, 4, 2] * 2)
GUESS = np.array([0, 1, 2, 3, 4, 3] * 2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SLEEPLIB_RESULTS", str(tmp_path))
    return tmp_path


def write(name="toy", **changes):
    row = {
        "system": "SeqSleepNet-20",
        "role": "model",
        "accuracy": 0.789,
        "accuracy_low": 0.761,
        "accuracy_high": 0.815,
    }
    row |= {
        "kappa": 0.7,
        "selectivity": np.array([1, 1, np.nan, 0.5, 1]),
        "confusion": np.eye(5, dtype=np.int64),
    }
    chance = {"system": "majority class", "role": "chance", "accuracy": np.float32(0.5)}
    beside = {"truth": TRUTH, "person": np.repeat([1, 2, 3], 4), "recording": np.arange(12) // 4}
    settings = {
        "title": "A toy",
        "simulated": True,
        "parameters": {"seed": 7, "passes": 2},
        "data": DATA,
        "rows": [row, chance],
        "seconds": 1.26,
        "predictions": beside | {"SeqSleepNet-20": GUESS, "majority class": np.full(12, 2)},
    }
    return results.write(name, **(settings | changes))


def test_round_trip(folder):
    record = results.load(write())
    assert record["path"] == folder / "toy.json"
    assert record["origin"] == "this machine"
    assert record["seeds"] == {"seed": 7}
    assert record["rows"][0]["selectivity"] == [1, 1, None, 0.5, 1]
    assert {"python", "numpy", "torch"} <= record["versions"].keys()
    assert {"cpu", "cores"} <= record["device"].keys()
    assert record["date"].endswith("+00:00")
    arrays = results.predictions(record)
    np.testing.assert_array_equal(arrays["SeqSleepNet-20"], GUESS)
    assert arrays["truth"].dtype == np.int8
    assert [path.name for path in sorted(folder.iterdir())] == [
        "toy.json",
        "toy.npz",
    ]  # nothing half-written left


def test_commit_is_none_outside_a_checkout(folder, monkeypatch):
    monkeypatch.setattr(provenance, "root", lambda: folder)
    assert results.load(write())["git"] is None


def test_equal_predictions_give_equal_bytes(folder):
    first = write().with_suffix(".npz").read_bytes()
    assert write().with_suffix(".npz").read_bytes() == first


def test_table_shows_value_and_interval(folder):
    table = results.table(results.load(write()))
    cell = table.loc["SeqSleepNet-20", "Accuracy (%)"]
    assert cell.replace("\u2060", "") == "78.9 (76.1–81.5)" and len(cell) == 18, (
        "breaks before the interval only"
    )
    assert table.loc["SeqSleepNet-20", "Cohen's kappa"] == "0.70"
    assert table.loc["majority class", "Accuracy (%)"] == "50.0"
    assert table.loc["majority class", "Cohen's kappa"] == ""


def test_stage_table_leaves_undefined_values_empty(folder):
    table = results.stage_table(results.load(write()), "selectivity")
    assert table.loc["SeqSleepNet-20"].tolist() == ["100.0", "100.0", "", "50.0", "100.0"]


def test_rescore_uses_the_stored_predictions(folder):
    rows = results.rescore(
        results.load(write()), lambda truth, stages, person, recording: {"accuracy": np.mean(truth == stages)}
    )
    assert [row["accuracy"] for row in rows] == pytest.approx([10 / 12, 4 / 12])
    assert [row["role"] for row in rows] == ["model", "chance"]


def test_exchanged_predictions_are_noticed(folder):
    record = results.load(write())
    other = write("other", predictions={"truth": GUESS, "person": TRUTH, "recording": TRUTH})
    other.with_suffix(".npz").replace(folder / "toy.npz")
    with pytest.raises(SleeplibError, match=r"toy\.npz"):
        results.predictions(record)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"schema": 1, "na', "Unterminated"),
        ("[]", "not a JSON object"),
        ('{"schema": 1}', "missing or of the wrong type: name"),
    ],
)
def test_damaged_file_is_named(folder, text, problem):
    (folder / "broken.json").write_text(text)
    with pytest.raises(SleeplibError, match=rf"broken\.json.*{problem}"):
        results.load_all()


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("schema", 2, "schema 2"),
        ("rows", [], "role"),
        ("rows", [{"system": "a", "role": "winner"}], "role"),
        ("rows", [{"system": "a", "role": "model", "confusion": [[1]]}], "one entry per stage"),
        ("rows", [{"system": "a", "role": "model"}] * 2, "two rows of one system"),
        ("data", {"cohort": "x"}, "without digest"),
        ("simulated", "yes", "simulated"),
    ],
)
def test_damaged_record_is_refused(folder, field, value, problem):
    path = write()
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(SleeplibError, match=problem):
        results.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"cohort": "embedded"}},
        {"rows": []},
        {"predictions": {"truth": TRUTH}},
        {"predictions": {"truth": TRUTH, "person": TRUTH, "recording": TRUTH, "net": GUESS[1:]}},
    ],
)
def test_bad_input_leaves_the_old_record(folder, changes):
    before = write().read_bytes()
    with pytest.raises(SleeplibError, match="toy was not written"):
        write(**changes)
    assert (folder / "toy.json").read_bytes() == before
    results.predictions(results.load(folder / "toy.json"))


def test_latest_of_committed_and_local(folder, tmp_path_factory, monkeypatch):
    committed = tmp_path_factory.mktemp("committed")
    monkeypatch.setattr(results, "committed_folder", lambda: committed)
    old = json.loads(write(folder=committed).read_text())
    (committed / "toy.json").write_text(json.dumps(old | {"date": "2020-01-01T00:00:00+00:00"}))
    write("alone", folder=committed)
    write()
    records = results.load_all()
    assert [(record["name"], record["origin"]) for record in records] == [
        ("alone", "committed"),
        ("toy", "committed"),
        ("toy", "this machine"),
    ]
    assert results.latest(records)["toy"]["origin"] == "this machine"
    assert results.latest(records)["alone"]["origin"] == "committed"


def test_committed_records_are_whole():
    for path in results.committed_folder().glob("*.json"):
        record = results.load(path)
        assert record["name"] == path.stem
        if record["predictions"]:
            results.predictions(record)


def rows_of_persons(rows):
    """Ages and sexes scored again from what was said of each night."""
    assert any("said" in row for row in rows)
    for row in rows:
        assert "said" in row or row["role"] == "chance"
        if "said" not in row:
            continue
        task = row["system"].partition(":")[0]
        again = traits.score(row["said"], row["target"], row["person"], task, blocks=row["blocks"])
        metric = "rmse" if task == "age" else "macro_f1"
        assert again == pytest.approx([row[metric], row[f"{metric}_low"], row[f"{metric}_high"]], abs=1e-9)


@pytest.mark.parametrize(
    "path", sorted(results.committed_folder().glob("*.json")), ids=lambda path: path.stem
)
def test_every_number_of_a_committed_record_follows_from_its_predictions(path):
    record = results.load(path)
    assert record["git"] and not record["git"]["dirty"], "made from code that can be checked out"
    if not record["predictions"]:  # of persons: what was said of each stands in the rows
        rows_of_persons(record["rows"])
        return
    again = results.rescore(record, statistics.score)
    assert [row["system"] for row in again] == [row["system"] for row in record["rows"]]
    for row, stored in zip(again, record["rows"], strict=True):
        checked = row.keys() & stored.keys()
        assert {
            "accuracy",
            "kappa_low",
            "macro_f1_high",
            "sensitivity",
            "selectivity",
            "confusion",
        } <= checked
        for key in checked:
            same = row[key] == (pytest.approx(stored[key]) if isinstance(row[key], float) else stored[key])
            assert same, key


@pytest.mark.parametrize("change", [{"sensitivity": 5}, {"system": ["a"]}])
def test_rows_of_another_kind_are_told(folder, change):
    path = write()
    record = json.loads(path.read_text())
    record["rows"][0] |= change
    path.write_text(json.dumps(record))
    with pytest.raises(SleeplibError, match=r"no result record, or a damaged one \("):
        results.load(path)


def test_an_interval_that_is_not_known_is_left_away():
    assert results.interval(0.5, np.nan, np.nan) == "50.0" and results.interval(np.nan, 0, 1) == ""
