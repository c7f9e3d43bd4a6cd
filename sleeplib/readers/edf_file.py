"""The data records of an EDF or BDF file: signals, annotations, gaps. They are mapped and read when they are used."""

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import LATEST, damage
from sleeplib.readers.edf_header import (
    ANNOTATIONS,
    REPAIR,
    Channel,
    FileHeader,
    decoded,
    header_number,
    read_header,
)

_JITTER = 0.01  # s by which the time stamps of records may err; more is a gap
_PAUSE = 1.0  # s by which a time stamp of a continuous file may be later than the one before has it
_GAPS = 3 * 86_400  # s without signals in one file, at most; more is damage
_LARGEST_NOTES = 64 << 20  # bytes of annotations; a night in records of one second has some 4 MB
_AT_ONCE = 1 << 22  # samples of 24 bits that are widened at once: 16 MB
_MOST_NOTES = 300_000  # a night's heart beats are 40,000
# onset [15 duration] 14 {text 14}: what stands between the zero bytes of an annotation channel.
_NOTE = re.compile(rb"\s*([+-]?[\d.,]+)(?:\x15([\d.,]*))?\x14(?:(.*)\x14)?", re.DOTALL)


@dataclass(frozen=True)
class EdfFile:
    """An open EDF or BDF file; `records` `(N, bytes)` uint8 are read from the disk when they are used.

    Attributes
    ----------
    start : datetime or None
        Clock time of the first sample.
    seconds : float
        Duration of a data record; 0 in files of annotations alone.
    first : float
        Onset of the first record in seconds from the header's clock time, from which annotations count.
    onsets : array (N,) or None
        Seconds at which the records begin, from the first sample, if there are gaps between them: in EDF+D and BDF+D,
        and in files that deny it and whose time stamps have a pause.
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
        # Halves go up: with halves to even, records that follow each other could overlap by a sample.
        return np.floor(np.round(self.onsets * channel.rate, 6) + 0.5).astype(int)

    def signal(self, channel: Channel) -> np.ndarray:
        """Samples `(T,)` float32 of one channel, zero in gaps."""
        block = self.records[:, channel.bytes]
        x = np.empty((len(block), channel.width), np.float32)  # which holds 24 bits without loss
        if block.shape[1] == 2 * channel.width:
            np.multiply(block.view("<i2"), np.float32(channel.gain), out=x)
        else:
            _wide(block, channel.gain, x)
        x = x.reshape(-1)
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
                if text := note[0].strip():  # some fill up with blanks in place of zeros
                    found += self._parsed(text)
        return sorted(found, key=lambda note: (note[0], note[1] or 0.0, note[2]))

    def _text(self, channel: Channel) -> bytes:
        block = self.records[:, channel.bytes]
        if block.size > _LARGEST_NOTES:
            raise SleeplibError(
                f"{self.path}: an annotation channel of over {_LARGEST_NOTES >> 20} MB; fetch it again"
            )
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
        onset = header_number(parts[1], f"{self.path}: onset of an annotation", -LATEST, LATEST)
        duration = (
            header_number(parts[2], f"{self.path}: duration of an annotation", 0, LATEST)
            if parts[2]
            else None
        )
        return [(round(onset - self.first, 9), duration, decoded(text)) for text in texts]


def open_edf(path) -> EdfFile:
    """Open an EDF, EDF+, BDF or BDF+ file.

    A file longer than its header says was left behind by a recorder that was cut off: its size decides.

    Raises
    ------
    SleeplibError
        If the file is truncated, damaged, or neither EDF nor BDF.
    """
    path = Path(path)
    with damage(path, "EDF"):
        header = read_header(path)
        notes = [c for c in header.channels if c.label in ANNOTATIONS]
        records = _records(path, header)
        first = _stamp(path, records[0], notes[0]) if notes else None
        return EdfFile(
            path,
            patient=header.patient,
            start=header.start(first or 0.0),
            seconds=header.seconds,
            signals=[c for c in header.channels if c.label not in ANNOTATIONS],
            notes=notes,
            records=records,
            first=first or 0.0,
            onsets=(_onsets if header.discontinuous else _paused)(path, records, notes, header.seconds),
        )


def _records(path: Path, header: FileHeader) -> np.ndarray:
    """The data records `(N, bytes)` uint8, mapped and not read."""
    size, width = path.stat().st_size, header.channels[-1].bytes.stop
    expected = header.size + max(header.promised, 0) * width
    if size < expected:
        raise SleeplibError(
            f"{path}: truncated: the header promises {expected:,} bytes and the file has {size:,}; "
            "fetch or copy it again"
        )
    found = (size - header.size) // width
    if found < 1:
        raise SleeplibError(f"{path}: a header without data records; fetch or copy it again")
    return np.memmap(path, np.uint8, "r", offset=header.size, shape=(found, width))


def _wide(block: np.ndarray, gain: float, x: np.ndarray) -> None:
    """Samples of 24 bits, the bytes `(N, 3 * n)`, times `gain` into `x` `(N, n)`; some records at a time."""
    step = max(_AT_ONCE // x.shape[1], 1)
    for first in range(0, len(x), step):
        rows = x[first : first + step]
        upper = np.zeros(
            (*rows.shape, 4), np.uint8
        )  # of 32 bits, which are 256 times the sample and have its sign
        upper[..., 1:] = block[first : first + step].reshape(*rows.shape, 3)
        np.multiply(upper.view("<i4")[..., 0], gain / 256, out=rows)


def _stamp(path: Path, record: np.ndarray, channel: Channel) -> float | None:
    """Seconds at which a data record begins, as its first annotation says; `None` if that is no time stamp."""
    raw = record[channel.bytes][:48].tobytes()
    found = re.match(rb"\s*([+-]?[\d.,]+)\x14\x14", raw)
    return header_number(found[1], f"{path}: time stamp", -LATEST, LATEST) if found else None


def _onsets(path: Path, records: np.ndarray, notes: list[Channel], seconds: float) -> np.ndarray | None:
    """Seconds from the first sample at which each record begins."""
    stamps = [_stamp(path, record, notes[0]) for record in records] if notes else []
    if not stamps or None in stamps:
        raise SleeplibError(f"{path}: discontinuous (+D), but its data records have no time stamps; {REPAIR}")
    onsets = np.array(stamps) - stamps[0]
    if (np.diff(onsets) < seconds - _JITTER).any():
        raise SleeplibError(f"{path}: the records of this discontinuous file (+D) are not in order; {REPAIR}")
    off = onsets[-1] - (len(onsets) - 1) * seconds
    if off > _GAPS:
        raise SleeplibError(
            f"{path}: gaps of {off / 86400:.1f} days between its records; fetch or copy it again"
        )
    return onsets


def _paused(path: Path, records: np.ndarray, notes: list[Channel], seconds: float) -> np.ndarray | None:
    """The same of a file that calls itself continuous, if its time stamps have it that the recorder paused.

    Only jumps count, not the drift of a clock. Its last stamps have to be late, or none is looked at; one that is
    missing is taken for right, and stamps that go back are not believed at all.
    """
    if not notes or not seconds:
        return None

    def late(record: int) -> float:
        """Seconds by which the stamp of a record is late; NaN without one."""
        stamp = _stamp(path, records[record], notes[0])
        return np.nan if stamp is None else stamp - record * seconds

    n = len(records)
    try:
        last = np.array([late(i) for i in (0, *range(max(n - 5, 1), n))])
        if np.isnan(last).all() or np.isnan(last[0]) or not np.nanmedian(last[1:]) - last[0] >= _PAUSE:
            return None
        delays = np.array([late(i) for i in range(n)])
    except SleeplibError:  # time stamps that nobody can believe
        return None
    known = np.maximum.accumulate(np.where(np.isnan(delays), 0, np.arange(n)))
    jumps = np.diff(delays[known], prepend=delays[0])
    jumps[np.abs(jumps) < _PAUSE] = 0
    if not jumps.any() or jumps.min() < 0 or jumps.sum() > _GAPS:
        return None
    return np.arange(n) * seconds + np.cumsum(jumps)


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
