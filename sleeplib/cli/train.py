"""The command `sleeplib train`."""

from pathlib import Path

from sleeplib.cli.common import add_command, add_set, check_names, number, positive, seed, values
from sleeplib.errors import SleeplibError


def add_train(commands) -> None:
    """Options of `sleeplib train`."""
    command = add_command(
        commands, "train", train, "train a network on a store, or a night network on several"
    )
    from sleeplib.models import NETWORKS, NIGHT_NETWORKS, VARIANTS

    command.add_argument("network", choices=(*NETWORKS, *NIGHT_NETWORKS), help="which network")
    command.add_argument(
        "--store",
        type=Path,
        nargs="+",
        required=True,
        help="folder made by `sleeplib prepare`; night networks take one for each cohort",
    )
    command.add_argument(
        "--out", type=Path, required=True, help="folder of the run: checkpoint, weights, card, history"
    )
    command.add_argument(
        "--split",
        type=Path,
        nargs="+",
        help="file made by `sleeplib split`, one for each store (default: the next two options)",
    )
    command.add_argument(
        "--valid-persons",
        type=positive,
        help="persons of each store to choose the best step by (default: 2; night networks: 10 %%, at most 50)",
    )
    command.add_argument(
        "--test-persons",
        type=positive,
        help="persons kept for `sleeplib evaluate` (default: 4; night networks: 15 %%, at most 100)",
    )
    command.add_argument(
        "--steps", type=positive, help="stop after this many steps (default: the recipe decides)"
    )
    command.add_argument("--passes", type=positive, help="passes over all sequences (default: the paper's)")
    command.add_argument(
        "--learning-rate", type=number(float, 0, 1), help="default: the network's own recipe"
    )
    command.add_argument(
        "--batch-size", type=positive, help="sequences or windows in a batch (default: the recipe's)"
    )
    command.add_argument(
        "--variant", choices=VARIANTS, default="paper", help="the paper's text, or what its authors released"
    )
    command.add_argument(
        "--device", help="torch's name of it, such as cpu or cuda (default: a GPU where there is one)"
    )
    command.add_argument(
        "--seed", type=seed, default=0, help="of the split, the weights, the batches and the dropout"
    )
    add_set(command, "settings of the network, such as sequence_length=10")
    command.add_argument(
        "--recipe",
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        default=[],
        help="other settings of the training, such as annealed=true, amp=true, compile=true, updates=447",
    )


def train(a) -> None:
    """Train a network on the persons of a store and write the weights of its best validation step with a card.

    Persons set apart for the test are never touched. The defaults are the papers'. A run that was interrupted goes on
    from its checkpoint when the same command is given again, to the same bits. Night networks (U-Sleep, AnySleep and
    its variants) train on several cohorts at once, and on several GPUs under `torchrun -m sleeplib train ...`.
    """
    from sleeplib.export.writing import may_fill
    from sleeplib.models import NIGHT_NETWORKS
    from sleeplib.store import Store

    stores = [Store(folder) for folder in a.store]
    if a.split and (a.valid_persons or a.test_persons):
        raise SleeplibError(
            "--split says who validates and tests; leave --valid-persons and --test-persons away"
        )
    if a.split and len(a.split) != len(stores):
        raise SleeplibError(f"{len(a.split)} splits for {len(stores)} stores; give one for each")
    recipe = {"learning_rate": a.learning_rate, "batch_size": a.batch_size, "seed": a.seed}
    recipe = {name: value for name, value in recipe.items() if value is not None} | values(
        a.recipe, "--recipe"
    )
    may_fill(a.out)
    if a.network in NIGHT_NETWORKS:
        _train_night_network(a, stores, recipe)
    elif len(stores) == 1:
        _train_on_sequences(a, stores[0], recipe)
    else:
        raise SleeplibError(f"{a.network} is trained on one store, and {len(stores)} are given")


def _train_on_sequences(a, store, recipe: dict) -> None:
    """Train one of `models.NETWORKS`."""
    from sleeplib import cohorts, protocol
    from sleeplib.training import TrainingSettings

    recipe |= {key: x for key, x in (("max_steps", a.steps), ("passes", a.passes)) if x is not None}
    check_names(recipe, TrainingSettings, "--recipe")
    if a.split:
        split = cohorts.splits.read_split(a.split[0], store.ids, store.groups, store.cohort)
    else:
        split = cohorts.split(store.groups, a.valid_persons or 2, a.test_persons or 4, a.seed)
    system = protocol.System(a.network, a.network, values(a.set), recipe, variant=a.variant)
    network = protocol.train(store, split, system, a.out, device=a.device)
    done = protocol.history(a.out)[-1]["step"]
    if a.steps and done < a.steps:
        print(
            f"all {system.recipe.passes} passes ended after {done} steps, before --steps {a.steps}; add --passes"
        )
    print(
        f"validation accuracy {100 * network.card['validation_accuracy']:.1f} "
        f"%; weights in {a.out / a.network}.safetensors"
    )


def _train_night_network(a, stores: list, recipe: dict) -> None:
    """Train one of `models.NIGHT_NETWORKS`."""
    from sleeplib import cohorts, multicohort
    from sleeplib.training import NightTraining, processes

    if a.passes:
        raise SleeplibError(f"{a.network} makes no passes; --recipe updates=N training_epochs=N instead")
    recipe |= {"max_steps": a.steps} if a.steps else {}
    check_names(recipe, NightTraining, "--recipe")
    recipe = NightTraining.for_network(a.network, released=a.variant == "released", **recipe)
    if a.split:
        files = zip(a.split, stores, strict=True)
        splits = [cohorts.splits.read_split(path, s.ids, s.groups, s.cohort) for path, s in files]
    else:
        # A number of persons is the rule's cap, with everybody as the share.
        shares = [
            (1.0, n) if n else rule
            for n, rule in ((a.valid_persons, (0.1, 50)), (a.test_persons, (0.15, 100)))
        ]
        splits = [cohorts.splits.protocol(store.groups, a.seed, *shares) for store in stores]
    settings = values(a.set)
    _, history = multicohort.train(stores, splits, a.network, settings, recipe, a.out, device=a.device)
    if processes.here()[0] == 0:
        best = max(entry["macro_f1"] for entry in history)
        print(f"validation macro F1 {best:.3f}; weights in {a.out / a.network}.safetensors")
    processes.leave()


COMMANDS = (add_train,)
