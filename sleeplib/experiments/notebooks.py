"""The notebooks as files: a percent `.py` is the source, the `.ipynb` beside it is made from it.

The `.py` gives readable diffs; papermill, nbval, Colab and Binder read the `.ipynb`, which holds no outputs.
"""

import ast
import re
import tomllib
from pathlib import Path

from sleeplib.errors import SleeplibError
from sleeplib.provenance import root

# What stands in the cell tagged "setup" of each notebook, and does something on Colab only.
SETUP = """\
import importlib.util
import subprocess
import sys

# Colab starts without the package.
if importlib.util.find_spec("sleeplib") is None:
    package = "sleeplib @ git+{address}"
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.check_call([*pip, package])
"""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def folder(notebooks=None) -> Path:
    """The folder of the notebooks: the one given, or that of the checkout.

    Raises
    ------
    SleeplibError
        If it has no `profiles.yaml`: the package was installed without its checkout.
    """
    notebooks = Path(notebooks or root() / "notebooks")
    if not (notebooks / "profiles.yaml").exists():
        raise SleeplibError(f"{notebooks}: no profiles.yaml here; run from a clone of the repository")
    return notebooks


def repository() -> str:
    """The repository's address; `pyproject.toml` is the only place where it stands."""
    return tomllib.loads((root() / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def parameters(path: Path) -> dict:
    """Names and default values in the cell tagged "parameters" of a percent `.py`, read without running it.

    Raises
    ------
    SleeplibError
        If the notebook has no such cell, or more than one.
    """
    cells = [body for header, body in _cells(path.read_text()) if '"parameters"' in header]
    if len(cells) != 1:
        raise SleeplibError(
            f'{path}: exactly one cell `# %% tags=["parameters"]` is needed, found {len(cells)}'
        )
    found = {}
    for node in ast.parse(cells[0]).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found[target.id] = _value(node.value)
    return found


def pair(notebooks=None, check: bool = False) -> list[Path]:
    """Bring each `.ipynb` in step with its `.py`, and each setup cell with the repository's address.

    Returns the files that were not in step. Cells that did not change keep their ids.

    Raises
    ------
    SleeplibError
        With `check`: if a file is not in step; nothing is written then.
    """
    stale = [
        path for source in sorted(folder(notebooks).glob("*.py")) for path in _pair(source, write=not check)
    ]
    if check and stale:
        names = ", ".join(path.name for path in stale)
        raise SleeplibError(f"{stale[0].parent}: not in step: {names}; run `make pair` and commit the result")
    return stale


def _pair(source: Path, write: bool) -> list[Path]:
    """Files of one pair that are not in step, brought in step where `write`."""
    import jupytext
    import nbformat
    from jupytext.combine import combine_inputs_with_outputs

    stale, text, twin = [], stamped(source), source.with_suffix(".ipynb")
    if text != source.read_text():
        stale.append(source)
        if write:
            source.write_text(text)
    wanted = jupytext.reads(text, "py:percent")
    old = nbformat.read(twin, 4) if twin.exists() else None
    if old is None or contents(old) != contents(wanted) or any(map(_has_output, old.cells)):
        stale.append(twin)
        if write:
            wanted = combine_inputs_with_outputs(wanted, old, "ipynb") if old else wanted
            nbformat.write(_bare(wanted), twin)
    return stale


def contents(notebook) -> list[tuple]:
    """What must be equal in a pair: type, text and tags of each cell."""
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def _cells(text: str) -> list[tuple[str, str]]:
    """`(header, body)` of each percent cell."""
    parts = re.split(r"^(# %%.*)\n", text, flags=re.M)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _value(node):
    """The value of a literal; its source where it is an expression."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def stamped(source: Path) -> str:
    """The text of a `.py` with its setup cell made anew."""
    setup = SETUP.format(address=repository())
    cell = re.compile(r'^(# %%.*"setup".*\n)[\s\S]*?(?=^# %%|\Z)', re.M)
    text, n = cell.subn(lambda match: f"{match[1]}{setup}\n", source.read_text())
    if n != 1:
        raise SleeplibError(
            f'{source}: exactly one cell `# %% tags=["setup", "remove-cell"]` is needed, found {n}'
        )
    return text


def _has_output(cell) -> bool:
    return cell.cell_type == "code" and bool(cell.outputs or cell.execution_count)


def _bare(notebook):
    """The notebook without outputs, counts and whatever an editor left in its metadata."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata = {"kernelspec": KERNEL, "jupytext": {"formats": "ipynb,py:percent"}}
    notebook.nbformat_minor = 5
    return notebook
