"""A prepared cohort and some systems in, predictions for persons they never saw out."""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch

from sleeplib import cohorts, inference, models, parallel, simulator
from sleeplib.errors import SleeplibError
from sleeplib.inference.devices import default_device, known_device
from sleeplib.models import weights
from sleeplib.predictions import BASELINES, Predictions, System, describe, pooled, slug
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.sampling import Nights
from sleeplib.store import Store
from sleeplib.training import fit

__all__ = [
    "BASELINES", "Predictions", "System", "assess", "check_preparation", "code", "default_device", "describe",
    "evaluate", "history", "known_device", "pooled", "run", "simulator_digest", "slug", "train", "trained",
]  # fmt: skip

_CODE = (
    "signals",
    "preparation",
    "store",
    "sampling/sequences",
    "training/sequences",
    "training/checkpoint",
    "inference/sequences",
    "predictions",
    "protocol",
)


@cache
def code(*rooms: str) -> str:
    """Digest of the code that decides predictions, all models and these rooms: work of other code is not reused."""
    here = Path(__file__).parent
    files = [here / f"{room}.py" for room in rooms] + sorted((here / "models").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _identity(store: Store, split: dict, system: System) -> str:
    nights = {part: [store.ids[i] for i in which] for part, which in split.items()}
    content = json.dumps(
        [store.digest, nights, asdict(system), code(*_CODE), default_device()], sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()


def run(
    store: Store,
    split: dict,
    system: System,
    folder: str | Path,
    threads: int | None = None,
    progress: bool = False,
):
    """Train a system on the persons of a split and predict its test nights; finished work is taken from `folder`.

    Parameters
    ----------
    store : Store
    split : dict of `train`, `valid`, `test` to indices of nights
    folder : where the checkpoint, the weights and `predictions.npz` lie
    threads : torch threads; by default as they are

    Returns
    -------
    list of arrays (N_i, 5)
        Posteriors for each test night.
    """
    folder, identity = Path(folder), _identity(store, split, system)
    done = folder / "predictions.npz"
    if done.exists():
        with np.load(done, allow_pickle=False) as saved:
            if str(saved["identity"]) == identity:
                return [saved[f"night{i}"] for i in range(len(split["test"]))]
    if threads:
        torch.set_num_threads(threads)
    test = Nights.from_store(store, split["test"], system.signals)
    if system.network in models.CLASSICAL:
        known = Nights.from_store(store, split["train"], system.signals)
        model = models.baseline(system.network, **system.settings).fit(known, store.rate)
        results = [model.posteriors(inputs) for inputs, _ in test.split()]
    else:
        network = train(store, split, system, folder, progress)
        results = [inference.posteriors(network, inputs).numpy() for inputs, _ in test.split()]
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "predictions.part.npz"
    np.savez(part, identity=identity, **{f"night{i}": p for i, p in enumerate(results)})
    part.replace(done)
    (folder / "checkpoint.pt").unlink(missing_ok=True)  # four times the weights, and no longer needed
    return results


def train(store: Store, split: dict, system: System, folder: str | Path, progress: bool = True, device=None):
    """Train a network on a split's training nights, choose its step on the validation nights, and save it with a card.

    `device` is torch's name of one; by default the GPU where there is one.

    Returns
    -------
    nn.Module
        With the weights of its best validation step; `<folder>/<network>.safetensors` holds them too.
    """
    device = known_device(device)
    nights = {part: Nights.from_store(store, split[part], system.signals) for part in ("train", "valid")}
    recipe = system.recipe
    torch.manual_seed(recipe.seed)
    network = _network(store, system)
    history = fit(network, nights["train"], nights["valid"], recipe, folder, progress, device)
    Path(folder, "history.json").write_text(json.dumps(history, indent=1))
    network.preparation = store.preparation
    path = weights.save(
        network, system.network, Path(folder, system.network), store.preparation,
        **_origin(store, split, system), data_digest=store.digest,
        parameters=sum(p.numel() for p in network.parameters()), steps=_kept(history)["step"],
        validation_accuracy=_kept(history)["accuracy"],
        seconds=round(history[-1]["seconds"], 1),
    )  # fmt: skip
    return weights.load(path)


def _kept(history: list[dict]) -> dict:
    """The validation whose weights were kept: the best; of equal ones the last."""
    return max(history, key=lambda entry: (entry["accuracy"], entry["step"]))


def _network(store: Store, system: System):
    """The untrained network of a system, of the size that the nights of a store ask for."""
    first = store.epochs(0) if system.signals else store.images(0)
    given, settings = models.shape(system.network, first, store.rate), system.settings
    for name in given.keys() & settings.keys():
        if settings[name] != given[name]:
            raise SleeplibError(
                f"{name}={settings[name]} does not fit {store.folder}: there it is {given[name]}"
            )
    return models.build(system.network, system.variant, **given | settings)


def _origin(store: Store, split: dict, system: System) -> dict:
    """What a card says about how its weights came to be, and what tells whether they are those of a system."""
    return {
        "cohort": store.cohort, "simulated": store.simulated,
        "simulator": simulator_digest(store.cohort) if store.simulated else None, "training": asdict(system.recipe),
        "persons": {part: sorted(set(store.groups[split[part]].tolist())) for part in ("train", "valid")},
        "epochs": {part: int(store.lengths[split[part]].sum()) for part in ("train", "valid")},
    }  # fmt: skip


def simulator_digest(cohort: str) -> str:
    """Digest of what makes the nights of a cohort: the simulator's source and the manifest's settings."""
    try:
        settings = cohorts.load(cohort).simulation
    except SleeplibError:  # not one of the project's
        settings = {}
    return hashlib.sha256(json.dumps([simulator.version(), settings], sort_keys=True).encode()).hexdigest()[
        :16
    ]


def trained(store: Store, split: dict, system: System, folder: str | Path) -> Path | None:
    """Weights in `folder` that are what `train` would make of these persons with these settings, or None.

    Simulated nights may differ in their last bits from machine to machine, so it is the simulator's version that
    counts, not the nights' digest.
    """
    path = Path(folder, system.slug, f"{system.network}.json")
    if not path.exists():
        return None
    card = weights.load(path).card
    wanted = _origin(store, split, system) | {"settings": asdict(_network(store, system).settings)}
    wanted |= {"network": system.network, "preparation": asdict(store.preparation)}
    same = json.loads(json.dumps(wanted)) == {key: card.get(key) for key in wanted}
    return path.parent if same else None


def history(folder: str | Path) -> list[dict]:
    """The validations of a run, as `training.fit` returned them."""
    return json.loads((Path(folder) / "history.json").read_text())


def evaluate(
    store: Store, splits: list[dict], systems, folder: str | Path, jobs: int = 1, progress: bool = True,
    backend: str = "loky", weights_folder: str | Path | None = None,
) -> Predictions:  # fmt: skip
    """Run every system on every split and pool the test nights of all splits.

    Parameters
    ----------
    store : Store
    splits : list of dicts from `cohorts.folds`, or one split made by hand
    systems : list of System
    folder : where pieces are kept, each in a folder named by its data, split, settings and code; an interrupted
        run goes on with what is missing
    jobs, backend : runs side by side, each on one torch thread if there are several (see `sleeplib.parallel`)
    weights_folder : weights trained elsewhere, one folder for each system, for a single split; those that fit
        (`trained`) are used instead of training, and it is said which networks have none

    Returns
    -------
    Predictions
        Its `folders` hold the weights, cards and histories.
    """
    pieces = [
        (store, split, system, Path(folder, system.slug, _identity(store, split, system)[:12]))
        for system in systems
        for split in splits
    ]
    ready = {}
    if weights_folder:
        networks = [s for s in systems if s.network not in models.CLASSICAL]
        if len(splits) == 1:
            ready = {s.label: trained(store, splits[0], s, weights_folder) for s in networks}
        if rest := [s.label for s in networks if not ready.get(s.label)]:
            print(f"{weights_folder}: no weights that fit; trained here: {', '.join(rest)}")
    missing = [piece for piece in pieces if not ready.get(piece[2].label)]
    alone = parallel.side_by_side(jobs, missing, backend) > 1  # each on its core
    work = [(*piece, 1 if alone else None, progress and not alone) for piece in missing]
    results = parallel.work(run, work, jobs, backend, "systems x folds", "run", progress)
    by_system, folders = {}, {}
    for _, split, system, place in pieces:
        if path := ready.get(system.label):
            place, posteriors = path, _stage(store, split["test"], weights.load(path / system.network))
        else:
            posteriors = next(results)
        by_system.setdefault(system.label, []).extend(posteriors)
        folders.setdefault(system.label, []).append(place)
    predictions = pooled(store, [i for split in splits for i in split["test"]], by_system)
    predictions.folders = folders
    return predictions


def _stage(store: Store, which, model, progress: bool = False) -> list[np.ndarray]:
    """Posteriors `(N, 5)` of a network or of a fitted baseline for each of some nights."""
    results = []
    for i in parallel.bar(which, progress, desc=f"staging {store.cohort}", unit="night"):
        inputs = torch.from_numpy(store.epochs(i) if model.signals else store.images(i))
        network = isinstance(model, torch.nn.Module)
        results.append(inference.posteriors(model, inputs).numpy() if network else model.posteriors(inputs))
    return results


def check_preparation(network, store: Store, *others: str) -> None:
    """Make sure that nights were prepared as the network's; `others` are settings that matter to it besides.

    Raises
    ------
    SleeplibError
        If they were not, naming the setting.
    """
    for setting in ("rate", "scaling", "filters", "epoch_seconds", *others):
        ours, theirs = getattr(store.preparation, setting), getattr(network.preparation, setting)
        if ours != theirs:
            raise SleeplibError(
                f"{store.folder}: prepared with {setting} {ours}, the network needs {theirs}; run `sleeplib prepare "
                f"{_options(network.preparation)}` into another --out"
            )


def _options(preparation: Preparation) -> str:
    """Those of `sleeplib prepare` that make nights of this preparation."""
    anysleep = preparation.montage is None
    usual = Preparation(**ANYSLEEP) if anysleep else Preparation(montage=preparation.montage)
    told = ["--for anysleep" if anysleep else "--for seqsleepnet"]
    for name in ("rate", "scaling", "filters"):
        value = getattr(preparation, name)
        told += [f"--{name} {value}"] if value != getattr(usual, name) else []
    return " ".join(told)


def assess(
    network, store: Store, train_store: Store, progress: bool = True
) -> tuple[list[System], Predictions]:
    """Stage the nights of a store whose persons a trained network has never seen, beside the two baselines.

    Parameters
    ----------
    network : from `weights.load`; its card names the persons it was trained and chosen on
    store : holds the nights to stage
    train_store : holds the training persons, for the baselines

    Raises
    ------
    SleeplibError
        If the nights of either store were prepared otherwise than the network's, nobody unseen is left, or the
        training persons are missing.
    """
    card = network.card
    roles = list(network.preparation.montage or ())
    for nights in (store, train_store):
        check_preparation(network, nights, "images")
        if list(nights.preparation.montage or ()) != roles:
            raise SleeplibError(
                f"{nights.folder}: has the channels {nights.channels}, the network needs {roles}"
            )
    # Two cohorts may share an archive, and persons then have the same names; simulated ones only share their names.
    known = card["persons"]["train"] + card["persons"]["valid"]
    seen = known if store.simulated == card["simulated"] else []
    test = np.flatnonzero(~np.isin(store.groups, seen))
    if not len(test):
        raise SleeplibError(f"{store.folder}: the network has seen all persons of this store in training")
    same = train_store.simulated == card["simulated"]
    train = np.flatnonzero(same & np.isin(train_store.groups, card["persons"]["train"]))
    if train_store.cohort != card["cohort"] or not len(train):
        raise SleeplibError(
            f"{train_store.folder}: not the cohort {card['cohort']!r} of the "
            "training; name its store with --train-store"
        )
    label = card["network"]
    posteriors = {label: _stage(store, test, network, progress)}
    fitted = Nights.from_store(train_store, train)
    for baseline in BASELINES:
        model = models.baseline(baseline.network).fit(fitted, train_store.rate)
        posteriors[baseline.label] = _stage(store, test, model)
    return [System(label, label), *BASELINES], pooled(store, test, posteriors)
