"""Train the networks whose weights come with the project, and copy them here.

    python book/weights/make.py demo [--jobs 2]         # those of the notebooks' demo profile, hours
    python book/weights/make.py any [--jobs 2]          # U-Sleep, AnySleep and its variants on twins of 13 cohorts
    python book/weights/make.py any-long                # AnySleep alone, twelve times the steps, hours: N1 takes time
    python book/weights/make.py real-eeg --root FOLDER  # one SeqSleepNet on all persons of Sleep-EDF's FOLDER

What has been trained before with the same code, data and settings is taken from the book's folder of runs, so an
interrupted run goes on. Weights of simulated nights fit the simulator's version that made them and no other: after a
change of the simulator, run it again (a test says so).
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from sleeplib import experiments, protocol, results, suite
from sleeplib.models import CLASSICAL, weights
from sleeplib.suite import across

HERE = Path(__file__).parent
PERSONS, HOURS = 12, 6.0  # of each of AnySleep's training cohorts


def demo(jobs: int) -> None:
    """The networks of Tables II and III and of the notebook on context, on the simulated twin of MASS."""
    plans = {run.name: run.parameters for run in experiments.plan("demo")}
    p, lengths = plans["table_ii"], plans["how_much_context"]["lengths"]
    nights = suite.nights(p["cohort"], p["root"], p["persons"], p["hours"], jobs)
    split = suite.splits(nights, p["folds"], p["valid_persons"], p["test_persons"], p["seed"])
    chosen = [s for s in suite.TABLE_II if s.label in (p["only"] or [s.label])]
    table = {
        s.label: s
        for s in (*chosen, suite.longer(p["longer"]), *suite.TABLE_III, *map(suite.context, lengths))
    }
    systems = suite.systems([s for s in table.values() if s.network not in CLASSICAL], p["budget"], p["seed"])
    predictions = suite.evaluate(nights, split, systems, jobs, progress=True)
    for system in systems:
        keep(system.network, predictions.folders[system.label][0], HERE / p["weights"] / system.slug)


def real_eeg(root: str, jobs: int) -> None:
    """One SeqSleepNet for nights that nobody has here: trained on eight of the ten persons, two choose the step."""
    p = next(iter(experiments.plan("demo", ["real_eeg"]))).parameters
    nights = suite.nights(p["cohort"], root, jobs=jobs)
    people = np.random.default_rng(p["seed"]).permutation(np.unique(nights.groups))
    split = {
        part: np.flatnonzero(np.isin(nights.groups, who))
        for part, who in (("train", people[2:]), ("valid", people[:2]), ("test", people[:0]))
    }
    (system,) = suite.systems(budget="real-eeg", seed=p["seed"], only=[p["best"]])
    folder = results.build_folder() / "runs" / system.slug / protocol._identity(nights, split, system)[:12]
    protocol.train(nights, split, system, folder)
    keep(system.network, folder, HERE / "real-eeg" / system.slug)


def any_channels(place: str, jobs: int, seed: int = 0) -> None:
    """The four architectures of AnySleep's Table 1, on the twins of its 13 training cohorts; or AnySleep for longer.

    The first two persons of each cohort are the notebooks' test persons; the last chooses the training epoch.
    """
    stores = suite.stores(suite.sites.TRAINING, persons=PERSONS, hours=HOURS, jobs=jobs)
    budget, slowest_first = {
        "any": ("demo", ("anysleep-late", "anysleep", "anysleep-early", "usleep")),
        "any-long": ("long", ("anysleep",)),
    }[place]
    by = {s.network: s for s in suite.night_systems(budget, seed)}
    systems = [by[name] for name in slowest_first]
    paths = across.night_networks(stores, systems, test=2, valid=1, jobs=jobs, progress=True)
    for system in systems:
        kept = HERE / place / f"{system.network}-{seed}"
        keep(system.network, paths[system.label].parent, kept, "metrics.jsonl")


def keep(network: str, run: Path, place: Path, history: str = "history.json") -> None:
    """Copy the weights, card and history of a run; what was learned is rounded to half precision, to half the size."""
    place.mkdir(parents=True, exist_ok=True)
    name = f"{network}.safetensors"
    learned = {key for key, _ in weights.load(run / name).named_parameters()}
    state = load_file(run / name)
    save_file({key: x.half() if key in learned else x for key, x in state.items()}, place / name)
    card = json.loads((run / name).with_suffix(".json").read_text())
    card |= {"stored": "float16", "sha256": hashlib.sha256((place / name).read_bytes()).hexdigest()}
    (place / name).with_suffix(".json").write_text(json.dumps(card, indent=1))
    shutil.copyfile(run / history, place / history)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("demo", "any", "any-long", "real-eeg"))
    parser.add_argument("--root", help="folder of the real nights")
    parser.add_argument("--jobs", type=int, default=2)
    a = parser.parse_args()
    if a.which == "demo":
        demo(a.jobs)
    elif a.which in ("any", "any-long"):
        any_channels(a.which, a.jobs)
    elif a.root:
        real_eeg(a.root, a.jobs)
    else:
        parser.error("real-eeg needs --root")


if __name__ == "__main__":
    main()
