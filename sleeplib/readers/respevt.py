"""Respiratory events of the St. Vincent's / UCD database: fixed-width lines with clock times (`*_respevt.txt`)."""

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import number, read_text, whole
from sleeplib.recording import Event

AROUSAL = "AROUSAL"  # the kind of the events that stand for a `+` in the column "Arousal"
AROUSAL_SECONDS = 3.0  # the shortest arousal there is: the file says that there was one, not how long it was
_AROUSAL_COLUMN = slice(56, 61)
_DAY = 86_400
_KIND = r"\S+(?: EVENT)?"
_LINE = re.compile(
    r"\s*(?P<h>\d\d?):(?P<m>\d\d):(?P<s>\d\d)\s+(?P<kind>" + _KIND + r")\s+(?:(?:PB|CS)\s+)?(?P<duration>\S+)"
)
_HEADING = (
    "                              Respiratory Event List",
    "        Respiratory Event           Desaturation   Snore Arousal     B/T",
    " Time       Type   PB/CS  Duration  Low    %Drop                 Rate  Change",
)
_CLOSING = "\x1a"  # as DOS ended its texts


def read_respevt(path, start: datetime | time | None) -> tuple[None, list[Event]]:
    """Events by their type (`HYP-C`, `APNEA-O`, ...); there are no stages.

    Each arousal that the file flags beside a respiratory event is an event of its own: `AROUSAL`, beginning where
    that one ends, `AROUSAL_SECONDS` long.

    Parameters
    ----------
    start : of the recording by the clock; times before it are those of the next day

    Raises
    ------
    SleeplibError
        If the start is unknown, the file holds no such list, or a line begins with a clock time and is no event.
    """
    if start is None:
        raise SleeplibError(
            f"{path}: has clock times, and its recording does not say when it starts; mend its header"
        )
    text = read_text(path, "text")
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if re.match(r"\s*\d+:", line)]
    if not lines and "Type" not in text:
        raise SleeplibError(
            f"{path}: no list of respiratory events; expected lines like '23:30:00  HYP-O  16 ...'"
        )
    events = []
    for n, line in lines:
        event = _event(f"{path}: line {n}", line, start)
        events.append(event)
        if "+" in line[_AROUSAL_COLUMN]:
            events.append(Event(AROUSAL, event.onset + event.duration, AROUSAL_SECONDS))
    return None, events


def _event(where: str, line: str, start: datetime | time) -> Event:
    found = _LINE.match(line)
    if not found or int(found["h"]) > 23 or int(found["m"]) > 59 or int(found["s"]) > 59:
        raise SleeplibError(
            f"{where} is {line.strip()[:40]!r}; expected hh:mm:ss, the event's type and duration"
        )
    clock = int(found["h"]) * 3600 + int(found["m"]) * 60 + int(found["s"])
    begin = start.hour * 3600 + start.minute * 60 + start.second + start.microsecond * 1e-6
    duration = number(found["duration"], f"{where}: the duration is", 0, _DAY)
    return Event(found["kind"], (clock - begin) % _DAY, duration)


def write_respevt(
    path, events: Iterable[Event], start: datetime, aroused: Iterable[bool] | None = None
) -> None:
    """Write events in whole seconds, as the archive does.

    Parameters
    ----------
    events : their kinds are the types as they shall stand in the file
    start : of the recording
    aroused : whether an arousal followed, of each event; by default none

    Raises
    ------
    SleeplibError
        If there are not as many flags as events, or a type is more than a word.
    """
    events = list(events)
    flags = [False] * len(events) if aroused is None else list(aroused)
    if len(flags) != len(events):
        raise SleeplibError(
            f"{path}: {len(flags)} flags of arousals for {len(events)} events; give one for each"
        )
    strange = [e.kind for e in events if not re.fullmatch(_KIND, e.kind)]
    if strange:
        raise SleeplibError(f"{path}: {strange[0]!r} is no type of event; write one word, as HYP-O")
    lines = [_line(event, flag, start) for event, flag in zip(events, flags, strict=True)]
    with whole(path) as part:
        part.write_text("\r\n".join([*_HEADING, *lines, _CLOSING]), newline="")


def _line(event: Event, aroused: bool, start: datetime) -> str:
    clock = (start + timedelta(seconds=round(event.onset))).strftime("%H:%M:%S")
    flag = "PB" if event.kind == "PB EVENT" else ""
    sign = "+" if aroused else "-"
    return f"{clock}  {event.kind:<8}  {flag:<2}  {event.duration:>6.0f}{'-':>24}{sign:>6}"
