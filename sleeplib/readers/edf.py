"""EDF and EDF+ (`.edf`, `.rec`), in and out, and BDF and BDF+ (`.bdf`), in: recordings with their annotations."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path

import edfio
import numpy as np

from sleeplib import stages as vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.readers.common import chosen, damage, whole
from sleeplib.readers.edf_file import EdfFile, open_edf
from sleeplib.readers.edf_header import MONTHS
from sleeplib.readers.grid import from_first
from sleeplib.recording import UNDATED, Event, Header, Hypnogram, Recording, Subject

_OLDEST = 120  # years
_RECORD_BYTES = 61_440  # of signals in a data record, at most: the EDF standard's advice


def _scoring(file: EdfFile) -> tuple[Hypnogram | None, list[Event]]:
    """Stages and other annotations apart.

    Where stages have the texts of EDF+, a digit or "Movement" is no stage but a marker of another kind.
    """
    annotations = file.annotations()
    texts = {text for *_, text in annotations if vocabulary.is_stage(text)}
    if any(_standard(text) for text in texts):
        texts = {text for text in texts if _standard(text) or _standard(text, "movement time")}
    codes = {text: vocabulary.parse(text) for text in texts}
    scored = [(onset, duration, codes[text]) for onset, duration, text in annotations if text in codes]
    events = [
        Event(text, onset, duration or 0.0) for onset, duration, text in annotations if text not in codes
    ]
    return from_first(file.path, scored) if scored else None, events


def _standard(text: str, begin: str = "sleep stage") -> bool:
    return " ".join(text.split()).lower().startswith(begin)


def _subject(patient: str, start: datetime | None, fallback: str) -> Subject:
    """Who the patient field of EDF+ describes: code, sex, birth date, name, and more as `key=value`.

    The age is that of the field, or else that at the `start` of the recording, in years that are full.
    """
    code, sex, *rest = [*patient.split(), "", "", ""]
    birth = re.fullmatch(r"X|\d\d-[A-Z]{3}-\d{4}", rest[0], re.IGNORECASE)
    if sex not in ("F", "M", "X") or not birth:  # plain EDF: the field is free text, and may be a name
        return Subject(fallback)
    known = dict(item.split("=", 1) for item in rest if "=" in item)
    # Sleep-EDF writes age and sex as the patient's name: Female_33yr.
    if named := re.search(r"_(\d+)yr", patient):
        known.setdefault("age", named[1])

    def number(key):
        try:
            return float(known[key])
        except (KeyError, ValueError):
            return None

    age = number("age") if "age" in known else _age(rest[0].upper(), start)
    return Subject(code if code != "X" else fallback, age, sex if sex != "X" else None, number("ahi"))


def _age(birth: str, start: datetime | None) -> float | None:
    """Full years from a birth date (02-MAY-1951, or X) to a start; None where one of them is not known or absurd."""
    if birth == "X" or start is None or start.date() == UNDATED:
        return None
    day, month, year = birth.split("-")
    try:
        born = date(int(year), MONTHS.index(month) + 1, int(day))
    except ValueError:
        return None
    years = start.year - born.year - ((start.month, start.day) < (born.month, born.day))
    return float(years) if 0 <= years <= _OLDEST else None


def read_edf_header(path) -> Header:
    """Channels, rates, units, lengths and start of an EDF or BDF file, without its signals.

    Raises
    ------
    SleeplibError
        If the file is truncated, damaged, or neither EDF nor BDF.
    """
    return _header(open_edf(path))


def _header(file: EdfFile) -> Header:
    return Header(
        channels=[s.label for s in file.signals],
        rates=[s.rate for s in file.signals],
        units=[s.unit for s in file.signals],
        samples=[file.samples(s) for s in file.signals],
        id=file.path.stem,
        start=file.start,
        subject=_subject(file.patient, file.start, file.path.stem),
        gaps=file.gaps,
    )


def read_edf(path, channels: list[str] | None = None, scored: bool = True) -> Recording:
    """Read an EDF or BDF file: signals in microvolts where the unit is a voltage, each at its own rate, and stages
    and events from its annotations. Where a discontinuous file (EDF+D) has gaps, the signals are zero.

    Parameters
    ----------
    channels : labels to read, in this order; by default all. Of several channels of one label it is the first
    scored : whether to read stages and events, too

    Raises
    ------
    SleeplibError
        If the file is truncated, damaged, or neither EDF nor BDF, or lacks a channel.
    """
    file = open_edf(path)
    with damage(path, "EDF"):
        header = _header(file)
        wanted = chosen(path, header.channels, channels)
        hypnogram, events = _scoring(file) if scored else (None, [])
        return Recording(
            signals=[file.signal(file.signals[i]) for i in wanted],
            rates=[header.rates[i] for i in wanted],
            channels=[header.channels[i] for i in wanted],
            id=header.id,
            units=[header.units[i] for i in wanted],
            start=header.start,
            subject=header.subject,
            hypnogram=hypnogram,
            events=events,
            gaps=list(header.gaps),
        )


def read_edf_scoring(path) -> tuple[Hypnogram | None, list[Event]]:
    """Stages and other annotations of an EDF+ or BDF+ file, without its signals.

    Raises
    ------
    SleeplibError
        If the file is damaged.
    """
    file = open_edf(path)
    with damage(path, "EDF"):
        return _scoring(file)


def read_edf_hypnogram(path) -> Hypnogram:
    """Read the stages among the annotations of an EDF+ or BDF+ file.

    Raises
    ------
    SleeplibError
        If the file is damaged or has no sleep stage annotations.
    """
    hypnogram, others = read_edf_scoring(path)
    if hypnogram is None:
        raise SleeplibError(f"{path}: no sleep stages among its {len(others)} annotations")
    return hypnogram


def annotations_of(
    hypnogram: Hypnogram | None, events=(), spelling=None, bouts: bool = True
) -> list[edfio.EdfAnnotation]:
    """EDF+ annotations: one for each bout of a stage (or for each epoch, if not `bouts`), one for each event.

    `spelling` maps stage codes to texts; by default they are those of the EDF+ standard.
    """
    marks, spelling = [], spelling or {}
    for onset, duration, code in _intervals(hypnogram, bouts) if hypnogram else []:
        text = spelling.get(code) or vocabulary.edf_text(code)
        marks.append(edfio.EdfAnnotation(hypnogram.onset + onset, duration, text))
    return marks + [edfio.EdfAnnotation(e.onset, e.duration, e.kind) for e in events]


def _intervals(hypnogram: Hypnogram, bouts: bool) -> list[tuple[float, float, int]]:
    seconds = hypnogram.epoch_seconds
    if bouts:
        return vocabulary.to_intervals(hypnogram.stages, seconds)
    return [(i * seconds, seconds, code) for i, code in enumerate(hypnogram.stages.tolist())]


def write_edf(recording: Recording, path, spelling=None, bouts: bool = True, release: bool = False) -> None:
    """Write a recording as EDF+, its hypnogram and events as annotations; a file never stands half-written.

    Physical ranges are the channels' own extremes, rounded outwards to what the 8-character header field holds,
    so that the quantum is at most 1/65,535 of the range.

    Parameters
    ----------
    spelling : mapping of stage code to text, if not that of the EDF+ standard
    bouts : one annotation for each bout of a stage; otherwise for each epoch
    release : give up the recording's signals one by one as they are written, to save memory

    Raises
    ------
    SleeplibError
        If the recording does not fit into an EDF+ file.
    """
    subject = recording.subject or Subject(recording.id or "X")
    additional = [f"{k}={v:g}" for k, v in (("age", subject.age), ("ahi", subject.ahi)) if v is not None]
    seconds = _record_seconds(recording)  # before the signals are given up
    with _writing(path) as part:
        edfio.Edf(
            list(_digital(recording, release)),
            data_record_duration=seconds,
            patient=edfio.Patient(
                code=subject.id.replace(" ", "_"), sex=subject.sex or "X", additional=additional
            ),
            annotations=annotations_of(recording.hypnogram, recording.events, spelling, bouts),
            **_clock(recording.start),
        ).write(part)


def write_edf_annotations(path, marks: list[Event], start: datetime | None = None) -> None:
    """Write an EDF+ file of annotations alone, as Sleep-EDF and MASS keep their hypnograms; each `kind` as it stands.

    Raises
    ------
    SleeplibError
        If they do not fit into an EDF+ file.
    """
    nothing = [edfio.EdfAnnotation(0.0, None, "")]  # edfio writes no file without any
    with _writing(path) as part:
        edfio.Edf([], annotations=annotations_of(None, marks) or nothing, **_clock(start)).write(part)


@contextmanager
def _writing(path) -> Iterator[Path]:
    try:
        with whole(path) as part:
            yield part
    except ValueError as error:  # what edfio makes of texts and numbers that do not fit a field
        raise SleeplibError(f"{path}: cannot be written as EDF ({error})") from error


def _clock(start: datetime | None) -> dict:
    dated = start is not None and start.date() != UNDATED
    return {
        "recording": edfio.Recording(startdate=start.date() if dated else None),
        "starttime": start.time() if start else time(0, 0, 0),
    }


def _record_seconds(recording: Recording) -> int | None:
    """Length of the data records: 8, 4 or 2 s if that divides the recording and keeps to the standard's size.

    Each record carries a time stamp; a night in records of one second takes twice as long to write. edfio needs powers
    of two, of which it can divide the annotations' bytes exactly.
    """
    channels = list(zip(recording.signals, recording.rates, strict=True))
    for seconds in (8, 4, 2) if channels else ():
        fits = all(len(x) % (seconds * rate) == 0 for x, rate in channels)
        if fits and 2 * seconds * sum(recording.rates) <= _RECORD_BYTES:
            return seconds
    return None  # edfio's choice


def _digital(recording: Recording, release: bool):
    """The channels as 16-bit signals, one after the other."""
    for i, label in enumerate(recording.channels):
        x = recording.signals[i]
        if release:
            recording.signals[i] = x[:0].copy()
        unit = recording.units[i]
        yield edfio.EdfSignal(
            x, recording.rates[i], label=label, physical_dimension=unit, physical_range=_range(x)
        )


def _range(x: np.ndarray) -> tuple[float, float]:
    low, high = (float(np.floor(x.min())), float(np.ceil(x.max()))) if len(x) else (-1.0, 1.0)
    return (low, high) if high > low else (low - 1.0, high + 1.0)
