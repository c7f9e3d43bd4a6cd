"""The commands that work with networks: `train | evaluate | run`."""

import time
from pathlib import Path

from sleeplib.cli.common import add_command, add_set, number, positive, seed, values


def add_train(commands) -> None:
    """Options of `sleeplib train`."""
    command = add_command(commands, "train", train, "train a network on a store")
    from sleeplib.models import TRAINABLE

    command.add_argument("network", choices=TRAINABLE, help="which network")
    command.add_argument("--store", type=Path, required=True, help="folder made by `sleeplib prepare`")
    command.add_argument(
        "--out", type=Path, required=True, help="folder of the run: checkpoint, weights, card, history"
    )
    command.add_argument(
        "--split", type=Path, help="file made by `sleeplib split` (default: the next two options)"
    )
    command.add_argument(
        "--valid-persons", type=positive, default=2, help="persons to choose the best step by"
    )
    command.add_argument(
        "--test-persons", type=positive, default=4, help="persons kept for `sleeplib evaluate`"
    )
    command.add_argument(
        "--steps", type=positive, help="stop after this many steps (default: the passes decide)"
    )
    command.add_argument("--passes", type=positive, help="passes over all sequences (default: the paper's)")
    command.add_argument("--learning-rate", type=number(float, 0, 1), default=1e-4)
    command.add_argument("--batch-size", type=positive, default=32, help="sequences in a batch")
    command.add_argument(
        "--device", help="torch's name of it, such as cpu or cuda (default: a GPU where there is one)"
    )
    command.add_argument(
        "--seed", type=seed, default=0, help="of the split, the weights, the batches and the dropout"
    )
    add_set(command, "settings of the network, such as sequence_length=10")


def train(a) -> None:
    """Train a network on the persons of a store and write the weights of its best validation step with a card.

    Persons set apart for the test are never touched. The defaults are the paper's. A run that was interrupted goes on
    from its checkpoint when the same command is given again, to the same bits.
    """
    from sleeplib import cohorts, protocol
    from sleeplib.store import Store

    store = Store(a.store)
    recipe = {"learning_rate": a.learning_rate, "batch_size": a.batch_size, "seed": a.seed}
    recipe |= {
        name: value for name, value in (("max_steps", a.steps), ("passes", a.passes)) if value is not None
    }
    if a.split:
        split = cohorts.splits.read_split(a.split, store.ids, store.groups, store.cohort)
    else:
        split = cohorts.split(store.groups, a.valid_persons, a.test_persons, a.seed)
    system = protocol.System(a.network, a.network, values(a.set), recipe)
    network = protocol.train(store, split, system, a.out, device=a.device)
    print(
        f"validation accuracy {100 * network.card['validation_accuracy']:.1f} "
        f"%; weights in {a.out / a.network}.safetensors"
    )


def add_evaluate(commands) -> None:
    """Options of `sleeplib evaluate`."""
    command = add_command(
        commands, "evaluate", evaluate, "score a trained network on persons it has never seen"
    )
    command.add_argument("weights", type=Path, help="a .safetensors file with its card")
    command.add_argument("--store", type=Path, required=True, help="folder of prepared nights to stage")
    command.add_argument(
        "--train-store",
        type=Path,
        help="where the training persons are, for the baselines (default: the same store)",
    )
    command.add_argument(
        "--record", type=Path, help="also write a result record NAME.json and its predictions NAME.npz"
    )


def evaluate(a) -> None:
    """Stage every night of a store whose person was not in training or validation, and print the pooled numbers.

    They come with 95 % intervals by person, beside the majority class and a linear discriminant on band powers.
    """
    from sleeplib import protocol, results
    from sleeplib.models import weights
    from sleeplib.store import Store

    started = time.perf_counter()
    network, store = weights.load(a.weights), Store(a.store)
    systems, predictions = protocol.assess(network, store, Store(a.train_store) if a.train_store else store)
    record = {
        "title": f"{network.card['network']} on persons it has never seen",
        "simulated": store.simulated,
        "parameters": {"weights": network.card["sha256"], "training": network.card["training"]},
        "data": protocol.describe(store, predictions),
        "rows": predictions.rows(systems),
    }
    kind = "simulated nights" if store.simulated else "real nights"
    print(
        f"{store.cohort}: {record['data']['recordings']} {kind} of {record['data']['persons']} "
        "persons, pooled, 95 % intervals by person"
    )
    print(results.table(record).to_string())
    if a.record:
        record |= {"seconds": time.perf_counter() - started, "predictions": predictions.arrays()}
        print(f"record in {results.write(a.record.stem, folder=a.record.parent, **record)}")


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


def run(a) -> None:
    """Run notebooks through papermill.

    Finished ones (same notebook, parameters, package and data) are skipped; an unknown parameter is an error; a
    notebook that fails is kept up to the failing cell.
    """
    from sleeplib import experiments

    if a.plan:
        print(experiments.describe(experiments.plan(a.profile, a.notebooks, values(a.set))))
    else:
        experiments.run(a.profile, a.notebooks, values(a.set), force=a.force)


COMMANDS = (add_train, add_evaluate, add_run)
