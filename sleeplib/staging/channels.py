"""The channels of a night that a network is shown: chosen, read a few at a time, looked at, prepared."""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.signal import get_window

from sleeplib import labels, preparation, quality, signals
from sleeplib.errors import SleeplibError
from sleeplib.labels import Derivation
from sleeplib.preparation import Preparation
from sleeplib.recording import Header, Recording
from sleeplib.stages import EPOCH_SECONDS
from sleeplib.staging.networks import StagingWarning
from sleeplib.staging.sources import Night, part

_MOST_SAMPLES = 1 << 27  # of a channel in a file: a day at 1.5 kHz
_AT_ONCE = 1 << 25  # samples that are read at once: 128 MB
_MOST_EOG = 8
_MOST_NAMED = 20  # channels that an error names
_MOST_TOLD = 5  # channels of which it says what is wrong
_DEAD = 0.9  # share of flat epochs from which a channel tells nothing


class Row(NamedTuple):
    """A channel as a network is shown it (T,), its `_spectrum` or None, its faults, why it tells nothing (or "")."""

    shown: Derivation
    x: np.ndarray | None
    spectrum: np.ndarray | None
    faults: list[str]
    dead: str


def choose(header: Header, names: Sequence[str] | None = None, bad=frozenset()) -> list[Derivation]:
    """What a network is shown: all that `labels.derivations` finds, or the labels and differences that are named.

    Raises
    ------
    SleeplibError
        If there is no EEG or EOG channel, or none of a name.
    """
    if names is not None:
        if not names:
            raise SleeplibError(f"{header.id}: channels names none; leave it away for all EEG and EOG")
        return list({d.labels: d for d in (_named(header, name) for name in names)}.values())
    found = labels.derivations(_without(header, bad))
    eyes = [d for d in found if d.role == "EOG"][_MOST_EOG:]
    found = [d for d in found if d not in eyes]
    if not found:
        refused = _refused(header, bad)
        told = f"can be shown: {_listed(refused, _MOST_TOLD)}" if refused else f"({_listed(header.channels)})"
        raise SleeplibError(f"{header.id}: no EEG or EOG among its channels {told}; name them by --channels")
    return found


def _without(header: Header, bad) -> Header:
    """A header without the channels that are marked as bad: no channel is formed against one of them."""
    kept = [i for i, label in enumerate(header.channels) if label not in bad]
    fields = ("channels", "rates", "units", "samples")
    return replace(header, **{name: [getattr(header, name)[i] for i in kept] for name in fields})


def _refused(header: Header, bad) -> list[str]:
    """The channels with names of EEG and EOG, and why none is shown."""
    return [
        f"{row.label} ({'marked as bad' if row.label in bad else row.why})"
        for row in labels.table(header)
        if labels.SLOWEST.keys() & {row.role, labels.understand(row.label).role}
    ]


def tell_slow(header: Header, shown: list[Derivation]) -> None:
    """Warn of channels too slow for their role: what is named, or a network's montage has, is shown all the same."""
    for d in shown:
        rate, slowest = header.rates[header.channels.index(d.labels[0])], labels.SLOWEST.get(d.role, 0.0)
        if rate < slowest:
            distrust(header, f"{d.name} has {rate:g} Hz, and {d.role} needs at least {slowest:g}")


def distrust(header: Header, why: str) -> None:
    """Warn whoever called `stage`; this is called by what one of its two ways calls."""
    warnings.warn(f"{header.id}: {why}: do not trust its stages", StagingWarning, stacklevel=5)


def _named(header: Header, name: str) -> Derivation:
    """A channel, a difference of two, or a derivation that `labels` forms, by its name without case and blanks."""
    here: dict[str, str] = {}
    for label in header.channels:
        here.setdefault(_plain(label), label)
    plus, _, minus = name.partition(" - ")
    if _plain(name) in here:
        parts = (here[_plain(name)],)
    elif minus and {_plain(plus), _plain(minus)} <= here.keys():
        parts = here[_plain(plus)], here[_plain(minus)]
    else:
        formed = (d for d in labels.derivations(header) if _plain(d.name) == _plain(name))
        if found := next(formed, None):
            return found
        raise SleeplibError(f"{header.id}: no channel {name!r}; it has {_listed(header.channels)}")
    i = header.channels.index(parts[0])
    role = labels.understand(parts[0], header.units[i]).role
    return Derivation(" - ".join(parts), role if role in labels.SLOWEST else "EEG", parts, "named")


def _plain(label: str) -> str:
    return re.sub(r"\s+", "", label).casefold()


def _listed(names: list[str], most: int = _MOST_NAMED) -> str:
    rest = len(names) - most
    return (", ".join(names[:most]) or "none") + (f" and {rest} more" if rest > 0 else "")


def left_out(header: Header, shown: list[Derivation], names=None, bad=frozenset()) -> dict[str, str]:
    """Why each of the other channels is not shown."""
    used = {label for d in shown for label in d.labels}
    table = {row.label: row for row in reversed(labels.table(_without(header, bad)))}
    why = dict.fromkeys(bad, "marked as bad")
    why |= {label: "not among the channels that were named" if names is not None else
           f"one of over {_MOST_EOG} EOG channels" if row.used else row.why
           for label, row in table.items()}  # fmt: skip
    return {label: why[label] for label in dict.fromkeys(header.channels) if label not in used}


def rows(
    night: Night, shown: list[Derivation], prepared: Preparation, begin: float, stop: float
) -> Iterator[Row]:
    """Each channel from `begin` to `stop` s, prepared; of files only some are in memory at a time.

    A channel that shows more to a reader of spectrograms than all before it has its spectrum.

    Raises
    ------
    SleeplibError
        If a channel is absurdly long, cannot be read, or two of a difference do not have one rate.
    """
    sizes = dict(zip(reversed(night.header.channels), reversed(night.header.samples), strict=True))
    rates = dict(zip(reversed(night.header.channels), reversed(night.header.rates), strict=True))
    for d in shown:
        if max(sizes[label] for label in d.labels) > _MOST_SAMPLES:
            raise SleeplibError(
                f"{night.header.id}: {d.name} has over {_MOST_SAMPLES:,} samples; export it at 256 Hz"
            )
        if len({rates[label] for label in d.labels}) > 1:
            told = " and ".join(f"{label} {rates[label]:g} Hz" for label in d.labels)
            raise SleeplibError(f"{night.header.id}: no difference of channels of different rates: {told}")
    longest = max(min(sizes[label] / rates[label] for label in d.labels) for d in shown)
    seen = None
    for group in _groups(shown, sizes):
        recording = night.read(list(dict.fromkeys(label for d in group for label in d.labels)))
        for d in group:
            with np.errstate(over="ignore", invalid="ignore"):  # values beyond all sense are clipped
                row = _row(
                    recording, d, prepared, begin, min(stop, longest), seen is None or _sight(d) < seen
                )
            seen = seen if row.spectrum is None else _sight(d)
            yield row


def _sight(shown: Derivation) -> tuple[bool, bool]:
    """Least where a spectrogram shows most: spindles and slow waves are seen at central electrodes."""
    return shown.role != "EEG", labels.understand(shown.labels[0]).electrode not in ("C3", "C4", "Cz")


def _groups(shown: list[Derivation], sizes: dict[str, int]) -> Iterator[list[Derivation]]:
    group, total = [], 0
    for d in shown:
        size = sum(sizes[label] for label in d.labels)
        if group and total + size > _AT_ONCE:
            yield group
            group, total = [], 0
        group.append(d)
        total += size
    yield group


def _row(
    recording: Recording, d: Derivation, prepared: Preparation, begin: float, stop: float, draw: bool
) -> Row:
    cut = part(recording, list(d.labels), begin, stop)
    rate, n = cut.rates[0], min(map(len, cut.signals))
    if n < (stop - begin - EPOCH_SECONDS) * rate or n < EPOCH_SECONDS * rate:
        nothing = np.empty(0, np.float32)
        return Row(d, nothing, None, [], f"ends {stop - begin - n / rate:.0f} s before the others")
    x, faults, dead = look(cut, d.role)
    y = preparation.at_rate(x, rate, d.role, prepared)
    scaled = np.nan_to_num(preparation.scaled(y, prepared, cut.gaps), copy=False)
    spectrum = _spectrum(y, prepared.rate, rate) if draw and not dead else None
    return Row(d, scaled, spectrum, faults, dead)


def look(cut: Recording, role: str) -> tuple[np.ndarray, list[str], str]:
    """A recording's only channel (T,) or the difference of its two, its faults, why it tells nothing (or "").

    What is no number becomes zero; gaps are not looked at.
    """
    rate, x = cut.rates[0], cut.signals[0]
    if len(cut.signals) > 1:
        n = min(map(len, cut.signals))
        x = x[:n] - cut.signals[1][:n]
    lost = 0.0
    if not np.isfinite(x.sum(dtype=float)):
        finite = np.isfinite(x)
        lost, x = float(1 - finite.mean()), np.where(finite, x, np.float32(0))
    known = x if not cut.gaps else x[~_inside(cut.gaps, len(x), rate)]
    measured = quality.inspect(known, rate, role)
    faults = [f"not a number {lost:.1%}"] * (lost > 0) + quality.faults(measured, cut.units[0])
    return x, faults, f"flat in {measured['flat']:.0%} of the night" if measured["flat"] > _DEAD else ""


def _inside(gaps, n: int, rate: float) -> np.ndarray:
    """Mask (n,) of the samples in gaps."""
    mask = np.zeros(n, bool)
    for onset, duration in gaps:
        mask[max(round(onset * rate), 0) : max(round((onset + duration) * rate), 0)] = True
    return mask


def _spectrum(y: np.ndarray, rate: float, own: float) -> np.ndarray:
    """Power (N, F) of each epoch at 0, 0.5, ... Hz, the median of its frames of 2 s, in dB re 1 uV^2/Hz.

    Frequencies beyond half of the channel's `own` rate are left out.
    """
    size, window = round(EPOCH_SECONDS * rate), get_window("hamming", round(2 * rate), fftbins=False)
    epochs = y[: len(y) // size * size].reshape(-1, size)
    image = np.concatenate([
        np.median(signals.log_power_image(each, rate), axis=1) for each in np.array_split(epochs, len(epochs) // 64 + 1)
    ])  # fmt: skip
    density = 10 * np.log10(2 / (rate * np.square(window).sum()))
    return image[:, : int(min(own, rate)) + 1] + np.float32(density)
