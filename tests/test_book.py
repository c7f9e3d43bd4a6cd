"""The book's sources: chapters that teach, a ledger that points at things that exist, drawings that are up to date."""

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sleeplib import cohorts
from sleeplib.analysis import metrics
from sleeplib.experiments.book import cohorts_page, stage_book

ROOT = Path(__file__).parents[1]
MODULES = (
    "models.seqsleepnet", "models.recurrent", "models.released", "models.weights", "training", "inference", "stages",
    "signals", "preparation", "store", "sampling", "sampling.channels", "sampling.windows", "cohorts.splits",
    "analysis.metrics",
)  # fmt: skip
CHAPTERS = [
    "sleep_and_its_stages", "what_a_night_of_data_is", "real_nights", "staging_one_epoch", "staging_a_sequence",
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


def test_the_page_of_cohorts_tells_every_manifest():
    text = cohorts_page()
    for name in cohorts.names():
        m = cohorts.load(name)
        section = text.split(f"(cohort-{name})=\n### ")[1].split("\n(cohort-")[0]
        assert section.startswith(m.title) and f"| [{name}](#cohort-{name}) |" in text
        assert all(f"\n{term}\n: " in section for term in cohorts.facts(m))
        assert all(f"- {quirk}" in section for quirk in m.quirks)
        assert not m.doi or f"](https://doi.org/{m.doi})" in section


def test_the_staged_page_follows_the_manifests(monkeypatch, tmp_path):
    """Nothing on it is typed: what a manifest says of itself is what is staged."""
    monkeypatch.setenv("SLEEPLIB_BUILD", str(tmp_path / "_build"))
    book = tmp_path / "book"
    book.mkdir()
    for name, content in {
        "_config.yml": "title: A book\n",
        "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n- file: book/cohorts\n",
        "references.bib": "",
        "intro.md": "# Hello\n",
    }.items():
        (book / name).write_text(content)
    one = dataclasses.replace(cohorts.load("svuh"), title="A cohort of our own", quirks=["Bring a lamp."])
    monkeypatch.setattr(cohorts, "names", lambda: ["svuh"])
    monkeypatch.setattr(cohorts, "load", lambda name: one)
    page = (stage_book(book) / "book" / "cohorts.md").read_text()
    assert "The 1 cohorts" in page and "### A cohort of our own" in page and "- Bring a lamp." in page
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    assert not (stage_book(book) / "book" / "cohorts.md").exists()


def test_the_chapter_of_scores_includes_every_metric_of_the_registry(monkeypatch, tmp_path):
    monkeypatch.setenv("SLEEPLIB_BUILD", str(tmp_path / "_build"))
    book = tmp_path / "book"
    book.mkdir()
    for name in ("_config.yml", "references.bib", "how_good_is_a_stager.md"):
        (book / name).write_text((ROOT / "book" / name).read_text())
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/how_good_is_a_stager\n")
    folder = stage_book(book) / "book"
    included = re.search(r"```\{include\} (\S+)", (folder / "how_good_is_a_stager.md").read_text())[1]
    lines = (folder / included).read_text().splitlines()
    assert len(lines) == 2 + len(metrics.REGISTRY) and {line.count("|") for line in lines} == {7}
    for line, metric in zip(lines[2:], metrics.REGISTRY.values(), strict=True):
        told = (metric.meaning, metric.unit, metric.better, metric.chance, metric.source)
        assert line == "| " + " | ".join((metric.name.replace("_", " "), *told)) + " |"


def test_tables_typed_in_the_chapter_agree_with_the_manifests():
    text = (ROOT / "book/real_nights.md").read_text()
    known = {m.name: m for m in map(cohorts.load, cohorts.names())}
    rows = re.findall(
        r"^\| `([a-z0-9-]+)`(?:, `([a-z0-9-]+)`)? \|(?:.*?\|)? ([\d,]+ / [\d, /]+?) \|", text, flags=re.M
    )
    assert len(rows) >= 16
    for first, second, numbers in rows:
        sizes = [f"{known[n].recordings:,} / {known[n].persons:,}" for n in (first, second) if n]
        assert ", ".join(sizes) == numbers
    doors = {"open": "open", "token": "a token", "agreement": "an application"}
    for name, m in known.items():
        if m.access["kind"] in doors and name != "sleep-edf-npz":
            row = next(
                line for line in text.splitlines() if line.startswith(f"| {doors[m.access['kind']]} |")
            )
            assert f"`{name}`" in row or f"`-{name.partition('-')[2]}`" in row
    left_out = {name: len(m.exclude) for name, m in known.items() if m.exclude}
    assert left_out == {"chat": 2, "hpap": 8, "mesa": 2, "mros": 16}, "the chapter names these numbers"


def test_drawings_are_those_of_the_script(tmp_path):
    before = {path.name: path.read_text() for path in (ROOT / "book/figures").glob("*.svg")}
    script = (ROOT / "book/figures/draw.py").read_text()
    assert before and "__file__" in script
    (tmp_path / "draw.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "draw.py"], check=True, cwd=tmp_path, capture_output=True)
    drawn = {path.name: path.read_text() for path in tmp_path.rglob("*.svg")}
    assert drawn == before, "run book/figures/draw.py and commit what it draws"
