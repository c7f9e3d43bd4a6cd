"""The command line as a user calls it."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from sleeplib import cli
from tests.cohorts.test_splits import mat

COMMANDS = ("simulate", "prepare", "train", "evaluate", "crossvalidate", "run")


def call(*arguments):
    return cli.main([str(a) for a in arguments])


def fails(capsys, *arguments):
    """The one line that a bad call prints."""
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    message = [
        line for line in err.splitlines() if line and "night/s]" not in line
    ]  # a progress bar may have begun
    assert out == "" and len(message) == 1 and message[0].startswith("sleeplib: ")
    return message[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        call(command, "--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0 and len(text.splitlines()) > 8 and "default" in text


def test_help_is_there_at_once_and_names_all_commands():
    begun = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "sleeplib.cli", "--help"], capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - begun
    assert all(command in result.stdout for command in COMMANDS)
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sleeplib.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert not any(heavy in loaded for heavy in ("torch", "pandas", "matplotlib", "papermill", "numpy")), (
        seconds
    )


def train_on(store, test_persons=1, steps=2):
    """A small training with one validation person."""
    people = ["--valid-persons", 1, "--test-persons", test_persons, "--steps", steps]
    return ["train", "e2e-arnn", "--store", store, *people]


def road_training(root, steps=6):
    """The training of `road`."""
    recipe = ["--learning-rate", 1e-3, "--set", "hidden=8", "filters=8"]
    return [*train_on(root / "store", 2, steps), "--out", root / "run", *recipe]


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """From a seed to trained weights, by the commands alone."""
    root = tmp_path_factory.mktemp("road")
    assert (
        call("simulate", "embedded", "--persons", 5, "--hours", 1.5, "--out", root / "edf", "--jobs", 1) == 0
    )
    assert call("prepare", "embedded", "--root", root / "edf", "--out", root / "store", "--jobs", 1) == 0
    assert call(*road_training(root)) == 0
    return root


def test_the_whole_road(road, capsys):
    weights = road / "run/e2e-arnn.safetensors"
    assert call("evaluate", weights, "--store", road / "store", "--record", road / "records/first.json") == 0
    out = capsys.readouterr().out
    assert "2 simulated nights of 2 persons" in out
    assert all(row in out for row in ("e2e-arnn", "majority class", "band powers + LDA"))
    record = json.loads((road / "records/first.json").read_text())
    card = json.loads((road / "run/e2e-arnn.json").read_text())
    assert record["simulated"] and record["data"]["digest"] == card["data_digest"]
    assert card["settings"]["hidden"] == 8 and not set(card["persons"]["train"]) & set(
        card["persons"]["valid"]
    )
    assert len(np.load(road / "records/first.npz")["truth"]) == record["data"]["epochs"]


def test_a_night_network_on_two_cohorts(road, tmp_path, capsys):
    """Trained on one, scored on its other persons and on a cohort that it has not seen."""
    assert call("simulate", "--like", "sedf-sc", "--persons", 2, "--hours", 1, "--out", tmp_path / "edf") == 0
    stores = [tmp_path / "embedded", tmp_path / "sedf-sc"]
    for root, name, store in (
        (road / "edf", "embedded", stores[0]),
        (tmp_path / "edf", "sedf-sc", stores[1]),
    ):
        assert call("prepare", name, "--root", root, "--out", store, "--for", "anysleep", "--jobs", 1) == 0
    small = ["--set", "depth=4", "complexity=0.2", "--batch-size", 4, "--device", "cpu"]
    split = ["--valid-persons", 1, "--test-persons", 2]
    train = ["train", "anysleep", "--store", stores[0], "--out", tmp_path / "run", *split, *small]
    assert call(*train, "--steps", 3, "--learning-rate", 1e-3, "--recipe", "annealed=true") == 0
    assert "validation macro F1" in capsys.readouterr().out
    card = json.loads((tmp_path / "run/anysleep.json").read_text())
    assert card["steps"] == card["training"]["max_steps"] == 3 and card["training"]["annealed"]
    assert card["settings"]["depth"] == 4
    weights = tmp_path / "run/anysleep.safetensors"
    assert call("evaluate", weights, "--store", *stores, "--record", tmp_path / "any.json") == 0
    out = capsys.readouterr().out
    assert "embedded: 2 simulated nights of 2 persons" in out and "sedf-sc: " in out
    assert out.count("band powers + LDA") == out.count("majority class") == 2
    assert json.loads((tmp_path / "any-sedf-sc.json").read_text())["rows"][0]["system"] == "anysleep"
    for wrong, told in (
        (["--recipe", "patients=3"], "--recipe knows no patients"),
        (["--passes", 3], "makes no passes"),
        (["--split", "a.json"], "leave --valid-persons and --test-persons away"),
        (["--recipe", "learning_rate=0"], "learning_rate=0; expected a number above 0"),
    ):
        assert call(*train, *wrong) == 2
        assert told in capsys.readouterr().err
    assert call(*train[:6], "--split", "a.json", "b.json") == 2
    assert "2 splits for 1 stores" in capsys.readouterr().err
    assert call("train", "e2e-arnn", "--store", *stores, "--out", tmp_path / "x") == 2
    assert "trained on one store, and 2 are given" in capsys.readouterr().err
    assert call("evaluate", weights, "--store", stores[1]) == 2
    assert "none of the stores holds training persons of embedded" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_one_network(road, tmp_path):
    store, run = tmp_path / "any", tmp_path / "run"
    assert (
        call("prepare", "embedded", "--root", road / "edf", "--out", store, "--for", "anysleep", "--jobs", 1)
        == 0
    )
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "sleeplib",
    ]
    options = [
        "--valid-persons",
        "1",
        "--test-persons",
        "2",
        "--batch-size",
        "4",
        "--steps",
        "2",
        "--device",
        "cpu",
    ]
    result = subprocess.run(
        [*torchrun, "train", "usleep", "--store", store, "--out", run, *options, "--set", "depth=4"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("validation macro F1") == 1 and (run / "usleep.safetensors").is_file()
    assert "destroy_process_group" not in result.stderr


def test_a_record_is_scored_again_without_training(road, tmp_path, capsys):
    from sleeplib import results

    record = tmp_path / "cv.json"
    command = (
        "crossvalidate",
        "e2e-arnn",
        "random-forest",
        "--store",
        road / "store",
        "--runs",
        tmp_path / "runs",
    )
    command += ("--record", record, "--folds", 3, "--steps", 2, "--jobs", 1)
    assert call(*command) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in ("e2e-arnn", "random-forest", "majority class", "band powers + LDA"))
    content = results.load(record)
    assert content["parameters"]["folds"] == 3 and content["data"]["persons"] == 5
    cards = list((tmp_path / "runs/e2e-arnn").glob("*/e2e-arnn.json"))
    assert len(cards) == 3, "one training for each fold, kept"
    begun = {path: path.stat().st_mtime_ns for path in cards}
    assert "cv.json exists; choose another name or pass --force" in fails(capsys, *command)
    assert call(*command, "--force") == 0
    assert begun == {path: path.stat().st_mtime_ns for path in cards}, "nothing was trained again"
    capsys.readouterr()
    assert call("evaluate", "--rescore", record) == 0
    told = capsys.readouterr().out
    assert (
        "the record's numbers follow from its predictions: 4 systems" in told
        and "Error at transitions" in told
    )
    changed = json.loads(record.read_text())
    changed["rows"][0]["kappa"] += 0.01
    record.write_text(json.dumps(changed))
    assert call("evaluate", "--rescore", record) == 2
    assert "1 numbers differ from the record's; e2e-arnn: kappa" in capsys.readouterr().err
    changed["rows"][0]["kappa"] -= 0.01
    changed["rows"][1]["confusion"][2][2] += 1
    record.write_text(json.dumps(changed))
    assert call("evaluate", "--rescore", record) == 2
    assert "random-forest: confusion" in capsys.readouterr().err
    assert "nothing else" in fails(capsys, "evaluate", "--rescore", record, "--store", road / "store")
    assert "needs weights and --store" in fails(capsys, "evaluate")
    folds = {"train": [[3], [1], [2]], "eval": [[2], [3], [1]], "test": [[1], [2], [3]]}
    published = mat(tmp_path / "folds.mat", **folds)
    told = fails(capsys, *command, "--force", "--published", published)
    assert "are of 3 recordings; 5 are at hand" in told
    no_record = tmp_path / "notes.json"
    no_record.write_text('{"cohort": "embedded"}')
    told = fails(capsys, "evaluate", "--rescore", no_record)
    assert "notes.json: no result record, or a damaged one (missing or" in told and "delete" not in told


def test_cohorts_are_listed_and_told(capsys):
    assert call("cohorts") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("shhs", "mass-c3", "NSRR token", "on application", "8444"))
    assert call("cohorts", "mesa") == 0
    assert "Fz-Cz = EEG1" in capsys.readouterr().out
    assert "known cohorts" in fails(capsys, "cohorts", "nosuch")


def test_a_twin_is_simulated_looked_at_prepared_and_split(tmp_path, capsys):
    twin, out = tmp_path / "twin", tmp_path / "store"
    make = ["simulate", "--like", "shhs", "-n", 4, "--hours", 0.5, "--out", twin, "--jobs", 1]
    assert call(*make) == 0 and "4 simulated nights of 4 persons" in capsys.readouterr().out
    for path in twin.rglob("shhs1-200002-*.xml"):
        path.unlink()
    look = ["prepare", "shhs", "--root", twin, "--for", "anysleep", "--jobs", 1]
    assert call(*look, "--dry-run") == 1
    out_text, err = capsys.readouterr()
    assert "3 of 4 recordings can be prepared" in out_text and "C3-A2" in out_text
    assert "1-200002: no hypnogram beside it" in err
    assert "prepare needs --out" in fails(capsys, *look)
    assert call(*look, "--out", out) == 1
    out_text, err = capsys.readouterr()
    assert "3 nights of 3 persons, 1.5 h of 4 channels (C4-A1, C3-A2, EOG(L)-PG1, EOG(R)-PG1)" in out_text
    assert "shhs1-200002.edf: no hypnogram beside it" in err
    assert (out / "quality.tsv").is_file() and (out / "quality.png").stat().st_size > 5000
    assert call("split", out) == 0
    assert "train: 1 recordings of 1 persons" in capsys.readouterr().out
    split = json.loads((out / "split.json").read_text())
    assert split.pop("cohort") == "shhs" and sorted(map(len, split.values())) == [1, 1, 1]


def test_training_on_a_split_of_ones_own(road, tmp_path, capsys):
    split = tmp_path / "split.json"
    names = [f"embedded-{i:03d}" for i in range(1, 6)]
    split.write_text(json.dumps({"train": names[:3], "valid": names[3:4], "test": names[4:]}))
    train = ["train", "e2e-arnn", "--store", road / "store", "--steps", 2, "--set", "hidden=8", "filters=8"]
    assert call(*train, "--split", split, "--out", tmp_path / "run") == 0
    card = json.loads((tmp_path / "run/e2e-arnn.json").read_text())
    assert card["persons"] == {"train": names[:3], "valid": names[3:4]}
    capsys.readouterr()
    split.write_text(
        json.dumps({"cohort": "shhs", "train": names[:3], "valid": names[3:4], "test": names[4:]})
    )
    told = fails(capsys, *train, "--split", split, "--out", tmp_path / "r")
    assert "a split of cohort shhs; the recordings at hand are of embedded" in told
    split.write_text(json.dumps({"train": ["x"], "valid": ["y"], "test": []}))
    assert "none of the 5 recordings at hand" in fails(
        capsys, *train, "--split", split, "--out", tmp_path / "r"
    )


def test_a_published_split_tells_what_is_in_no_part_and_what_is_not_at_hand(road, tmp_path, capsys):
    published, names = tmp_path / "split.yaml", [f"embedded-{i:03d}" for i in range(1, 6)]
    parts = {"train": [*names[:2], "x", "y"], "valid": names[2:3], "test": ["z"]}
    published.write_text(yaml.safe_dump({part: {"embedded": ids} for part, ids in parts.items()}))
    assert call("split", road / "store", "--published", published, "--out", tmp_path / "split.json") == 0
    out = capsys.readouterr().out
    assert "in no part: 2 of the 5 recordings at hand, such as embedded-004, embedded-005\n" in out
    assert "not at hand: 3 of the 6 published ones\n" in out
    written = {"cohort": "embedded", "train": names[:2], "valid": names[2:3], "test": []}
    assert json.loads((tmp_path / "split.json").read_text()) == written


def test_a_fold_that_is_not_published(road, tmp_path, capsys):
    folds = {"train": [[4, 5], [1]], "eval": [[3], [2]], "test": [[1, 2], [3, 4, 5]]}
    path = mat(tmp_path / "folds.mat", **folds)
    make = ["split", road / "store", "--out", tmp_path / "split.json", "--published", path, "--fold"]
    assert call(*make, 2) == 0
    assert "not at hand: 0 of the 5 published ones" in capsys.readouterr().out
    assert json.loads((tmp_path / "split.json").read_text())["train"] == ["embedded-001"]
    assert f"--fold 3: {path} has 2 folds" in fails(capsys, *make, 3)


def test_fetch_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NSRR_TOKEN", raising=False)
    assert "export NSRR_TOKEN" in fails(capsys, "fetch", "shhs", "--out", tmp_path / "shhs")
    assert "nothing to fetch" in fails(capsys, "fetch", "embedded", "--out", tmp_path / "x")
    assert call("fetch", "mass-c1", "--out", tmp_path / "mass") == 0
    out = capsys.readouterr().out
    assert "Ask for access at https://borealisdata.ca" in out and str(tmp_path / "mass") in out


def test_fetch_looks_at_what_was_put_in_place(tmp_path, capsys):
    assert call("simulate", "--like", "mass-c3", "-n", 1, "--hours", 0.5, "--out", tmp_path, "--jobs", 1) == 0
    capsys.readouterr()
    assert call("fetch", "mass-c3", "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "1 of 62 recordings are in place" in out and "1 of 1 recordings can be prepared" in out


def test_fetch_of_a_restricted_cohort_into_a_folder_without_it(tmp_path, capsys):
    fetch = ["fetch", "mass-c3", "--out", tmp_path]
    (tmp_path / ".DS_Store").touch()
    assert call(*fetch) == 0
    out, err = capsys.readouterr()
    assert (
        out.startswith("mass-c3 is given to those who ask for it") and len(out.splitlines()) == 4 and not err
    )
    (tmp_path / "readme.txt").touch()
    assert call(*fetch) == 2
    told, err = capsys.readouterr()
    assert told == out and err.startswith("sleeplib: ") and len(err.splitlines()) == 1
    assert "none of its 1 files is a recording of cohort 'mass-c3'" in err


@pytest.mark.parametrize(
    "option, value, told",
    [("--rate", value, f"{value} is not a number from 1 to 1024") for value in ("-5", "0", "nan", "1e9", "x")]
    + [
        ("--jobs", "1.5", "1.5 is not a whole number of at least 1"),
        ("--limit", "0", "0 is not a whole number"),
    ],
)
def test_numbers_out_of_range(option, value, told, capsys):
    with pytest.raises(SystemExit) as stop:
        call("prepare", "embedded", "--root", "x", "--out", "y", option, value)
    assert stop.value.code == 2 and f"argument {option}: {told}" in capsys.readouterr().err


def test_a_look_at_the_first_recordings_and_a_rate_of_ones_own(road, tmp_path, capsys):
    prepare = ["prepare", "embedded", "--root", road / "edf", "--jobs", 1, "--limit", 1]
    assert call(*prepare, "--dry-run") == 0
    assert "1 of 1 recordings can be prepared" in capsys.readouterr().out
    assert call(*prepare, "--out", tmp_path, "--for", "anysleep", "--rate", 64) == 0
    told = json.loads((tmp_path / "index.json").read_text())["preparation"]
    assert (told["rate"], told["scaling"], told["montage"]) == (64, "robust", None)


def test_what_is_to_know_about_a_cohort_is_printed(road, tmp_path, capsys):
    (tmp_path / "edf").mkdir()
    for name in ("embedded-001.edf", "embedded-002.edf"):
        (tmp_path / "edf" / name).symlink_to(road / "edf" / name)
    prepare = ["prepare", "embedded", "--root", tmp_path / "edf", "--out", tmp_path / "store", "--jobs", 1]
    assert call(*prepare) == 0
    notes = json.loads((tmp_path / "store/index.json").read_text())["notes"]
    assert notes and set(notes) <= set(capsys.readouterr().out.splitlines())


def test_finished_training_is_taken_up_again(road, capsys):
    before = (road / "run/e2e-arnn.safetensors").read_bytes()
    assert call(*road_training(road)) == 0
    assert (road / "run/e2e-arnn.safetensors").read_bytes() == before
    capsys.readouterr()
    assert "other settings or data" in fails(capsys, *road_training(road, steps=7))
    assert (road / "run/e2e-arnn.safetensors").read_bytes() == before, "an error destroys nothing"


def test_a_truncated_night_is_listed_the_rest_completes_and_the_exit_code_tells(road, tmp_path, capsys):
    (tmp_path / "edf").mkdir()
    for path in sorted((road / "edf").glob("*.edf"))[:2]:
        (tmp_path / "edf" / path.name).write_bytes(path.read_bytes())
    bad = next((tmp_path / "edf").glob("*001.edf"))
    bad.write_bytes(bad.read_bytes()[:100_000])
    assert (
        call("prepare", "embedded", "--root", tmp_path / "edf", "--out", tmp_path / "store", "--jobs", 1) == 1
    )
    out, err = capsys.readouterr()
    assert "truncated" in err and bad.name in err and "1 nights of 1 persons" in out


def test_bad_input_gets_one_clear_line(road, tmp_path, capsys):
    store, run = road / "store", road / "run/e2e-arnn.safetensors"
    assert "known cohorts" in fails(capsys, "simulate", "nosuch")
    assert "real nights" in fails(capsys, "simulate", "sleep-edf-npz")
    assert "no such folder" in fails(
        capsys, "prepare", "embedded", "--root", tmp_path / "x", "--out", tmp_path / "y"
    )
    wrong = ["prepare", "embedded", "--root", road / "edf", "--out", tmp_path / "y", "--jobs", 1, "--montage"]
    assert "no channel 'Oz' for EEG; it has F3-M2" in fails(capsys, *wrong, "EEG=Oz")
    assert "NAME=VALUE" in fails(capsys, *wrong, "EEG")
    twice = "--montage has EEG more than once: EEG=C4-M1 EEG=F3-M2"
    assert twice in fails(capsys, *wrong, "EEG=C4-M1", "EEG=F3-M2")
    assert twice in fails(capsys, *wrong, "EEG=C4-M1", "--montage", "EEG=F3-M2")
    assert "sleeplib prepare" in fails(
        capsys, "train", "seqsleepnet", "--store", tmp_path, "--out", tmp_path / "r"
    )
    assert "one is needed of each at least" in fails(
        capsys, "train", "e2e-arnn", "--store", store, "--out", tmp_path / "r", "--test-persons", 4
    )
    for device in ("abacus", "xpu"):
        told = fails(capsys, *train_on(store), "--out", tmp_path / "r", "--device", device)
        assert f"device '{device}' cannot be used (" in told and told.endswith("choose cpu or cuda")
        told = fails(capsys, "evaluate", run, "--store", store, "--device", device)
        assert f"device '{device}' cannot be used (" in told
    (tmp_path / "file").touch()
    assert "file" in fails(capsys, "prepare", "embedded", "--root", road / "edf", "--out", tmp_path / "file")
    assert "no setting hiden" in fails(
        capsys, "train", "e2e-arnn", "--store", store, "--out", tmp_path / "r", "--valid-persons", 1,
        "--test-persons", 1, "--set", "hiden=3",
    )  # fmt: skip
    for setting, told in (
        ("hidden=-3", "e2e-arnn: hidden=-3; expected a whole number, 1 or more"),
        ("attention=abc", "attention='abc'; expected a whole number"),
        ("dropout=3", "dropout=3; expected a number from 0 to below 1"),
        ("channels=7", f"channels=7 does not fit {store}: there it is 3"),
    ):
        assert told in fails(capsys, *train_on(store), "--out", tmp_path / "r", "--set", setting)
    told = fails(capsys, *train_on(store), "--out", tmp_path / "r", "--recipe", "seed=abc")
    assert "seed='abc'; expected a whole number from 0" in told
    told = fails(capsys, *train_on(store), "--out", tmp_path / "file/run")
    assert "file/run: cannot be written (not a directory); choose another folder" in told
    missing = tmp_path / "none.safetensors"
    assert f"no weights '{missing}'" in fails(capsys, "evaluate", missing, "--store", store)
    assert "sleeplib prepare" in fails(capsys, "evaluate", run, "--store", tmp_path)
    assert "unknown parameter" in fails(capsys, "run", "--plan", "--set", "sed=3")
    for value in ("[", "2020-99-99"):
        assert "a value is not YAML" in fails(capsys, "run", "--plan", "--set", f"seed={value}")
    assert "unknown notebook" in fails(capsys, "run", "nosuch", "--plan")
    assert not (tmp_path / "r").exists() or not any((tmp_path / "r").iterdir())


def test_a_record_is_refused_before_the_work_and_written_before_the_table(
    road, tmp_path, capsys, monkeypatch
):
    from sleeplib import results

    evaluate = ["evaluate", road / "run/e2e-arnn.safetensors", "--store", road / "store", "--record"]
    (tmp_path / "file").touch()
    (tmp_path / "old.npz").touch()
    for name, told in (
        ("record", "record: a result record ends in .json"),
        ("file/record.json", "file: cannot be written ("),
        ("old.json", "old.npz exists; choose another name or pass --force"),
    ):
        assert told in fails(capsys, *evaluate, tmp_path / name)
    assert call(*evaluate, tmp_path / "run.v1.json") == 0
    assert results.load(tmp_path / "run.v1.json")["name"] == "run.v1"
    out = capsys.readouterr().out
    assert "e2e-arnn" in out and "\u2060" not in out
    monkeypatch.setattr(results, "plain", lambda table: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(*evaluate, tmp_path / "kept.json")
    assert results.load(tmp_path / "kept.json")["rows"]


def test_a_terminal_that_knows_few_signs_costs_no_table(road):
    command = ["-m", "sleeplib", "evaluate", road / "run/e2e-arnn.safetensors", "--store", road / "store"]
    result = subprocess.run(
        [sys.executable, *map(str, command)], env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0 and "majority class" in result.stdout and not result.stderr
    assert "?" in result.stdout, "the dash between the ends of an interval"


def test_weights_are_found_by_name_everywhere(road, capsys):
    assert call("weights", "verify", "any/anysleep-0") == 0
    assert "anysleep.safetensors: in order" in capsys.readouterr().out
    told = fails(capsys, "evaluate", "any/anysleep-0", "--store", road / "store")
    assert (
        "store: prepared with rate 100.0, the network needs 128.0; run `sleeplib prepare --for anysleep`"
        in told
    )
    assert call("weights", "verify", "nosuch/weights") == 1
    assert "no weights 'nosuch/weights'" in capsys.readouterr().err


def test_a_store_and_a_split_are_written_over_by_force_only(road, tmp_path, capsys):
    prepare = ["prepare", "embedded", "--root", road / "edf", "--out", tmp_path / "store", "--jobs", 1]
    assert call(*prepare, "--limit", 4) == 0
    index = (tmp_path / "store/index.json").read_bytes()
    capsys.readouterr()
    assert ", and every EEG and EOG is asked for; name another folder with --out, or" in fails(
        capsys, *prepare, "--for", "anysleep"
    )
    assert "1 of its nights would go, which are not among these 3: embedded-004; name" in fails(
        capsys, *prepare, "--limit", 3
    )
    assert (tmp_path / "store/index.json").read_bytes() == index
    out = tmp_path / "split.json"
    split = ["split", tmp_path / "store", "--out", out]
    assert call(*split) == 0 and call(*split) == 0, "the same again is no loss"
    before = out.read_bytes()
    capsys.readouterr()
    assert "split.json exists; choose another name or pass --force" in fails(capsys, *split, "--seed", 5)
    assert out.read_bytes() == before and not list(tmp_path.glob("*.part"))
    assert call(*split, "--seed", 5, "--force") == 0 and out.read_bytes() != before
    capsys.readouterr()
    assert "ends in .json" in fails(
        capsys, "split", tmp_path / "store", "--out", road / "edf/embedded-001.edf"
    )
    assert "--fold is one of SeqSleepNet's" in fails(capsys, *split, "--fold", 2)
    assert call(*prepare, "--limit", 3, "--force") == 0
    capsys.readouterr()
    assert "leave embedded away" in fails(capsys, "simulate", "embedded", "--like", "shhs")


def test_the_plan_tells_parameters_data_and_time(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SLEEPLIB_BUILD", str(tmp_path))  # where nothing is done already
    assert call("run", "--plan", "--profile", "demo") == 0
    out = capsys.readouterr().out
    for words in ("seqsleepnet_first_training", "persons = 24", "embedded cohort", "about", "real_eeg"):
        assert words in out


def test_published_weights_are_listed_fetched_and_verified(tmp_path, capsys, monkeypatch):
    from sleeplib.models import published
    from tests.cohorts.server import serving
    from tests.models.test_published_weights import BODIES, publish

    monkeypatch.setattr(published, "CATALOGUE", tmp_path / "weights.yaml")
    monkeypatch.setenv("SLEEPLIB_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data/weights"
    bodies = {name: body for name, (body, _) in BODIES.items()}
    publish(published.CATALOGUE, bodies)

    def told(code, *arguments):
        assert call("weights", *arguments) == code
        return capsys.readouterr()

    assert "no published weights in" in told(0, "verify").out
    with serving({f"{name}.pth": body for name, body in bodies.items()}) as server:
        mirror = ("--base-url", server.url)
        assert "1 files fetched, 0 there already" in told(0, "fetch", *mirror).out
        assert "3 files fetched, 1 there already" in told(0, "fetch", "--all", *mirror).out
        server.files["/usleep-run1.pth"] = b"another"
        refused = told(1, "fetch", "usleep-run1", "--out", tmp_path / "out", *mirror)
        assert "usleep-run1: 7 bytes instead of" in refused.err and not list((tmp_path / "out").iterdir())
    assert "no published weights are called 'nosuch'" in fails(capsys, "weights", "fetch", "nosuch")
    assert "--all fetches everything" in fails(capsys, "weights", "fetch", "--all", "usleep-run1")

    rows = [line.split() for line in told(0, "list").out.splitlines()]
    assert ["anysleep-early-fusion-run1", "anysleep-early"] in [row[:2] for row in rows]
    assert sum(row[-1] == "yes" for row in rows) == 4
    assert " yes" not in told(0, "list", "--out", tmp_path).out
    assert any(row[0] == "real-eeg/seqsleepnet-30/seqsleepnet" for row in rows), "the project's own"

    assert told(0, "verify").out.count("in order") == 4
    assert "in order" in told(0, "verify", folder / "usleep-run1.safetensors").out
    (folder / "usleep-run1.safetensors").write_bytes(b"rotten")
    damaged = told(1, "verify")
    assert damaged.out.count("in order") == 3 and "SHA-256 differs" in damaged.err
    assert "missing" in told(1, "verify", "usleep-run1", "--out", tmp_path / "out").err
    (folder / "usleep-run1.pth").write_bytes(bodies["usleep-run1"][:-1])
    assert "bytes instead of" in told(1, "verify", folder / "usleep-run1.pth", "anysleep-run1").err
