"""A cohort's files in, a store of prepared nights and a report of their quality out."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sleeplib import cohorts, parallel, quality, store
from sleeplib.cohorts import Entry, Manifest, nights
from sleeplib.cohorts.channels import derive
from sleeplib.errors import SleeplibError
from sleeplib.preparation import Preparation, cut, place, prepared, stages_at
from sleeplib.recording import Event, Header
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
    changes : settings of `Preparation` that differ from the manifest's; `montage=None` takes every EEG and EOG channel

    Returns
    -------
    store : Store
    failures : list of one line for each recording that could not be used; the others are complete

    Raises
    ------
    SleeplibError
        If no recording could be prepared.
    """
    folder, found = Path(folder), cohorts.recordings(manifest, root)[:limit]
    seconds = manifest.epoch_seconds or _seconds(manifest, found)
    preparation = Preparation(**{"montage": manifest.montage or None, "epoch_seconds": seconds} | changes)
    folder.mkdir(parents=True, exist_ok=True)
    work = [(manifest, entry, folder, preparation) for entry in found]
    done = list(parallel.work(_prepare, work, jobs, backend, f"preparing {manifest.name}", progress=progress))
    failures = [failure for failure in done if isinstance(failure, str)]
    sidecars = [json.loads(path.read_text()) for path in done if isinstance(path, Path)]
    if not sidecars:
        raise SleeplibError(
            f"{root}: none of the {len(found)} recordings could be prepared; the first: {failures[0]}"
        )
    simulated = manifest.simulated or any(is_simulated(f) for f in (found[0].signals.parents)[:8])
    title = manifest.title if manifest.simulated or not simulated else f"Simulated twin of {manifest.title}"
    store.write_index(
        folder, sidecars, preparation, cohort=manifest.name, title=title, simulated=simulated, failures=failures,
        excluded=manifest.exclude,
    )  # fmt: skip
    report(folder, sidecars)
    return Store(folder), failures


def _seconds(manifest: Manifest, found: list[Entry]) -> float:
    """Length of the epochs where the manifest leaves it to the files: that of the first; 30 s where it is 20."""
    seconds = nights.score(manifest, found[0], nights.header_of(found[0]))[0].epoch_seconds
    return 30.0 if np.isclose(seconds, 20) else seconds


def _prepare(manifest: Manifest, entry: Entry, folder: Path, preparation: Preparation) -> Path | str:
    """Prepare one recording unless it is done; the path of its sidecar, or what was wrong with it."""
    sidecar = folder / f"{entry.id}.json"
    try:
        source = "; ".join(map(_stamp, (entry.signals, *entry.scoring, *entry.events)))
        if _done(sidecar, entry, source, preparation):
            return sidecar
        _write(manifest, entry, folder, preparation, source)
    except (SleeplibError, OSError) as error:
        return str(error) if str(entry.signals) in str(error) else f"{entry.signals}: {error}"
    return sidecar


def _stamp(path: Path) -> str:
    return f"{path.resolve()}:{path.stat().st_size}:{path.stat().st_mtime_ns}"


def _done(sidecar: Path, entry: Entry, source: str, preparation: Preparation) -> bool:
    try:
        old = json.loads(sidecar.read_text())
    except (OSError, ValueError):
        return False
    wanted = {
        "schema": store.SCHEMA,
        "source": source,
        "preparation": asdict(preparation),
        "group": entry.group,
    }
    wanted |= {"subject": asdict(entry.subject)}
    return (
        all(old.get(key) == value for key, value in wanted.items()) and sidecar.with_suffix(".npy").is_file()
    )


def _write(manifest: Manifest, entry: Entry, folder: Path, preparation: Preparation, source: str) -> None:
    header = nights.header_of(entry)
    chosen = nights.derivations(manifest, header, preparation.montage)
    if not chosen:
        raise SleeplibError(f"{entry.id}: no channel of the cohort among {', '.join(header.channels)}")
    hypnogram, scorings, events = nights.score(manifest, entry, header)
    rows, measured = [], {}
    for derivation in chosen:  # one at a time, so that the raw night never stands in memory
        x, rate = derive(derivation, nights.reader_of(entry))
        measured[derivation.name] = quality.inspect(x, rate, derivation.type)
        rows.append(prepared(x, rate, derivation.type, preparation))
    starts, stages = place(hypnogram, min(map(len, rows)), preparation, header.gaps, entry.id)
    x = [cut(row, starts, preparation) for row in rows]
    begin, end = starts[0] / preparation.rate, starts[-1] / preparation.rate + preparation.epoch_seconds
    store.write_night(
        folder, entry.id, x, stages, [d.name for d in chosen], [d.type for d in chosen], preparation,
        subject=entry.subject, group=entry.group, source=source,
        events=[Event(e.kind, e.onset - begin, e.duration) for e in events if begin <= e.onset < end],
        scorings=[stages_at(s, starts, preparation) for s in scorings],
        quality=_quality(manifest, header, chosen, measured, hypnogram, begin, end),
    )  # fmt: skip


def _quality(manifest, header: Header, chosen, measured, hypnogram, begin: float, end: float) -> dict:
    """What the report tells of a recording."""
    units = dict(zip(header.channels, header.units, strict=True))
    notes = []
    for d in chosen:
        found = quality.faults(measured[d.name], units[next(iter(d.terms))])
        notes += [f"{d.name}: {', '.join(found)}"] if found else []
    names = [name for kind in ("eeg", "eog") for name in manifest.channels.get(kind, {})]
    missing = (
        [name for name in names if name not in measured] if len(chosen) and chosen[0].name in names else []
    )
    unused = header.duration - (end - begin)
    if missing:
        more = f" and {len(missing) - 4} others" if len(missing) > 4 else ""
        notes.append(f"cannot be derived: {', '.join(missing[:4])}{more}")
    if unused > hypnogram.epoch_seconds:
        notes.append(f"{unused / 60:.1f} min of signal without stages")
    if header.gaps:
        notes.append(f"{len(header.gaps)} gaps of {sum(d for _, d in header.gaps):.0f} s in all")
    return {"channels": measured, "notes": notes, "hours": (end - begin) / 3600}


def report(folder: str | Path, sidecars: list[dict]) -> Path:
    """Write the table of the recordings' quality, a row for each channel."""
    path = Path(folder) / REPORT
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["recording", "person", "channel", "sd", "flat", "disconnected", "clipped", "notes"])
        for night in sidecars:
            for name, q in night["quality"].get("channels", {}).items():
                notes = [
                    note for note in night["quality"]["notes"] if note.startswith((f"{name}:", "cannot"))
                ]
                values = [f"{q[key]:.4g}" for key in ("sd", "flat", "disconnected", "clipped")]
                table.writerow([night["id"], night["subject"]["id"], name, *values, "; ".join(notes)])
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
    backend: str = "loky",
) -> list[Survey]:  # fmt: skip
    """Look at the headers of a cohort's recordings, without reading signals or stages: what `prepare` would do.

    Raises
    ------
    SleeplibError
        If there are no recordings.
    """
    found = cohorts.recordings(manifest, root)
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
