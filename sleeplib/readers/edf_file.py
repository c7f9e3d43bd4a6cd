"""The bytes of an EDF file: header, data records, annotations. Lenient where recorders are known to err without harm
(number of records, commas, dates, letters beyond ASCII), strict where reading on would be a guess."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import LATEST, damage, microvolts, number

_FIXED = {"version": 8, "patient": 80, "recording": 80, "date": 8, "time": 8, "header bytes": 8, "reserved": 44,
          "number of data records": 8, "record duration": 8, "number of signals": 4}  # fmt: skip
_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "physical minimum": 8, "physical maximum": 8,
           "digital minimum": 8, "digital maximum": 8, "filters": 80, "samples per record": 8, "": 32}  # fmt: skip
_ANNOTATIONS = "EDF Annotations"
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_REPAIR = "repair the header (EDFbrowser has an editor) or export the file again"
_FASTEST = 1e5  # samples per second
_JITTER = 0.01  # s by which the time stamps of records may err; more is a gap
_GAPS = 3 * 86_400  # s without signals in one file, at most; more is damage
_LARGEST_NOTES = 64 << 20  # bytes of annotations; a night in records of one second has some 4 MB
_MOST_NOTES = 300_000  # a night's heart beats are 40,000
# onset [15 duration] 14 {text 14}: what stands between the zero bytes of an annotation channel.
_NOTE = re.compile(rb"\s*([+-]?[\d.,]+)(?:\x15([\d.,]*))?\x14(?:(.*)\x14)?", re.DOTALL)


@dataclass(frozen=True)
class Channel:
    """One signal in the data records: `width` samples of each from `place` on; microvolts are gain * digital + offset.

    `unit` is "uV" of every voltage, and "digital" where the header gives no calibration.
    """

    label: str
    unit: str
    gain: float
    offset: float
    place: int
    width: int
    rate: float


@dataclass(frozen=True)
class EdfFile:
    """An open EDF file; `records` `(N, samples)` int16 are read from the disk when they are used.

    Attributes
    ----------
    start : datetime or None
        Clock time of the first sample.
    seconds : float
        Duration of a data record; 0 in files of annotations alone.
    first : float
        Onset of the first record in seconds from the header's clock time, from which annotations count.
    onsets : array (N,) or None
        Seconds at which the records of a discontinuous file (EDF+D) begin, from the first sample.
    """

    path: Path
    patient: str
    start: datetime | None
    seconds: float
    signals: list[Channel]
    notes: list[Channel]
    records: np.ndarray
    first: float
    onsets: np.ndarray | None

    @property
    def gaps(self) -> tuple[tuple[float, float], ...]:
        """`(onset, duration)` of the pauses between data records, in seconds from the first sample."""
        if self.onsets is None:
            return ()
        missing = np.diff(self.onsets) - self.seconds
        found = np.flatnonzero(missing > _JITTER)
        return tuple((float(self.onsets[i] + self.seconds), float(missing[i])) for i in found)

    def samples(self, channel: Channel) -> int:
        """Length of a signal, gaps included."""
        if self.onsets is None:
            return len(self.records) * channel.width
        return int(self._starts(channel)[-1]) + channel.width

    def _starts(self, channel: Channel) -> np.ndarray:
        return np.round(self.onsets * channel.rate).astype(int)

    def signal(self, channel: Channel) -> np.ndarray:
        """Samples `(T,)` float32 of one channel, zero in gaps."""
        block = self.records[:, channel.place : channel.place + channel.width]
        x = np.empty(block.size, np.float32)  # 16-bit samples lose nothing in single precision
        np.multiply(block, np.float32(channel.gain), out=x.reshape(block.shape))
        x += np.float32(channel.offset)
        return x if self.onsets is None else _spread(x, self._starts(channel), channel)

    def annotations(self) -> list[tuple[float, float | None, str]]:
        """`(onset, duration or None, text)` in seconds from the first sample, in order of time.

        Raises
        ------
        SleeplibError
            If one of them cannot be read: it might be a stage.
        """
        found = []
        for channel in self.notes:
            for note in re.finditer(rb"[^\0]+", self._text(channel)):
                found += self._parsed(note[0])
        return sorted(found, key=lambda note: (note[0], note[1] or 0.0, note[2]))

    def _text(self, channel: Channel) -> bytes:
        if 2 * channel.width * len(self.records) > _LARGEST_NOTES:
            raise SleeplibError(
                f"{self.path}: an annotation channel of over {_LARGEST_NOTES >> 20} MB; fetch it again"
            )
        block = self.records[:, channel.place : channel.place + channel.width]
        text = np.pad(block, ((0, 0), (0, 1))).tobytes()  # no annotation runs on into the next record
        if text.count(b"\x14") > 2 * (_MOST_NOTES + len(self.records)):
            raise SleeplibError(f"{self.path}: over {_MOST_NOTES:,} annotations; fetch it again")
        return text

    def _parsed(self, note: bytes) -> list[tuple[float, float | None, str]]:
        parts = _NOTE.fullmatch(note)
        if not parts:
            raise SleeplibError(
                f"{self.path}: annotation {note[:60]!r} cannot be read; export the file again"
            )
        texts = [text for text in (parts[3] or b"").split(b"\x14") if text]
        if not texts:  # the time stamp of a record
            return []
        onset = _number(parts[1], f"{self.path}: onset of an annotation", -LATEST, LATEST)
        duration = (
            _number(parts[2], f"{self.path}: duration of an annotation", 0, LATEST) if parts[2] else None
        )
        return [(round(onset - self.first, 9), duration, _decoded(text)) for text in texts]


def open_edf(path) -> EdfFile:
    """Open an EDF or EDF+ file.

    A file longer than its header says was left behind by a recorder that was cut off: its size decides.

    Raises
    ------
    SleeplibError
        If the file is truncated, damaged, or not EDF.
    """
    path = Path(path)
    with damage(path, "EDF"):
        with path.open("rb") as file:
            fixed = _fixed(path, _header(path, file, 256))
            n = _whole(fixed["number of signals"], f"{path}: number of signals", 1, 9999)
            if _whole(fixed["header bytes"], f"{path}: header bytes", 0, 1e8) != 256 * (n + 1):
                raise SleeplibError(f"{path}: the sizes in its header contradict each other; {_REPAIR}")
            fields = _split(_header(path, file, 256 * n), _FIELDS, n)
        seconds = _number(fixed["record duration"], f"{path}: record duration", 0, 86_400)
        channels = _channels(path, fields, seconds)
        notes = [c for c in channels if c.label == _ANNOTATIONS]
        records = _records(path, fixed, n, sum(c.width for c in channels))
        first = _stamp(path, records[0], notes[0]) if notes else None
        return EdfFile(
            path,
            patient=fixed["patient"],
            start=_start(fixed, first or 0.0),
            seconds=seconds,
            signals=[c for c in channels if c.label != _ANNOTATIONS],
            notes=notes,
            records=records,
            first=first or 0.0,
            onsets=_onsets(path, records, notes, seconds) if fixed["reserved"].startswith("EDF+D") else None,
        )


def _header(path: Path, file, size: int) -> bytes:
    raw = file.read(size)
    if len(raw) < size:
        raise SleeplibError(
            f"{path}: truncated in its header, after {file.tell():,} bytes; fetch or copy it again"
        )
    return raw


def _fixed(path: Path, raw: bytes) -> dict[str, str]:
    if raw[:1] == b"\xff":
        raise SleeplibError(f"{path}: a BDF file (24 bits per sample); convert it to EDF, e.g. by EDFbrowser")
    fixed = {name: texts[0] for name, texts in _split(raw, _FIXED, 1).items()}
    if fixed["version"] != "0":
        raise SleeplibError(f"{path}: not an EDF file (it begins with {raw[:8]!r}); fetch or copy it again")
    return fixed


def _split(raw: bytes, widths: dict[str, int], n: int) -> dict[str, list[str]]:
    """Texts of the fields, of which each stands there for all `n` signals before the next field."""
    begins = accumulate((n * width for width in widths.values()), initial=0)
    return {
        name: [_plain(raw[at : at + width]) for at in range(begin, begin + n * width, width)]
        for (name, width), begin in zip(widths.items(), begins, strict=False)
    }


def _plain(raw: bytes) -> str:
    """A field's text; some recorders fill up with zeros in place of blanks."""
    return re.sub(r"[\0-\x1f\x7f-\x9f]", " ", _decoded(raw)).strip()


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _number(text: str | bytes, what: str, low: float, high: float) -> float:
    text = text if isinstance(text, str) else text.decode()
    try:
        return number(text.replace(",", "."), what, low, high)
    except SleeplibError as error:
        raise SleeplibError(f"{error}; {_REPAIR}") from error


def _whole(text: str, what: str, low: float, high: float) -> int:
    value = _number(text, what, low, high)
    if not value.is_integer():
        raise SleeplibError(f"{what} {text!r} is no whole number; {_REPAIR}")
    return int(value)


def _channels(path: Path, fields: dict[str, list[str]], seconds: float) -> list[Channel]:
    channels, place = [], 0
    for texts in zip(*fields.values(), strict=True):
        channels.append(_channel(path, dict(zip(fields, texts, strict=True)), place, seconds))
        place += channels[-1].width
    return channels


def _channel(path: Path, field: dict[str, str], place: int, seconds: float) -> Channel:
    label = field["label"]
    where = f"{path}: channel {label!r}"
    width = _whole(field["samples per record"], f"{where}: samples per record", 1, 99_999_999)
    if label == _ANNOTATIONS:
        return Channel(label, "", 1.0, 0.0, place, width, 0.0)
    rate = width / seconds if seconds else np.inf
    if rate > _FASTEST:
        raise SleeplibError(f"{where}: {width:,} samples in records of {seconds:g} s; {_REPAIR}")
    low, high = (
        _number(field[name], f"{where}: {name}", -1e12, 1e12)
        for name in ("physical minimum", "physical maximum")
    )
    first, last = (
        _number(field[name], f"{where}: {name}", -1e7, 1e7) for name in ("digital minimum", "digital maximum")
    )
    if low == high or first == last:
        return Channel(label, "digital", 1.0, 0.0, place, width, rate)
    factor = microvolts(field["unit"])
    gain = (high - low) / (last - first)
    return Channel(
        label,
        field["unit"] if factor is None else "uV",
        gain * (factor or 1.0),
        (low - first * gain) * (factor or 1.0),
        place,
        width,
        rate,
    )


def _records(path: Path, fixed: dict[str, str], n: int, width: int) -> np.ndarray:
    """The data records `(N, width)` int16, mapped and not read."""
    promised = _whole(fixed["number of data records"], f"{path}: number of data records", -1, 99_999_999)
    size, header = path.stat().st_size, 256 * (n + 1)
    expected = header + max(promised, 0) * width * 2
    if size < expected:
        raise SleeplibError(
            f"{path}: truncated: the header promises {expected:,} bytes and the file has {size:,}; "
            "fetch or copy it again"
        )
    found = (size - header) // (width * 2)
    if found < 1:
        raise SleeplibError(f"{path}: a header without data records; fetch or copy it again")
    return np.memmap(path, "<i2", "r", offset=header, shape=(found, width))


def _stamp(path: Path, record: np.ndarray, channel: Channel) -> float | None:
    """Seconds at which a data record begins, as its first annotation says; `None` if that is no time stamp."""
    raw = record[channel.place : channel.place + min(channel.width, 24)].tobytes()
    found = re.match(rb"\s*([+-]?[\d.,]+)\x14\x14", raw)
    return _number(found[1], f"{path}: time stamp", -LATEST, LATEST) if found else None


def _onsets(path: Path, records: np.ndarray, notes: list[Channel], seconds: float) -> np.ndarray | None:
    """Seconds from the first sample at which each record begins."""
    stamps = [_stamp(path, record, notes[0]) for record in records] if notes else []
    if not stamps or None in stamps:
        raise SleeplibError(
            f"{path}: discontinuous (EDF+D), but its data records have no time stamps; {_REPAIR}"
        )
    onsets = np.array(stamps) - stamps[0]
    if (np.diff(onsets) < seconds - _JITTER).any():
        raise SleeplibError(
            f"{path}: the records of this discontinuous file (EDF+D) are not in order; {_REPAIR}"
        )
    off = onsets[-1] - (len(onsets) - 1) * seconds
    if off > _GAPS:
        raise SleeplibError(
            f"{path}: gaps of {off / 86400:.1f} days between its records; fetch or copy it again"
        )
    return onsets


def _spread(x: np.ndarray, starts: np.ndarray, channel: Channel) -> np.ndarray:
    """Records laid where they begin, runs without a gap in one go; a hole that is no gap repeats the sample before."""
    n = channel.width
    whole = np.zeros(starts[-1] + n, np.float32)
    edges = np.flatnonzero(np.r_[True, np.diff(starts) != n, True])
    for a, b in pairwise(edges):
        end = starts[a] + (b - a) * n
        whole[starts[a] : end] = x[a * n : b * n]
        if b < len(starts) and starts[b] - end <= np.ceil(_JITTER * channel.rate):
            whole[end : starts[b]] = x[b * n - 1]
    return whole


def _start(fixed: dict[str, str], first: float) -> datetime | None:
    """When the first sample was taken; the date is 1985-01-01 where it was blanked, as only the clock counts."""
    digits = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})", fixed["time"].replace(" ", "0"))
    try:
        clock = time(*map(int, digits.groups()))
    except (AttributeError, ValueError):
        return None
    return datetime.combine(_date(fixed) or date(1985, 1, 1), clock) + timedelta(seconds=first)


def _date(fixed: dict[str, str]) -> date | None:
    """The day of EDF+, which has the century; else that of the header."""
    named = re.match(r"Startdate\s+(\d{1,2})-([A-Za-z]{3})-(\d{4})\b", fixed["recording"])
    short = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{2})", fixed["date"].replace(" ", "0"))
    try:
        if named:
            return date(int(named[3]), _MONTHS.index(named[2].upper()) + 1, int(named[1]))
        day, month, year = map(int, short.groups())
        return date(year + (1900 if year >= 85 else 2000), month, day)
    except (AttributeError, ValueError, OverflowError):
        return None
