"""WFDB as PhysioNet's challenge of 2018 serves it: `.hea` beside a MATLAB-v4 `.mat`, annotations in `.arousal`.

Parsed by hand, not with the package wfdb: that makes lists as long as a header promises, which stops the machine if it
is damaged, and raises errors of many kinds on damaged annotations. The tests compare with it. Format: header(5),
signal(5) and annot(5) of the WFDB Applications Guide.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.labels import microvolts
from sleeplib.readers.common import LATEST, chosen, damage, number, read_bytes, read_text, whole
from sleeplib.recording import Event, Header, Hypnogram, Recording
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED, from_intervals, to_intervals

_MOST_SIGNALS, _HIGHEST_RATE = 1000, 100_000.0
_INVALID = -32768  # format 16's mark of a sample that was not taken
_INT16 = 30  # MATLAB v4's type of little-endian int16 matrices
_NAME = b"val\0"
_OFFSET = 20 + len(_NAME)  # of the samples behind MATLAB's header
_SIGNAL = re.compile(r"(?P<gain>[^(/]*)(\((?P<baseline>[^)]*)\))?(/(?P<unit>.*))?")
_NOTE, _SKIP, _AUX = 22, 59, 63  # types of annotations: a note, a jump in time, the text of the note before
_LAST_TYPE = 59  # those above say more of the annotation before and take no time
_TEXTS = {code: "R" if name == "REM" else name for code, name in enumerate(STAGES)}
_CODES = {text: code for code, text in _TEXTS.items()}


@dataclass(frozen=True)
class _Layout:
    """Where the samples stand, `(samples, signals)` int16 of `file`, and what they mean."""

    header: Header
    file: Path
    offset: int
    gains: list[float]
    baselines: list[float]


def read_wfdb_header(path) -> Header:
    """What a `.hea` file says, after a check that its `.mat` is as long.

    Parameters
    ----------
    path : of the header, the signals or the annotations, which differ in suffix

    Raises
    ------
    SleeplibError
        If one of the two files is missing, damaged, truncated, or not in format 16.
    """
    return _layout(Path(path).with_suffix(".hea")).header


def read_wfdb(path, channels: Sequence[str] | None = None) -> Recording:
    """Signals, all or the given ones; samples that were not taken are zeros. Path and errors as `read_wfdb_header`."""
    layout = _layout(Path(path).with_suffix(".hea"))
    header = layout.header
    places = chosen(path, header.channels, channels)
    shape = (header.samples[0], len(header.channels))
    with damage(layout.file, "WFDB"):
        digital = np.memmap(layout.file, "<i2", "r", layout.offset, shape)
        signals = [_physical(digital[:, i], layout, i) for i in places]
    units = [header.units[i] for i in places]
    return Recording(
        signals=signals,
        rates=[header.rates[i] for i in places],
        channels=[header.channels[i] for i in places],
        units=["uV" if microvolts(unit) else unit for unit in units],
        id=header.id,
        start=header.start,
    )


def _physical(digital: np.ndarray, layout: _Layout, i: int) -> np.ndarray:
    gain = (microvolts(layout.header.units[i]) or 1.0) / layout.gains[i]
    x = (digital.astype(np.float32) - np.float32(layout.baselines[i])) * np.float32(gain)
    x[digital == _INVALID] = 0.0
    return x


def _layout(path: Path) -> _Layout:
    text = read_text(path, "WFDB")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or len(lines[0]) < 3 or not lines[0][1].isdecimal():
        raise SleeplibError(f"{path}: not a WFDB header; its first line must be 'name signals rate samples'")
    name, n, rate = lines[0][:3]
    n = int(number(n, f"{path}: the number of signals is", 1, _MOST_SIGNALS))
    rate = number(rate.split("/")[0], f"{path}: the rate is", 1e-3, _HIGHEST_RATE)
    if len(lines) <= n or any(len(line) < 3 for line in lines[1 : n + 1]):
        raise SleeplibError(
            f"{path}: {n} signals, but {len(lines) - 1} lines of them; fetch or copy it again"
        )
    lines, first = lines[1 : n + 1], lines[0]
    file, offset = _file(path, lines)
    fields = [_signal(f"{path}: signal {i}", line) for i, line in enumerate(lines, 1)]
    samples = _samples(path, file, offset, n, first[3] if len(first) > 3 else None)
    if samples / rate > LATEST:
        raise SleeplibError(f"{path}: lasts {samples / rate / 86400:.0f} days; fetch or copy it again")
    gains, baselines, units, names = (list(column) for column in zip(*fields, strict=True))
    names = [label or f"signal {i}" for i, label in enumerate(names, 1)]
    header = Header(names, [rate] * n, units, [samples] * n, id=name, start=_start(first[4:]))
    return _Layout(header, file, offset, gains, baselines)


def _file(path: Path, lines: list[list[str]]) -> tuple[Path, int]:
    """The one file that holds all signals, beside the header, and the offset of the samples."""
    kinds = {(line[0], line[1]) for line in lines}
    name, layout = kinds.pop()
    found = re.fullmatch(r"16(\+(\d{1,9}))?", layout)
    if kinds or not found or Path(name).name != name or name == "..":
        raise SleeplibError(
            f"{path}: signals in {name!r} in format {layout!r}; expected one file beside it in format 16"
        )
    return path.parent / name, int(found[2] or 0)


def _signal(where: str, line: list[str]) -> tuple[float, float, str, str]:
    """Gain, baseline, unit and name of a signal; where its line is short, WFDB's defaults."""
    found = _SIGNAL.fullmatch(line[2])
    if not found:
        raise SleeplibError(f"{where}: {line[2][:40]!r} is no gain; expected one like 1/uV or 100(0)/mV")
    gain = number(found["gain"], f"{where}: the gain is", -1e12, 1e12) or 200.0
    zero = found["baseline"] or (line[4] if len(line) > 4 else "0")
    if abs(gain) < 1e-12:
        raise SleeplibError(f"{where}: the gain is {gain}; fetch or copy the header again")
    return (
        gain,
        number(zero, f"{where}: the baseline is", -1e9, 1e9),
        found["unit"] or "mV",
        " ".join(line[8:]),
    )


def _samples(path: Path, file: Path, offset: int, n: int, promised: str | None) -> int:
    with damage(path, "WFDB"):
        if not file.is_file():
            raise SleeplibError(f"{path}: its signals are missing: no {file.name} beside it; fetch it too")
        held = max(file.stat().st_size - offset, 0) // (2 * n)
    promised = held if promised is None else promised
    samples = int(number(promised, f"{path}: the number of samples is", 1, 1e12))
    if samples > held:
        raise SleeplibError(
            f"{file}: truncated: {path.name} promises {samples:,} samples of {n} signals and it holds {held:,}; "
            "fetch or copy it again"
        )
    return samples


def _start(fields: list[str]) -> datetime | None:
    """From time and date; without a date the first of 1985, as EDF has it for nights without a name."""
    date = fields[1] if len(fields) > 1 else "01/01/1985"
    for form in ("%H:%M:%S", "%H:%M:%S.%f"):
        try:
            return datetime.strptime(f"{date} {fields[0]}", f"%d/%m/%Y {form}")
        except (ValueError, IndexError):
            continue
    return None


def write_wfdb(path, recording: Recording, gain: float = 1.0) -> None:
    """Write `.hea` and `.mat`, each sample rounded to 1/`gain` of its channel's unit.

    Raises
    ------
    SleeplibError
        If the channels differ in rate or length.
    """
    path = Path(path).with_suffix(".mat")
    if len({(len(x), rate) for x, rate in zip(recording.signals, recording.rates, strict=True)}) != 1:
        raise SleeplibError(f"{path}: channels of different rates or lengths cannot stand in one matrix")
    n, samples = len(recording.signals), len(recording.signals[0])
    digital = np.empty((samples, n), "<i2")
    for i, x in enumerate(recording.signals):
        digital[:, i] = np.clip(np.rint(np.asarray(x) * gain), _INVALID + 1, -_INVALID - 1)
    with whole(path) as part, part.open("wb") as file:
        file.write(np.array([_INT16, n, samples, 0, len(_NAME)], "<i4").tobytes() + _NAME)
        digital.tofile(file)
    clock = recording.start.strftime(" %H:%M:%S %d/%m/%Y") if recording.start else ""
    lines = [f"{path.stem} {n} {recording.rates[0]:g} {samples}{clock}"]
    for x, unit, label in zip(digital.T, recording.units, recording.channels, strict=True):
        checksum = int(x.sum(dtype=np.int64)) % 65536
        first = int(x[0]) if samples else 0
        lines.append(f"{path.name} 16+{_OFFSET} {gain:g}/{unit} 16 0 {first} {checksum} 0 {label}")
    with whole(path.with_suffix(".hea")) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_wfdb_annotations(
    path, rate: float | None = None, duration: float | None = None
) -> tuple[Hypnogram | None, list[Event]]:
    """Stages and events of an `.arousal` file.

    A stage holds until the next one, the last one for as many whole epochs as the recording has; what comes before
    the first is unknown, and the hypnogram begins there. `(name` and `name)` are one event; without its beginning it
    starts with the recording, without its end it ends with it. Other texts are events without duration.

    Parameters
    ----------
    rate, duration : samples per second and length in s of the recording; by default those of the header beside

    Raises
    ------
    SleeplibError
        If the file is damaged or truncated, or a header is needed and cannot be read.
    """
    entries = list(_entries(path))
    if rate is None or duration is None:
        header = read_wfdb_header(path)
        rate, duration = rate or header.rates[0], header.duration if duration is None else duration
    for _, text in entries:
        resolution = re.match(r"## time resolution: (\S+)", text)
        rate = number(resolution[1], f"{path}: the time resolution is", 1e-3, 1e9) if resolution else rate
    times = [(sample / rate, text) for sample, text in entries if not text.startswith("##")]
    if times and not 0 <= min(times)[0] <= max(times)[0] <= LATEST:
        raise SleeplibError(f"{path}: an annotation at {max(times)[0]:g} s; fetch or copy it again")
    return _hypnogram(times, duration), _events(times, duration)


def _entries(path) -> Iterator[tuple[int, str]]:
    """Sample and text of each annotation that has one."""
    raw = read_bytes(path, "WFDB annotation")
    words = np.frombuffer(raw[: len(raw) // 2 * 2], "<u2")
    at, sample = 0, 0
    while at < len(words) and words[at]:
        kind, step = divmod(int(words[at]), 1024)
        at += 1
        if kind == _SKIP and at + 1 < len(words):
            jump = int(words[at]) << 16 | int(words[at + 1])
            sample += jump - (jump >> 31 << 32)
            at += 2
        elif kind == _AUX:
            text = raw[2 * at : 2 * at + step]
            at += (step + 1) // 2
            yield sample, text.decode("latin-1").strip("\0 ")
        elif kind <= _LAST_TYPE:
            sample += step
    if at >= len(words):
        raise SleeplibError(
            f"{path}: truncated, or no WFDB annotations: its end is missing; fetch or copy it again"
        )


def _hypnogram(times: list[tuple[float, str]], duration: float) -> Hypnogram | None:
    changes = sorted((time, _CODES[text]) for time, text in times if text in _CODES)
    if not changes:
        return None
    onsets = np.array([time for time, _ in changes])
    n = max(int((duration - onsets[0]) / EPOCH_SECONDS + 1e-6), 0)
    lengths = np.diff(np.r_[onsets, max(duration, onsets[-1])])
    stages = from_intervals(onsets - onsets[0], lengths, [code for _, code in changes], n)
    return Hypnogram(stages, onset=float(onsets[0]))


def _events(times: list[tuple[float, str]], duration: float) -> list[Event]:
    events, opened = [], {}
    for time, text in times:
        if text.startswith("("):
            opened.setdefault(text[1:], []).append(time)
        elif text.endswith(")"):
            onset = opened[text[:-1]].pop(0) if opened.get(text[:-1]) else 0.0
            events.append(Event(text[:-1], onset, time - onset))
        elif text and text not in _CODES:
            events.append(Event(text, time, 0.0))
    events += [Event(k, t, max(duration - t, 0.0)) for k, onsets in opened.items() for t in onsets]
    return sorted(events, key=lambda e: e.onset)


def write_wfdb_annotations(
    path, rate: float, hypnogram: Hypnogram | None, events: Iterable[Event] = ()
) -> None:
    """Write an `.arousal` file, an entry wherever the stage changes and two for each event, in order of time.

    The format has no word for an unscored epoch: those before the first stage are left out, later ones take the stage
    before them.

    Parameters
    ----------
    rate : samples per second of the recording
    """
    entries = [(round(time * rate), 0, text) for time, text in _changes(hypnogram)]
    for event in events:
        onset, end = max(event.onset, 0.0), max(event.onset + event.duration, 0.0)
        entries += [(round(onset * rate), 1, f"({event.kind}"), (round(end * rate), 2, f"{event.kind})")]
    words, last = [], 0
    for sample, _, text in sorted(entries):
        words.append(_entry(sample - last, text.encode("latin-1", "replace")[:255]))
        last = sample
    with whole(path) as part:
        part.write_bytes(b"".join(words) + b"\0\0")


def _changes(hypnogram: Hypnogram | None) -> Iterator[tuple[float, str]]:
    last = None
    for onset, _, code in to_intervals(hypnogram.stages, hypnogram.epoch_seconds) if hypnogram else ():
        if code not in (UNSCORED, last):
            yield hypnogram.onset + onset, _TEXTS[code]
            last = code


def _entry(step: int, text: bytes) -> bytes:
    """A note, after a jump where its distance from the last one needs more than ten bits."""
    jump = [_SKIP << 10, step >> 16, step & 0xFFFF] if step > 1023 else []
    words = [*jump, _NOTE << 10 | (0 if jump else step), _AUX << 10 | len(text)]
    return np.array(words, "<u2").tobytes() + text + b"\0" * (len(text) % 2)
