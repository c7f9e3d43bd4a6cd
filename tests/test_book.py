"""The book's sources: chapters that teach, a ledger that points at things that exist, drawings that are up to date."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = (
    "models.seqsleepnet", "models.recurrent", "training", "inference", "signals", "store", "sampling",
    "analysis.metrics",
)  # fmt: skip
CHAPTERS = [
    "sleep_and_its_stages", "what_a_night_of_data_is", "staging_one_epoch", "staging_a_sequence",
    "how_good_is_a_stager",
]  # fmt: skip


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_opens_with_its_goals_and_closes_with_exercises(name):
    text = (ROOT / f"book/{name}.md").read_text()
    assert "What you will learn" in text[:1500]
    exercises = re.findall(r"^`{3,}\{exercise\}.*\n:label: (\S+)", text, flags=re.M)
    solutions = re.findall(r"^`{3,}\{solution\} (\S+)\n:class: dropdown", text, flags=re.M)
    assert 2 <= len(exercises) <= 3 and sorted(exercises) == sorted(solutions)


def ledger():
    """Rows of the ledger that name code and a test: `(code names, test file)`."""
    rows = []
    for line in (ROOT / "book/fidelity.md").read_text().splitlines():
        if test := re.search(r"`(tests/[\w/]+\.py)`", line):
            before = line[: test.start()].rsplit("|", 2)[-2]
            rows.append((re.findall(r"`([\w.]+)`", before), test[1]))
    return rows


def test_the_ledger_covers_all_equations_and_points_at_code_and_tests_that_exist():
    text = (ROOT / "book/fidelity.md").read_text()
    for equation in range(1, 19):
        spans = [range(int(a), int(b or a) + 1) for a, b in re.findall(r"eqs?\. (\d+)(?:-(\d+))?", text)]
        assert any(equation in span for span in spans), f"equation {equation} is missing"
    modules = [importlib.import_module(f"sleeplib.{name}") for name in MODULES]
    rows = ledger()
    assert len(rows) > 20
    for names, test in rows:
        assert (ROOT / test).exists(), test
        for name in names:
            assert any(resolves(module, name) for module in modules), f"{name} is nowhere"


def resolves(module, dotted: str) -> bool:
    """Whether `module` has the name, given with or without its own last names, as an attribute, setting or layer."""
    parts = dotted.split(".")
    for part in module.__name__.split("."):
        if parts and parts[0] == part:
            parts = parts[1:]
    thing = module
    for part in parts:
        if not hasattr(thing, part):
            layer = isinstance(thing, type) and f"self.{part} = " in inspect.getsource(thing)
            return layer or part in getattr(thing, "__dataclass_fields__", {})
        thing = getattr(thing, part)
    return True


def test_drawings_are_those_of_the_script(tmp_path):
    before = {path.name: path.read_text() for path in (ROOT / "book/figures").glob("*.svg")}
    script = (ROOT / "book/figures/draw.py").read_text()
    assert before and "__file__" in script
    (tmp_path / "draw.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "draw.py"], check=True, cwd=tmp_path, capture_output=True)
    drawn = {path.name: path.read_text() for path in tmp_path.rglob("*.svg")}
    assert drawn == before, "run book/figures/draw.py and commit what it draws"
