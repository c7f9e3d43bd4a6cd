"""The notebooks: pairs in step and without outputs, and every one of them runs at smoke size."""

import os
import subprocess
import sys

import nbformat
import pytest

from sleeplib import experiments
from sleeplib.provenance import root

FOLDER = root() / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_pairs_are_in_step():
    experiments.pair(FOLDER, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_committed_notebook_is_bare(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert "setup" in code[0].metadata.tags


@pytest.mark.parametrize("profile", experiments.PROFILES)
def test_every_notebook_has_its_profiles(profile):
    runs = experiments.plan(
        profile
    )  # raises if profiles.yaml names a parameter that a notebook does not have
    assert sorted(run.name for run in runs) == NAMES
    assert all(run.parameters == experiments.parameters(run.source) for run in runs if profile == "smoke")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_at_smoke_size(name, tmp_path):
    """In a kernel started from `notebooks/`, as Jupyter does; papermill starts it where the command was given."""
    nbval = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *nbval, FOLDER / f"{name}.ipynb"],
        cwd=root(),
        env=os.environ | {"SLEEPLIB_BUILD": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
