"""Nights in, predictions and a record out: what every notebook of SeqSleepNet's tables does first and last."""

import hashlib
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sleeplib import cohorts, protocol, results, simulator
from sleeplib.errors import SleeplibError
from sleeplib.prepare import prepare
from sleeplib.simulator.cohort import is_simulated
from sleeplib.stages import STAGES
from sleeplib.store import Store


def nights(
    cohort: str, root: str = "", persons: int | None = None, hours=None, jobs: int = 1, **changes
) -> Store:
    """The prepared nights of a cohort: its files in `root`, else its simulated twin, made where it is missing.

    Parameters
    ----------
    cohort : manifest by name or path
    persons, hours : of the twin
    changes : of the preparation, such as `montage`

    Returns
    -------
    Store
        In the data folder; what is there already is kept. Of a twin only the store stays: its signals, twenty times
        as large, are removed when they have been prepared.
    """
    manifest = cohorts.load(cohort)
    if root:
        return _prepared(manifest, root, results.data_folder() / "prepared" / manifest.name, jobs, changes)
    name = f"{manifest.name}-twin-{persons or 'all'}-{hours or 'whole'}"
    name += f"-{_digest(changes)}" if changes else ""
    root = results.data_folder() / f"{name}-{_digest(manifest.simulation)}"
    for old in results.data_folder().glob(f"{name}-??????"):
        if old != root and is_simulated(old):
            shutil.rmtree(old)  # of other settings; only this function reads it
    if store := _finished(root):
        return store
    signals = simulator.simulate(manifest, root, persons=persons, hours=hours, jobs=jobs, progress=False)
    store = _prepared(manifest, root, root / "store", jobs, changes)
    (root / "prepared.txt").write_text(simulator.version())
    for path in signals:
        path.unlink()
    return store


def _finished(root: Path) -> Store | None:
    """The store of a twin that this version of the simulator made and that is whole."""
    try:
        return Store(root / "store") if (root / "prepared.txt").read_text() == simulator.version() else None
    except (OSError, SleeplibError):
        return None


def _prepared(manifest, root, folder: Path, jobs: int, changes: dict) -> Store:
    """The store of a cohort's files; says which recordings could not be used."""
    store, failures = prepare(manifest, root, folder, jobs, progress=False, **changes)
    for failure in failures:
        print(f"left out: {failure}")
    return store


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:6]


def splits(
    store: Store, folds=None, valid_persons: int = 1, test_persons: int = 1, seed: int = 0
) -> list[dict]:
    """Who trains, validates and tests.

    Parameters
    ----------
    folds : None or 0 for one split, a number of folds by person, "published" for SeqSleepNet's 20 folds of MASS
        (fetched once), or the path of their file
    """
    if not folds:
        return [cohorts.split(store.groups, valid_persons, test_persons, seed)]
    if isinstance(folds, int):
        return cohorts.folds(store.groups, folds, valid_persons, seed)
    if folds == "published":
        from sleeplib.cohorts import downloads  # its library warns in notebooks

        folds = downloads.fetch_split("seqsleepnet", results.data_folder() / "splits")
    return cohorts.splits.assign_folds(cohorts.splits.read_seqsleepnet_folds(folds), store.ids, store.groups)


def summary(store: Store, folds: list[dict]) -> str:
    """One line about nights and split, for the head of a page."""
    kind = "simulated" if store.simulated else "real"
    parts = [f"{store.title}: {len(store)} {kind} nights of {len(set(store.persons))} persons"]
    parts.append(
        f"{store.lengths.sum():,} epochs of {store.epoch_seconds:g} s, channels {', '.join(store.channels)}"
    )
    if len(folds) > 1:
        return "; ".join([*parts, f"{len(folds)} folds by person"])
    persons = {part: len(set(store.persons[which])) for part, which in folds[0].items()}
    return "; ".join([*parts, ", ".join(f"{n} persons {part}" for part, n in persons.items())])


def weights_folder(name: str) -> Path:
    """The weights that come with a clone of the project for a budget: `book/weights/<name>`."""
    return results.committed_folder().parent / "weights" / name


def evaluate(
    store: Store, folds: list[dict], chosen, jobs: int = 1, weights: str = "", progress: bool = False
) -> protocol.Predictions:
    """`protocol.evaluate` with the book's folder of runs and, where `weights` names some, the project's weights.

    Raises
    ------
    SleeplibError
        If there is no folder of these weights.
    """
    folder = weights_folder(weights) if weights else None
    if folder and not folder.is_dir():
        there = ", ".join(sorted(path.name for path in folder.parent.glob("*/"))) or "none"
        raise SleeplibError(f"{folder}: no such weights; there are {there}. weights='' trains instead")
    runs = results.build_folder() / "runs"
    return protocol.evaluate(store, folds, chosen, runs, jobs, progress, weights_folder=folder)


def rows(predictions: protocol.Predictions, chosen) -> list[dict]:
    """Scored rows of systems with what they were built and trained with and, from the cards of networks, their cost."""
    found = predictions.rows(chosen)
    for row, system in zip(found, chosen, strict=True):
        cards = []
        for folder in predictions.folders.get(system.label, []):
            path = folder / f"{system.network}.json"
            cards += [json.loads(path.read_text())] if path.exists() else []
        row |= {"network": system.network, "variant": system.variant, "settings": system.settings}
        if cards:
            row |= {
                "recipe": asdict(system.recipe), "parameters": cards[0]["parameters"],
                "steps": [card["steps"] for card in cards],
                "training_seconds": sum(card["seconds"] for card in cards),
                "trained_on": cards[0]["device"].get("cuda") or cards[0]["device"]["cpu"],
            }  # fmt: skip
    return found


def record(
    question: str, store: Store, folds: list[dict], chosen, predictions, started: float, rows, **parameters
) -> dict:
    """Write the result record of a notebook, and read it back.

    Parameters
    ----------
    question : what the notebook asks, the beginning of the record's title; what stands before its colon also names the
        file, together with the cohort
    started : `time.perf_counter()` at the beginning
    parameters : of the notebook
    """
    kind = "-twin" if store.simulated else ""
    name = protocol.slug(f"{question.partition(':')[0]} {store.cohort}{kind}")
    persons = {part: len(set(store.persons[which])) for part, which in folds[0].items()}
    path = results.write(
        name, title=f"{question}. {store.title}", simulated=store.simulated,
        parameters={"splits": len(folds), "persons": persons} | parameters,
        data=protocol.describe(store, predictions), rows=rows,
        seconds=time.perf_counter() - started, predictions=predictions.arrays(),
    )  # fmt: skip
    return results.load(path)


def stored(record: dict) -> protocol.Predictions:
    """The predictions of a result record, to compare systems without training; posteriors are 0 and 1."""
    arrays = results.predictions(record)
    beside = {key: arrays.pop(key) for key in ("truth", "person", "recording")}
    posteriors = {label: np.eye(len(STAGES), dtype=np.float32)[stages] for label, stages in arrays.items()}
    return protocol.Predictions(**beside, posteriors=posteriors)


def real_eeg() -> dict:
    """The record of real EEG that comes with the project."""
    return results.load(results.committed_folder() / "real-eeg.json")
