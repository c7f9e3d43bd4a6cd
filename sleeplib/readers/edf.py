"""EDF and EDF+: recordings with their annotations, read and written through edfio."""

from datetime import datetime, time
from pathlib import Path

import edfio
import numpy as np

from sleeplib import stages as vocabulary
from sleeplib.errors import SleeplibError
from sleeplib.recording import Event, Hypnogram, Recording, Subject

# Rechtschaffen & Kales was scored in 20-s epochs too. The first wins where both fit.
_EPOCHS = (vocabulary.EPOCH_SECONDS, 20.0)
_RECORD_BYTES = 61_440  # of signals in a data record, at most: the EDF standard's advice
_MICROVOLTS = {"uv": 1.0, "µv": 1.0, "mv": 1e3, "v": 1e6}


def _open(path) -> edfio.Edf:
    """Open an EDF file, checking first that it is as long as its header says (edfio would cut it silently)."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = file.read(256)
        header_bytes, n_records, n_signals = int(header[184:192]), int(header[236:244]), int(header[252:256])
        with path.open("rb") as file:
            file.seek(256 + n_signals * 216)
            samples = sum(int(file.read(8)) for _ in range(n_signals))
    except OSError as error:
        raise SleeplibError(f"{path}: cannot be opened ({error.strerror})") from error
    except ValueError as error:
        raise SleeplibError(
            f"{path}: not an EDF file (its header is damaged or of another format)"
        ) from error
    expected, found = header_bytes + max(n_records, 0) * samples * 2, path.stat().st_size
    if found < expected:
        raise SleeplibError(
            f"{path}: truncated: the header promises {expected:,} bytes and the "
            f"file has {found:,}; fetch or copy it again"
        )
    try:
        return edfio.read_edf(path, lazy_load_data=True)
    except Exception as error:  # edfio raises many kinds on a damaged header
        raise SleeplibError(f"{path}: not a readable EDF file ({error})") from error


def epoch_seconds(durations) -> float:
    """Length of the epochs that stage annotations were made of: 20 s if more durations are multiples of 20 than of 30.

    Counting forgives a last epoch that the end of the recording cuts off, and clocks that are off by some ms per epoch.
    """
    durations = np.asarray(durations, float)

    def fitting(seconds):
        return np.sum(np.abs(durations - seconds * np.round(durations / seconds)) < 0.1)

    return max(_EPOCHS, key=fitting)


def _hypnogram(annotations) -> Hypnogram | None:
    scored = [a for a in annotations if vocabulary.is_stage(a.text)]
    if not scored:
        return None
    # A hypnogram's grid starts where its first scored interval starts, wherever the recording does.
    onset = min(a.onset for a in scored)
    seconds = epoch_seconds([a.duration or 0.0 for a in scored])
    stages = vocabulary.from_intervals(
        [a.onset - onset for a in scored],
        [a.duration or seconds for a in scored],
        [vocabulary.parse(a.text) for a in scored],
        epoch_seconds=seconds,
    )
    return Hypnogram(stages, seconds, onset)


def _subject(edf: edfio.Edf, fallback: str) -> Subject:
    try:
        patient, additional = edf.patient, edf.patient.additional
    except Exception:  # plain EDF: the field is free text
        return Subject(fallback)
    known = dict(item.split("=", 1) for item in additional if "=" in item)

    def number(key):
        try:
            return float(known[key])
        except (KeyError, ValueError):
            return None

    code = patient.code if patient.code not in ("", "X") else fallback
    return Subject(code, number("age"), patient.sex if patient.sex in ("F", "M") else None, number("ahi"))


def _start(edf: edfio.Edf) -> datetime | None:
    try:
        return datetime.combine(edf.startdate, edf.starttime)
    except Exception:  # anonymised or damaged dates are common and no reason to refuse a night
        return None


def read_edf(path) -> Recording:
    """Read an EDF or EDF+ file: signals in microvolts where the unit is a voltage, stages and events from
    its annotations.

    Raises
    ------
    SleeplibError
        If the file is truncated, damaged, or not EDF.
    """
    path = Path(path)
    edf = _open(path)
    signals, units = [], []
    for signal in edf.signals:
        unit = signal.physical_dimension.strip()
        gain = _MICROVOLTS.get(unit.lower())
        signals.append(signal.data.astype(np.float32) * np.float32(gain or 1.0))
        units.append("uV" if gain else unit)
    annotations = edf.annotations
    return Recording(
        signals=signals,
        rates=[float(s.sampling_frequency) for s in edf.signals],
        channels=[s.label.strip() for s in edf.signals],
        id=path.stem,
        units=units,
        start=_start(edf),
        subject=_subject(edf, path.stem),
        hypnogram=_hypnogram(annotations),
        events=[
            Event(a.text, float(a.onset), float(a.duration or 0.0))
            for a in annotations
            if not vocabulary.is_stage(a.text)
        ],
    )


def read_edf_hypnogram(path) -> Hypnogram:
    """Read the stages among the annotations of an EDF+ file.

    Raises
    ------
    SleeplibError
        If the file is damaged or has no sleep stage annotations.
    """
    edf = _open(path)
    hypnogram = _hypnogram(edf.annotations)
    if hypnogram is None:
        raise SleeplibError(f"{path}: no sleep stages among its {len(edf.annotations)} annotations")
    return hypnogram


def read_edf_subject(path) -> Subject:
    """Who an EDF+ file belongs to, from its header.

    Raises
    ------
    SleeplibError
        If the file is truncated, damaged, or not EDF.
    """
    return _subject(_open(path), Path(path).stem)


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
    """
    path = Path(path)
    subject = recording.subject or Subject(recording.id or "X")
    additional = [f"{k}={v:g}" for k, v in (("age", subject.age), ("ahi", subject.ahi)) if v is not None]
    start, seconds = recording.start, _record_seconds(recording)
    edf = edfio.Edf(
        list(_digital(recording, release)),
        data_record_duration=seconds,
        patient=edfio.Patient(
            code=subject.id.replace(" ", "_"), sex=subject.sex or "X", additional=additional
        ),
        recording=edfio.Recording(startdate=start.date() if start else None),
        starttime=start.time() if start else time(0, 0, 0),
        annotations=annotations_of(recording.hypnogram, recording.events, spelling, bouts),
    )
    part = path.with_name(path.name + ".part")
    edf.write(part)
    part.replace(path)


def _record_seconds(recording: Recording) -> int | None:
    """Length of the data records: 8, 4 or 2 s if that divides the recording and keeps to the standard's size.

    Each record carries a time stamp; a night in records of one second takes twice as long to write. edfio needs powers
    of two, of which it can divide the annotations' bytes exactly.
    """
    channels = list(zip(recording.signals, recording.rates, strict=True))
    for seconds in (8, 4, 2) if channels else ():
        whole = all(len(x) % (seconds * rate) == 0 for x, rate in channels)
        if whole and 2 * seconds * sum(recording.rates) <= _RECORD_BYTES:
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
