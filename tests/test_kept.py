"""Results that come with the project instead of being computed again."""

import json

import numpy as np
import pytest

from sleeplib import experiments, suite
from sleeplib.suite import across, channels, kept
from tests.training.test_nights import cohort

PLACES = [("a", 0, 0), ("a", 0, 1), ("a", 0, 2), ("b", 0, 0), ("b", 0, 2)]
KEYS = ["a0", "a1", "a2", "b0", None]
COSTS = [2, 1, 2, 3, 0]
ARRAYS = {key: np.full(10, k, float) for k, key in enumerate(KEYS[:4], 1)}


@pytest.fixture
def computed(tmp_path, monkeypatch):
    """A file `some` with the arrays, and a function that says what it was asked to compute, and finds the same."""
    monkeypatch.setattr(kept, "path", lambda name: tmp_path / f"{name}.npz")
    kept.write(tmp_path / "some.npz", ARRAYS, {"weights": {}})
    asked, off = [], {}

    def compute(places):
        asked.append(places)
        values = {p: ARRAYS.get(key, np.zeros(10)) for p, key in zip(PLACES, KEYS, strict=True)}
        return iter([values[p] * off.get(p, 1) for p in places])

    return compute, asked, off


def test_what_is_kept_is_not_computed_but_for_one_night_of_each_network(computed, capsys):
    compute, asked, _ = computed
    found = list(kept.completed("some", PLACES, KEYS, COSTS, compute))
    assert asked == [[("a", 0, 1), ("b", 0, 0)], [("b", 0, 2)]]
    assert [x[0] for x in found] == [1, 2, 3, 4, 0]
    assert (
        "4 of 4 results come with the project; 2 of them computed again here: 0 % off"
        in capsys.readouterr().out
    )
    assert kept.origin("some") == {"weights": {}}


def test_nothing_is_used_that_comes_out_otherwise(computed, capsys):
    compute, asked, off = computed
    off[PLACES[1]] = 1.05  # the cheapest night of its network
    found = list(kept.completed("some", PLACES, KEYS, COSTS, compute))
    assert asked[1] == PLACES and found[1][0] == pytest.approx(2.1)
    assert "does not come out again here (5.0 % off); all is computed anew" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["none asked", "missing", "cut off"])
def test_without_a_file_all_is_computed(computed, damage, tmp_path, capsys):
    compute, asked, _ = computed
    if damage == "cut off":
        (tmp_path / "some.npz").write_bytes((tmp_path / "some.npz").read_bytes()[:200])
    name = {"none asked": "", "missing": "other", "cut off": "some"}[damage]
    assert len(list(kept.completed(name, PLACES, KEYS, COSTS, compute))) == 5
    assert asked == [[], PLACES] and not capsys.readouterr().out


def test_differences_are_shares_of_the_sum():
    ones = np.ones((2, 5))
    assert kept.difference(ones, ones) == 0
    assert kept.difference(ones, ones * 1.1) == pytest.approx(0.1)
    assert kept.difference(ones, ones[:1]) == kept.difference(ones, ones * np.nan) == 1
    nan = np.array([np.nan, 1.0])
    assert kept.difference(nan, nan) == 0
    unsigned = np.array([1, 2], np.uint8)
    assert kept.difference(unsigned, unsigned[::-1]) == pytest.approx(2 / 3)


def test_a_key_knows_function_options_weights_cohort_and_night(tmp_path):
    store = cohort(tmp_path, "mass", 0, nights=3)
    store.simulated = True
    weights = tmp_path / "weights"
    weights.write_bytes(b"one")

    def key(function=across.stages, i=0, **options):
        return kept.keys(function, {"a": weights}, [store], [("a", 0, i)], options)[0]

    first = key()
    assert first == key() != key(i=1)
    assert len({first, key(function=channels.weights), key(draws=2), key(draws=3)}) == 4
    weights.write_bytes(b"two")
    assert key() != first
    weights.write_bytes(b"one")
    store.cohort = "shhs"
    assert key() != first
    store.simulated = False
    assert key() is None
    store.simulated = True
    assert kept.keys(across.stages, {"a": object()}, [store], [("a", 0, 0)], {}) == [None]


def test_a_night_of_the_same_name_with_other_stages_is_another(tmp_path, monkeypatch):
    store = cohort(tmp_path, "mass", 0, nights=1)
    store.simulated = True
    (tmp_path / "weights").write_bytes(b"one")
    arguments = across.stages, {"a": tmp_path / "weights"}, [store], [("a", 0, 0)], {}
    before, stages = kept.keys(*arguments), store.stages(0)
    monkeypatch.setattr(store, "stages", lambda i: stages[:-1])
    assert kept.keys(*arguments) != before


def test_what_comes_with_the_project_was_made_by_its_weights_and_its_simulator():
    names = {run.parameters.get("kept") for run in experiments.plan("demo")} - {None, ""}
    assert names == {"any", "any-long"}
    for name in names:
        about = kept.origin(name)
        weights = {label: file for label, (file, _) in about["weights"].items()}
        now = kept.made_of(weights, list(about["simulator"]))
        assert json.loads(json.dumps(now)) == {key: about[key] for key in now}
        assert all(file.startswith(f"weights/{name}/") for file in weights.values())
        assert set(about["simulator"]) == {*suite.sites.TRAINING, *suite.sites.HOLD_OUT}
        assert len(kept.read(name)) > 20
