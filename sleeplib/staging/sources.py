"""A file, a `Recording` or MNE's `Raw` in, its header and a way to read single channels out."""

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sleeplib import readers
from sleeplib.errors import SleeplibError
from sleeplib.readers.npz import npz_epoch_seconds
from sleeplib.recording import Header, Recording, Subject
from sleeplib.stages import EPOCH_SECONDS
from sleeplib.staging.networks import StagingWarning

_LONGEST = 24 * 3600  # s; memory grows with the night, to 1.8 GB at this length
_OLDEST = 130  # years
_CLOCK = re.compile(r"\s*(\d{1,2}):(\d\d)(?::(\d\d))?\s*")
_VOLTS = ("eeg", "eog", "emg", "ecg", "bio")  # MNE's kinds of channels that are in volts


class Night(NamedTuple):
    """What is known of a night before its signals are read, how to read channels, and those that are not to be used."""

    header: Header
    read: Callable[[list[str]], Recording]
    bad: frozenset[str] = frozenset()


def opened(source) -> Night:
    """A night whose signals are not read yet; errors as `readers.header`, or if a file holds annotations alone."""
    if isinstance(source, Recording):
        r, lengths = source, [len(x) for x in source.signals]
        header = Header(
            r.channels, r.rates, r.units, lengths, r.id or "night", r.start, r.subject, tuple(r.gaps)
        )
        return Night(header, lambda names: part(source, names))
    if hasattr(source, "get_data") and hasattr(source, "ch_names"):
        return _raw(source)
    return _file(source)


def _file(path) -> Night:
    """A file of any kind that `readers` know. Of an .npz no stages are read: many have none."""
    header = readers.header(path)
    if not header.channels:
        raise SleeplibError(
            f"{path}: holds annotations and no signals; name the file of the recording itself"
        )
    if Path(path).suffix.lower() != ".npz":
        return Night(header, partial(_signals, path))
    seconds = npz_epoch_seconds(path)
    if not np.isclose(seconds, EPOCH_SECONDS):
        told = (
            f"{path}: its epochs of {seconds:g} s were laid end to end as if they followed each other, which is no "
            f"night if they are parts of longer ones; give a file of whole epochs of {EPOCH_SECONDS:g} s"
        )
        warnings.warn(told, StagingWarning, stacklevel=4)
    return Night(header, partial(readers.read, path, scored=False))


def _signals(path, names: list[str]) -> Recording:
    """Some channels of a file; annotations that cannot be read are told and left, since no stage needs them."""
    try:
        return readers.read(path, names)
    except SleeplibError as error:
        found = readers.read(path, names, scored=False)  # which tells it again if something else is wrong
        warnings.warn(f"{error} (staged without its annotations)", StagingWarning, stacklevel=2)
        return found


def aged(header: Header, age: float | None) -> Header:
    """A header whose person has this age in years, if one is given.

    Raises
    ------
    SleeplibError
        If nobody is so old.
    """
    if age is None:
        return header
    if not 0 <= age <= _OLDEST:
        raise SleeplibError(f"an age of {age:g} years; expected 0 to {_OLDEST}")
    return replace(header, subject=replace(header.subject or Subject(header.id), age=float(age)))


def part(recording: Recording, names: list[str], begin: float = 0.0, stop: float | None = None) -> Recording:
    """Some channels of a recording from `begin` to `stop`, in seconds."""
    chosen = [recording.channels.index(name) for name in names]
    rates, units = ([every[i] for i in chosen] for every in (recording.rates, recording.units))
    cut = [slice(round(begin * rate), None if stop is None else round(stop * rate)) for rate in rates]
    rows = [np.asarray(recording.signals[i], np.float32)[where] for i, where in zip(chosen, cut, strict=True)]
    gaps = [(onset - begin, duration) for onset, duration in recording.gaps]
    return replace(recording, signals=rows, rates=rates, channels=names, units=units, gaps=gaps)


def _raw(raw) -> Night:
    """MNE's `Raw`: signals in volts, a start whose UTC is the recorder's clock, skips among the annotations."""
    names, rate, kinds = list(map(str, raw.ch_names)), float(raw.info["sfreq"]), raw.get_channel_types()
    units = ["uV" if kind in _VOLTS else "" for kind in kinds]
    before = float(raw.first_time)  # s that were cropped away
    begun = raw.info["meas_date"]
    begun = begun and begun.replace(tzinfo=None) + timedelta(seconds=before)
    offset = before if raw.annotations.orig_time is not None else 0.0
    gaps = [
        (float(onset) - offset, float(duration))
        for onset, duration, text in zip(
            raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
        )
        if str(text).upper() == "BAD_ACQ_SKIP"
    ]
    id = next((Path(str(file)).stem for file in raw.filenames if file), "night")
    lengths, rates = [int(raw.n_times)] * len(names), [rate] * len(names)
    header = Header(names, rates, units, lengths, id, begun, None, tuple(gaps))

    def read(wanted: list[str]) -> Recording:
        """These channels in microvolts."""
        chosen = [names.index(name) for name in wanted]
        rows = [(raw.get_data(picks=[i])[0] * (1e6 if units[i] else 1)).astype(np.float32) for i in chosen]
        return Recording(rows, rates[: len(rows)], wanted, id, [units[i] for i in chosen], gaps=gaps)

    return Night(header, read, frozenset(map(str, raw.info["bads"])))


def span(header: Header, start=None, end=None) -> tuple[float, float]:
    """Beginning and end in seconds of what is to be staged, from seconds, clock times or nothing.

    Raises
    ------
    SleeplibError
        If they lie outside the recording, are not in order, or leave less than an epoch, more than a day, or more gaps
        than signal between them.
    """
    begin = 0.0 if start is None else _seconds(start, "start", header)
    stop = header.duration if end is None else _seconds(end, "end", header, begin)
    gaps = sum(max(min(a + duration, stop) - max(a, begin), 0.0) for a, duration in header.gaps)
    for wrong, told in (
        (not begin < stop, f"it cannot be staged from {begin:g} s to {stop:g} s"),
        (stop - begin < EPOCH_SECONDS, f"{stop - begin:g} s are less than an epoch of 30 s"),
        (stop - begin > _LONGEST, _by_days(begin, stop)),
        (
            gaps > (stop - begin) / 2,
            f"{gaps / 3600:.1f} h of gaps, more than signal; give a start and an end",
        ),
    ):
        if wrong:
            raise SleeplibError(f"{header.id}: {told}")
    return begin, stop


def _by_days(begin: float, stop: float) -> str:
    """What to type for a recording of over a day: the network weighs channels over all of what it is shown."""
    cuts = [*np.arange(begin, stop, _LONGEST), stop][:3]
    days = [f"--start {a:g} --end {b:g} --out day-{i}" for i, (a, b) in enumerate(pairwise(cuts), 1)]
    return f"{(stop - begin) / 3600:.1f} h are over a day; stage each day by itself: {', then '.join(days)}"


def _seconds(when, name: str, header: Header, after: float = 0.0) -> float:
    """Seconds from the start of the recording; of a clock time the first that is later than `after`."""
    clock = _CLOCK.fullmatch(str(when))
    try:
        seconds = 0.0 if clock else float(when)
    except (TypeError, ValueError):
        seconds = np.nan
    if clock:
        if header.start is None:
            raise SleeplibError(
                f"{header.id}: no clock time of its start, so {name} {when} is unknown; give seconds"
            )
        hours, minutes, rest = (int(text or 0) for text in clock.groups())
        begun = header.start.hour * 3600 + header.start.minute * 60 + header.start.second
        begun += header.start.microsecond / 1e6
        seconds = (
            np.nan
            if max(hours / 24, minutes / 60, rest / 60) >= 1
            else 3600 * hours + 60 * minutes + rest - begun
        )
        seconds = seconds % 86400
        seconds += 86400 * (seconds <= after and name == "end")
    if not 0 <= seconds <= header.duration:
        began = f" from {header.start:%H:%M:%S} on" if header.start else ""
        raise SleeplibError(
            f"{header.id}: {name} {when} does not lie within its {header.duration:.0f} s{began}; give seconds or HH:MM"
        )
    return float(seconds)
