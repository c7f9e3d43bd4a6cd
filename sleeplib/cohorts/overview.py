"""What manifests say, for people: a table of cohorts, and one of them told whole."""

import textwrap
from collections.abc import Iterable

import pandas as pd

from sleeplib.cohorts.manifests import Manifest
from sleeplib.recording import EVENTS

_ACCESS = {"open": "open", "token": "NSRR token", "agreement": "on application", "simulated": "simulated"}
_FORMATS = {
    "nsrr": "NSRR XML",
    "edf": "EDF+",
    "wfdb": "WFDB",
    "ids": ".ids",
    "codes": "text",
    "dreem": "HDF5, JSON",
}


def table(manifests: Iterable[Manifest]) -> pd.DataFrame:
    """A row for each cohort: size, access, channels, rates, and who scored it how."""
    rows = []
    for m in manifests:
        eeg, eog = (len(m.channels.get(kind, {})) for kind in ("eeg", "eog"))
        rows.append(
            {
                "cohort": m.name,
                "title": m.title,
                "persons": m.persons or "",
                "recordings": m.recordings or "",
                "access": _ACCESS.get(m.access.get("kind"), ""),
                "EEG": m.channels.get("most_eeg", eeg),
                "EOG": eog,
                "Hz": "/".join(f"{rate:g}" for rate in m.channels.get("rates", [])),
                "hypnogram": _FORMATS.get(m.hypnogram["format"], m.hypnogram["format"]),
                "rules": m.hypnogram.get("rules", ""),
                "scorers": m.hypnogram.get("scorers", 1),
                "arousals": "yes" if "arousal" in m.events else "no",
                "age, sex": "yes" if m.subjects else "no",
            }
        )
    return pd.DataFrame(rows)


def facts(m: Manifest) -> dict[str, str]:
    """What a reader of one manifest wants to know, by heading."""
    told = {
        "who": m.about,
        "size": f"{m.recordings} recordings of {m.persons} persons" if m.recordings else "",
        "access": ", ".join(
            filter(None, [_ACCESS.get(m.access.get("kind")), m.access.get("page"), m.access.get("how")])
        ),
        "licence": m.licence,
        "citation": ", ".join(filter(None, [m.citation, f"doi:{m.doi}" if m.doi else ""])),
        "files": " or ".join(_texts(m.files["signals"])),
        "hypnogram": _hypnogram(m),
        "EEG": _channels(m, "eeg"),
        "EOG": _channels(m, "eog"),
        "EMG": _channels(m, "emg"),
        "SeqSleepNet": ", ".join(
            f"{role}: {' or '.join(_texts(value))}" for role, value in m.montage.items()
        ),
        "events": ", ".join(kind for kind in EVENTS if kind in m.events) or m.events.get("note", ""),
        "checksums": m.download.get("published", ""),
        "left out": f"{len(m.exclude)} recordings" if m.exclude else "",
    }
    return {heading: text for heading, text in told.items() if text}


def describe(m: Manifest) -> str:
    """One cohort told whole, for the terminal."""
    lines = [f"{m.name}: {m.title}", ""]
    for heading, text in facts(m).items():
        lines += textwrap.wrap(
            f"{heading:<12} {text}", 110, subsequent_indent=" " * 13, break_long_words=False
        )
    for quirk in m.quirks:
        lines += textwrap.wrap(f"! {quirk}", 110, subsequent_indent="  ")
    return "\n".join(lines)


def _texts(value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _channels(m: Manifest, kind: str) -> str:
    """Harmonised names, with what they are made of where that differs."""
    made = {name: _texts(value)[0] for name, value in m.channels.get(kind, {}).items()}
    return ", ".join(name if name == source else f"{name} = {source}" for name, source in made.items())


def _hypnogram(m: Manifest) -> str:
    where = " or ".join(_texts(m.files.get("scoring", "in the file of the signals")))
    seconds = f"{m.epoch_seconds:g} s" if m.epoch_seconds else "20 or 30 s"
    scorers = m.hypnogram.get("scorers", 1)
    return (
        f"{where}; {m.hypnogram.get('rules', '')}, epochs of {seconds}, {scorers} scorer{'s' * (scorers > 1)}"
    )
