"""A staged night in, the words and numbers of its report out. Nothing is escaped here: the template escapes."""

import re
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from sleeplib.analysis import architecture
from sleeplib.errors import SleeplibError
from sleeplib.recording import UNDATED
from sleeplib.staged import Staged
from sleeplib.stages import EPOCH_SECONDS

_NEAR = "\u00a0"  # a space at which no line ends
_LONGEST = 40  # characters of a name
_RATES = "REM latency counts from sleep onset, rates are per hour of sleep."
_A_NIGHT = 360  # epochs; what is usual of nights says nothing of a nap
_MOST_LINES = 12  # of faults, and of reasons why channels were left out; the printed page has fewer
# The rows of the printed page, in the order of a laboratory's report; the others stand below them on the screen.
_FIRST = {
    "TIB": "time in bed", "SPT": "sleep period", "TST": "total sleep time", "SE": "sleep efficiency",
    "SME": "sleep maintenance", "SOL": "sleep onset latency", "Lat_REM_sleep": "REM latency",
    "WASO_lights_on": "wake after sleep onset", "%N1": "N1", "%N2": "N2", "%N3": "N3", "%REM": "REM sleep",
    "awakenings": "awakenings", "SFI": "awakenings per hour", "SSI": "stage changes per hour",
    "arousals": "arousals", "AI": "arousals per hour", "AI_NREM": "arousals per hour of NREM",
    "AI_REM": "arousals per hour of REM",
}  # fmt: skip


def short(text, most: int = _LONGEST, middle: bool = False) -> str:
    """A name from a file as it can be printed: no control characters, and not without end.

    What is too much is cut at the end, or in the `middle`, where names that begin alike shall be told apart.
    """
    text = str(text)
    if len(text) > most:
        tail = most // 2 if middle else 0
        text = text[: most - 1 - tail] + "…" + text[len(text) - tail :]
    return "".join(c if c.isprintable() else "?" for c in text)


def per_cent(share: float) -> str:
    """A share in whole per cents."""
    return f"{100 * share:.0f}{_NEAR}%"


def clock(night: Staged, seconds: bool = True) -> Callable[[float], str]:
    """A function that tells the clock time of seconds after the first epoch; hours since then if nobody knows it."""

    def tell(t: float) -> str:
        if night.begins:
            return f"{night.begins + timedelta(seconds=float(t)):{'%H:%M:%S' if seconds else '%H:%M'}}"
        minutes, rest = divmod(round(float(t)), 60)
        return f"{minutes // 60}:{minutes % 60:02d}" + (f":{rest:02d}" if seconds else "")

    return tell


def facts(night: Staged) -> list[tuple[str, str]]:
    """What is known of the night, the person and the network, as pairs of words."""
    seconds = EPOCH_SECONDS * len(night.posteriors)
    tell, person, network = clock(night, seconds=False), night.subject, night.network
    span = f"{seconds // 3600:.0f} h {seconds % 3600 / 60:g} min, {len(night.posteriors)} epochs of 30 s"
    found = []
    if night.begins and night.start.date() != UNDATED:
        found.append(("Date", f"{night.begins:%d %B %Y}"))
    if night.begins:
        found.append(("Staged", f"{tell(0)} to {tell(seconds)} ({span})"))
    else:
        found.append(("Staged", f"{span}; clock time not known"))
    if person and person.id and person.id != night.id:
        found.append(("Person", short(person.id)))
    if person and person.age is not None and np.isfinite(person.age):
        found.append(("Age", f"{person.age:g} years"))
    if person and person.sex:
        found.append(("Sex", {"F": "female", "M": "male"}.get(person.sex, short(person.sex))))
    licence = f" (licence of the weights: {short(network['licence'])})" if network.get("licence") else ""
    found.append(("Staged by", short(network.get("title") or network["name"], 120) + licence))
    return found


def statistics(night: Staged) -> dict:
    """The sleep report: `first`, the rows that everybody asks for, `all` of them, and a `note` on the ranges.

    A row has `name`, `meaning`, `value`, and in `first`, where age is known, the `usual` range of healthy sleepers, the
    `verdict` (within, below, above) and the `bar` (where in per cent of the bar are low, high and the value).
    """
    found = architecture.report_statistics(night.hypnogram.stages, EPOCH_SECONDS, night.arousals)
    norms = {name: norm for name, norm in normative(night).items() if name in found}
    rows = [
        {"name": name, "meaning": meaning, "value": number(value, unit)}
        for name, (value, unit, meaning) in found.items()
    ]
    first = [
        {
            "name": name,
            "meaning": words,
            "value": _value(found, name),
            **_compared(found[name].value, norms.get(name)),
        }
        for name, words in _FIRST.items()
        if name in found
    ]
    return {"first": first, "all": rows, "known": bool(norms), "note": _note(norms)}


def normative(night: Staged) -> dict[str, architecture.Norm]:
    """What healthy sleepers of the person's age have; empty for naps, and where age or norms are not known."""
    if len(night.posteriors) < _A_NIGHT:
        return {}
    try:
        return architecture.normative(night.subject and night.subject.age)
    except SleeplibError:  # an age of 999 in a header
        return {}


def _value(found: dict[str, architecture.Statistic], name: str) -> str:
    """A statistic with its unit; minutes before the share of a stage."""
    value, unit, _ = found[name]
    minutes = found.get(name.removeprefix("%")) if name.startswith("%") else None
    return (number(*minutes[:2]) + ", " if minutes else "") + number(value, unit)


def _compared(value: float, norm: architecture.Norm | None) -> dict:
    """A value beside what is usual: `usual`, `verdict` and `bar` of a row."""
    if norm is None:
        return {"usual": "", "verdict": "", "bar": None}
    if not np.isfinite([norm.low, norm.high]).all():
        return {"usual": f"mean {norm.mean:.0f}", "verdict": "", "bar": None}
    row = {"usual": f"{norm.low:.0f} to {norm.high:.0f}", "verdict": "", "bar": None}
    if not np.isfinite(value):
        return row
    row["verdict"] = "below" if value < norm.low else "above" if value > norm.high else "within"
    place = 25 + 50 * (np.array([norm.low, norm.high, value]) - norm.low) / ((norm.high - norm.low) or 1)
    return row | {"bar": np.clip(place, 6, 94).round(1).tolist()}


def _note(norms: dict[str, architecture.Norm]) -> str:
    """What the ranges are, and whose."""
    if not norms:
        return f"{_RATES} What is usual is told of adults whose age is known, for 3 h or more."
    told = "; ".join(sorted({norm.band for norm in norms.values() if np.isfinite(norm.low)}))
    keys = sorted({key for norm in norms.values() for key in norm.sources})
    sources = ", ".join(
        re.sub(r"^([a-z]+)(\d{4}).*", lambda m: f"{m[1].title()} {m[2]}", key) for key in keys
    )
    return (
        f"{_RATES} Usual at this age: {told}; a mean alone where the spread is not known. After {sources}. "
        "A third of healthy sleepers lie outside one standard deviation: that is no finding."
    )


def number(value: float, unit: str) -> str:
    """A value as it is printed: counts whole, all else with one decimal; a dash for what a night cannot have."""
    return "–" if not np.isfinite(value) else f"{value:.1f}{_NEAR}{unit}" if unit else f"{value:g}"


def quality(night: Staged) -> dict:
    """Number and names of the channels that were `used`, those that were `left` out by reason, and `faults` of
    channels, as pairs of texts."""
    reasons: dict[str, list[str]] = {}
    for name, why in night.left_out.items():
        reasons.setdefault(short(why, 60), []).append(name)
    faults = [(short(name, 24), _listed(what, 120, 60)) for name, what in night.faults.items() if len(what)]
    return {
        "number": len(night.channels),
        "used": _listed(night.channels, 360),
        "left": _capped([(why, _listed(names, 110)) for why, names in reasons.items()]),
        "faults": _capped(faults),
    }


def _listed(names: list[str], most: int, longest: int = 24) -> str:
    """Names with commas, up to `most` characters, and how many more there are."""
    names = [short(name, longest, middle=True) for name in names]
    ends = np.cumsum([len(name) + 2 for name in names])
    kept = max(int(np.searchsorted(ends, most, side="right")), 1)
    return ", ".join(names[:kept]) + (f" and {len(names) - kept} more" if len(names) > kept else "")


def _capped(lines: list) -> list:
    """The first lines, and how many more there are."""
    rest = len(lines) - _MOST_LINES
    return lines if rest <= 0 else [*lines[:_MOST_LINES], ("more", f"{rest} not listed here")]
