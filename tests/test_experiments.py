"""Planning, running, skipping and staging, on notebooks of three cells."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from sleeplib import experiments
from sleeplib.errors import SleeplibError
from sleeplib.experiments import notebooks as files
from sleeplib.experiments.side_by_side import by_length, lonely, may_start
from sleeplib.provenance import root

NOTEBOOK = """\
# ---
# jupyter:
#   kernelspec:
#     name: python3
#     language: python
#     display_name: Python 3
# ---

# %% [markdown]
# # A toy

# %% tags=["setup", "remove-cell"]

# %% tags=["parameters"]
seed: int = 1
folder = ""
fail = False

# %%
print("seed is", seed)

# %%
assert not fail, "as it was told"
"""
PROFILES = {
    "data": {
        "nights": {"what": "real nights", "folders": ["{folder}"], "files": "*.npz", "get": "a download"},
        "cohort": {
            "what": "the cohort",
            "folders": ["{data}/embedded"],
            "files": "*.edf",
            "get": "sleeplib simulate",
        },
    },
    "notebooks": {
        "toy": {"title": "A toy", "needs": ["nights"], "minutes": {"smoke": 0.1}, "demo": {"seed": 2}},
        "reader": {"title": "A reader", "needs": ["cohort"], "minutes": {}},
    },
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two notebooks; everything that is made goes beside it."""
    monkeypatch.setenv("SLEEPLIB_BUILD", str(tmp_path / "_build"))
    monkeypatch.setenv("SLEEPLIB_DATA", str(tmp_path / "data"))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in PROFILES["notebooks"]:
        (folder / f"{name}.py").write_text(NOTEBOOK)
    (folder / "profiles.yaml").write_text(yaml.safe_dump(PROFILES))
    return folder


@pytest.fixture
def executed(monkeypatch):
    """Names of the notebooks that would have been executed; papermill itself is left out."""
    names = []

    def papermill(run, output):
        names.append(run.name)
        output.write_text(run.source.with_suffix(".ipynb").read_text())

    monkeypatch.setattr("sleeplib.experiments.running._papermill", papermill)
    return names


def run(folder, **settings):
    return experiments.run(
        **({"profile": "demo", "names": ["toy"], "notebooks": folder, "report": str} | settings)
    )


def outputs(folder, name="toy"):
    notebook = json.loads((folder.parent / "_build" / "notebooks" / f"{name}.ipynb").read_text())
    return "".join(str(cell.get("outputs")) for cell in notebook["cells"])


def test_parameters_come_from_notebook_profile_and_command_line(folder):
    def final(profile, overrides=None):
        return experiments.plan(profile, ["toy"], overrides, folder)[0].parameters

    assert final("smoke") == {"seed": 1, "folder": "", "fail": False}
    assert final("demo")["seed"] == 2
    assert final("demo", {"seed": 3})["seed"] == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overrides": {"sead": 1}}, "unknown parameter 'sead'; known: fail, folder, seed"),
        ({"names": ["toi"]}, "unknown notebook 'toi'; known: reader, toy"),
        ({"profile": "huge"}, "unknown profile 'huge'; known: demo, paper, smoke"),
    ],
)
def test_unknown_names_are_errors_that_list_the_known(folder, executed, settings, message):
    with pytest.raises(SleeplibError, match=message):
        run(folder, **settings)
    assert executed == []


def test_profiles_may_not_name_unknown_parameters(folder):
    broken = PROFILES | {"notebooks": {"toy": PROFILES["notebooks"]["toy"] | {"paper": {"sead": 1}}}}
    (folder / "profiles.yaml").write_text(yaml.safe_dump(broken))
    with pytest.raises(SleeplibError, match=r"profiles\.yaml: toy: unknown parameter 'sead'"):
        run(folder)


def test_papermill_runs_the_notebook_with_its_parameters(folder, capfd):
    run(folder)
    assert "seed is 2" in outputs(folder)
    assert "TCP" not in capfd.readouterr().err


def test_what_is_done_is_skipped_until_something_changes(folder, executed):
    nights = folder.parent / "nights"
    nights.mkdir()
    (nights / "a.npz").write_bytes(b"1")
    given = {"overrides": {"folder": str(nights)}}
    run(folder, **given)
    run(folder, **given)
    assert len(executed) == 1
    run(folder, **given, force=True)
    assert len(executed) == 2
    run(folder, overrides=given["overrides"] | {"seed": 5})
    assert len(executed) == 3
    run(folder, **given)
    (nights / "b.npz").write_bytes(b"2")
    run(folder, **given)
    assert len(executed) == 5
    (folder / "toy.py").write_text(NOTEBOOK + "\n# %%\nprint(1)\n")
    run(folder, **given)
    assert len(executed) == 6
    (folder.parent / "_build" / "notebooks" / "toy.ipynb").unlink()
    run(folder, **given)
    assert len(executed) == 7


def test_data_that_the_notebook_makes_are_no_reason_to_run_again(folder, executed):
    made = PROFILES["data"]["cohort"] | {"made": True}
    (folder / "profiles.yaml").write_text(
        yaml.safe_dump(
            PROFILES
            | {
                "data": {"cohort": made},
                "notebooks": {"toy": PROFILES["notebooks"]["toy"] | {"needs": ["cohort"]}},
            }
        )
    )
    run(folder)
    (folder.parent / "data" / "embedded").mkdir(parents=True)
    (folder.parent / "data" / "embedded" / "night.edf").touch()
    run(folder)
    assert executed == ["toy"]


def test_package_decides_the_digest_but_not_its_door(folder, tmp_path, monkeypatch):
    from sleeplib.experiments import running

    package = tmp_path / "sleeplib"
    (package / "experiments").mkdir(parents=True)
    monkeypatch.setattr(running, "__file__", str(package / "experiments" / "running.py"))

    def digest():
        return experiments.plan("demo", ["toy"], notebooks=folder)[0].digest

    before = digest()
    (package / "cli").mkdir()
    (package / "cli" / "data.py").write_text("print()")
    assert digest() == before
    (package / "signals.py").write_text("print()")
    assert digest() != before


def test_override_reaches_only_notebooks_that_know_it(folder, executed):
    (folder / "reader.py").write_text(NOTEBOOK.replace("seed: int = 1", "size = 1").replace("seed)", "size)"))
    (folder.parent / "data" / "embedded").mkdir(parents=True)
    (folder.parent / "data" / "embedded" / "night.edf").touch()
    run(folder, names=["toy", "reader"], overrides={"seed": 4})
    assert executed == ["toy", "reader"]


def test_missing_data_are_named_with_the_remedy(folder, executed):
    with pytest.raises(
        SleeplibError, match=r"reader needs the cohort: missing in .*embedded; get it with `sleeplib sim"
    ):
        run(folder, names=["reader"])
    with pytest.raises(SleeplibError, match="real nights: missing in /nowhere"):
        run(folder, overrides={"folder": "/nowhere"})
    assert executed == []


def test_failing_cell_is_named_and_the_notebook_kept(folder):
    run(folder)
    with pytest.raises(
        SleeplibError, match=r"toy failed in cell \d+ \(assert not fail.*AssertionError: as it was told"
    ) as error:
        run(folder, overrides={"fail": True})
    partial = folder.parent / "_build" / "notebooks" / "toy.partial.ipynb"
    assert str(partial) in str(error.value)
    assert "seed is 2" in partial.read_text()
    assert "seed is 2" in outputs(folder)  # of the first run
    assert experiments.plan("demo", ["toy"], notebooks=folder)[0].done


def test_busy_port_is_tried_once_more(folder, monkeypatch):
    attempts = []

    def busy(*arguments, **settings):
        attempts.append(1)
        raise OSError("Address already in use")

    monkeypatch.setattr("papermill.execute_notebook", busy)
    with pytest.raises(OSError, match="in use"):
        run(folder)
    assert len(attempts) == 2


def test_plan_says_what_is_needed_and_how_long(folder):
    text = experiments.describe(experiments.plan("smoke", notebooks=folder))
    for part in (
        "toy: A toy",
        "about 6 s",
        "seed = 1",
        "not given, runs without",
        "the cohort: missing in",
        "`sleeplib simulate`",
    ):
        assert part in text


def test_pair_makes_notebooks_and_keeps_cell_ids(folder):
    assert {path.name for path in experiments.pair(folder)} == {
        "toy.py",
        "toy.ipynb",
        "reader.py",
        "reader.ipynb",
    }
    assert experiments.pair(folder) == []
    before = json.loads((folder / "toy.ipynb").read_text())["cells"]
    text = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(text.replace("# %%\nprint", "# %%\n1 + 1\n\n# %%\nprint"))
    with pytest.raises(SleeplibError, match=r"not in step: toy\.ipynb; run `make pair`"):
        experiments.pair(folder, check=True)
    experiments.pair(folder)
    after = json.loads((folder / "toy.ipynb").read_text())["cells"]
    assert [cell["source"] for cell in after if cell not in before] == [["1 + 1"]]
    assert [cell for cell in after if cell in before] == before


def test_pair_stamps_the_repository_address(folder):
    experiments.pair(folder)
    assert f"git+{files.repository()}" in (folder / "toy.ipynb").read_text()
    text = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(text.replace(files.repository(), "https://elsewhere.org/old"))
    assert {path.name for path in experiments.pair(folder)} == {"toy.py"}
    assert (folder / "toy.py").read_text() == text


def test_pair_removes_outputs(folder):
    import nbformat

    experiments.pair(folder)
    notebook = nbformat.read(folder / "toy.ipynb", 4)
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="old")]
    nbformat.write(notebook, folder / "toy.ipynb")
    assert experiments.pair(folder) == [folder / "toy.ipynb"]
    assert not nbformat.read(folder / "toy.ipynb", 4).cells[3].outputs


@pytest.fixture
def book(folder):
    """A book of two pages with the project's own settings."""
    book = folder.parent / "book"
    (book / "_static").mkdir(parents=True)
    (book / "_static" / "book.css").touch()
    (book / "references.bib").touch()
    (book / "_config.yml").write_text((root() / "book" / "_config.yml").read_text())
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/toy\n")
    (book / "intro.md").write_text("# Hello\n\n$x^2$\n\n```{literalinclude} ../sleeplib/errors.py\n```\n")
    return book


def test_book_needs_its_notebooks_run(book):
    with pytest.raises(SleeplibError, match="`sleeplib run toy` first"):
        experiments.stage_book(book)


def test_book_is_built_once_and_survives_a_broken_page(folder, book, capfd):
    run(folder)
    first = experiments.build_book(book)
    assert capfd.readouterr().out.splitlines()[-1] == str(first)
    text = first.read_text()
    assert "SleeplibError" in text  # quoted from the package
    assert "https://" not in "".join(part.split(">")[0] for part in text.split("<script")[1:])
    page = (first.parents[1] / "notebooks" / "toy.html").read_text()
    assert "seed is 2" in page
    assert f"{files.repository().removeprefix('https://github.com/')}/blob/main/notebooks/toy.ipynb" in page
    assert (first.parents[1] / "_static" / "mathjax" / "tex-mml-chtml.js").exists()

    before = first.stat().st_mtime_ns
    assert experiments.build_book(book).stat().st_mtime_ns == before
    (book / "intro.md").write_text("# Hello\n\n{cite}`nobody2020`\n")
    for _ in range(2):  # Sphinx would forget the warning of a page that it has read before
        with pytest.raises(SleeplibError, match="not built"):
            experiments.build_book(book)
    assert first.stat().st_mtime_ns == before


def test_door_imports_nothing_heavy():
    code = "import sys, sleeplib.experiments; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"papermill", "jupytext", "torch", "pandas"} & set(loaded)


def planned(name, alone=False, last=False, in_turn=()):
    return SimpleNamespace(name=name, alone=alone, last=last, in_turn=set(in_turn))


def test_side_by_side_notebooks_keep_out_of_each_others_way():
    first, second, other = planned("a", in_turn={"mass"}), planned("b", in_turn={"mass"}), planned("c")
    clock, reader = planned("d", alone=True), planned("e", last=True)
    assert may_start(other, [first], []) and may_start(first, [other], [])
    assert not may_start(second, [first], []) and not may_start(second, [other], [first])
    assert (
        not may_start(clock, [other], [])
        and not may_start(other, [clock], [])
        and may_start(clock, [], [first])
    )
    assert (
        not may_start(reader, [other], [])
        and not may_start(reader, [], [first])
        and may_start(reader, [], [])
    )


@pytest.fixture
def cohort(tmp_path, folder):
    """What the second notebook reads."""
    (tmp_path / "data/embedded").mkdir(parents=True)
    (tmp_path / "data/embedded/a.edf").touch()


def test_notebooks_run_side_by_side(folder, cohort, capfd):
    runs = experiments.run("smoke", notebooks=folder, jobs=2)
    assert [r.name for r in runs] == ["reader", "toy"] and all(r.done for r in runs)
    told = capfd.readouterr().out
    assert told.index("[2/2] toy (smoke): running") < told.index("[1/2] reader (smoke): done")
    experiments.run("smoke", notebooks=folder, jobs=2)
    assert capfd.readouterr().out.count("skipped") == 2


def test_of_notebooks_side_by_side_one_fails_and_the_other_is_kept(folder, cohort):
    text = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(text.replace("fail = False", "fail = True"))
    with pytest.raises(SleeplibError, match=r"toy failed in cell.*as it was told"):
        experiments.run("smoke", notebooks=folder, jobs=2)
    assert [r.done for r in experiments.plan("smoke", notebooks=folder)] == [True, False]


def test_what_has_most_work_behind_it_starts_first():
    first, second = planned("a", in_turn={"mass"}), planned("b", in_turn={"mass"})
    long, short = planned("c"), planned("d")
    for run, minutes in ((first, 2), (second, 3), (long, 4), (short, None)):
        run.minutes = minutes
    waiting = list(enumerate([short, long, first, second], start=1))
    assert [run.name for _, run in by_length(waiting)] == ["a", "b", "c", "d"]


def test_a_notebook_that_nothing_can_run_beside_has_all_cores():
    first, second = planned("a", in_turn={"mass"}), planned("b", in_turn={"mass"})
    other, clock, reader = planned("c"), planned("d", alone=True), planned("e", last=True)
    assert lonely(first, [], [(1, second), (2, clock), (3, reader)]) and lonely(clock, [], [(1, other)])
    assert not lonely(first, [], [(1, second), (2, other)]) and not lonely(first, [other], [(1, second)])
