"""Prepared cohorts in, one night network trained on all of them, and its stages for persons it never saw, out."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from sleeplib import inference, models
from sleeplib.errors import SleeplibError
from sleeplib.models import weights
from sleeplib.parallel import bar
from sleeplib.predictions import BASELINES, Predictions, System, pooled
from sleeplib.preparation import log_power_images
from sleeplib.protocol import check_preparation, known_device, simulator_digest
from sleeplib.sampling import Nights, Selection
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
    _check_names(stores)
    torch.manual_seed(recipe.seed)
    network = models.build(name, **settings)
    parts = [[split[part] for split in splits] for part in ("train", "valid")]
    history = fit_nights(network, stores, *parts, recipe, folder, progress, known_device(device), workers)
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
    """Posteriors `(N, 5)` for night `i` of a store, `per_epoch` of them for each of its epochs."""
    return posteriors_at(network, store, i, [per_epoch], rows, seed)[0]


def posteriors_at(network, store: Store, i: int, resolutions, rows=None, seed: int = 0) -> list[np.ndarray]:
    """Posteriors `(N, 5)` for night `i` of a store, at each of several resolutions.

    Parameters
    ----------
    resolutions : list of int
        Stages per epoch.
    rows : the channels that the network is shown; by default all EEG and EOG channels
    seed : of U-Sleep's ties
    """
    kinds = np.array(store.types(i))
    rows = np.flatnonzero(np.isin(kinds, ("EEG", "EOG"))) if rows is None else np.asarray(rows)
    night = signals(store, i, rows)
    found = inference.posteriors_at(network, night, resolutions, list(kinds[rows]), seed=seed)
    return [posteriors.numpy() for posteriors in found]


def signals(store: Store, i: int, rows) -> np.ndarray:
    """Prepared signals `(C, T)` of some channels of night `i`, given as their rows."""
    rows = np.asarray(rows)
    scale, offset = store.scale(i)
    return store.samples(i)[rows] * scale[rows, None] + offset[rows, None]


def unseen(network, store: Store, named: bool = True) -> np.ndarray:
    """Indices of the nights whose persons were in neither training nor validation of a network.

    Parameters
    ----------
    named : whether its card must say who was seen. Those of published weights do not; of cohorts that these were not
        trained on, or of the test part of the published split, nobody was.

    Raises
    ------
    SleeplibError
        If nobody is left, the nights were prepared otherwise than the network's, or its card does not say who was seen.
    """
    check_preparation(network, store)
    if named and "cohorts" not in network.card and not store.simulated:
        raise SleeplibError(
            f"{store.folder}: the card of these weights does not name the persons that they have seen; give the "
            "published split (`sleeplib split --published`) with --split"
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


def assess(
    network, stores: list[Store], train_stores: list[Store], tests: list | None = None, progress: bool = True
) -> tuple[list[System], list[Predictions]]:
    """Stage the nights of several cohorts whose persons a network has never seen, beside the two baselines.

    The linear discriminant sees the first EEG channel of each night; it and the majority learn from at most 100 of
    the training nights. Nights without the channels that the network needs are left out, and it is said which.

    Parameters
    ----------
    train_stores : hold the training persons, for the baselines; published weights do without
    tests : indices of the nights to stage in each store, by default all `unseen` ones

    Returns
    -------
    list of System, list of Predictions for each store

    Raises
    ------
    SleeplibError
        If a store has no unseen night that the network can stage, nights to test on were seen, it was prepared
        otherwise, or there are no training persons.
    """
    _check_names(stores)
    label = network.card["network"]
    if tests is None:
        tests = [unseen(network, store) for store in stores]
    else:
        for store, which in zip(stores, tests, strict=True):
            if len(seen := np.setdiff1d(which, unseen(network, store, named=False))):
                raise SleeplibError(
                    f"{store.folder}: the network has seen {len(seen)} of the nights to test on, such as "
                    f"{store.ids[seen[0]]}, in training; give the split that it was trained with"
                )
    mode = "pair" if label == "usleep" else "all"
    chosen = Selection(stores, tests, mode)
    if chosen.skipped:
        print(chosen.why())
    if not chosen.counts.all():
        empty = stores[int(np.argmin(chosen.counts))]
        raise SleeplibError(
            f"{empty.folder}: none of the nights to test on is left; {chosen.why()}; leave it out"
        )
    fitted = baselines(network, train_stores)
    results = []
    for number, store in enumerate(stores):
        found = {name: [] for name in (label, *fitted)}
        test = chosen.recording[chosen.store == number]
        for i in bar(test, progress, desc=f"staging {store.cohort}", unit="night"):
            found[label].append(posteriors(network, store, i))
            for name, model in fitted.items():
                found[name].append(baseline_posteriors(model, store, i))
        results.append(pooled(store, test, found))
    return [System(label, label), *(b for b in BASELINES if b.label in fitted)], results


def baselines(network, stores: list[Store]) -> dict:
    """The two `BASELINES`, by label, fitted to at most 100 of the nights on which a network was trained.

    There are none for published weights, whose cards name no persons.

    Raises
    ------
    SleeplibError
        If the stores hold none of the training persons, or were prepared otherwise.
    """
    known = _training_nights(network, stores)
    return {b.label: models.baseline(b.network).fit(known, stores[0].rate) for b in BASELINES if known}


def baseline_posteriors(model, store: Store, i: int) -> np.ndarray:
    """Posteriors `(N, 5)` of a fitted baseline for night `i` of a store, of which it sees the first EEG channel."""
    return model.posteriors(torch.from_numpy(_images(store, i)))


def _check_names(stores: list[Store]) -> None:
    """Refuse two stores of one cohort: persons are known by the name of their cohort."""
    names = [store.cohort for store in stores]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SleeplibError(f"more than one store of {', '.join(twice)}; prepare a cohort into one store")


def _training_nights(network, stores: list[Store], most: int = 100) -> Nights | None:
    """Images of the first EEG channel of nights of training persons, evenly spread over all there are."""
    nights = []
    for store in stores:
        origin = network.card.get("cohorts", {}).get(store.cohort)
        if origin and origin["simulated"] == store.simulated:
            check_preparation(network, store)
            with_eeg = [i for i in range(len(store)) if "EEG" in store.types(i)]
            trained = np.isin(store.groups[with_eeg], origin["persons"]["train"])
            nights += [(store, i) for i in np.array(with_eeg)[trained]]
    if not nights:
        if "cohorts" in network.card:
            raise SleeplibError(
                f"none of the stores holds training persons of {', '.join(network.card['cohorts'])}, whom the "
                "baselines need; name theirs with --train-store"
            )
        return None
    nights = [nights[k] for k in np.linspace(0, len(nights) - 1, min(most, len(nights))).round().astype(int)]
    images = [torch.from_numpy(_images(store, i)) for store, i in nights]
    labels = torch.cat([torch.from_numpy(store.stages(i)).long() for store, i in nights])
    return Nights(torch.cat(images), labels, [len(x) for x in images])


def _images(store: Store, i: int) -> np.ndarray:
    """Log-power images `(N, 1, T, F)` of a night's first EEG channel; where there is none, of its first channel."""
    kinds = store.types(i)
    row = kinds.index("EEG") if "EEG" in kinds else 0
    return log_power_images(store.epochs(i)[:, [row]], store.preparation)
