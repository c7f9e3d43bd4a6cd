"""Published splits as they are read, and the papers' rule, which gives the published numbers."""

import numpy as np
import pytest
import yaml
from scipy.io import savemat

from sleeplib.cohorts.splits import (
    as_text,
    assign,
    assign_folds,
    check_disjoint,
    protocol,
    read_seqsleepnet_folds,
    read_split,
    read_usleep_split,
)
from sleeplib.errors import SleeplibError

# Persons (families in cfs) and how many of them validate and test, from the published split.
NUMBERS = {
    "abc": (49, 5, 8),
    "ccshs": (515, 50, 78),
    "cfs": (144, 15, 22),
    "chat": (1232, 50, 100),
    "dcsm": (255, 26, 39),
    "hpap": (238, 24, 36),
    "sedf-sc": (78, 8, 12),
    "sedf-st": (22, 3, 4),
    "shhs": (5797, 50, 100),
    "sof": (453, 46, 68),
}


def test_the_published_usleep_split(shared):
    split = read_usleep_split(shared / "reference/vectors/usleep_split.yaml")
    numbers = {part: sum(map(len, cohorts.values())) for part, cohorts in split.items()}
    assert numbers == {"train": 18038, "valid": 559, "test": 1312}
    assert split["train"]["mesa"][0].startswith("0") and len(split["test"]) == 21


def test_the_published_folds(shared):
    folds = read_seqsleepnet_folds(shared / "reference/vectors/cc-by-nc/data_split_eval.mat")
    assert [[len(fold[part]) for part in ("train", "valid", "test")] for fold in folds] == [
        [180, 10, 10]
    ] * 20
    assert folds[0]["test"].tolist() == [1, 12, 64, 85, 107, 138, 161, 162, 175, 183]
    assert sorted(np.concatenate([fold["test"] for fold in folds])) == list(range(200))


GOOD = {"train": {"abc": ["1", "2"]}, "valid": {"abc": ["3"]}, "test": {"abc": ["4"], "dodh": ["1"]}}


@pytest.mark.parametrize(
    "change, told",
    [
        ({"valid": {"abc": ["2"]}}, "abc 2 is in train and in valid"),
        ({"train": {"abc": ["1", "1"]}}, "abc 1 is in train and in train"),
        ({"valid": {"abc": [3]}}, "valid: abc: 3 is not an id"),
        ({"valid": {"abc": "3"}}, "'3' is not a list"),
        ({"valid": {"abc": None}}, "abc: None is not a list"),
        ({"valid": ["3"]}, "valid: not data sets"),
        ({"more": {}}, "parts train, valid, test and no others"),
    ],
)
def test_a_split_that_is_wrong_is_told(tmp_path, change, told):
    path = tmp_path / "split.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert read_usleep_split(path) == GOOD
    path.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(SleeplibError, match=r"split\.yaml") as error:
        read_usleep_split(path)
    assert told in str(error.value)


@pytest.mark.parametrize("text", ["[", "3", "!!python/object/apply:os.system [exit 3]", "\0"])
def test_what_is_no_split(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SleeplibError, match=r"x\.yaml"):
        read_usleep_split(tmp_path / "x.yaml")
    with pytest.raises(SleeplibError, match=r"y\.yaml"):
        read_usleep_split(tmp_path / "y.yaml")


def mat(path, **parts):
    columns = {f"{name}_sub": np.empty((len(rows), 1), object) for name, rows in parts.items()}
    for name, rows in parts.items():
        for i, row in enumerate(rows):
            columns[f"{name}_sub"][i, 0] = np.array([row], np.uint8)
    savemat(path, columns)
    return path


def test_folds_that_do_not_divide(tmp_path):
    good = {"train": [[3], [1], [2]], "eval": [[2], [3], [1]], "test": [[1], [2], [3]]}
    folds = read_seqsleepnet_folds(mat(tmp_path / "good.mat", **good))
    assert [fold["test"].tolist() for fold in folds] == [[0], [1], [2]]
    for change in (
        {"test": [[1], [2], [2]]},
        {"eval": [[1], [3], [1]]},
        {"train": [[3], [1]]},
        {"train": []},
    ):
        with pytest.raises(SleeplibError, match=r"bad\.mat"):
            read_seqsleepnet_folds(mat(tmp_path / "bad.mat", **(good | change)))
    (tmp_path / "none.mat").write_bytes(b"MATLAB?")
    with pytest.raises(SleeplibError, match=r"none\.mat"):
        read_seqsleepnet_folds(tmp_path / "none.mat")


@pytest.mark.parametrize("cohort", NUMBERS)
def test_the_rule_gives_the_published_numbers(cohort):
    people, n_valid, n_test = NUMBERS[cohort]
    persons = np.repeat(np.arange(people), 2)  # two nights each
    parts = protocol(persons, seed=1)
    assert [len(parts["valid"]), len(parts["test"])] == [2 * n_valid, 2 * n_test]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(2 * people))
    check_disjoint(parts, persons)


def test_the_rule_is_repeatable_and_needs_people():
    families = np.array(list("aabbccddeeff"))
    one, same, other = (protocol(families, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[part], same[part]) for part in one)
    assert any(not np.array_equal(one[part], other[part]) for part in one)
    assert len(protocol(np.arange(100), valid=(0.07, 50))["valid"]) == 7, "0.07 * 100 is 7.000000000000001"
    with pytest.raises(SleeplibError, match="one is needed of each at least, and one to train on"):
        protocol(["a", "b"])


def test_a_person_in_two_parts_is_named():
    persons = ["anna", "anna", "bert", "carl"]
    check_disjoint({"train": [0, 1], "valid": [2], "test": [3]}, persons)
    check_disjoint({"train": [0, 0], "test": []}, persons)
    with pytest.raises(SleeplibError, match=r"only: anna \(train and test\)$"):
        check_disjoint({"train": [0, 2], "test": [1, 3]}, persons)
    with pytest.raises(SleeplibError, match="and 3 others"):
        check_disjoint({"train": range(8), "test": range(8)}, [f"p{i}" for i in range(8)])


def test_a_published_split_of_the_recordings_at_hand():
    parts = {"train": ["a1", "a2", "gone"], "valid": ["b1"], "test": ["c1"]}
    found = assign(parts, ["c1", "a2", "new", "b1"], ["c", "a", "n", "b"])
    assert {part: which.tolist() for part, which in found.items()} == {
        "train": [1],
        "valid": [3],
        "test": [0],
    }
    with pytest.raises(SleeplibError, match=r"none of the 1 recordings at hand is in it, such as x"):
        assign(parts, ["x"], ["x"])
    with pytest.raises(SleeplibError, match=r"one part of a split only: family 1 \(train and valid\)"):
        assign(parts, ["a1", "b1"], ["family 1", "family 1"])


def test_the_published_folds_of_the_recordings_at_hand(shared):
    path = shared / "reference/vectors/cc-by-nc/data_split_eval.mat"
    names = np.load(shared / "reference/vectors/cc-by-nc/mass_seqsleepnet_folds.npz")
    alphabetical = [str(name).partition("_")[2] for name in names["recordings"]]
    ids = alphabetical[::-1]  # whatever order the store has
    folds = assign_folds(read_seqsleepnet_folds(path), ids, ids)
    for fold, test in zip(folds, names["test"], strict=True):
        assert sorted(ids[i] for i in fold["test"]) == sorted(
            alphabetical[i - 1] for i in np.atleast_1d(test)
        )
    with pytest.raises(SleeplibError, match="of 200 recordings; 199 are at hand"):
        assign_folds(read_seqsleepnet_folds(path), ids[1:], ids[1:])


def test_a_written_split_is_read_back(tmp_path):
    ids, groups = [f"r{i}" for i in range(9)], [f"p{i // 2}" for i in range(9)]
    parts = protocol(groups, seed=3, valid=(0.2, 9), test=(0.2, 9))
    (tmp_path / "split.json").write_text(as_text(parts, ids, "ours"))
    for cohort in ("ours", None):
        read = read_split(tmp_path / "split.json", ids, groups, cohort)
        assert all(np.array_equal(read[part], parts[part]) for part in parts) and len(read) == 3
    with pytest.raises(SleeplibError, match="a split of cohort ours; the recordings at hand are of theirs"):
        read_split(tmp_path / "split.json", ids, groups, "theirs")
    with pytest.raises(SleeplibError, match="no recording at hand is in train"):
        read_split(tmp_path / "split.json", [ids[i] for i in parts["valid"]], ["p"] * len(parts["valid"]))
    (tmp_path / "split.json").write_text('{"train": ["r0"], "valid": ["r2"], "test": []}')
    assert read_split(tmp_path / "split.json", ids, groups, "any")["valid"].tolist() == [2]
    (tmp_path / "split.json").write_text('{"train": ["r0"], "valid": ["r2"], "test": ["r0"]}')
    with pytest.raises(SleeplibError, match="r0 is in train and in test"):
        read_split(tmp_path / "split.json", ids, groups)
    for text in (
        "[]",
        "{",
        '{"train": [], "valid": [], "test": 3}',
        '{"train": [[]], "valid": [], "test": []}',
    ):
        (tmp_path / "split.json").write_text(text)
        with pytest.raises(SleeplibError, match=r"split\.json"):
            read_split(tmp_path / "split.json", ids, groups)
