"""What an archive makes of a night: its traps (offsets, gaps in the scoring, foreign channels), its texts, its files.

A twin has the folders, names, labels and formats of the real archive, so that what reads one reads the other.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sleeplib.cohorts import Entry, Manifest
from sleeplib.readers.codes import write_codes, write_ids
from sleeplib.readers.edf import write_edf, write_edf_annotations
from sleeplib.readers.hdf5 import write_dcsm, write_dod
from sleeplib.readers.nsrr import write_nsrr, write_profusion
from sleeplib.readers.respevt import write_respevt
from sleeplib.readers.scorings import write_scoring
from sleeplib.readers.wfdb import write_wfdb, write_wfdb_annotations
from sleeplib.recording import AROUSAL, Event, Hypnogram, Recording, Subject
from sleeplib.simulator.macrostructure import RATE
from sleeplib.stages import N3, REM, STAGES, UNSCORED, W, edf_text, to_intervals

_STAGE4, _REM, _MOVEMENT = 4, 5, 6  # codes of Rechtschaffen & Kales, as NSRR has them


def dress(recording: Recording, cohort, rng: np.random.Generator) -> Recording:
    """The night as the archive has it: what its recorder and its scorers left out, and what they added."""
    seconds = recording.hypnogram.epoch_seconds
    if cohort.onset:
        _begin_late(recording, float(rng.integers(cohort.onset[0], cohort.onset[1], endpoint=True)))
    stages = recording.hypnogram.stages.copy()
    stages[rng.random(len(stages)) < cohort.unscored] = UNSCORED
    stages = stages[: len(stages) - cohort.short]
    recording.hypnogram = replace(recording.hypnogram, stages=stages)
    length = recording.hypnogram.onset + len(stages) * seconds
    for label, rate in cohort.others.items() if recording.channels else ():
        n = round((length + cohort.short * seconds) * rate)
        recording.signals.append(20 * rng.standard_normal(n, np.float32))
        recording.channels.append(label), recording.rates.append(float(rate)), recording.units.append("uV")
    kept = {True: cohort.arousals, False: cohort.events}
    recording.events = [
        e for e in recording.events if kept[e.kind == AROUSAL] and e.onset + e.duration <= length
    ]
    return recording


def _begin_late(recording: Recording, onset: float) -> None:
    """Let the first scored epoch begin `onset` s after the signals: cut both where that holds."""
    hypnogram = recording.hypnogram
    dropped = int(np.ceil(onset / hypnogram.epoch_seconds))
    cut = dropped * hypnogram.epoch_seconds - onset
    recording.hypnogram = replace(hypnogram, stages=hypnogram.stages[dropped:], onset=onset)
    recording.scorings = [replace(s, stages=s.stages[dropped:], onset=onset) for s in recording.scorings]
    recording.signals = [x[round(cut * r) :] for x, r in zip(recording.signals, recording.rates, strict=True)]
    recording.truth = recording.truth[round(cut * RATE) :]
    for name in ("events", "true_events"):
        moved = [replace(e, onset=e.onset - cut) for e in getattr(recording, name)]
        setattr(recording, name, [e for e in moved if e.onset >= 0])


def write(recording: Recording, manifest: Manifest, cohort, entry: Entry, rng: np.random.Generator) -> None:
    """Write all files of a night but its truth, that of the signals last; the recording's signals are given up."""
    for path in (entry.signals, *entry.scoring, *entry.events):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not entry.scoring or manifest.hypnogram["format"] == "dreem":
        _write_scorings(recording, cohort, entry, rng)
        spelling = {code: cohort.dialect[name] for code, name in _NAMES.items() if name in cohort.dialect}
        inside = {".edf": lambda: write_edf(recording, entry.signals, spelling, cohort.bouts, release=True)}
        inside.get(entry.signals.suffix, lambda: write_dod(entry.signals, recording))()
        return
    events = list(_spelt(manifest, recording.events))
    beside = [] if entry.events else events
    _SCORING[manifest.hypnogram["format"]](recording, manifest, cohort, entry, beside, rng)
    if entry.events:
        _write_events(recording, manifest, entry, events)
    # The archive's files of signals know nothing but them.
    bare = replace(recording, hypnogram=None, events=[], subject=Subject(recording.subject.id))
    if entry.signals.suffix == ".hea":
        # At the archive's 1/uV a chin at rest would be lost in rounding.
        write_wfdb(entry.signals, bare, gain=10)
    elif entry.signals.suffix == ".h5":
        write_dcsm(entry.signals, bare)
    else:
        write_edf(bare, entry.signals, release=True)


_NAMES = {code: name for code, name in enumerate(STAGES)} | {UNSCORED: "unscored"}


def _codes(hypnogram: Hypnogram, cohort, rng) -> np.ndarray:
    """Codes of Rechtschaffen & Kales (N,): stage 4 for a share of N3, REM 5, unscored epochs 6 or 9."""
    codes = hypnogram.stages.astype(int)
    codes[hypnogram.stages == REM] = _REM
    codes[(hypnogram.stages == N3) & (rng.random(len(codes)) < cohort.stage4)] = _STAGE4
    codes[(hypnogram.stages == UNSCORED) & (rng.random(len(codes)) < 0.5)] = _MOVEMENT
    return codes


def _spelt(manifest: Manifest, events: list[Event]) -> Iterator[Event]:
    """Events in the archive's texts, those of one kind in turn."""
    for i, event in enumerate(events):
        texts = [text for text in manifest.events[event.kind] if "*" not in text]
        texts = [text for text in texts if "|" in text] or texts  # NSRR's own spelling, not Profusion's
        yield replace(event, kind=texts[i % len(texts)])


def _write_edf(recording, manifest, cohort, entry, events, rng) -> None:
    hypnogram, marks = recording.hypnogram, []
    texts = {code: cohort.dialect.get(name) or edf_text(code) for code, name in _NAMES.items()}
    codes = _codes(hypnogram, cohort, rng)
    words = {_STAGE4: texts[N3].replace("3", "4"), _REM: texts[REM], _MOVEMENT: texts[UNSCORED]}
    seconds = hypnogram.epoch_seconds
    bouts = to_intervals(codes, seconds)
    if not cohort.bouts:
        bouts = [(i * seconds, seconds, code) for i, code in enumerate(codes.tolist())]
    for onset, duration, code in bouts:
        marks.append(Event({**texts, **words}[code], hypnogram.onset + onset, duration))
    end = hypnogram.onset + len(codes) * seconds
    if cohort.filled_to > end:
        marks.append(Event(edf_text(UNSCORED), end, cohort.filled_to - end))
    write_edf_annotations(entry.scoring[0], marks + events, recording.start)


def _write_nsrr(recording, manifest, cohort, entry, events, rng) -> None:
    codes = _codes(recording.hypnogram, cohort, rng)
    ours, *profusion = entry.scoring
    write_nsrr(ours, codes, events, duration=recording.duration, start=recording.start)
    # NSRR appends Profusion's name to its own.
    named = [replace(e, kind=e.kind.rpartition("|")[2]) for e in events]
    for path in profusion:
        write_profusion(path, codes, named)


def _write_wfdb(recording, manifest, cohort, entry, events, rng) -> None:
    write_wfdb_annotations(entry.scoring[0], recording.rates[0], recording.hypnogram, events)


def _write_ids(recording, manifest, cohort, entry, events, rng) -> None:
    write_ids(entry.scoring[0], recording.hypnogram)


def _write_codes(recording, manifest, cohort, entry, events, rng) -> None:
    """One code for each epoch, any of those that mean the same; of each scorer where there are several."""
    texts: dict[str, list[str]] = {}
    for text, name in manifest.hypnogram["codes"].items():
        texts.setdefault(name, []).append(text)
    for path, scored in zip(entry.scoring, recording.scorings or [recording.hypnogram], strict=True):
        # A stage 4 of the AASM's scorers would be a typing error.
        choices = {name: t if cohort.stage4 or name == "unscored" else t[:1] for name, t in texts.items()}
        names = [_NAMES[code] for code in scored.stages.tolist()]
        write_codes(path, [choices[name][rng.integers(len(choices[name]))] for name in names])


def _write_scorings(recording: Recording, cohort, entry: Entry, rng) -> None:
    """The scorers' lists, longer than the signals: in the margins some of them have wake, but never all."""
    n = [int(rng.integers(1, most, endpoint=True)) for most in cohort.margins] if cohort.margins else [0, 0]
    for k, (path, scored) in enumerate(zip(entry.scoring, recording.scorings, strict=True)):
        pads = [np.full(m, W if k else UNSCORED, np.int8) for m in n]
        write_scoring(replace(scored, stages=np.r_[pads[0], scored.stages, pads[1]]), path)


def _write_events(recording: Recording, manifest: Manifest, entry: Entry, events: list[Event]) -> None:
    if manifest.events.get("format") == "respevt":
        write_respevt(entry.events[0], events, recording.start)
    else:
        write_edf_annotations(entry.events[0], events, recording.start)


_SCORING = {
    "edf": _write_edf,
    "nsrr": _write_nsrr,
    "wfdb": _write_wfdb,
    "ids": _write_ids,
    "codes": _write_codes,
}
