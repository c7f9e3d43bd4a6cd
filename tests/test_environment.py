"""One set of versions behind every door: constraints.txt for make, environment.yml for conda and Binder."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sleeplib.provenance import root

PROJECT = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((root() / "environment.yml").read_text())
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (root() / "constraints.txt").read_text(), re.M)
}


def needed(name: str, extras=(), seen=None) -> dict[str, list[Requirement]]:
    """Each distribution that `name[extras]` needs here, directly or not, with the requirements on it."""
    seen = {} if seen is None else seen
    for text in metadata.requires(name) or []:
        requirement = Requirement(text)
        if any(
            requirement.marker is None or requirement.marker.evaluate({"extra": e}) for e in ["", *extras]
        ):
            target = canonicalize_name(requirement.name)
            known = {extra for earlier in seen.get(target, []) for extra in earlier.extras}
            visited = target in seen and requirement.extras <= known
            seen.setdefault(target, []).append(requirement)
            if not visited:
                needed(target, requirement.extras, seen)
    return seen


NEEDED = needed("sleeplib", ("book", "test"))
for installer in ("setuptools", "wheel"):  # come with the virtual environment, like pip itself
    NEEDED.pop(installer, None)


def test_constraints_pin_all_that_is_needed_and_fit_each_requirement():
    assert {"torch", "jupyter-book", "pytest", "sphinx"} <= NEEDED.keys()
    assert NEEDED.keys() <= PINS.keys(), f"not pinned: {sorted(NEEDED.keys() - PINS.keys())}"
    for name, requirements in NEEDED.items():
        for requirement in requirements:
            assert requirement.specifier.contains(PINS[name], prereleases=True), (
                f"{name} {PINS[name]}: {requirement}"
            )


def test_torch_is_pinned_without_local_version():
    assert PINS["torch"] == "2.13.0"
    assert "torch==2.13.0" in PROJECT["dependencies"]


def test_this_environment_is_the_pinned_one():
    installed = {name: metadata.version(name).partition("+")[0] for name in NEEDED}
    assert installed == {name: PINS[name] for name in NEEDED}


def test_conda_python_fits():
    python = next(line for line in CONDA["dependencies"] if str(line).startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.partition("=")[2])


def test_conda_pip_section_resolves(tmp_path):
    """pip accepts the section as it stands, with every version that it names; nothing is installed."""
    section = next(line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict))
    assert section == ["-c constraints.txt", "-e .[book,test]"]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("\n".join(line.replace("-c ", f"-c {root()}/") for line in section))
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "-r", requirements]
    result = subprocess.run(command, cwd=root(), capture_output=True, text=True)
    if "hatchling" in result.stderr and "No matching distribution" in result.stderr:
        pytest.skip("no package index can be reached")
    assert result.returncode == 0, result.stderr
