"""Prepared cohorts in, one night network trained on all of them, and its stages for persons it never saw, out."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from sleeplib import inference, models
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.preparation import log_power_images
from sleeplib.protocol import BASELINES, Predictions, System, default_device, pooled, simulator_digest
from sleeplib.sampling import Nights
from sleeplib.store import Store
from sleeplib.training import NightTraining, fit_nights, processes


def train(
    stores: list[Store], splits: list[dict], name: str, settings: dict, recipe: NightTraining, folder: str | Path,
    progress: bool = True, device: str | None = None, workers: int = 2,
):  # fmt: skip
    """Train a night network on the training nights of several cohorts and save it with a card.

    Parameters
    ----------
    stores : of one preparation
    splits : `train` and `valid` of each store, indices of its nights
    name, settings : the network, as for `models.build`
    folder : of checkpoint, `metrics.jsonl`, weights and card; a run that was interrupted goes on from there
    workers : threads that read windows

    Returns
    -------
    nn.Module, list of dict
        With the weights of its best training epoch, and what `fit_nights` tells. Under `torchrun` each process has
        them, and one writes them.
    """
    rank, _ = processes.here()
    torch.manual_seed(recipe.seed)
    network = models.build(name, **settings)
    parts = [[split[part] for split in splits] for part in ("train", "valid")]
    device = device or default_device()
    history = fit_nights(network, stores, *parts, recipe, folder, progress, device, workers)
    network.preparation = stores[0].preparation
    if rank == 0:
        kept = max(history, key=lambda entry: (entry["macro_f1"], -entry["step"]))
        weights.save(
            network, name, Path(folder, name), network.preparation, training=asdict(recipe),
            cohorts={s.cohort: _origin(s, split) for s, split in zip(stores, splits, strict=True)},
            parameters=sum(p.numel() for p in network.parameters()), steps=kept["step"],
            validation_macro_f1=kept["macro_f1"], seconds=round(history[-1]["seconds"], 1),
        )  # fmt: skip
    return network, history


def _origin(store: Store, split: dict) -> dict:
    """What a card says about a cohort that a network was trained on."""
    return {
        "simulated": store.simulated, "simulator": simulator_digest(store.cohort) if store.simulated else None,
        "digest": store.digest, "nights": {part: len(split[part]) for part in ("train", "valid")},
        "persons": {part: sorted(set(store.groups[split[part]].tolist())) for part in ("train", "valid")},
    }  # fmt: skip


def posteriors(network, store: Store, i: int, rows=None, per_epoch: int = 1, seed: int = 0) -> np.ndarray:
    """Posteriors `(N, 5)` for night `i` of a store.

    Parameters
    ----------
    rows : the channels that the network is shown; by default all EEG and EOG channels
    seed : of U-Sleep's ties
    """
    kinds = np.array(store.types(i))
    rows = np.flatnonzero(np.isin(kinds, ("EEG", "EOG"))) if rows is None else np.asarray(rows)
    scale, offset = store.scale(i)
    signals = store.samples(i)[rows] * scale[rows, None] + offset[rows, None]
    return inference.night_posteriors(network, signals, list(kinds[rows]), per_epoch, seed=seed).numpy()


def unseen(network, store: Store) -> np.ndarray:
    """Indices of the nights whose persons were in neither training nor validation of a network.

    Raises
    ------
    SleeplibError
        If nobody is left, or the nights were prepared otherwise than the network's.
    """
    for setting in ("rate", "scaling", "filters", "epoch_seconds"):
        ours, theirs = getattr(store.preparation, setting), getattr(network.preparation, setting)
        if ours != theirs:
            raise SleeplibError(
                f"{store.folder}: prepared with {setting} {ours}, the network needs {theirs}; run `sleeplib prepare` "
                "again"
            )
    # Cohorts may share an archive, and persons then have the same names; simulated ones only share their names.
    seen = [
        person
        for cohort, origin in network.card.get("cohorts", {}).items()
        if origin["simulated"] == store.simulated and (cohort == store.cohort or not store.simulated)
        for person in origin["persons"]["train"] + origin["persons"]["valid"]
    ]
    left = np.flatnonzero(~np.isin(store.groups, seen))
    if not len(left):
        raise SleeplibError(f"{store.folder}: the network has seen all persons of this store in training")
    return left


def assess(network, stores: list[Store], train_stores: list[Store]) -> tuple[list[System], list[Predictions]]:
    """Stage the nights of several cohorts whose persons a network has never seen, beside the two baselines.

    The linear discriminant sees the first EEG and the first EOG channel of each night.

    Parameters
    ----------
    train_stores : hold the training persons, for the baselines; published weights do without

    Returns
    -------
    list of System, list of Predictions for each store

    Raises
    ------
    SleeplibError
        If nobody unseen is left in a store, it was prepared otherwise, or there are no training persons.
    """
    label, tests = network.card["network"], [unseen(network, store) for store in stores]
    trained = [(store, _trained_on(network, store)) for store in train_stores]
    trained = [(store, nights) for store, nights in trained if len(nights)]
    if not trained and "cohorts" in network.card:
        raise SleeplibError(
            f"none of the stores holds training persons of {', '.join(network.card['cohorts'])}, whom the baselines "
            "need; name theirs with --train-store"
        )
    known = _pairs(trained) if trained else None  # published weights say nothing about their persons
    baselines = BASELINES if trained else ()
    fitted = {b.label: models.baseline(b.network).fit(known, stores[0].rate) for b in baselines}
    results = []
    for store, test in zip(stores, tests, strict=True):
        found = {label: [posteriors(network, store, i) for i in test]}
        for name, model in fitted.items():
            found[name] = [model.posteriors(torch.from_numpy(_pair_images(store, i))) for i in test]
        results.append(pooled(store, test, found))
    return [System(label, label), *baselines], results


def _trained_on(network, store: Store) -> np.ndarray:
    """Indices of a store's nights of training persons; none if the network was trained without this cohort."""
    origin = network.card.get("cohorts", {}).get(store.cohort, {"persons": {"train": []}})
    return np.flatnonzero(np.isin(store.groups, origin["persons"]["train"]))


def _pair_images(store: Store, i: int) -> np.ndarray:
    """Log-power images `(N, 2, T, F)` of a night's first EEG and first EOG channel."""
    kinds = store.types(i)
    missing = {"EEG", "EOG"} - set(kinds)
    if missing:
        raise SleeplibError(
            f"{store.folder}: {store.ids[i]} has no {' and no '.join(sorted(missing))} channel"
        )
    rows = [kinds.index("EEG"), kinds.index("EOG")]
    return log_power_images(store.epochs(i)[:, rows], store.preparation)


def _pairs(stores: list[tuple[Store, np.ndarray]]) -> Nights:
    """Such images of some nights of several stores."""
    nights = [(store, i) for store, which in stores for i in which]
    images = [torch.from_numpy(_pair_images(store, i)) for store, i in nights]
    labels = torch.cat([torch.from_numpy(store.stages(i)).long() for store, i in nights])
    return Nights(torch.cat(images), labels, [len(x) for x in images])
