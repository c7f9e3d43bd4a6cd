"""Result records: write, read, re-score, compare.

A record is one JSON file that says what was measured, on which data, by which code and on which machine,
and beside it one `.npz` with the predictions, from which every number can be computed again without training.
"""

import hashlib
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sleeplib.analysis import metrics
from sleeplib.errors import SleeplibError
from sleeplib.provenance import commit, device, root, versions
from sleeplib.stages import STAGES

SCHEMA = 1
ROLES = ("model", "baseline", "chance", "limit")  # limit: of who needs no signals (`suite.limits`)
# Name in a row: heading, factor, decimals in a table. The field gives kappa as a fraction, others in percent.
METRICS = {
    "accuracy": ("Accuracy (%)", 100, 1),
    "kappa": ("Cohen's kappa", 1, 2),
    "macro_f1": ("Macro F1 (%)", 100, 1),
}
# ... and the other columns of SeqSleepNet's Table II and of its section on transitions.
ALL_METRICS = METRICS | {
    "mean_sensitivity": ("Sensitivity (%)", 100, 1),
    "mean_specificity": ("Specificity (%)", 100, 1),
    "transition_error": ("Error at transitions (%)", 100, 1),
    "non_transition_error": ("Error elsewhere (%)", 100, 1),
}
# What is asked of events and of persons instead of stages. A table shows those that its rows have.
OTHER_METRICS = {
    "event_precision": ("Precision (%)", 100, 1),
    "event_recall": ("Recall (%)", 100, 1),
    "event_f1": ("F1 of events (%)", 100, 1),
    "rmse": ("RMSE (years)", 1, 1),
}
HEADLINE = tuple(metrics.HEADLINE)  # Table II's overall columns
_JOINER = "\u2060"  # invisible; a narrow table breaks before an interval, not inside it
_FIELDS = {
    "schema": int, "name": str, "title": str, "simulated": bool, "parameters": dict, "versions": dict,
    "device": dict, "data": dict, "date": str, "seconds": (int, float), "rows": list, "notes": str,
}  # fmt: skip
_DATA = ("cohort", "digest", "persons", "recordings", "epochs")
_BESIDE = (
    "truth",
    "person",
    "recording",
)  # arrays that every predictions file has beside those of the systems


def data_folder() -> Path:
    """Where cohorts are: `SLEEPLIB_DATA`, or `data` in the checkout."""
    return Path(os.environ.get("SLEEPLIB_DATA") or root() / "data").absolute()


def build_folder() -> Path:
    """Where everything goes that can be made again: `SLEEPLIB_BUILD`, or `_build` in the checkout."""
    return Path(os.environ.get("SLEEPLIB_BUILD") or root() / "_build").absolute()


def local_folder() -> Path:
    """Where the records of this machine's runs go: `SLEEPLIB_RESULTS`, or `results` in the build folder."""
    return Path(os.environ.get("SLEEPLIB_RESULTS") or build_folder() / "results").absolute()


def committed_folder() -> Path:
    """The records that come with the project: `book/results`, or `records` inside an installed wheel."""
    installed = Path(__file__).resolve().parent / "records"
    return installed if installed.exists() else root() / "book" / "results"


def facts_folder() -> Path:
    """Facts about real nights, gathered by `book/facts/gather.py`; `facts` inside an installed wheel."""
    installed = Path(__file__).resolve().parent / "facts"
    return installed if installed.exists() else root() / "book" / "facts"


def write(
    name: str,
    *,
    title: str,
    simulated: bool,
    parameters: dict,
    data: dict,
    rows: list[dict],
    seconds: float,
    predictions: dict[str, np.ndarray] | None = None,
    notes: str = "",
    folder=None,
) -> Path:
    """Write `<folder>/<name>.json` and, with predictions, `<name>.npz`; each appears complete or not at all.

    Parameters
    ----------
    simulated : whether the signals are; simulated and real results never share a table.
    data : `cohort`, `digest`, `persons`, `recordings`, `epochs`, and whatever else identifies the data; `scored` says
        what the metrics are taken over where that is not "Pooled over epochs".
    rows : one dict per system: `system`, `role` ("model", "baseline" or "chance") and metrics as fractions:
        `accuracy`, `accuracy_low`, `accuracy_high`, `kappa`, ..., `sensitivity` and `selectivity` (5 each),
        `confusion` (5 x 5).
    seconds : wall time of the run.
    predictions : arrays (N,): `truth`, `person`, `recording`, and the stages of each system under its name.

    Raises
    ------
    SleeplibError
        If a field is missing or the arrays do not fit; nothing is written then.
    """
    record = {
        "schema": SCHEMA,
        "name": name,
        "title": title,
        "simulated": simulated,
        "notebook": os.environ.get("SLEEPLIB_NOTEBOOK"),
        "parameters": parameters,
        "seeds": {key: value for key, value in parameters.items() if "seed" in key},
        "data": data,
        "rows": rows,
        "notes": notes,
        "seconds": round(float(seconds), 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "git": commit(),
        "device": device(),
        "predictions": None,
    }
    folder = Path(folder or local_folder())
    folder.mkdir(parents=True, exist_ok=True)
    packed = None if predictions is None else _pack(predictions, name)
    if packed:
        record["predictions"] = {"file": f"{name}.npz", "sha256": hashlib.sha256(packed).hexdigest()}
    record = _plain(record)
    if problem := _problem(record):
        raise SleeplibError(f"record {name} was not written: {problem}")
    if packed:
        _replace(folder / f"{name}.npz", packed)
    return _replace(folder / f"{name}.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def _pack(predictions: dict, name: str) -> bytes:
    """The arrays as the bytes of an `.npz`; NumPy writes no dates, so equal arrays give equal bytes."""
    if missing := [key for key in _BESIDE if key not in predictions]:
        raise SleeplibError(f"record {name} was not written: predictions without {', '.join(missing)}")
    arrays = {
        key: np.asarray(value) if key in ("person", "recording") else np.asarray(value, np.int8)
        for key, value in predictions.items()
    }
    shapes = {key: value.shape for key, value in arrays.items()}
    if len(set(shapes.values())) > 1 or arrays["truth"].ndim != 1:
        raise SleeplibError(
            f"record {name} was not written: predictions (N,) of one length needed, got {shapes}"
        )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _plain(value):
    """The same in JSON's types: NumPy numbers, arrays and paths converted, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _replace(path: Path, content: bytes) -> Path:
    """Write beside and rename: a run that is killed leaves the old file, never half of a new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    return beside.replace(path)


def load(path) -> dict:
    """One record, checked; beside its own fields it has `path` and `origin`: "committed" or "this machine".

    Raises
    ------
    SleeplibError
        If the file is missing or damaged, naming it and what is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise SleeplibError(f"{path}: no such result record; `sleeplib run` makes them")
    try:
        record = json.loads(path.read_text())
        problem = _problem(record)
    except (OSError, ValueError, TypeError) as error:  # TypeError: a value of a row is of another kind
        problem = str(error)
    if problem:
        raise SleeplibError(
            f"{path}: no result record, or a damaged one ({problem}); name the .json that a notebook, `sleeplib "
            "evaluate --record` or `sleeplib crossvalidate` wrote, or have them write it again"
        )
    committed = path.resolve().parent == committed_folder().resolve()
    return record | {"path": path, "origin": "committed" if committed else "this machine"}


def load_all(folders=None) -> list[dict]:
    """All records, those that came with the project and those of this machine, by name and then date."""
    folders = folders or (committed_folder(), local_folder())
    paths = [path for folder in folders for path in Path(folder).glob("*.json")]
    return sorted((load(path) for path in paths), key=lambda record: (record["name"], record["date"]))


def latest(records: list[dict]) -> dict[str, dict]:
    """The newest record of each name; its `origin` says whether it came with the project."""
    return {record["name"]: record for record in sorted(records, key=lambda record: record["date"])}


def _problem(record) -> str | None:
    """What is wrong with a record, or None: every field there in its type, and rows that a table can show."""
    if not isinstance(record, dict):
        return "not a JSON object"
    if wrong := [key for key, kind in _FIELDS.items() if not isinstance(record.get(key), kind)]:
        return f"missing or of the wrong type: {', '.join(wrong)}"
    if record["schema"] != SCHEMA:
        return f"schema {record['schema']}, this version of sleeplib reads {SCHEMA}"
    if missing := [key for key in _DATA if key not in record["data"]]:
        return f"data without {', '.join(missing)}"
    for row in record["rows"] or [None]:
        if not isinstance(row, dict) or not row.get("system") or row.get("role") not in ROLES:
            return f"each row needs a system and a role ({', '.join(ROLES)}), got {row}"
        if any(
            len(row.get(key) or STAGES) != len(STAGES) for key in ("sensitivity", "selectivity", "confusion")
        ):
            return f"row {row['system']}: sensitivity, selectivity and confusion have one entry per stage"
    if len({row["system"] for row in record["rows"]}) < len(record["rows"]):
        return "two rows of one system"
    return None


def predictions(record: dict) -> dict[str, np.ndarray]:
    """The stored arrays `(N,)`: `truth`, `person`, `recording` and the stages of each system.

    Raises
    ------
    SleeplibError
        If there are none, or the file is not the one that was written with the record.
    """
    if not record.get("predictions"):
        raise SleeplibError(f"{record['path']}: this record was written without predictions")
    path = record["path"].parent / record["predictions"]["file"]
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != record["predictions"]["sha256"]:
        raise SleeplibError(
            f"{path}: missing, or not the one written with its record; run the notebook again"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def rescore(record: dict, score) -> list[dict]:
    """Rows computed again from the stored predictions; `score(truth, stages, person, recording)` gives the metrics."""
    arrays = predictions(record)
    known = [row for row in record["rows"] if row["system"] in arrays]
    return [
        {key: row[key] for key in ("system", "role")}
        | score(arrays["truth"], arrays[row["system"]], arrays["person"], arrays["recording"])
        for row in known
    ]


def table(record: dict, columns=None):
    """A `DataFrame`, one line per system: "78.9 (76.1–81.5)" is a value and its 95 % confidence interval.

    Parameters
    ----------
    columns : names of metrics; by default `METRICS` and `OTHER_METRICS`, as far as the record has them
    """
    known = ALL_METRICS | OTHER_METRICS
    there = {metric for row in record["rows"] for metric in row}
    columns = columns or [m for m in METRICS | OTHER_METRICS if m in there]
    return frame(
        {row["system"]: [_cell(row, metric) for metric in columns] for row in record["rows"]},
        [known[metric][0] for metric in columns],
    )


def plain(table) -> str:
    """A table as a text for a terminal, without the signs that only a page of the book needs."""
    return table.replace(_JOINER, "", regex=True).to_string()


def stage_table(record: dict, quantity: str = "sensitivity"):
    """A `DataFrame` of `sensitivity` or `selectivity` in percent: a line per system, a column per stage."""

    def percent(values):
        return ["" if value is None else f"{100 * value:.1f}" for value in values]

    rows = [row for row in record["rows"] if row.get(quantity)]
    return frame({row["system"]: percent(row[quantity]) for row in rows}, list(STAGES))


def frame(lines: dict, columns: list[str], name: str = "System"):
    """A `DataFrame` with a line for each key; `name` heads them, as the columns' name, in one row with the heads."""
    import pandas as pd

    return pd.DataFrame.from_dict(lines, orient="index", columns=pd.Index(columns, name=name))


def interval(value, low, high, decimals: int = 1) -> str:
    """A fraction and the bounds of its interval, if there is one, as percent in a cell; empty where it is not known."""
    if np.isnan(value) or np.isnan(low):
        return "" if np.isnan(value) else f"{100 * value:.{decimals}f}"
    return f"{100 * value:.{decimals}f} ({100 * low:.{decimals}f},\u00a0{100 * high:.{decimals}f})"


def _cell(row: dict, metric: str) -> str:
    """Value and interval of a metric as text; empty where the row has no such metric."""
    _, factor, decimals = (ALL_METRICS | OTHER_METRICS)[metric]
    ends = (row.get(metric), row.get(f"{metric}_low"), row.get(f"{metric}_high"))
    value, low, high = ("" if end is None else f"{factor * end:.{decimals}f}" for end in ends)
    return f"{value} ({low}{_JOINER}–{_JOINER}{high})" if low and high else value
