"""One night of a cohort: harmonised channels, the hypnogram and the events in one vocabulary, whatever its files."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from sleeplib import readers
from sleeplib.cohorts.files import Entry
from sleeplib.cohorts.manifests import Manifest
from sleeplib.errors import SleeplibError
from sleeplib.montages import TYPES, Derivation, Montage, derive
from sleeplib.readers.codes import read_codes, read_ids
from sleeplib.readers.edf import read_edf_header, read_edf_scoring
from sleeplib.readers.isruc import read_isruc
from sleeplib.readers.npz import read_npz_hypnogram
from sleeplib.readers.nsrr import read_nsrr
from sleeplib.readers.respevt import read_respevt
from sleeplib.readers.scorings import cut, read_scoring_files
from sleeplib.readers.wfdb import read_wfdb_annotations
from sleeplib.recording import EVENTS, Event, Header, Hypnogram, Recording
from sleeplib.stages import STAGES, UNSCORED

_FAR = 12 * 3600  # s between the starts of two files of one night; more is a clock that is wrong


def read(manifest: Manifest, entry: Entry, montage: dict | None = None) -> Recording:
    """Read one recording of a cohort as everything after this room knows it.

    Parameters
    ----------
    montage : mapping of role to derivation
        By default every harmonised EEG, EOG and EMG channel of the manifest, or the file's own where it has none.

    Returns
    -------
    Recording
        Harmonised channels at their own rates; `hypnogram`, `scorings` and `events` (of `sleeplib.recording.EVENTS`)
        in seconds from the first sample.

    Raises
    ------
    SleeplibError
        If a file is missing or damaged.
    """
    header = header_of(entry)
    chosen = derivations(manifest, header, montage, TYPES)
    if not chosen:
        chosen = [Derivation(label, "EEG", {label: 1.0}) for label in header.channels]
    signals = [derive(d, reader_of(entry)) for d in chosen]
    units = dict(zip(header.channels, header.units, strict=True))
    recording = Recording(
        signals=[x for x, _ in signals],
        rates=[rate for _, rate in signals],
        channels=[d.name for d in chosen],
        units=[units[next(iter(d.terms))] for d in chosen],
        id=entry.id,
        start=header.start,
        subject=entry.subject,
        gaps=list(header.gaps),
    )
    scored = score(manifest, entry, header)
    recording.hypnogram, recording.scorings, recording.events = scored[:3]
    return recording


def header_of(entry: Entry) -> Header:
    """What the recording's file says of itself."""
    return replace(readers.header(entry.signals), id=entry.id)


def reader_of(entry: Entry) -> Callable[[list[str]], Recording]:
    """A function of labels that reads these channels, whatever is wrong with the annotations beside them."""
    return lambda labels: readers.read(entry.signals, labels, scored=False)


def derivations(
    manifest: Manifest, header: Header, montage: dict | None, types=("EEG", "EOG")
) -> list[Derivation]:
    """The channels to read: those of a montage's roles, or all harmonised ones of these types."""
    plan = Montage(manifest.channels, header)
    return plan.roles(montage) if montage else plan.every(types)


class Scored(NamedTuple):
    """What the files of a recording say of its sleep; `scorings` where there are several scorers."""

    hypnogram: Hypnogram
    scorings: list[Hypnogram]
    events: list[Event]
    notes: list[str]


def score(manifest: Manifest, entry: Entry, header: Header) -> Scored:
    """The hypnogram, those of all scorers where there are several, and the events of `EVENTS`.

    Raises
    ------
    SleeplibError
        If a file is missing or damaged, holds no stages, or there are more hypnograms than the manifest has scorers.
    """
    inside = manifest.hypnogram["format"] == "dreem"  # in the file of the signals, and the scorers' beside it
    if manifest.files.get("scoring") and not entry.scoring and not inside:
        wanted = manifest.files["scoring"]
        raise SleeplibError(
            f"{entry.signals}: no hypnogram beside it ({wanted if isinstance(wanted, str) else ' or '.join(wanted)})"
        )
    scorers = manifest.hypnogram.get("scorers", 1)
    if len(entry.scoring) > scorers:
        names = ", ".join(path.name for path in entry.scoring)
        raise SleeplibError(
            f"{entry.signals}: {len(entry.scoring)} hypnograms beside it ({names}); keep {scorers}"
        )
    scored = [_read(path, manifest, entry, header) for path in entry.scoring or [entry.signals]]
    scorings = [hypnogram for hypnogram, *_ in scored if hypnogram is not None]
    main, notes = scorings[0] if scorings else None, [note for *_, note in scored if note]
    if inside:
        main = readers.read_hypnogram(entry.signals)
        scorings, notes = _beside(manifest, entry, scorings, main)
    if main is None:
        raise SleeplibError(f"{(entry.scoring or [entry.signals])[0]}: no sleep stages in it")
    if entry.events:
        scored = [
            _read(path, manifest, entry, header, manifest.events.get("format")) for path in entry.events
        ]
        notes += [note for *_, note in scored if note]
    events = [event for _, marks, _ in scored for event in marks]
    return Scored(main, scorings if len(scorings) > 1 else [], vocabulary(manifest, events), notes)


def _read(path, manifest: Manifest, entry: Entry, header: Header, form: str | None = None):
    """Hypnogram or None, events, and a note or "" of one file, in seconds from the first sample of the signals."""
    form = form or manifest.hypnogram["format"]
    hypnogram, events = _SCORING[form](path, manifest, header)
    late = _late(path, header) if form == "edf" and path != entry.signals else 0.0
    if not late:
        return hypnogram, events, ""
    told = f"{path.name} begins {abs(late):g} s {'after' if late > 0 else 'before'} the signals by its clock"
    moved = hypnogram and replace(hypnogram, onset=hypnogram.onset + late)
    shifted = [replace(event, onset=event.onset + late) for event in events]
    # Nobody scores what was not recorded: a clock that says so is wrong. An epoch may be cut off.
    if _inside(moved, shifted, header) + 1 < _inside(hypnogram, events, header):
        return hypnogram, events, f"{told}, where it does not fit; it is not moved"
    return moved and _from_start(moved), shifted, f"{told}; it is moved"


def _late(path, header: Header) -> float:
    """Seconds from the start of the signals to that of an EDF file; 0 if a clock is not known or on another day.

    Midnight is what files have whose clock was taken away.
    """
    start = read_edf_header(path).start
    if None in (start, header.start) or time() in (start.time(), header.start.time()):
        return 0.0
    late = (start - header.start).total_seconds()
    return late if 1e-3 <= abs(late) < _FAR else 0.0


def _inside(hypnogram: Hypnogram | None, events: list[Event], header: Header) -> int:
    """How many epochs with a stage have their middles, and events their onsets, within the signals."""
    times = [event.onset for event in events]
    if hypnogram:
        middles = hypnogram.onset + hypnogram.epoch_seconds * (np.flatnonzero(hypnogram.scored) + 0.5)
        times += middles.tolist()
    return sum(0 <= t < header.duration for t in times)


def _from_start(hypnogram: Hypnogram) -> Hypnogram:
    """Without the epochs that begin before the signals."""
    before = max(int(np.ceil(-hypnogram.onset / hypnogram.epoch_seconds)), 0)
    onset = hypnogram.onset + before * hypnogram.epoch_seconds
    return replace(hypnogram, stages=hypnogram.stages[before:], onset=onset)


def _beside(manifest: Manifest, entry: Entry, scorings: list[Hypnogram], main: Hypnogram):
    """The scorers' lists cut to the span that all of them scored, where the signals lie; none if that does not fit.

    Returns
    -------
    scorings : list of Hypnogram
    notes : list of str, why there are none
    """
    expected = manifest.hypnogram.get("scorers", 1)
    if len(scorings) < expected:
        return [], [f"{len(scorings)} of {expected} scorers' hypnograms are here; they are left out"] * (
            expected > 1
        )
    kept, _ = cut(scorings, manifest.hypnogram.get("limits", {}).get(entry.id))
    if len(kept[0]) != len(main):
        return [], [
            f"the scorers' {len(kept[0])} epochs do not fit the {len(main)} of the signals; they are left out"
        ]
    return [replace(s, onset=main.onset) for s in kept], []


def vocabulary(manifest: Manifest, events: list[Event]) -> list[Event]:
    """Events under the names of `EVENTS`, by the manifest's texts; all others are left out."""
    texts = {kind: list(map(_plain, manifest.events.get(kind, [kind]))) for kind in EVENTS}
    known: dict[str, str | None] = {}
    for raw in {event.kind for event in events}:
        plain = _plain(raw)
        known[raw] = next((kind for kind, t in texts.items() if any(fnmatchcase(plain, p) for p in t)), None)
    named = [Event(known[e.kind], e.onset, e.duration) for e in events if known[e.kind]]
    return sorted(named, key=lambda e: (e.onset, e.duration, e.kind))


def _plain(text: str) -> str:
    """Texts are compared without case, and with one blank for each run of blanks and underscores."""
    return re.sub(r"[\s_]+", " ", text).strip().casefold().replace("[", "(").replace("]", ")")


def _codes(path, manifest: Manifest, header: Header):
    names = {name: code for code, name in enumerate(STAGES)} | {"unscored": UNSCORED}
    codes = {text: names[stage] for text, stage in manifest.hypnogram["codes"].items()}
    return read_codes(path, codes, manifest.epoch_seconds)


def _dreem(path, manifest: Manifest, header: Header):
    return read_scoring_files([path], manifest.epoch_seconds)[0] if path.suffix == ".json" else None, []


_SCORING = {
    "npz": lambda path, manifest, header: (read_npz_hypnogram(path), []),
    "edf": lambda path, manifest, header: read_edf_scoring(path),
    "nsrr": lambda path, manifest, header: read_nsrr(path),
    "wfdb": lambda path, manifest, header: read_wfdb_annotations(path, header.rates[0], header.duration),
    "ids": lambda path, manifest, header: read_ids(path),
    "codes": _codes,
    "dreem": _dreem,
    "respevt": lambda path, manifest, header: read_respevt(path, header.start),
    "isruc": lambda path, manifest, header: read_isruc(path),
}
"""How each format of hypnograms and events is read: (path, manifest, header) to (hypnogram or None, raw events)."""
