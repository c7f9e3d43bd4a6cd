"""Take the README's picture out of the executed notebook: the cell tagged "picture" of the first training.

make book && .venv/bin/python book/figures/picture.py
"""

import base64
from pathlib import Path

import nbformat

from sleeplib.results import build_folder

notebook = nbformat.read(build_folder() / "notebooks" / "seqsleepnet_first_training.ipynb", 4)
cell = next(cell for cell in notebook.cells if "picture" in cell.metadata.get("tags", []))
picture = next(output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
Path(__file__).with_name("night.png").write_bytes(base64.b64decode(picture))
