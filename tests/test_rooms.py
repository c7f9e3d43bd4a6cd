"""Data flows one way through the rooms: the layers of pyproject.toml hold, and no room stands outside them."""

import subprocess
import sys
import tomllib
from pathlib import Path

from sleeplib.provenance import root

SETTINGS = tomllib.loads((root() / "pyproject.toml").read_text())["tool"]["importlinter"]


def test_rooms_import_only_from_below():
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=root(), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_every_room_has_its_place():
    modules = {path.stem for path in (root() / "sleeplib").glob("*.py") if not path.stem.startswith("__")}
    packages = {path.parent.name for path in (root() / "sleeplib").glob("*/__init__.py")}
    layers = SETTINGS["contracts"][0]["layers"]
    assert {layer.removeprefix("sleeplib.") for layer in layers} == modules | packages
