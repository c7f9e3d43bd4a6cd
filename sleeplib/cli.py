"""The door: `sleeplib cohorts | fetch | simulate | prepare | split | train | evaluate | run`."""

import argparse
import os
import sys
import time
from pathlib import Path

from sleeplib import __version__
from sleeplib.errors import SleeplibError

# Nothing heavy is imported here: each command imports what it needs, so that --help answers at once.

EPILOG = """\
a first tour, from a seed to a table (simulated nights, a few minutes on a laptop):
  sleeplib simulate embedded --persons 10 --out data/embedded
  sleeplib prepare embedded --root data/embedded --out data/prepared/embedded
  sleeplib train seqsleepnet --store data/prepared/embedded --out runs/first --steps 300 --learning-rate 1e-3
  sleeplib evaluate runs/first/seqsleepnet.safetensors --store data/prepared/embedded

the experiments of the book:
  sleeplib run --plan                    what there is, what it needs and how long it takes
  sleeplib run --profile demo            run them all; finished ones are skipped
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0 done, 1 some recordings failed, 2 bad input, 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.command(arguments) or 0
    except SleeplibError as error:
        print(f"sleeplib: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone: `sleeplib run --plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # no permission, no space left
        print(f"sleeplib: {error.filename or 'disk'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sleeplib: interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="sleeplib",
        description="Deep-learning sleep staging, step by step: simulate or prepare nights, "
        "train, evaluate, run the book's experiments.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sleeplib {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_cohorts, _fetch, _simulate, _prepare, _split, _train, _evaluate, _run):
        add(commands)
    return top


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not where there is none or the text tells it already."""

    def _get_help_string(self, action):
        told = action.default in (None, []) or "(default" in action.help
        return action.help if told else super()._get_help_string(action)


def _command(commands, name: str, function, help: str) -> argparse.ArgumentParser:
    """A command whose description is the docstring of its function."""
    command = commands.add_parser(name, help=help, description=function.__doc__, formatter_class=_Help)
    command.set_defaults(command=function)
    return command


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _jobs(command) -> None:
    command.add_argument("--jobs", type=_positive, default=os.cpu_count(), help="processes side by side")


def _pairs(items: list[str], option: str) -> dict[str, str]:
    pairs = dict(item.partition("=")[::2] for item in items)
    if "" in pairs or "" in pairs.values():
        raise SleeplibError(f"{option} takes NAME=VALUE, not {' '.join(items)}")
    return pairs


def _values(items: list[str]) -> dict:
    import yaml

    return {name: yaml.safe_load(value) for name, value in _pairs(items, "--set").items()}


def _backend(command) -> None:
    command.add_argument(
        "--backend",
        choices=("loky", "ray"),
        default="loky",
        help="ray: on a Ray cluster, that of RAY_ADDRESS or one on this machine (needs the extra `cluster`)",
    )


def _cohorts(commands) -> None:
    command = _command(commands, "cohorts", cohorts_table, "list the cohorts that have a manifest")
    command.add_argument(
        "cohort", nargs="*", help="names or paths of manifests (default: all); one alone is told whole"
    )


def cohorts_table(a) -> None:
    """List cohorts: persons, recordings, access, channels, rates, scoring; one alone with what is peculiar to it."""
    from sleeplib import cohorts

    manifests = [cohorts.load(name) for name in a.cohort or cohorts.names()]
    print(
        cohorts.describe(manifests[0])
        if len(manifests) == 1
        else cohorts.table(manifests).to_string(index=False)
    )


def _fetch(commands) -> None:
    command = _command(commands, "fetch", fetch, "download a cohort, or what is published beside it")
    command.add_argument("cohort", help="manifest by name or path, or `splits` for the published splits")
    command.add_argument("--out", type=Path, help="folder of the files (default: data/COHORT)")
    command.add_argument("--base-url", metavar="URL", help="a mirror to take the files from")
    command.add_argument("--only", metavar="GLOB", help="only files whose path fits, such as '*SC400*'")
    command.add_argument("--limit", type=_positive, metavar="N", help="only the first N files")
    command.add_argument("--jobs", type=_positive, default=4, help="files at a time")
    command.add_argument(
        "--verify", action="store_true", help="read all files again to compare their checksums"
    )
    command.add_argument("--force", action="store_true", help="replace files that have another checksum")


def fetch(a) -> int:
    """Download the files of a cohort; those that stand already are not fetched again, those cut off are resumed.

    A file counts only once its checksum is right. NSRR's cohorts need a token in the environment variable NSRR_TOKEN;
    of restricted cohorts the command says how to get them, and checks the files that you have put in place.
    """
    from sleeplib import cohorts
    from sleeplib.cohorts import downloads
    from sleeplib.results import data_folder

    out = a.out or data_folder() / Path(a.cohort).stem
    if a.cohort == "splits":
        for name in ("usleep", "seqsleepnet"):
            print(downloads.fetch_split(name, out, a.base_url))
        return 0
    manifest = cohorts.load(a.cohort)
    download = downloads.Download.from_manifest(manifest.download)
    options = {"only": a.only, "limit": a.limit, "jobs": a.jobs, "verify": a.verify, "force": a.force}
    report = downloads.fetch(manifest.name, manifest.access, download, out, a.base_url, **options)
    for problem in report.problems():
        print(f"sleeplib: {problem}", file=sys.stderr)
    print(report)
    if manifest.access.get("kind") == "agreement" and out.is_dir():
        return _in_place(manifest, out)
    return 1 if report.failed or report.missing else 0


def _in_place(manifest, out: Path) -> int:
    """Say what of a restricted cohort lies in its folder, and whether it can be read."""
    from sleeplib.prepare import survey

    seen = survey(manifest, out, None)
    print(f"{out}: {len(seen)} of {manifest.recordings or 'unknown'} recordings are in place")
    return _surveyed(seen)


def _simulate(commands) -> None:
    command = _command(commands, "simulate", simulate, "make a cohort of simulated nights")
    command.add_argument(
        "cohort",
        nargs="?",
        default="embedded",
        help="manifest by name or path; it holds the seed, the population, the site and its scorers",
    )
    command.add_argument(
        "--like",
        metavar="COHORT",
        help="make a twin of a real cohort: simulated nights in its folders, file names, labels and formats",
    )
    command.add_argument(
        "--out", type=Path, help="folder of the files (default: data/COHORT, data/COHORT-twin)"
    )
    command.add_argument(
        "-n", "--persons", type=_positive, help="instead of the manifest's number (default: the manifest's)"
    )
    command.add_argument(
        "--hours", type=float, help="length of each night (default: the manifest's, about 8)"
    )
    _jobs(command)
    _backend(command)


def simulate(a) -> None:
    """Simulate a cohort: the files of its nights, with the table of its participants.

    Beside them stands the truth at 128 Hz (truth/*.tsv). The same manifest gives the same bytes, whatever the number of
    jobs; an interrupted run goes on where it stopped.
    """
    from sleeplib import cohorts, simulator
    from sleeplib.results import data_folder

    manifest = cohorts.load(a.like or a.cohort)
    if not a.like and not manifest.simulated:
        raise SleeplibError(
            f"{manifest.name} is a cohort of real nights; for its twin: sleeplib simulate --like {manifest.name}"
        )
    out = a.out or data_folder() / (manifest.name + ("-twin" if a.like else ""))
    paths = simulator.simulate(
        manifest, out, persons=a.persons, hours=a.hours, jobs=a.jobs, backend=a.backend
    )
    found = {entry.signals: entry.subject.id for entry in cohorts.recordings(manifest, out)}
    persons = len({found[path] for path in paths})
    print(f"{len(paths)} simulated nights of {persons} persons in {out}, their truth in {out / 'truth'}")


def _prepare(commands) -> None:
    command = _command(commands, "prepare", prepare, "read a cohort into a store of prepared nights")
    command.add_argument("cohort", help="manifest by name or path, such as embedded or shhs")
    command.add_argument("--root", type=Path, required=True, help="folder that holds the cohort's files")
    command.add_argument("--out", type=Path, help="folder of the store")
    command.add_argument(
        "--for",
        dest="network",
        choices=("seqsleepnet", "anysleep"),
        default="seqsleepnet",
        help="seqsleepnet: one EEG, EOG and EMG at 100 Hz; anysleep: every EEG and EOG at 128 Hz, scaled and clipped",
    )
    command.add_argument("--rate", type=float, help="samples per second (default: 100 or 128, by --for)")
    command.add_argument(
        "--scaling",
        choices=("none", "robust", "robust-authors"),
        help="robust: median and IQR, then clipped to +-20; robust-authors: clipped first (default: by --for)",
    )
    command.add_argument(
        "--filters",
        choices=("none", "seqsleepnet"),
        default="none",
        help="seqsleepnet: of the authors' program",
    )
    command.add_argument(
        "--montage",
        nargs="+",
        metavar="ROLE=CHANNEL",
        default=[],
        help="channels to use instead of the manifest's; 'A - B' is a difference",
    )
    command.add_argument("--limit", type=_positive, metavar="N", help="only the first N recordings")
    command.add_argument(
        "--dry-run", action="store_true", help="only look at the headers and say what would be done"
    )
    _jobs(command)
    _backend(command)


def prepare(a) -> int:
    """Read each recording of a cohort, derive its channels, resample, scale, and align signals with stages.

    The store holds int16 arrays, an index, and a report of the quality of every channel (quality.tsv, quality.png).
    Recordings that cannot be used are listed and skipped, the rest completes (exit code 1); nights that are done
    already are kept.
    """
    from sleeplib import cohorts
    from sleeplib.preparation import anysleep
    from sleeplib.prepare import survey

    manifest, recipe = cohorts.load(a.cohort), {"filters": a.filters}
    if a.network == "anysleep":
        recipe |= {key: getattr(anysleep(), key) for key in ("montage", "rate", "scaling")}
    recipe |= {key: value for key, value in (("rate", a.rate), ("scaling", a.scaling)) if value}
    if a.montage:
        recipe["montage"] = _pairs(a.montage, "--montage")
    if a.dry_run:
        return _surveyed(
            survey(manifest, a.root, recipe.get("montage", manifest.montage), a.jobs, backend=a.backend)
        )
    if a.out is None:
        raise SleeplibError("prepare needs --out, the folder of the store (or --dry-run)")
    return _prepared(manifest, a, recipe)


def _prepared(manifest, a, recipe: dict) -> int:
    import matplotlib

    matplotlib.use("Agg")
    from sleeplib import plotting
    from sleeplib.prepare import REPORT
    from sleeplib.prepare import prepare as prepare_cohort

    store, failures = prepare_cohort(
        manifest, a.root, a.out, a.jobs, limit=a.limit, backend=a.backend, **recipe
    )
    for failure in failures:
        print(f"sleeplib: {failure}", file=sys.stderr)
    plotting.use_style()
    plotting.quality(store).savefig(a.out / "quality.png")
    hours = store.lengths.sum() * store.epoch_seconds / 3600
    montage = store.preparation.montage
    channels = (
        ", ".join(f"{role} ({_told(channel)})" for role, channel in montage.items())
        if montage
        else (f"{len(store.channels)} channels ({', '.join(store.channels)})")
    )
    print(f"{len(store)} nights of {len(set(store.persons))} persons, {hours:.1f} h of {channels} in {a.out}")
    noted = sum(bool(store.quality(i)["notes"]) for i in range(len(store)))
    print(f"{noted} of them with something to note: see {a.out / REPORT} and quality.png")
    if failures:
        print(f"{len(failures)} recordings could not be used; they are listed in {a.out / 'index.json'}")
    return 1 if failures else 0


def _told(channel) -> str:
    """A derivation, or its alternatives, in words."""
    return channel if isinstance(channel, str) else " or ".join(channel)


def _surveyed(seen) -> int:
    """Print what a look at the headers found."""
    from collections import Counter

    bad = [one for one in seen if one.problem]
    good = [one for one in seen if not one.problem]
    for one in bad[:20]:
        print(f"sleeplib: {one.id}: {one.problem}", file=sys.stderr)
    hours, persons = sum(one.hours for one in good), len({one.person for one in good})
    print(f"{len(good)} of {len(seen)} recordings can be prepared: {hours:,.1f} h of {persons} persons")
    for name, n in Counter(name for one in good for name in one.channels).items():
        print(f"  {name:<14} in {n}")
    return 1 if bad else 0


def _split(commands) -> None:
    command = _command(commands, "split", split, "say who trains, who validates and who tests")
    command.add_argument("store", type=Path, help="folder made by `sleeplib prepare`")
    command.add_argument("--out", type=Path, help="file of the split (default: STORE/split.json)")
    command.add_argument(
        "--published",
        type=Path,
        metavar="FILE",
        help="the published split of AnySleep (usleep_split.yaml) or the folds of SeqSleepNet (data_split_eval.mat), "
        "from `sleeplib fetch splits`; by default a new one under AnySleep's rule",
    )
    command.add_argument("--fold", type=_positive, default=1, help="which of SeqSleepNet's 20 folds")
    command.add_argument("--seed", type=int, default=0, help="of a new split")


def split(a) -> None:
    """Divide the recordings of a store by person (or family): the published split, or a new one.

    A new one follows AnySleep's rule: 15 % of the persons, at most 100, for the test, 10 %, at most 50, to validate.
    The same seed gives the same split. Somebody in two parts is an error.
    """
    from sleeplib.cohorts import splits
    from sleeplib.store import Store

    store = Store(a.store)
    if a.published is None:
        parts = splits.protocol(store.groups, a.seed)
    elif a.published.suffix == ".mat":
        folds = splits.assign_folds(splits.read_seqsleepnet_folds(a.published), store.ids, store.groups)
        parts = folds[(a.fold - 1) % len(folds)]
    else:
        published = splits.read_usleep_split(a.published)
        parts = {part: published[part].get(store.cohort, []) for part in published}
        parts = splits.assign(parts, store.ids, store.groups, str(a.published))
    out = a.out or a.store / "split.json"
    splits.write_split(out, parts, store.ids)
    for part, which in parts.items():
        print(f"{part}: {len(which)} recordings of {len(set(store.persons[which]))} persons")
    print(f"written to {out}; use it with `sleeplib train --split {out}`")


def _train(commands) -> None:
    command = _command(
        commands,
        "train",
        train,
        "train a network on a store",
    )
    from sleeplib.models import NETWORKS

    command.add_argument("network", choices=NETWORKS, help="which network")
    command.add_argument("--store", type=Path, required=True, help="folder made by `sleeplib prepare`")
    command.add_argument(
        "--out", type=Path, required=True, help="folder of the run: checkpoint, weights, card, history"
    )
    command.add_argument(
        "--split", type=Path, help="file made by `sleeplib split` (default: the next two options)"
    )
    command.add_argument(
        "--valid-persons", type=_positive, default=2, help="persons to choose the best step by"
    )
    command.add_argument(
        "--test-persons", type=_positive, default=4, help="persons kept for `sleeplib evaluate`"
    )
    command.add_argument(
        "--steps", type=_positive, help="stop after this many steps (default: the passes decide)"
    )
    command.add_argument("--passes", type=_positive, help="passes over all sequences (default: the paper's)")
    command.add_argument("--learning-rate", type=float, default=1e-4)
    command.add_argument("--batch-size", type=_positive, default=32, help="sequences in a batch")
    command.add_argument(
        "--device", help="torch's name of it, such as cpu or cuda (default: a GPU where there is one)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="of the split, the weights, the batches and the dropout"
    )
    command.add_argument(
        "--set",
        nargs="+",
        metavar="NAME=VALUE",
        default=[],
        help="settings of the network, such as sequence_length=10",
    )


def train(a) -> None:
    """Train a network on the persons of a store and write the weights of its best validation step with a card.

    Persons set apart for the test are never touched. The defaults are the paper's. A run that was interrupted goes on
    from its checkpoint when the same command is given again, to the same bits.
    """
    from sleeplib import cohorts, protocol
    from sleeplib.store import Store

    store = Store(a.store)
    recipe = {"learning_rate": a.learning_rate, "batch_size": a.batch_size, "seed": a.seed}
    recipe |= {name: value for name, value in (("max_steps", a.steps), ("passes", a.passes)) if value}
    if a.split:
        split = cohorts.splits.read_split(a.split, store.ids, store.groups)
    else:
        split = cohorts.split(store.groups, a.valid_persons, a.test_persons, a.seed)
    system = protocol.System(a.network, a.network, _values(a.set), recipe)
    network = protocol.train(store, split, system, a.out, device=a.device)
    print(
        f"validation accuracy {100 * network.card['validation_accuracy']:.1f} "
        f"%; weights in {a.out / a.network}.safetensors"
    )


def _evaluate(commands) -> None:
    command = _command(
        commands,
        "evaluate",
        evaluate,
        "score a trained network on persons it has never seen",
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


def _run(commands) -> None:
    command = _command(
        commands,
        "run",
        run,
        "run the notebooks of the book",
    )
    command.add_argument("notebooks", nargs="*", help="names without suffix (default: all)")
    command.add_argument(
        "--profile",
        choices=("smoke", "demo", "paper"),
        default="demo",
        help="smoke: seconds; demo: the embedded cohort on a laptop; paper: the papers' settings",
    )
    command.add_argument(
        "--set", nargs="+", metavar="NAME=VALUE", default=[], help="parameters of the notebooks"
    )
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
        print(experiments.describe(experiments.plan(a.profile, a.notebooks, _values(a.set))))
    else:
        experiments.run(a.profile, a.notebooks, _values(a.set), force=a.force)


if __name__ == "__main__":
    sys.exit(main())
