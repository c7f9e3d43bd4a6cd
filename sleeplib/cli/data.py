"""The commands that get, make, prepare and divide nights: `cohorts | fetch | simulate | prepare | split`."""

import sys
from pathlib import Path

from sleeplib.cli.common import add_backend, add_command, add_jobs, number, pairs, positive, seed
from sleeplib.errors import SleeplibError


def add_cohorts(commands) -> None:
    """Options of `sleeplib cohorts`."""
    command = add_command(commands, "cohorts", cohorts_table, "list the cohorts that have a manifest")
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


def add_fetch(commands) -> None:
    """Options of `sleeplib fetch`."""
    command = add_command(commands, "fetch", fetch, "download a cohort, or what is published beside it")
    command.add_argument("cohort", help="manifest by name or path, or `splits` for the published splits")
    command.add_argument("--out", type=Path, help="folder of the files (default: data/COHORT)")
    command.add_argument("--base-url", metavar="URL", help="a mirror to take the files from")
    command.add_argument("--only", metavar="GLOB", help="only files whose path fits, such as '*SC400*'")
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N files")
    command.add_argument("--jobs", type=positive, default=4, help="files at a time")
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
    code = 1 if report.failed or report.missing else 0
    if manifest.access.get("kind") == "agreement" and _holds_files(out):
        return max(code, _in_place(manifest, out))
    return code


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir())


def _in_place(manifest, out: Path) -> int:
    """Say what of a restricted cohort lies in its folder, and whether it can be read."""
    from sleeplib.prepare import survey

    seen = survey(manifest, out, None)
    print(f"{out}: {len(seen)} of {manifest.recordings or 'unknown'} recordings are in place")
    return _surveyed(seen)


def add_simulate(commands) -> None:
    """Options of `sleeplib simulate`."""
    command = add_command(commands, "simulate", simulate, "make a cohort of simulated nights")
    command.add_argument(
        "cohort",
        nargs="?",
        help="manifest by name or path; it holds seed, population, site and scorers (default: embedded)",
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
        "-n", "--persons", type=positive, help="instead of the manifest's number (default: the manifest's)"
    )
    command.add_argument(
        "--hours", type=float, help="length of each night (default: the manifest's, about 8)"
    )
    add_jobs(command)
    add_backend(command)


def simulate(a) -> None:
    """Simulate a cohort: the files of its nights, with the table of its participants.

    Beside them stands the truth at 128 Hz (truth/*.tsv). The same manifest gives the same bytes, whatever the number of
    jobs; an interrupted run goes on where it stopped.
    """
    from sleeplib import cohorts, simulator
    from sleeplib.results import data_folder

    if a.like and a.cohort:
        raise SleeplibError(f"--like {a.like} makes a twin of it; leave {a.cohort} away")
    manifest = cohorts.load(a.like or a.cohort or "embedded")
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


def add_prepare(commands) -> None:
    """Options of `sleeplib prepare`."""
    command = add_command(commands, "prepare", prepare, "read a cohort into a store of prepared nights")
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
    command.add_argument(
        "--rate", type=number(float, 1, 1024), help="samples per second (default: 100 or 128, by --for)"
    )
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
        action="extend",
        metavar="ROLE=CHANNEL",
        default=[],
        help="channels to use instead of the manifest's; 'A - B' is a difference",
    )
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N recordings")
    command.add_argument(
        "--dry-run", action="store_true", help="only look at the headers and say what would be done"
    )
    command.add_argument(
        "--force", action="store_true", help="replace a store of other settings or with other nights"
    )
    add_jobs(command)
    add_backend(command)


def prepare(a) -> int:
    """Read each recording of a cohort, derive its channels, resample, scale, and align signals with stages.

    The store holds int16 arrays, an index, and a report of the quality of every channel (quality.tsv, quality.png).
    Recordings that cannot be used are listed and skipped, the rest completes (exit code 1); nights that are done
    already are kept.
    """
    from sleeplib import cohorts
    from sleeplib.preparation import ANYSLEEP
    from sleeplib.prepare import survey

    manifest, recipe = cohorts.load(a.cohort), {"filters": a.filters}
    if a.network == "anysleep":
        recipe |= ANYSLEEP
    recipe |= {k: value for k, value in (("rate", a.rate), ("scaling", a.scaling)) if value is not None}
    if a.montage:
        recipe["montage"] = pairs(a.montage, "--montage")
    if a.dry_run:
        montage = recipe.get("montage", manifest.montage)
        return _surveyed(survey(manifest, a.root, montage, a.jobs, backend=a.backend, limit=a.limit))
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
        manifest, a.root, a.out, a.jobs, limit=a.limit, backend=a.backend, replace=a.force, **recipe
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
    for note in store.notes:
        print(note)
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


def add_split(commands) -> None:
    """Options of `sleeplib split`."""
    command = add_command(commands, "split", split, "say who trains, who validates and who tests")
    command.add_argument("store", type=Path, help="folder made by `sleeplib prepare`")
    command.add_argument("--out", type=Path, help="file of the split (default: STORE/split.json)")
    command.add_argument(
        "--published",
        type=Path,
        metavar="FILE",
        help="the published split of AnySleep (usleep_split.yaml) or the folds of SeqSleepNet (data_split_eval.mat), "
        "from `sleeplib fetch splits`; by default a new one under AnySleep's rule",
    )
    command.add_argument("--fold", type=positive, help="which of SeqSleepNet's 20 folds (default: 1)")
    command.add_argument("--seed", type=seed, help="of a new split (default: 0)")
    command.add_argument("--force", action="store_true", help="write over another split that is there")


def split(a) -> None:
    """Divide the recordings of a store by person (or family): the published split, or a new one.

    A new one follows AnySleep's rule: 15 % of the persons, at most 100, for the test, 10 %, at most 50, to validate.
    The same seed gives the same split. Somebody in two parts is an error.
    """
    from sleeplib.cohorts import splits
    from sleeplib.store import Store

    store = Store(a.store)
    parts, listed = _parts(a, store)
    out = a.out or a.store / "split.json"
    _write(out, splits.as_text(parts, store.ids, store.cohort), a.force)
    for part, which in parts.items():
        print(f"{part}: {len(which)} recordings of {len(set(store.persons[which]))} persons")
    if a.published:
        used = {store.ids[i] for which in parts.values() for i in which}
        others = [name for name in store.ids if name not in used]
        some = f", such as {', '.join(others[:3])}" if others else ""
        print(f"in no part: {len(others)} of the {len(store)} recordings at hand{some}")
        print(f"not at hand: {listed - len(used)} of the {listed} published ones")
    print(f"written to {out}; use it with `sleeplib train --split {out}`")


def _write(out: Path, text: str, force: bool) -> None:
    """Write a split, unless the same stands there; another is written over only by force."""
    from sleeplib.export.writing import writing

    if out.suffix != ".json":
        raise SleeplibError(f"{out}: the file of a split ends in .json")
    if out.is_file() and out.read_bytes() == text.encode():
        return
    with writing(out, force=force) as [part]:
        part.write_text(text, encoding="utf-8")


def _parts(a, store) -> tuple[dict, int]:
    """The recordings at hand by part, and the number of those in the published split."""
    from sleeplib.cohorts import splits

    folds = a.published is not None and a.published.suffix == ".mat"
    if a.fold and not folds:
        raise SleeplibError(
            "--fold is one of SeqSleepNet's: give their file, data_split_eval.mat, with --published"
        )
    if a.seed is not None and a.published:
        raise SleeplibError("--seed is of a new split; leave it or --published away")
    if a.published is None:
        return splits.protocol(store.groups, a.seed or 0), len(store)
    if folds:
        found = splits.assign_folds(splits.read_seqsleepnet_folds(a.published), store.ids, store.groups)
        fold = a.fold or 1
        if fold > len(found):
            raise SleeplibError(f"--fold {fold}: {a.published} has {len(found)} folds")
        return found[fold - 1], len(store)
    published = splits.read_usleep_split(a.published)
    ids = {part: published[part].get(store.cohort, []) for part in published}
    listed = sum(map(len, ids.values()))
    return splits.assign(ids, store.ids, store.groups, str(a.published)), listed


COMMANDS = (add_cohorts, add_fetch, add_simulate, add_prepare, add_split)
