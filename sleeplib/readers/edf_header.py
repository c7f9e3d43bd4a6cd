"""The header of an EDF or BDF file: its channels, records and clock. Lenient where recorders are known to err without
harm (commas, dates, letters beyond ASCII), strict where reading on would be a guess."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.labels import microvolts
from sleeplib.readers.common import number
from sleeplib.recording import UNDATED

ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
REPAIR = "repair the header (EDFbrowser has an editor) or export the file again"
_BYTES = {"0": 2, "\xffBIOSEMI": 3}  # of a sample, by the version: EDF, BDF
_FIXED = {"version": 8, "patient": 80, "recording": 80, "date": 8, "time": 8, "header bytes": 8, "reserved": 44,
          "number of data records": 8, "record duration": 8, "number of signals": 4}  # fmt: skip
_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "physical minimum": 8, "physical maximum": 8,
           "digital minimum": 8, "digital maximum": 8, "filters": 80, "samples per record": 8, "": 32}  # fmt: skip
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_FASTEST = 1e5  # samples per second


@dataclass(frozen=True)
class Channel:
    """One signal: `width` samples at these `bytes` of each data record; microvolts are gain * digital + offset.

    `unit` is "uV" of every voltage, and "digital" where the header gives no calibration.
    """

    label: str
    unit: str
    gain: float
    offset: float
    bytes: slice
    width: int
    rate: float


@dataclass(frozen=True)
class FileHeader:
    """What a header says: who, when, which channels; `promised` data records of `seconds`, from byte `size` on.

    `begins` is `UNDATED` where only the clock time is known. `discontinuous` is EDF+D or BDF+D.
    """

    patient: str
    begins: datetime | None
    discontinuous: bool
    promised: int
    seconds: float
    size: int
    channels: list[Channel]

    def start(self, first: float) -> datetime | None:
        """When the first sample was taken, if the first record begins `first` s later than the clock."""
        return self.begins and self.begins + timedelta(seconds=first)


def read_header(path: Path) -> FileHeader:
    """Read the header of a file; errors of the disk are not caught.

    Raises
    ------
    SleeplibError
        If it is truncated, damaged, or of another kind of file.
    """
    with path.open("rb") as file:
        fixed = _fixed(path, _read(path, file, 256))
        n = _whole(fixed["number of signals"], f"{path}: number of signals", 1, 9999)
        size = 256 * (n + 1)
        if _whole(fixed["header bytes"], f"{path}: header bytes", 0, 1e8) != size:
            raise SleeplibError(f"{path}: the sizes in its header contradict each other; {REPAIR}")
        fields = _split(_read(path, file, 256 * n), _FIELDS, n)
    seconds = header_number(fixed["record duration"], f"{path}: record duration", 0, 86_400)
    return FileHeader(
        fixed["patient"],
        _begins(fixed),
        fixed["reserved"].startswith(("EDF+D", "BDF+D")),
        _whole(fixed["number of data records"], f"{path}: number of data records", -1, 99_999_999),
        seconds,
        size,
        _channels(path, fields, seconds, _BYTES[fixed["version"]]),
    )


def _read(path: Path, file, size: int) -> bytes:
    raw = file.read(size)
    if len(raw) < size:
        raise SleeplibError(
            f"{path}: truncated in its header, after {file.tell():,} bytes; fetch or copy it again"
        )
    return raw


def _fixed(path: Path, raw: bytes) -> dict[str, str]:
    fixed = {name: texts[0] for name, texts in _split(raw, _FIXED, 1).items()}
    if fixed["version"] not in _BYTES:
        raise SleeplibError(
            f"{path}: neither EDF nor BDF (it begins with {raw[:8]!r}); fetch or copy it again"
        )
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
    return re.sub(r"[\0-\x1f\x7f-\x9f]", " ", decoded(raw)).strip()


def decoded(raw: bytes) -> str:
    """A text in UTF-8 or else Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def header_number(text: str | bytes, what: str, low: float, high: float) -> float:
    """A number as recorders write it; errors as `common.number`."""
    text = text if isinstance(text, str) else text.decode()
    try:
        return number(text.replace(",", "."), what, low, high)
    except SleeplibError as error:
        raise SleeplibError(f"{error}; {REPAIR}") from error


def _whole(text: str, what: str, low: float, high: float) -> int:
    value = header_number(text, what, low, high)
    if not value.is_integer():
        raise SleeplibError(f"{what} {text!r} is no whole number; {REPAIR}")
    return int(value)


def _channels(path: Path, fields: dict[str, list[str]], seconds: float, size: int) -> list[Channel]:
    """The channels; a sample has `size` bytes."""
    channels, place = [], 0
    for texts in zip(*fields.values(), strict=True):
        channels.append(_channel(path, dict(zip(fields, texts, strict=True)), place, seconds, size))
        place = channels[-1].bytes.stop
    return channels


def _channel(path: Path, field: dict[str, str], place: int, seconds: float, size: int) -> Channel:
    label = field["label"]
    where = f"{path}: channel {label!r}"
    width = _whole(field["samples per record"], f"{where}: samples per record", 1, 99_999_999)
    span = slice(place, place + width * size)
    if label in ANNOTATIONS:
        return Channel(label, "", 1.0, 0.0, span, width, 0.0)
    rate = width / seconds if seconds else np.inf
    if rate > _FASTEST:
        raise SleeplibError(f"{where}: {width:,} samples in records of {seconds:g} s; {REPAIR}")
    low, high = (
        header_number(field[name], f"{where}: {name}", -1e12, 1e12)
        for name in ("physical minimum", "physical maximum")
    )
    first, last = (
        header_number(field[name], f"{where}: {name}", -1e7, 1e7)
        for name in ("digital minimum", "digital maximum")
    )
    if low == high or first == last:
        return Channel(label, "digital", 1.0, 0.0, span, width, rate)
    factor = microvolts(field["unit"])
    gain = (high - low) / (last - first)
    return Channel(
        label,
        field["unit"] if factor is None else "uV",
        gain * (factor or 1.0),
        (low - first * gain) * (factor or 1.0),
        span,
        width,
        rate,
    )


def _begins(fixed: dict[str, str]) -> datetime | None:
    digits = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})", fixed["time"].replace(" ", "0"))
    try:
        clock = time(*map(int, digits.groups()))
    except (AttributeError, ValueError):
        return None
    return datetime.combine(_date(fixed) or UNDATED, clock)


def _date(fixed: dict[str, str]) -> date | None:
    """The day of EDF+, which has the century; else that of the header."""
    named = re.match(r"Startdate\s+(\d{1,2})-([A-Za-z]{3})-(\d{4})\b", fixed["recording"])
    short = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{2})", fixed["date"].replace(" ", "0"))
    try:
        if named:
            return date(int(named[3]), MONTHS.index(named[2].upper()) + 1, int(named[1]))
        day, month, year = map(int, short.groups())
        return date(year + (1900 if year >= 85 else 2000), month, day)
    except (AttributeError, ValueError, OverflowError):
        return None
