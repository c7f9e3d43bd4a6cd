"""AnySleep's cohorts in the suite: the published lists, budgets, and who may test."""

from pathlib import Path

import numpy as np
import pytest

from sleeplib import cohorts, models, suite
from sleeplib.errors import SleeplibError
from sleeplib.training import NightTraining
from tests.sampling.conftest import EEG, EOG, make


def test_cohorts_are_those_of_the_published_split(shared):
    split = cohorts.splits.read_usleep_split(shared / "reference/vectors/usleep_split.yaml")
    names = {name.replace("_", "-") for name in split["train"]}
    assert names == set(suite.sites.TRAINING)
    assert {name.replace("_", "-") for name in split["test"]} == {
        *suite.sites.TRAINING,
        *suite.sites.HOLD_OUT,
    }
    for name in (*suite.sites.TRAINING, *suite.sites.HOLD_OUT):
        assert cohorts.load(name).simulation


def test_the_papers_budget_changes_nothing():
    for system in suite.night_systems("paper", seed=4):
        assert system.recipe == NightTraining.for_network(system.network, seed=4) and not system.settings
    assert {system.network for system in suite.night_systems()} == set(models.NIGHT_NETWORKS)
    with pytest.raises(SleeplibError, match="paper, long, demo, smoke"):
        suite.night_systems("much")


@pytest.mark.parametrize("budget", ["demo", "long"])
def test_the_chapter_tells_the_budgets(budget):
    chapter = (Path(__file__).parents[1] / "book/many_cohorts.md").read_text()
    line = next(line for line in chapter.splitlines() if line.startswith(f"| `{budget}` |"))
    steps, window, activations = (cell.strip() for cell in line.split("|")[3:6])
    for recipe in (system.recipe for system in suite.night_systems(budget)):
        assert (steps, window) == (f"{recipe.steps:,}", f"{recipe.length} epochs")
        assert activations == ("bfloat16" if recipe.amp else "float32")


@pytest.mark.parametrize("budget", suite.NIGHT_BUDGETS)
def test_every_budget_builds_every_network(budget):
    for system in suite.night_systems(budget):
        models.build(system.network, **system.settings)


def test_the_first_persons_test_in_a_small_twin_as_in_a_large_one(tmp_path):
    def store(name, n):
        nights = [
            (f"{night}-{person}", np.zeros(4, int), [EEG, EOG])
            for person in ("8", "9", "10", "11")[:n]  # in names' order, 10 would come before 8
            for night in (1, 2)
        ]
        made = make(tmp_path / name, name, nights)
        made.groups = np.array([id[2:] for id in made.ids])
        return made

    large, small = store("large", 4), store("small", 3)
    split = suite.first_persons(large, test=1, valid=1)
    assert {part: set(large.groups[which]) for part, which in split.items()} == {
        "test": {"8"}, "valid": {"11"}, "train": {"9", "10"},
    }  # fmt: skip
    assert sorted(np.concatenate(list(split.values()))) == list(range(8))
    for test in (1, 2):  # of three, one is left to train on
        split = suite.first_persons(small, test, 1)
        assert {part: set(small.groups[which]) for part, which in split.items()} == {
            "test": {"8"}, "valid": {"10"}, "train": {"9"},
        }  # fmt: skip
    with pytest.raises(
        SleeplibError, match="3 persons or families; one to test, 2 to validate and one to train"
    ):
        suite.first_persons(small, test=1, valid=2)
