"""The book's sources: chapters that teach, a ledger that points at things that exist, drawings that are up to date."""

import ast
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sleeplib import cohorts, models
from sleeplib.analysis import metrics
from sleeplib.experiments.book import cohorts_page, stage_book
from sleeplib.models.features import FEATURES
from sleeplib.training import TrainingSettings

ROOT = Path(__file__).parents[1]
MODULES = (
    "models.seqsleepnet", "models.recurrent", "models.released", "models.weights", "models.cnn",
    "models.one_max", "models.deepsleepnet", "models.dong", "models.usleep", "models.anysleep",
    "models.authors", "models.features", "models.classical", "models.published", "training", "inference",
    "inference.nights", "stages", "signals", "preparation", "store", "sampling", "sampling.channels",
    "sampling.windows", "cohorts.splits", "protocol", "analysis.metrics", "analysis.cost",
    "analysis.statistics", "analysis.agreement", "analysis.arousals", "analysis.resolution", "analysis.calibration",
    "analysis.smoothing", "analysis.traits", "suite.across", "suite.channels",
)  # fmt: skip
CHAPTERS = [
    "sleep_and_its_stages", "what_a_night_of_data_is", "real_nights", "staging_one_epoch", "staging_a_sequence",
    "the_family_of_stagers", "how_good_is_a_stager", "how_well_do_experts_agree", "what_the_tables_teach",
    "any_channels",
    "many_cohorts", "what_channels_are_worth", "below_thirty_seconds", "from_sequences_to_people",
    "your_own_night", "eight_times_faster",
]  # fmt: skip


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_opens_with_its_goals_and_closes_with_exercises(name):
    text = (ROOT / f"book/{name}.md").read_text()
    assert "What you will learn" in text[:1500]
    exercises = re.findall(r"^`{3,}\{exercise\}.*\n:label: (\S+)", text, flags=re.M)
    solutions = re.findall(r"^`{3,}\{solution\} (\S+)\n:class: dropdown", text, flags=re.M)
    assert 2 <= len(exercises) <= 3 and sorted(exercises) == sorted(solutions)


def test_quoted_code_is_where_the_chapters_say():
    quotes = [
        (ROOT / "book" / file, name)
        for page in (ROOT / "book").glob("*.md")
        for file, name in re.findall(
            r"^```\{literalinclude\} (\.\S+)\n:pyobject: (\S+)", page.read_text(), flags=re.M
        )
    ]
    assert len(quotes) > 30
    for path, name in quotes:
        tree = ast.parse(path.read_text())
        for part in name.split("."):
            tree = next(node for node in tree.body if getattr(node, "name", None) == part)


@pytest.mark.parametrize("name", CHAPTERS)
def test_code_in_hidden_solutions_runs(name):
    text = (ROOT / f"book/{name}.md").read_text()
    for fence, solution in re.findall(r"^(`{4,})\{solution\}.*\n((?s:.*?))\n\1$", text, flags=re.M):
        assert fence
        for code in re.findall(r"^```python\n((?s:.*?))^```$", solution, flags=re.M):
            exec(compile(code, name, "exec"), {})


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


def rows_of(chapter: str, columns: int) -> list[list[str]]:
    """Cells of the tables of a chapter with so many columns."""
    lines = (ROOT / f"book/{chapter}.md").read_text().splitlines()
    cells = [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")
    ]
    return [row for row in cells if len(row) == columns]


def test_the_family_has_every_system_with_its_parameters_and_its_recipe():
    rows = {row[0]: row for row in rows_of("the_family_of_stagers", 5) if row[0].startswith("`")}
    named = {name for cell in rows for name in re.findall(r"`([\w-]+)`", cell)}
    assert named == {*models.NETWORKS, *models.CLASSICAL}
    assert rows["`dong-dnn`"][1] == f"{len(FEATURES)} features per channel"
    for name in models.NETWORKS:
        with torch.device("meta"):
            count = sum(p.numel() for p in models.build(name).parameters())
        assert rows[f"`{name}`"][3] == f"{count:,}"
    recipes = [row for row in rows_of("the_family_of_stagers", 6) if row[0].startswith("`")]
    assert len(recipes) == 8
    for name, batch, passes, rate, balanced, _ in recipes:
        settings = TrainingSettings.for_network(name.strip("`"))
        assert (int(passes), float(rate)) == (settings.passes, settings.learning_rate)
        assert (balanced == "yes") == settings.balanced
        assert int(batch.split()[0]) == settings.batch_size
    like = {
        "tsinalis": ("chambon", {"learning_rate": 1e-4}),
        "dong-dnn": ("e2e-arnn", {}),
        "dong-mnn": ("e2e-arnn", {}),
    }
    for name, (other, changes) in like.items():
        assert TrainingSettings.for_network(name) == TrainingSettings.for_network(other, **changes)


@pytest.fixture(scope="module")
def published():
    return json.loads((ROOT / "book/facts/published_seqsleepnet.json").read_text())


def test_published_tables_in_the_chapter_are_the_facts(published):
    def printed(*values):
        return ["–" if v is None else f"{v:.{d}f}" for v, d in values]

    facts = {row["label"]: row for row in published["table_ii"]}
    overall = [row for row in rows_of("what_the_tables_teach", 7) if row[0] in facts]
    assert [row[0] for row in overall] == list(facts) and len(facts) == 20
    digits = {"accuracy": 1, "kappa": 3, "macro_f1": 1, "mean_sensitivity": 1, "mean_specificity": 1}
    for label, persons, *values in overall:
        fact = facts[label]
        assert int(persons) == fact["persons"] and values == printed(
            *((fact[k], d) for k, d in digits.items())
        )
    stages = [row for row in rows_of("what_the_tables_teach", 6) if row[0] in facts]
    assert [row[0] for row in stages] == [label for label, row in facts.items() if row["sensitivity"]]
    for label, *cells in stages:
        pairs = zip(facts[label]["sensitivity"], facts[label]["selectivity"], strict=True)
        assert cells == [f"{a:.1f}/{b:.1f}" for a, b in pairs]
    depth = {row[0]: row[1:] for row in rows_of("what_the_tables_teach", 4) if row[0] in ("1", "2")}
    for row in published["table_iii"]:
        assert float(depth[str(row["depth"])][row["sequence_length"] // 10 - 1]) == row["accuracy"]
    at = published["transitions"]
    places = {row[0]: row[1:] for row in rows_of("what_the_tables_teach", 4)}
    assert places["at a transition"] == [f"{at[k]} %" for k in ("share", "error", "share_of_errors")]
    assert places["elsewhere"] == [
        f"{at['non_transition_' + k]} %" for k in ("share", "error", "share_of_errors")
    ]
    pairs = [row for row in rows_of("what_the_tables_teach", 3) if " − " in row[0]]
    assert len(pairs) == 5
    for pair, _, points in pairs:
        first, second = (facts[label]["accuracy"] for label in pair.split(" − "))
        assert float(points) == round(first - second, 1)
    counts = dict(zip(published["stages"], published["cohort"]["labels"], strict=True))
    assert sum(counts.values()) == published["cohort"]["epochs"] == 228_870
    says = [row for row in rows_of("what_the_tables_teach", 2) if row[0] in facts]
    assert len(says) == 7
    for label, ratio in says:
        assert float(ratio) == round(facts[label]["sensitivity"][1] / facts[label]["selectivity"][1], 2)


def test_published_facts_are_those_of_the_vectors(published, shared):
    vectors = json.loads((shared / "reference/vectors/published_numbers.json").read_text())
    names = {"acc": "accuracy", "kappa": "kappa", "mf1": "macro_f1", "sens": "mean_sensitivity",
             "spec": "mean_specificity", "class_sens": "sensitivity", "class_sel": "selectivity"}  # fmt: skip
    rows = {
        row["label"].removesuffix(" et al."): row for row in published["table_ii"] if row["persons"] == 200
    }
    assert rows.keys() == vectors["seqsleepnet_table2"].keys()
    for label, theirs in vectors["seqsleepnet_table2"].items():
        assert {names[key]: value for key, value in theirs.items()} == {
            key: rows[label][key] for key in names.values()
        }
    assert published["cohort"]["labels"] == vectors["mass_reference_counts_estimate"]["counts"]


def test_drawings_are_those_of_the_script(tmp_path):
    before = {path.name: path.read_text() for path in (ROOT / "book/figures").glob("*.svg")}
    script = (ROOT / "book/figures/draw.py").read_text()
    assert before and "__file__" in script
    (tmp_path / "draw.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "draw.py"], check=True, cwd=tmp_path, capture_output=True)
    drawn = {path.name: path.read_text() for path in tmp_path.rglob("*.svg")}
    assert drawn == before, "run book/figures/draw.py and commit what it draws"
