"""What the notebooks of SeqSleepNet's tables and figures share: their nights, their splits, their systems.

A *budget* says how much training a system gets: `paper` (the published recipes), `demo` (the simulated twin of MASS on
a laptop), `real-eeg` (Sleep-EDF, one channel) or `smoke` (seconds, to see that all of it runs).
"""

import hashlib
import json
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from sleeplib import cohorts, protocol, results, simulator
from sleeplib.analysis import metrics, statistics
from sleeplib.errors import SleeplibError
from sleeplib.models import CLASSICAL
from sleeplib.prepare import prepare
from sleeplib.protocol import BASELINES, System
from sleeplib.simulator.cohort import is_simulated
from sleeplib.stages import STAGES
from sleeplib.store import Store

_SMALL = {"hidden": 8}
_FEW = {"max_steps": 8, "validate_every": 4, "learning_rate": 1e-3, "batch_size": 4}

# What 700 sequences of 20 epochs need to settle: higher learning rates, and statistics that follow within a few
# hundred steps (`decay` of DeepSleepNet's batch normalisation).
_FAST = {"learning_rate": 1e-3, "passes": 10_000}
_LIGHT = {"weight_decay": 3e-5}  # as strong as in the released code, which sums over a batch of 32
_QUICK_STATISTICS = {"decay": 0.95, "hidden": 128}


def _steps(max_steps: int, validate_every: int, **changes) -> dict:
    return _FAST | {"max_steps": max_steps, "validate_every": validate_every} | changes


# Changes of settings and recipe by network. The paper's budget changes nothing.
BUDGETS = {
    "paper": {},
    "demo": {
        "seqsleepnet": ({}, _steps(500, 50, **_LIGHT)),
        "e2e-deepsleepnet": ({"decay": 0.95, "hidden": 64}, _steps(150, 25, batch_size=16)),
        "multitask-e2e-arnn": ({}, _steps(4000, 500, **_LIGHT)),
        "e2e-arnn": ({}, _steps(4000, 500, **_LIGHT)),
        "multitask-1-max-cnn": (
            {"features": 300, "pretraining_steps": 500},
            _steps(800, 100, learning_rate=3e-4),
        ),
        "1-max-cnn": ({"features": 300, "pretraining_steps": 500}, _steps(800, 100, learning_rate=3e-4)),
        "deepsleepnet1": ({"decay": 0.95}, _steps(450, 50)),
        "chambon": ({}, _steps(300, 50, batch_size=50)),
        "tsinalis": ({"context": 1, "dense": 20}, _steps(250, 50, learning_rate=3e-4, batch_size=50)),
        "dong-mnn": ({}, _steps(1200, 200)),
        "dong-dnn": ({}, _steps(3000, 500)),
    },
    # Chosen by the validation persons of three folds (SeqSleepNet, both E2E-ARNNs) or of one.
    "real-eeg": {
        "seqsleepnet": ({}, _steps(1200, 100, **_LIGHT)),
        "e2e-deepsleepnet": (_QUICK_STATISTICS, _steps(400, 50, batch_size=16)),
        "multitask-e2e-arnn": ({}, _steps(5000, 500, learning_rate=3e-4)),
        "e2e-arnn": ({}, _steps(5000, 500, learning_rate=3e-4)),
        "multitask-1-max-cnn": (
            {"kernels": (2, 3, 4), "pretraining_steps": 2000},
            _steps(1500, 100, learning_rate=3e-4),
        ),
        "1-max-cnn": (
            {"kernels": (2, 3, 4), "pretraining_steps": 2000},
            _steps(1500, 100, learning_rate=3e-4),
        ),
        "deepsleepnet1": ({"decay": 0.95}, _steps(800, 100)),
        "chambon": ({}, _steps(1200, 100)),
        "tsinalis": ({"dense": 50}, _steps(200, 40, learning_rate=3e-4, batch_size=20)),
        "dong-mnn": ({}, _steps(1500, 250)),
        "dong-dnn": ({}, _steps(2000, 250)),
    },
    "smoke": {
        "": ({}, _FEW),
        "seqsleepnet": (_SMALL, _FEW),
        "e2e-arnn": (_SMALL, _FEW),
        "multitask-e2e-arnn": (_SMALL, _FEW),
        "e2e-deepsleepnet": (_SMALL, _FEW),
        "1-max-cnn": ({"features": 10, "pretraining_steps": 2}, _FEW),
        "multitask-1-max-cnn": ({"features": 10, "pretraining_steps": 2}, _FEW),
        "tsinalis": ({"context": 1, "dense": 8}, _FEW),
        "random-forest": ({"trees": 10}, {}),
    },
}

# Table II: many-to-many, one-to-many, then one stage at a time.
TABLE_II = (
    *(System(f"SeqSleepNet-{L}", "seqsleepnet", {"sequence_length": L}) for L in (30, 20, 10)),
    *(System(f"E2E-DeepSleepNet-{L}", "e2e-deepsleepnet", {"sequence_length": L}) for L in (30, 20, 10)),
    System("Multitask E2E-ARNN", "multitask-e2e-arnn"),
    System("Multitask 1-max CNN", "multitask-1-max-cnn"),
    System("E2E-ARNN", "e2e-arnn"),
    System("1-max CNN", "1-max-cnn"),
    System("DeepSleepNet1", "deepsleepnet1"),
    System("Chambon et al.", "chambon"),
    System("Tsinalis et al.", "tsinalis"),
    System("Dong et al. (MNN)", "dong-mnn"),
    System("Dong et al. (DNN)", "dong-dnn"),
    System("Random forest", "random-forest"),
    System("SVM", "svm"),
    *BASELINES,
)

# On real EEG: Table II without two lengths of E2E-DeepSleepNet, by far the dearest rows on a CPU, and the released
# SeqSleepNet beside the paper's.
REAL_EEG = (
    TABLE_II[0],
    TABLE_II[1],
    System("SeqSleepNet-20, released", "seqsleepnet", {"sequence_length": 20}, variant="released"),
    *TABLE_II[2:],
)
REAL_EEG = tuple(s for s in REAL_EEG if s.label not in ("E2E-DeepSleepNet-30", "E2E-DeepSleepNet-10"))

# Table III: length by depth of SeqSleepNet. Depth 1 are the rows of Table II, so nothing is trained twice.
TABLE_III = (
    *(s for s in TABLE_II if s.network == "seqsleepnet"),
    *(
        System(f"SeqSleepNet-{L}, depth 2", "seqsleepnet", {"sequence_length": L, "depth": 2})
        for L in (30, 20, 10)
    ),
)

# The families of Table II by the beginnings of our labels.
FAMILIES = {
    "sequence to sequence": ("SeqSleepNet", "E2E-DeepSleepNet"),
    "features, and the epochs before": ("Dong et al. (MNN)",),
    "one epoch to three stages": ("Multitask",),
    "neighbours to one stage": ("Chambon", "Tsinalis"),
    "one epoch to one stage": ("E2E-ARNN", "1-max CNN", "DeepSleepNet1"),
    "hand-crafted features to one stage": ("Random forest", "SVM", "Dong et al. (DNN)"),
}


def context(L: int) -> System:
    """Beyond the paper: SeqSleepNet that sees L epochs at once.

    A step shows about as many epochs whatever L is, but never fewer than 8 sequences, which the batch normalisation of
    the sequence RNN needs.
    """
    sequences = max(640 // L, 8)
    return System(
        f"{L} epoch{'s' * (L > 1)}", "seqsleepnet", {"sequence_length": L}, {"batch_size": sequences}
    )


# What the differences in Table II are about: pairs of systems that differ by one idea, as far as there are any.
IDEAS = {
    "context: SeqSleepNet-20, E2E-ARNN": ("SeqSleepNet-20", "E2E-ARNN"),
    "context: E2E-DeepSleepNet-20, its CNN alone": ("E2E-DeepSleepNet-20", "DeepSleepNet1"),
    "the neighbours' stages said, too: Multitask E2E-ARNN, E2E-ARNN": ("Multitask E2E-ARNN", "E2E-ARNN"),
    "learned features: E2E-ARNN, random forest": ("E2E-ARNN", "Random forest"),
    "image or signal: SeqSleepNet-20, E2E-DeepSleepNet-20": ("SeqSleepNet-20", "E2E-DeepSleepNet-20"),
    "length: SeqSleepNet-30, SeqSleepNet-10": ("SeqSleepNet-30", "SeqSleepNet-10"),
    "the paper or its code: SeqSleepNet-20": ("SeqSleepNet-20", "SeqSleepNet-20, released"),
}


def systems(table=TABLE_II, budget: str = "demo", seed: int = 0, only=None) -> list[System]:
    """The systems of a table, with as much training as the budget gives.

    Parameters
    ----------
    only : labels of those wanted; by default all

    Raises
    ------
    SleeplibError
        If there is no such budget or label.
    """
    if budget not in BUDGETS:
        raise SleeplibError(f"budget {budget!r} is not known; choose {', '.join(BUDGETS)}")
    labels = [s.label for s in table]
    only = [only] if isinstance(only, str) else only
    if unknown := set(only or ()) - set(labels):
        raise SleeplibError(
            f"no system is called {', '.join(sorted(unknown))}; there are {', '.join(labels)}"
        )
    return [_budgeted(s, budget, seed) for s in table if only is None or s.label in only]


def _budgeted(system: System, budget: str, seed: int) -> System:
    """A system with its budget's settings and recipe."""
    changes = BUDGETS[budget]
    if system.network in CLASSICAL:
        seeded = {"seed": seed} if system.network in ("random-forest", "svm") else {}
        return replace(system, settings=changes.get(system.network, ({}, {}))[0] | seeded)
    settings, recipe = changes.get(system.network) or changes.get("", ({}, {}))
    # What a system itself asks for counts more than the budget, except where all has to be over in seconds.
    training = recipe | system.training if budget != "smoke" else system.training | recipe
    return replace(system, settings=settings | system.settings, training=training | {"seed": seed})


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
        In the data folder; what is there already is kept.
    """
    manifest = cohorts.load(cohort)
    if root:
        folder = results.data_folder() / "prepared" / manifest.name
    else:
        name = f"{manifest.name}-twin-{persons or 'all'}-{hours or 'whole'}"
        root = results.data_folder() / f"{name}-{_digest(manifest.simulation)}"
        folder = root / "store"
        for old in results.data_folder().glob(f"{name}-*"):
            if old != root and is_simulated(old):
                shutil.rmtree(old)  # of other settings; only this function reads it
        simulator.simulate(manifest, root, persons=persons, hours=hours, jobs=jobs, progress=False)
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


def published(table: str = "table_ii"):
    """The paper's own numbers, as a `DataFrame`: never in one table with ours.

    Parameters
    ----------
    table : "table_ii" (overall), "sensitivity" or "selectivity" (Table II by stage), or "table_iii"
    """
    import pandas as pd

    facts = json.loads((results.facts_folder() / "published_seqsleepnet.json").read_text())
    if table == "table_iii":
        rows = pd.DataFrame(facts["table_iii"])
        return rows.pivot(index="depth", columns="sequence_length", values="accuracy")
    rows = facts["table_ii"]
    labels = [row["label"] for row in rows]
    if table != "table_ii":
        known = [(label, row[table]) for label, row in zip(labels, rows, strict=True) if row[table]]
        return pd.DataFrame.from_dict(
            dict(known), orient="index", columns=pd.Index(facts["stages"], name="System")
        )
    heads = {"persons": "Persons"} | {metric: results.ALL_METRICS[metric][0] for metric in metrics.HEADLINE}
    frame = pd.DataFrame(rows, index=pd.Index(labels, name="System"))[[*heads]].rename(columns=heads)
    return frame.astype(object).where(frame.notna(), "")


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
    slug = System(f"{question.partition(':')[0]} {store.cohort}{kind}", "").slug
    persons = {part: len(set(store.persons[which])) for part, which in folds[0].items()}
    path = results.write(
        slug, title=f"{question}. {store.title}", simulated=store.simulated,
        parameters={"splits": len(folds), "persons": persons} | parameters,
        data=protocol.describe(store, predictions), rows=rows,
        seconds=time.perf_counter() - started, predictions=predictions.arrays(),
    )  # fmt: skip
    return results.load(path)


def sizes(record: dict):
    """What the networks of a record have and cost: a `DataFrame` of parameters, kept steps and training minutes."""
    import pandas as pd

    def steps(found):
        return f"{min(found):,}" if min(found) == max(found) else f"{min(found):,} to {max(found):,}"

    lines = {
        row["system"]: [f"{row['parameters']:,}", steps(row["steps"]), f"{row['training_seconds'] / 60:.1f}"]
        for row in record["rows"]
        if "parameters" in row
    }
    heads = pd.Index(["Parameters", "Kept step", "Training (min)"], name="System")
    return pd.DataFrame.from_dict(lines, orient="index", columns=heads)


def gain_table(found: dict[str, dict]):
    """The results of several `gains` as a `DataFrame`: points with 95 % intervals."""
    import pandas as pd

    lines = {
        name: [
            "" if np.isnan(value) else f"{value:+.1f} ({low:.1f},\u00a0{high:.1f})"
            for value, low, high in gain.values()
        ]
        for name, gain in found.items()
    }
    heads = pd.Index(["Accuracy", *STAGES], name="Points")
    return pd.DataFrame.from_dict(lines, orient="index", columns=heads)


def idea_table(predictions: protocol.Predictions):
    """The `gains` of each of the `IDEAS` whose two systems are there."""
    there = predictions.posteriors.keys()
    return gain_table({idea: gains(predictions, *pair) for idea, pair in IDEAS.items() if set(pair) <= there})


def family_table(scored: list[dict]):
    """The families of Table II, best first, each with its best member on these persons, as a `DataFrame`."""
    import pandas as pd

    best = {}
    for family, members in FAMILIES.items():
        if found := [row for row in scored if row["system"].startswith(members)]:
            best[family] = max(found, key=lambda row: row["accuracy"])
    order = sorted(best, key=lambda family: -best[family]["accuracy"])
    lines = {family: [best[family]["system"], f"{100 * best[family]['accuracy']:.1f}"] for family in order}
    heads = pd.Index(["Best member", "Accuracy (%)"], name="Family")
    return pd.DataFrame.from_dict(lines, orient="index", columns=heads)


def gains(predictions, first: str, second: str) -> dict:
    """What one system has over another on the same epochs: points of accuracy and of each stage's sensitivity.

    Returns
    -------
    dict of "accuracy" and the stages to (difference, low, high), in percent points, 95 % intervals paired by person
    """
    ours, theirs = predictions.confusions(first), predictions.confusions(second)
    found = {"accuracy": statistics.paired_difference(metrics.accuracy, ours, theirs)}
    difference, low, high = statistics.paired_difference(metrics.sensitivity, ours, theirs)
    found |= {stage: (difference[k], low[k], high[k]) for k, stage in enumerate(STAGES)}
    return {key: tuple(100 * np.array(value)) for key, value in found.items()}


def stored(record: dict) -> protocol.Predictions:
    """The predictions of a result record, to compare systems without training; posteriors are 0 and 1."""
    arrays = results.predictions(record)
    beside = {key: arrays.pop(key) for key in ("truth", "person", "recording")}
    posteriors = {label: np.eye(len(STAGES), dtype=np.float32)[stages] for label, stages in arrays.items()}
    return protocol.Predictions(**beside, posteriors=posteriors)


def real_eeg() -> dict:
    """The record of real EEG that comes with the project."""
    return results.load(results.committed_folder() / "real-eeg.json")


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
