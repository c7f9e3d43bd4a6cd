"""A cohort's files in, a store of prepared nights and a report of their quality out."""

import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sleeplib import cohorts, parallel, quality, store
from sleeplib.cohorts import Entry, Manifest, nights
from sleeplib.errors import SleeplibError
from sleeplib.montages import derive
from sleeplib.preparation import Preparation, at_rate, epochs, move, near, place, stages_at
from sleeplib.recording import Header, Hypnogram
from sleeplib.simulator.cohort import is_simulated
from sleeplib.store import Store

REPORT = "quality.tsv"


def prepare(
    manifest: Manifest,
    root: str | Path,
    folder: str | Path,
    jobs: int = 1,
    progress: bool = True,
    limit: int | None = None,
    backend: str = "loky",
    replace: bool = True,
    **changes,
) -> tuple[Store, list[str]]:
    """Prepare a cohort: read every night, derive its channels, resample, scale, align with the stages, and store it.

    Parameters
    ----------
    manifest : Manifest
    root : folder of the cohort's files
    folder : folder of the store; nights that are already there, from the same files and settings, are kept
    jobs, backend : processes side by side, and of what kind (see `sleeplib.parallel`)
    limit : take only the first recordings
    replace : whether a store of other settings, or with nights that are not among these, may give way
    changes : settings of `Preparation` that differ from the manifest's; `montage=None` takes every EEG and EOG channel

    Returns
    -------
    store : Store
    failures : list of one line for each recording that could not be used; the others are complete

    Raises
    ------
    SleeplibError
        If no recording could be prepared, or the folder is another cohort's store or one that must not be replaced.
    """
    folder, found = Path(folder), cohorts.recordings(manifest, root)[:limit]
    seconds = manifest.epoch_seconds or _seconds(manifest, found)
    preparation = Preparation(**{"montage": manifest.montage or None, "epoch_seconds": seconds} | changes)
    _claim(manifest, folder, preparation, {entry.id for entry in found}, replace)
    work = [(manifest, entry, folder, preparation) for entry in found]
    done = list(parallel.work(_prepare, work, jobs, backend, f"preparing {manifest.name}", progress=progress))
    failures = [failure for failure in done if isinstance(failure, str)]
    sidecars = [json.loads(path.read_text()) for path in done if isinstance(path, Path)]
    if not sidecars:
        raise SleeplibError(
            f"{root}: none of the {len(found)} recordings could be prepared; the first: {failures[0]}"
        )
    above = found[0].signals.resolve().parents
    simulated = manifest.simulated or any(map(is_simulated, above))
    title = manifest.title if manifest.simulated or not simulated else f"Simulated twin of {manifest.title}"
    store.write_index(
        folder, sidecars, preparation, cohort=manifest.name, title=title, simulated=simulated, failures=failures,
        excluded=manifest.exclude, notes=cohorts.tables_missing(manifest, root, found),
    )  # fmt: skip
    report(folder, sidecars, failures)
    return Store(folder), failures


def _seconds(manifest: Manifest, found: list[Entry]) -> float:
    """Length of the epochs where the manifest leaves it to the files: that of the first good one; 30 s where it is 20.

    A scorer's clock that runs a little off (30.002 s, MASS) does not make epochs of their own length.

    Raises
    ------
    SleeplibError
        If no hypnogram can be read, that of the first.
    """
    error = None
    for entry in found:
        try:
            seconds = nights.score(manifest, entry, nights.header_of(entry)).hypnogram.epoch_seconds
            seconds = float(round(seconds)) if near(seconds, round(seconds)) else seconds
            return 30.0 if seconds == 20 else seconds
        except SleeplibError as problem:
            error = error or problem
    raise error


def _claim(manifest: Manifest, folder: Path, preparation: Preparation, ids: set[str], replace: bool) -> None:
    """Make the folder of the store, unless one is there that must not give way."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        index = json.loads((folder / "index.json").read_text())
        cohort, settings = index["cohort"], index["preparation"]
        more = sorted({night["id"] for night in index["recordings"]} - ids)
    except (OSError, ValueError, TypeError, KeyError):
        return
    if cohort != manifest.name:
        raise SleeplibError(
            f"{folder}: is the store of the cohort {cohort!r}; name another folder with --out"
        )
    if replace:
        return
    remedy = "name another folder with --out, or pass --force to replace them"
    for name, value in json.loads(json.dumps(asdict(preparation))).items():
        if settings.get(name) != value:
            theirs, ours = ("every EEG and EOG" if x is None else x for x in (settings.get(name), value))
            told = f"its nights were prepared with {name} {theirs}, and {ours} is asked for"
            raise SleeplibError(f"{folder}: {told}; {remedy}")
    if more:
        some = ", ".join(more[:3]) + (f" and {len(more) - 3} others" if len(more) > 3 else "")
        raise SleeplibError(
            f"{folder}: {len(more)} of its nights would go, which are not among these {len(ids)}: {some}; {remedy}"
        )


def _prepare(manifest: Manifest, entry: Entry, folder: Path, preparation: Preparation) -> Path | str:
    """Prepare one recording unless it is done; the path of its sidecar, or what was wrong with it."""
    try:
        if not _done(manifest, entry, folder, preparation):
            _write(manifest, entry, folder, preparation)
    except (SleeplibError, OSError) as error:
        return str(error) if str(entry.signals) in str(error) else f"{entry.signals}: {error}"
    except Exception as error:  # a bug of ours in one night must not cost the others
        return f"{entry.signals}: unexpected {type(error).__name__}: {error}"
    return folder / f"{entry.id}.json"


def _source(manifest: Manifest, entry: Entry) -> str:
    """What a prepared night depends on: its files, and what the manifest says of such files."""
    files = [f"{path.resolve()}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in entry.files]
    read_by = json.dumps([manifest.channels, manifest.hypnogram, manifest.events], sort_keys=True)
    return "; ".join([*files, f"manifest {hashlib.sha256(read_by.encode()).hexdigest()[:16]}"])


def _done(manifest: Manifest, entry: Entry, folder: Path, preparation: Preparation) -> bool:
    """Whether a night stands whole, as it would be made now."""
    try:
        old = json.loads((folder / f"{entry.id}.json").read_text())
        wanted = {
            "schema": store.SCHEMA,
            "source": _source(manifest, entry),
            "preparation": asdict(preparation),
            "group": entry.group,
            "subject": asdict(entry.subject),
        }
        return all(old[key] == value for key, value in wanted.items()) and store.stands(folder, old)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(manifest: Manifest, entry: Entry, folder: Path, preparation: Preparation) -> None:
    header = nights.header_of(entry)
    chosen = nights.derivations(manifest, header, preparation.montage)
    if not chosen:
        raise SleeplibError(f"{entry.id}: no channel of the cohort among {', '.join(header.channels)}")
    scored = nights.score(manifest, entry, header)
    rows, measured = [], {}
    for derivation in chosen:  # one at a time, so that the raw night never stands in memory
        x, rate = derive(derivation, nights.reader_of(entry))
        measured[derivation.name] = quality.inspect(x, rate, derivation.type)
        rows.append(at_rate(x, rate, derivation.type, preparation))
    starts, stages = place(scored.hypnogram, min(map(len, rows)), preparation, header.gaps, entry.id)
    for i, row in enumerate(rows):
        rows[i] = epochs(row, starts, preparation, header.gaps)
    own = scored.hypnogram.epoch_seconds
    if (folder / f"{entry.id}.json").exists():
        (folder / "index.json").unlink(missing_ok=True)  # from here on it does not fit this night
    store.write_night(
        folder, entry.id, rows, stages, [d.name for d in chosen], [d.type for d in chosen], preparation,
        subject=entry.subject, group=entry.group, source=_source(manifest, entry),
        events=move(scored.events, starts, preparation, own),
        scorings=[stages_at(s, starts, preparation) for s in scored.scorings],
        quality={
            "step": own,  # s from one epoch to the next: 20 where epochs of 20 s were widened to 30
            "channels": measured,
            "notes": _notes(manifest, header, chosen, measured)
            + _lengths(header, scored.hypnogram, len(stages) * own)
            + [*scored.notes, *entry.notes],
        },
    )  # fmt: skip


def _notes(manifest: Manifest, header: Header, chosen, measured: dict) -> list[str]:
    """Faults of the channels, and those that could not be derived."""
    units, notes = dict(zip(header.channels, header.units, strict=True)), []
    for d in chosen:
        found = quality.faults(measured[d.name], units[next(iter(d.terms))])
        notes += [f"{d.name}: {', '.join(found)}"] if found else []
    names = [name for kind in ("eeg", "eog") for name in manifest.channels.get(kind, {})]
    missing = [name for name in names if name not in measured]
    # Roles are no names of the cohort's; and where names exclude each other, some are always missing.
    if missing and len(missing) < len(names) and "most_eeg" not in manifest.channels:
        more = f" and {len(missing) - 4} others" if len(missing) > 4 else ""
        notes.append(f"cannot be derived: {', '.join(missing[:4])}{more}")
    return notes


def _lengths(header: Header, hypnogram: Hypnogram, kept: float) -> list[str]:
    """Where signals and stages do not cover each other, and gaps."""
    scored = np.flatnonzero(hypnogram.scored)
    end = hypnogram.onset + (scored[-1] + 1 if len(scored) else 0) * hypnogram.epoch_seconds
    notes = []
    if header.duration - kept > 2 * hypnogram.epoch_seconds:
        notes.append(f"{(header.duration - kept) / 60:.1f} min of signal without stages")
    if end - header.duration >= hypnogram.epoch_seconds:
        notes.append(f"stages {(end - header.duration) / 60:.1f} min longer than the signal")
    if header.gaps:
        notes.append(f"{len(header.gaps)} gaps of {sum(d for _, d in header.gaps):.0f} s in all")
    return notes


def report(folder: str | Path, sidecars: list[dict], failures: list[str] = ()) -> Path:
    """Write the table of the recordings' quality: a row for each channel, one without channel for what concerns the
    whole recording, and one for each that could not be used."""
    path = Path(folder) / REPORT
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["recording", "person", "channel", "sd", "flat", "disconnected", "clipped", "notes"])
        for night in sidecars:
            who, notes = [night["id"], night["subject"]["id"]], list(night["quality"].get("notes", []))
            for name, q in night["quality"].get("channels", {}).items():
                own = [note for note in notes if note.startswith(f"{name}: ")]
                notes = [note for note in notes if note not in own]
                values = [f"{q[key]:.4g}" for key in ("sd", "flat", "disconnected", "clipped")]
                table.writerow([*who, name, *values, "; ".join(own)])
            if notes:
                table.writerow([*who, "", "", "", "", "", "; ".join(notes)])
        for failure in failures:
            table.writerow(["", "", "", "", "", "", "", failure])
    part.replace(path)
    return path


@dataclass(frozen=True)
class Survey:
    """What a recording's headers promise: hours, derivations, and what is missing."""

    id: str
    person: str
    hours: float
    channels: tuple[str, ...]
    scorers: int
    problem: str = ""


def survey(
    manifest: Manifest, root: str | Path, montage: dict | None = None, jobs: int = 1, progress: bool = True,
    backend: str = "loky", limit: int | None = None,
) -> list[Survey]:  # fmt: skip
    """Look at the headers of a cohort's recordings, without reading signals or stages: what `prepare` would do.

    Raises
    ------
    SleeplibError
        If there are no recordings.
    """
    found = cohorts.recordings(manifest, root)[:limit]
    work = [(manifest, found[i : i + 64], montage) for i in range(0, len(found), 64)]
    parts = parallel.work(_look, work, jobs, backend, f"looking at {manifest.name}", "batch", progress)
    return [one for part in parts for one in part]


def _look(manifest: Manifest, entries: list[Entry], montage: dict | None) -> list[Survey]:
    seen = []
    for entry in entries:
        try:
            header = nights.header_of(entry)
            names = tuple(d.name for d in nights.derivations(manifest, header, montage))
            problem = "" if names else "no channel of the cohort"
            if manifest.files.get("scoring") and not entry.scoring:
                problem = "no hypnogram beside it"
            hours = header.duration / 3600
            seen.append(Survey(entry.id, entry.subject.id, hours, names, len(entry.scoring), problem))
        except SleeplibError as error:
            seen.append(Survey(entry.id, entry.subject.id, 0.0, (), len(entry.scoring), str(error)))
    return seen
