"""The commands that put numbers to networks: `evaluate | crossvalidate | run`."""

import time
from pathlib import Path

from sleeplib.cli.common import (
    add_backend,
    add_command,
    add_jobs,
    add_set,
    number,
    positive,
    record_of,
    seed,
    values,
)
from sleeplib.errors import SleeplibError


def add_evaluate(commands) -> None:
    """Options of `sleeplib evaluate`."""
    command = add_command(
        commands, "evaluate", evaluate, "score a trained network on persons it has never seen"
    )
    command.add_argument(
        "weights", metavar="NAME|PATH", nargs="?",
        help="a .safetensors file with its card, or a name of `sleeplib weights list`",
    )  # fmt: skip
    command.add_argument(
        "--store",
        type=Path,
        nargs="+",
        help="folder of prepared nights to stage; of night networks one for each cohort",
    )
    command.add_argument(
        "--train-store",
        type=Path,
        nargs="+",
        help="where the training persons are, for the baselines (default: the same stores)",
    )
    command.add_argument(
        "--split",
        type=Path,
        nargs="+",
        help="file made by `sleeplib split`, one for each store: score its test part (published weights on real "
        "nights: their card does not name the persons that they have seen)",
    )
    command.add_argument(
        "--record", type=Path, help="also write a result record NAME.json and its predictions NAME.npz"
    )
    command.add_argument("--force", action="store_true", help="write over a record that is there")
    command.add_argument("--device", default="cpu", help="torch's name of it, such as cpu or cuda")
    command.add_argument(
        "--rescore", type=Path, metavar="RECORD",
        help="instead: compute all numbers of a result record again from its stored predictions",
    )  # fmt: skip


def evaluate(a) -> None:
    """Stage every night of a store whose person was not in training or validation, and print the pooled numbers.

    They come with 95 % intervals by person, beside the majority class and a linear discriminant on band powers. Night
    networks see all EEG and EOG channels, and there is a table (and a record) for each cohort.
    """
    if a.rescore:
        _rescore(a)
        return
    if not (a.weights and a.store):
        raise SleeplibError("evaluate needs weights and --store, or --rescore RECORD")
    from sleeplib import multicohort, protocol
    from sleeplib.models import NIGHT_NETWORKS, weights
    from sleeplib.staging import find_weights
    from sleeplib.store import Store

    started, stores = time.perf_counter(), [Store(folder) for folder in a.store]
    records = [_record(a, store.cohort if len(stores) > 1 else "") for store in stores]
    network = weights.load(find_weights(a.weights)[0]).to(protocol.known_device(a.device))
    train_stores = [Store(folder) for folder in a.train_store] if a.train_store else stores
    if network.card["network"] in NIGHT_NETWORKS:
        systems, found = multicohort.assess(network, stores, train_stores, _test_parts(a, stores))
    elif len(stores) == len(train_stores) == 1 and not a.split:
        systems, predictions = protocol.assess(network, stores[0], train_stores[0])
        found = [predictions]
    else:
        raise SleeplibError(
            f"{network.card['network']} is scored on all unseen persons of one store, with one store of training "
            "persons; leave --split and further stores away"
        )
    for store, predictions, record in zip(stores, found, records, strict=True):
        _report(network, store, systems, predictions, record, started)


def _record(a, cohort: str) -> Path | None:
    """Where the record of a cohort goes, if one is wanted."""
    if a.record is None:
        return None
    return record_of(a.record.with_stem(f"{a.record.stem}-{cohort}") if cohort else a.record, a.force)


def _test_parts(a, stores: list) -> list | None:
    """The nights of each store that the splits given keep for the test."""
    from sleeplib.cohorts import splits

    if not a.split:
        return None
    if len(a.split) != len(stores):
        raise SleeplibError(f"{len(a.split)} splits for {len(stores)} stores; give one for each")
    pairs = zip(a.split, stores, strict=True)
    return [splits.read_split(path, s.ids, s.groups, s.cohort)["test"] for path, s in pairs]


def _report(network, store, systems, predictions, path: Path | None, started: float) -> None:
    """Write predictions as a record where one is wanted, and print their table."""
    from sleeplib import protocol, results

    record = {
        "title": f"{network.card['network']} on persons it has never seen",
        "simulated": store.simulated,
        "parameters": {"weights": network.card["sha256"], "training": network.card.get("training")},
        "data": protocol.describe(store, predictions),
        "rows": predictions.rows(systems),
    }
    written = {"seconds": time.perf_counter() - started, "predictions": predictions.arrays()} if path else {}
    path = path and results.write(path.stem, folder=path.parent, **record, **written)
    kind = "simulated nights" if store.simulated else "real nights"
    print(
        f"{store.cohort}: {record['data']['recordings']} {kind} of {record['data']['persons']} "
        "persons, pooled, 95 % intervals by person"
    )
    print(results.plain(results.table(record)))
    if path:
        print(f"record in {path}")


def _rescore(a) -> None:
    """Print a record's table as its predictions give it now, and refuse it if a number is another than it was."""
    if a.weights or a.store or a.train_store or a.split or a.record:
        raise SleeplibError(
            "--rescore reads a record and nothing else; leave weights and all other options away"
        )
    from sleeplib import results
    from sleeplib.analysis import statistics

    record = results.load(a.rescore)
    rows = results.rescore(record, statistics.score)
    print(f"{record['title']}: pooled, 95 % intervals by person")
    overall = [metric for metric in results.ALL_METRICS if any(row.get(metric) is not None for row in rows)]
    print(results.plain(results.table({"rows": rows}, overall)))
    for quantity in ("sensitivity", "selectivity"):
        print(f"\n{quantity} (%)\n{results.stage_table({'rows': rows}, quantity).to_string()}")
    stored = {row["system"]: row for row in record["rows"]}
    differing = [
        f"{row['system']}: {key} {stored[row['system']][key]} is now {value}"
        for row in rows
        for key, value in row.items()
        if key in stored[row["system"]] and not _same(value, stored[row["system"]][key])
    ]  # fmt: skip
    if differing:
        raise SleeplibError(f"{a.rescore}: {len(differing)} numbers differ from the record's; {differing[0]}")
    print(f"\nthe record's numbers follow from its predictions: {len(rows)} systems, nothing trained")


def _same(value, stored) -> bool:
    """Whether two entries of a row, numbers, texts or lists of them, are equal within rounding."""
    if isinstance(value, list):
        return isinstance(stored, list) and len(value) == len(stored) and all(map(_same, value, stored))
    if isinstance(value, float) and isinstance(stored, int | float):
        return abs(value - stored) < 1e-9
    return value == stored


def add_crossvalidate(commands) -> None:
    """Options of `sleeplib crossvalidate`."""
    command = add_command(
        commands, "crossvalidate", crossvalidate, "train and test systems on folds by person, scores pooled"
    )
    from sleeplib.models import CLASSICAL, NETWORKS

    command.add_argument(
        "networks",
        nargs="+",
        choices=(*NETWORKS, *CLASSICAL),
        metavar="NETWORK",
        help="names, such as seqsleepnet",
    )
    command.add_argument("--store", type=Path, required=True, help="folder made by `sleeplib prepare`")
    command.add_argument(
        "--runs", type=Path, required=True, help="folder of checkpoints, weights and predictions"
    )
    command.add_argument(
        "--record", type=Path, required=True, help="result record NAME.json, with its predictions in NAME.npz"
    )
    command.add_argument("--force", action="store_true", help="write over a record that is there")
    command.add_argument("-k", "--folds", type=positive, default=20, help="how many (default: 20)")
    command.add_argument(
        "--published", type=Path, help="instead: the authors' folds for MASS, their data_split_eval.mat"
    )
    command.add_argument(
        "--valid-persons", type=positive, default=1, help="persons of each fold to choose the best step by"
    )
    command.add_argument(
        "--steps", type=positive, help="stop each training after this many (default: the recipes' passes)"
    )
    command.add_argument("--learning-rate", type=number(float, 0, 1), help="default: each network's recipe")
    add_jobs(command)
    add_backend(command)
    command.add_argument("--seed", type=seed, default=0, help="of folds, weights, batches and dropout")


def crossvalidate(a) -> None:
    """Cross-validate networks by person: each night is predicted by a network that never saw its person.

    Scores are pooled over all folds. Every training is kept in the folder of the runs; the same command goes on where
    an interrupted one stopped. The two baselines of every table are added.
    """
    from sleeplib import cohorts, models, protocol, results
    from sleeplib.export.writing import may_fill
    from sleeplib.store import Store

    started, store = time.perf_counter(), Store(a.store)
    record = record_of(a.record, a.force)
    may_fill(a.runs)
    if not a.published:
        folds = cohorts.folds(store.groups, a.folds, a.valid_persons, a.seed)
    else:
        published = cohorts.splits.read_seqsleepnet_folds(a.published)
        folds = cohorts.splits.assign_folds(published, store.ids, store.groups)
    recipe = {"learning_rate": a.learning_rate, "max_steps": a.steps, "seed": a.seed}
    recipe = {key: value for key, value in recipe.items() if value is not None}
    systems = [
        protocol.System(name, name, training={} if name in models.CLASSICAL else recipe)
        for name in dict.fromkeys(a.networks)
        if name not in {baseline.network for baseline in protocol.BASELINES}
    ]
    systems += protocol.BASELINES
    predictions = protocol.evaluate(store, folds, systems, a.runs, a.jobs, backend=a.backend)
    path = results.write(
        record.stem, folder=record.parent, simulated=store.simulated,
        title=f"{len(folds)}-fold cross-validation, {store.title}",
        parameters=recipe
        | {"folds": len(folds), "published": str(a.published or ""), "valid_persons": a.valid_persons},
        data=protocol.describe(store, predictions), rows=predictions.rows(systems),
        seconds=time.perf_counter() - started, predictions=predictions.arrays(),
    )  # fmt: skip
    print(results.plain(results.table(results.load(path))))
    print(f"record in {path}")


def add_run(commands) -> None:
    """Options of `sleeplib run`."""
    command = add_command(commands, "run", run, "run the notebooks of the book")
    command.add_argument("notebooks", nargs="*", help="names without suffix (default: all)")
    command.add_argument(
        "--profile",
        choices=("smoke", "demo", "paper"),
        default="demo",
        help="smoke: seconds; demo: the embedded cohort on a laptop; paper: the papers' settings",
    )
    add_set(command, "parameters of the notebooks")
    command.add_argument(
        "--plan", action="store_true", help="only print parameters, data, and expected times"
    )
    command.add_argument("--force", action="store_true", help="run again what is finished")
    command.add_argument("--jobs", type=positive, default=1, help="notebooks side by side (default: 1)")


def run(a) -> None:
    """Run notebooks through papermill.

    Finished ones (same notebook, parameters, package and data) are skipped; an unknown parameter is an error; a
    notebook that fails is kept up to the failing cell.
    """
    from sleeplib import experiments

    if a.plan:
        print(experiments.describe(experiments.plan(a.profile, a.notebooks, values(a.set))))
    else:
        experiments.run(a.profile, a.notebooks, values(a.set), force=a.force, jobs=a.jobs)


COMMANDS = (add_evaluate, add_crossvalidate, add_run)
