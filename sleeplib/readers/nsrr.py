"""Scorings as XML: those of the National Sleep Research Resource (`PSGAnnotation`) and of Compumedics Profusion.

Layout: nsrr/edf-editor-translator, which wrote the NSRR files (`CMPStudyConfig` is what it read).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from xml.etree import ElementTree

import defusedxml.ElementTree

from sleeplib import stages as vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.readers.common import damage, number, read_bytes, whole
from sleeplib.readers.grid import on_grid
from sleeplib.recording import Event, Hypnogram
from sleeplib.stages import EPOCH_SECONDS, LONGEST, N1, N2, N3, REM, UNSCORED, W

CODES = {0: W, 1: N1, 2: N2, 3: N3, 4: N3, 5: REM, 6: UNSCORED, 9: UNSCORED, 10: UNSCORED}
TEXTS = {
    0: "Wake|0", 1: "Stage 1 sleep|1", 2: "Stage 2 sleep|2", 3: "Stage 3 sleep|3", 4: "Stage 4 sleep|4",
    5: "REM sleep|5", 6: "Movement|6", 9: "Unscored|9", 10: "Artifact|10",
}  # fmt: skip
_STAGES = {str(code): stage for code, stage in CODES.items()}
_START = "Recording Start Time"
_SHORTEST, _LONGEST = 1.0, 600.0  # s, of an epoch
_DECLARATION = '<?xml version="1.0" encoding="{}"?>\n'


def read_nsrr(path) -> tuple[Hypnogram | None, list[Event]]:
    """Stages and events of an NSRR or a Profusion XML file; the root element tells which it is.

    An event's kind is its text: `EventConcept` (`Arousal|Arousal ()`) or Profusion's `Name` (`Arousal ()`).

    Raises
    ------
    SleeplibError
        If the file is no such XML, declares entities, or holds a time or a stage that is none.
    """
    root = _root(path)
    seconds = _epoch_seconds(path, root)
    if root.tag == "CMPStudyConfig":
        return _profusion_stages(path, root, seconds), _profusion_events(path, root)
    scored, events = [], []
    for n, concept, kind, element in _concepts(path, root):
        if _plain(concept) == _plain(_START):
            continue
        onset, duration = _span(path, n, element)
        if _plain(kind).startswith("stages"):
            scored.append((onset, duration, _code(path, n, concept)))
        else:
            events.append(Event(concept, onset, duration))
    return on_grid(path, scored, seconds), events


def _root(path) -> ElementTree.Element:
    raw = read_bytes(path, "XML")
    with damage(path, "XML"):
        root = defusedxml.ElementTree.fromstring(raw, forbid_dtd=True)
    if root.tag not in ("PSGAnnotation", "CMPStudyConfig"):
        raise SleeplibError(
            f"{path}: <{root.tag[:40]}> is its root; expected <PSGAnnotation> (NSRR) or <CMPStudyConfig> (Profusion)"
        )
    return root


def _text(element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _plain(text: str) -> str:
    """A text for comparisons: other software writes other cases, underscores and more blanks."""
    return re.sub(r"[\s_]+", " ", text).strip().lower()


def _epoch_seconds(path, root) -> float:
    text = _text(root, "EpochLength") or EPOCH_SECONDS
    return number(text, f"{path}: EpochLength is", _SHORTEST, _LONGEST)


def _concepts(path, root):
    """Number, concept, type and element of each event."""
    for n, element in enumerate(root.iterfind("ScoredEvents/ScoredEvent"), 1):
        yield n, _text(element, "EventConcept"), _text(element, "EventType"), element


def _span(path, n: int, element) -> tuple[float, float]:
    """Onset and duration of the `n`-th event, in s."""
    onset = number(_text(element, "Start"), f"{path}: the Start of event {n} is")
    return onset, number(_text(element, "Duration"), f"{path}: the Duration of event {n} is", 0)


def _code(path, n: int, concept: str) -> int:
    name, _, code = concept.rpartition("|")
    if code.strip() in _STAGES:
        return _STAGES[code.strip()]
    if not name and vocabulary.is_stage(concept.replace("_", " ")):
        return vocabulary.parse(concept.replace("_", " "))
    raise SleeplibError(
        f"{path}: event {n} is the stage {concept[:40]!r}; expected a text like {TEXTS[2]!r} with a code among "
        f"{', '.join(_STAGES)}"
    )


def _profusion_stages(path, root, seconds: float) -> Hypnogram | None:
    texts = [(element.text or "").strip() for element in root.iterfind("SleepStages/SleepStage")]
    strange = sorted(set(texts) - _STAGES.keys())
    if strange or len(texts) > LONGEST:
        what = f"{strange[0][:40]!r} is no SleepStage" if strange else f"{len(texts):,} SleepStages"
        raise SleeplibError(f"{path}: {what}; expected one of {', '.join(_STAGES)} for each epoch of a night")
    return Hypnogram([_STAGES[text] for text in texts], seconds) if texts else None


def _profusion_events(path, root) -> list[Event]:
    elements = root.iterfind("ScoredEvents/ScoredEvent")
    return [Event(_text(e, "Name"), *_span(path, n, e)) for n, e in enumerate(elements, 1)]


def event_type(concept: str) -> str:
    """The `EventType` under which NSRR files list a concept: arousals, limb movements, and else respiratory."""
    name, _, original = concept.rpartition("|")
    if _plain(original).startswith("arousal") or "asda arousal" in _plain(name):
        return "Arousals|Arousals"
    limbs = ("limb movement", "periodic leg movement", "plm")
    return "Limb Movement|Limb Movement" if _plain(concept).startswith(limbs) else "Respiratory|Respiratory"


def write_nsrr(
    path,
    codes: Iterable[int],
    events: Iterable[Event] = (),
    *,
    duration: float | None = None,
    start: datetime | None = None,
    epoch_seconds: float = EPOCH_SECONDS,
    software: str = "Compumedics",
    types: Mapping[str, str] | None = None,
    texts: Mapping[int, str] | None = None,
) -> None:
    """Write an NSRR file; equal epochs in a row are one event.

    Parameters
    ----------
    codes : N codes of `TEXTS` (0 wake, 1-4 Rechtschaffen & Kales' sleep stages, 5 REM, 6 movement, 9 unscored)
    events : their kinds are the concepts as they shall stand in the file
    duration : of the recording in s; by default that of the hypnogram
    start : by the clock
    software : that scored, `Compumedics` or `Embla`
    types : `EventType` of concepts that `event_type` does not know
    texts : concepts of stages, if not `TEXTS`

    Raises
    ------
    SleeplibError
        If a code is not known.
    """
    codes, texts, types = [int(code) for code in codes], TEXTS | dict(texts or {}), types or {}
    _check(path, codes)
    root = ElementTree.Element("PSGAnnotation")
    _add(root, SoftwareVersion=software, EpochLength=f"{epoch_seconds:g}")
    scored = ElementTree.SubElement(root, "ScoredEvents")
    clock = {"ClockTime": (start or datetime(1985, 1, 1)).strftime("%d.%m.%y %H.%M.%S")}
    length = len(codes) * epoch_seconds if duration is None else duration
    _add_event(scored, 0.0, length, EventType="", EventConcept=_START).extend(_fields(clock))
    for onset, length, code in vocabulary.to_intervals(codes, epoch_seconds):
        _add_event(scored, onset, length, EventType="Stages|Stages", EventConcept=texts[code])
    for e in sorted(events, key=lambda e: e.onset):
        kind = types.get(e.kind) or event_type(e.kind)
        _add_event(scored, e.onset, e.duration, EventType=kind, EventConcept=e.kind)
    ElementTree.indent(root, "")
    _write(path, root, "UTF-8")


def write_profusion(
    path,
    codes: Iterable[int],
    events: Iterable[Event] = (),
    *,
    epoch_seconds: float = EPOCH_SECONDS,
    source="",
) -> None:
    """Write a Profusion file, on one line as that program does.

    Parameters
    ----------
    codes : as in `write_nsrr`
    events : their kinds are the names as they shall stand in the file
    source : the channel on which events are marked (`Input`)

    Raises
    ------
    SleeplibError
        If a code is not known.
    """
    codes = [int(code) for code in codes]
    _check(path, codes)
    root = ElementTree.Element("CMPStudyConfig")
    _add(root, EpochLength=f"{epoch_seconds:g}", StepChannels="", ScoredEventSettings="")
    scored = ElementTree.SubElement(root, "ScoredEvents")
    for e in sorted(events, key=lambda e: e.onset):
        _add(_add_event(scored, e.onset, e.duration, Name=e.kind), Input=source)
    stages = ElementTree.SubElement(root, "SleepStages")
    stages.extend(field for code in codes for field in _fields({"SleepStage": code}))
    _add(root, Montage="")
    _write(path, root, "utf-8")


def _check(path, codes: list[int]) -> None:
    strange = sorted(set(codes) - TEXTS.keys())
    if strange:
        raise SleeplibError(
            f"{path}: cannot write the stage codes {strange}; known: {', '.join(map(str, TEXTS))}"
        )


def _fields(texts: Mapping) -> list[ElementTree.Element]:
    elements = [ElementTree.Element(tag) for tag in texts]
    for element, text in zip(elements, texts.values(), strict=True):
        element.text = str(text)
    return elements


def _add(parent, **texts) -> None:
    parent.extend(_fields(texts))


def _add_event(parent, onset: float, duration: float, **texts) -> ElementTree.Element:
    """An event with its texts first, then its times, printed as decimals (`30.0`)."""
    event = ElementTree.SubElement(parent, "ScoredEvent")
    _add(event, **texts, Start=repr(round(float(onset), 3)), Duration=repr(round(float(duration), 3)))
    return event


def _write(path, root, encoding: str) -> None:
    text = _DECLARATION.format(encoding) + ElementTree.tostring(root, encoding="unicode")
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
