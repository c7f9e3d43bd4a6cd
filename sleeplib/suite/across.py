"""Night networks of many cohorts: trained or taken from the project, and their nights, staged side by side."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from sleeplib import models, multicohort, parallel, protocol, results
from sleeplib.analysis import metrics, statistics
from sleeplib.errors import SleeplibError
from sleeplib.models import weights as trained
from sleeplib.models.usleep import USleep
from sleeplib.sampling import Selection
from sleeplib.stages import STAGES, UNSCORED
from sleeplib.store import Store
from sleeplib.suite.kept import completed, keys
from sleeplib.suite.runs import weights_folder
from sleeplib.suite.sites import NightSystem, site_splits

_CODE = (
    "store",
    "multicohort",
    "sampling/selection",
    "sampling/windows",
    "sampling/channels",
    "sampling/loader",
    "training/nights",
    "training/checkpoint",
    "training/processes",
    "inference/nights",
    "inference/unet",
    "inference/finest",
    "inference/segments",
    "inference/sequences",
)


def night_networks(
    stores: list[Store], chosen: Sequence[NightSystem], weights: str = "", test: int = 2, valid: int = 1, jobs: int = 1,
    progress: bool = False,
) -> dict[str, Path]:  # fmt: skip
    """Files of the weights of some systems: those of the project where they fit, else trained here.

    Weights fit if they were trained on the same cohorts, with the same settings and recipe, and simulated nights by
    this version of the simulator. The card names the persons, who may be more than are in `stores`.

    Parameters
    ----------
    stores : of the cohorts that are trained on
    weights : a folder of `book/weights`; "" to train
    test, valid : persons of each twin that are kept from training here (`sites.site_splits`)
    jobs : systems side by side; each takes one core then

    Returns
    -------
    dict of label to the path of a .safetensors file
    """
    folder = weights_folder(weights) if weights else None
    found = {s.label: fitting(s, stores, folder) for s in chosen}
    missing = [s for s in chosen if not found[s.label]]
    if folder and missing:
        print(f"{folder}: no weights that fit; trained here: {', '.join(s.label for s in missing)}")
    splits = site_splits(stores, test, valid) if missing else []
    alone = parallel.side_by_side(jobs, missing) > 1
    work = [(stores, splits, s, _run_folder(stores, splits, s), alone) for s in missing]
    done = parallel.work(_train, work, jobs, "loky", "networks", "network", progress)
    return found | {s.label: path for s, path in zip(missing, done, strict=True)}


def fitting(system: NightSystem, stores: list[Store], folder: Path | None) -> Path | None:
    """The weights in `folder` that are those of a system, trained on these cohorts; or None."""
    path = folder and folder / f"{system.network}-{system.recipe.seed}" / f"{system.network}.safetensors"
    if not path or not path.exists():
        return None
    card = trained.load(path).card
    origins = {
        s.cohort: [s.simulated, protocol.simulator_digest(s.cohort) if s.simulated else None] for s in stores
    }
    theirs = {name: [o["simulated"], o["simulator"]] for name, o in card["cohorts"].items()}
    settings = models.build(system.network, **system.settings).settings
    ours = json.loads(json.dumps([origins, asdict(settings), asdict(system.recipe)]))
    return path if ours == [theirs, card["settings"], card["training"]] else None


def _run_folder(stores: list[Store], splits: list[dict], system: NightSystem) -> Path:
    nights = [
        [s.digest, *(np.asarray(split[part]).tolist() for part in ("train", "valid"))]
        for s, split in zip(stores, splits, strict=True)
    ]
    identity = json.dumps([nights, asdict(system), protocol.code(*_CODE), protocol.default_device()])
    name = f"{system.network}-{system.recipe.seed}"
    return results.build_folder() / "runs" / name / hashlib.sha256(identity.encode()).hexdigest()[:12]


def _train(stores, splits, system: NightSystem, folder: Path, alone: bool) -> Path:
    """Train a system, or go on with it; `alone` on its core."""
    path = folder / f"{system.network}.safetensors"
    if not path.with_suffix(".json").exists():  # the card is written last
        if alone:
            torch.set_num_threads(1)
        multicohort.train(stores, splits, system.network, system.settings, system.recipe, folder, False)
        (folder / "checkpoint.pt").unlink()  # four times the weights, and no longer needed
    return path


def each_night(
    function: Callable, by: dict, stores: list[Store], tests: list, jobs: int = 1, kept: str = "", **options
) -> Iterator[tuple]:
    """`function(model, store, i, **options)` for each model and each test night, side by side.

    Parameters
    ----------
    function : of a module, so that other processes find it
    by : dict of label to a file of weights or a fitted baseline
    tests : indices of the nights of each store
    kept : the name of what comes with the project (`suite.kept`) and is not computed again; "" to compute all

    Yields
    ------
    label, number of the store, number of the night, what the function returned
    """
    places = [(label, k, int(i)) for label in by for k, which in enumerate(tests) for i in np.asarray(which)]

    def compute(places: list[tuple]) -> Iterator:
        alone = parallel.side_by_side(jobs, places) > 1
        work = [(function, by[label], stores[k], i, options, alone) for label, k, i in places]
        return parallel.work(_one_night, work, jobs, progress=False)

    known = keys(function, by, stores, places, options) if kept else [None] * len(places)
    channels = [len(stores[k].types(i)) for _, k, i in places]
    for place, result in zip(places, completed(kept, places, known, channels, compute), strict=True):
        yield *place, result


def _one_night(function, model, store, i, options, alone: bool):
    if alone:
        torch.set_num_threads(1)
    return function(_loaded(model) if isinstance(model, Path) else model, store, i, **options)


@lru_cache(4)
def _loaded(path: Path):
    return trained.load(path)


def test_nights(networks: Iterable[Path], known: list[Store], hold_out: list[Store]) -> list[np.ndarray]:
    """Indices of the nights of each store that all of these networks can be tested on.

    None of them has seen the persons; of real nights of known cohorts they are the published test part. Where U-Sleep
    is among the networks, nights without an EEG and an EOG channel are left out, and it is said how many.

    Parameters
    ----------
    networks : files of weights
    known, hold_out : stores of the cohorts that were trained on, and of the others

    Raises
    ------
    SleeplibError
        If a cohort has no such night.
    """
    loaded, stores = [trained.load(path) for path in networks], [*known, *hold_out]
    found = [np.arange(len(store)) for store in stores]
    for k, store in enumerate(stores):
        for model in loaded:
            left = multicohort.unseen(model, store, named=k < len(known))
            found[k] = np.intersect1d(found[k], left)
    if known and not known[0].simulated:
        for k, split in enumerate(site_splits(known)):
            found[k] = np.intersect1d(found[k], split["test"])
    if any(isinstance(model, USleep) for model in loaded):
        selection = Selection(stores, found, "pair")
        if selection.skipped:
            print(selection.why())
        found = [selection.recording[selection.store == k] for k in range(len(stores))]
    for store, which in zip(stores, found, strict=True):
        if not len(which):
            raise SleeplibError(
                f"{store.folder}: no night is left to test on; leave {store.cohort} out, or make it larger"
            )
    return found


def stage_nights(
    by: dict, stores: list[Store], tests: list, jobs: int = 1, kept: str = ""
) -> list[protocol.Predictions]:
    """Predictions of networks and baselines for the test nights of each store, from all that they can use of a night.

    U-Sleep's pairs vote, AnySleep and its variants look at all channels, baselines at the first EEG channel.
    Posteriors are 0 and 1.

    Parameters
    ----------
    by : dict of label to a file of weights or a fitted baseline
    tests : indices of the nights of each store
    kept : as for `each_night`
    """
    found: list[dict] = [{label: [] for label in by} for _ in stores]
    certain = np.eye(len(STAGES), dtype=np.float32)
    for label, k, _, said in each_night(stages, by, stores, tests, jobs, kept):
        found[k][label].append(certain[said])
    return [protocol.pooled(s, test, f) for s, test, f in zip(stores, tests, found, strict=True) if len(test)]


def stages(model, store: Store, i: int) -> np.ndarray:
    """The stages `(N,)` int8 that a network or a baseline gives to the epochs of a night."""
    network = isinstance(model, torch.nn.Module)
    posteriors = (multicohort.posteriors if network else multicohort.baseline_posteriors)(model, store, i)
    return posteriors.argmax(-1).astype(np.int8)


def first_nights(store: Store, which, persons: int | None = None) -> np.ndarray:
    """Of some nights the first of each of the first `persons`; all of them without a number."""
    which = np.asarray(which, int)
    if persons is None:
        return which
    first = np.unique(store.persons[which], return_index=True)[1]
    return which[np.sort(first)][:persons]


def gather(
    function: Callable, networks: dict, stores: list[Store], tests: list, jobs: int = 1, kept: str = "",
    **options,
):  # fmt: skip
    """What `each_night` finds, by label in lists over nights; and the person (or family) of each night.

    Returns
    -------
    dict of label to list of R results, array (R,)
    """
    found = {label: [] for label in networks}
    for label, _, _, result in each_night(function, networks, stores, tests, jobs, kept, **options):
        found[label].append(result)
    persons = [f"{s.cohort}/{s.groups[i]}" for s, which in zip(stores, tests, strict=True) for i in which]
    if not persons:
        raise SleeplibError("none of the test nights has the channels that this needs; choose other cohorts")
    return found, np.array(persons)


def overview(known: list[Store], hold_out: list[Store], tests: list):
    """A line for each cohort: its role, test nights, persons, channels and shares of stages, as a `DataFrame`."""
    lines = {}
    for k, store in enumerate([*known, *hold_out]):
        counts = [len(store.types(i)) for i in tests[k]]
        stages = np.concatenate([store.stages(i) for i in tests[k]])
        shares = (
            100 * np.bincount(stages[stages != UNSCORED], minlength=len(STAGES)) / (stages != UNSCORED).sum()
        )
        lines[store.cohort] = [
            "trained on" if k < len(known) else "hold-out", len(tests[k]), len(set(store.persons[tests[k]])),
            f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}",
            *(f"{share:.0f}" for share in shares),
        ]  # fmt: skip
    heads = ["Role", "Test nights", "Persons", "Channels", *(f"{stage} (%)" for stage in STAGES)]
    return results.frame(lines, heads, "Cohort")


def history(path: Path) -> list[dict]:
    """The validations of the run that made these weights."""
    return [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]


def spread(runs: np.ndarray) -> str:
    """Mean of fractions in percent and, of more than one run, their standard deviation (ddof 0, as in Table 1)."""
    return f"{100 * runs.mean():.1f}" + (f" ± {100 * runs.std():.1f}" if len(runs) > 1 else "")


def together(stores: list[Store], predictions: list[protocol.Predictions]) -> protocol.Predictions:
    """Predictions of several cohorts as one; names of persons and recordings begin with that of their cohort."""

    def names(key: str) -> np.ndarray:
        """What each epoch has under `key`, behind the name of its cohort."""
        return np.concatenate(
            [
                np.char.add(f"{s.cohort}/", getattr(p, key).astype(str))
                for s, p in zip(stores, predictions, strict=True)
            ]
        )

    posteriors = {
        label: np.concatenate([p.posteriors[label] for p in predictions])
        for label in predictions[0].posteriors
    }
    truth = np.concatenate([p.truth for p in predictions])
    return protocol.Predictions(truth, names("person"), names("recording"), posteriors)


def by_recording(predictions: protocol.Predictions, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Macro F1 of each recording `(R,)`, and its person."""
    first = np.unique(predictions.recording, return_index=True)[1]
    counts = statistics.confusions_by_person(
        predictions.truth, predictions.stages(label), predictions.recording
    )
    return metrics.macro_f1(counts), predictions.person[first]


def record_of_sites(
    question: str, stores: list[Store], tests: list, rows: list[dict], started: float,
    predictions: protocol.Predictions | None = None, scored: str = "", **parameters,
) -> dict:  # fmt: skip
    """Write the result record of a notebook about several cohorts, and read it back.

    Parameters
    ----------
    question : the record's title; what stands before its colon names the file
    tests : indices of the nights of each store
    rows : as for `results.write`
    started : `time.perf_counter()` at the beginning
    predictions : of all cohorts, `together`
    scored : what the rows' metrics are taken over, if not all epochs pooled
    parameters : of the notebook

    Raises
    ------
    SleeplibError
        If there are simulated and real nights among them.
    """
    nights = [(s, i) for s, which in zip(stores, tests, strict=True) for i in which]
    used = [s for s, which in zip(stores, tests, strict=True) if len(which)]
    simulated = used[0].simulated
    if any(s.simulated != simulated for s in used):
        raise SleeplibError("simulated and real nights never share a record")
    names = ", ".join(s.cohort for s in used)
    data = {
        "cohort": names, "title": f"{len(used)} cohorts",
        "digest": hashlib.sha256(" ".join(s.digest for s in used).encode()).hexdigest(),
        "epoch_seconds": used[0].epoch_seconds, "recordings": len(nights),
        "persons": len({(s.cohort, s.persons[i]) for s, i in nights}),
        "epochs": sum(int((s.stages(i) != UNSCORED).sum()) for s, i in nights),
    } | ({"scored": scored} if scored else {})  # fmt: skip
    kind = "-twins" if simulated else ""
    path = results.write(
        protocol.slug(question.partition(":")[0]) + kind, title=f"{question} ({names})", simulated=simulated,
        parameters=parameters, data=data, rows=rows, seconds=time.perf_counter() - started,
        predictions=predictions.arrays() if predictions else None,
    )  # fmt: skip
    return results.load(path)
