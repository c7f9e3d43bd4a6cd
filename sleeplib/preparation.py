"""A recording in, arrays as a network wants them out: channels of the montage at one rate, scaled, cut to epochs."""

from dataclasses import dataclass

import numpy as np

from sleeplib import signals
from sleeplib.errors import SleeplibError
from sleeplib.montages import Montage, derive
from sleeplib.recording import Event, Header, Hypnogram, Recording
from sleeplib.stages import UNSCORED

_KNOWN = {
    "scaling": ("none", "robust", "robust-authors"),
    "filters": ("none", "seqsleepnet"),
    "images": ("dB", "standardised"),
}


_EXCESS = 30  # epochs; ISRUC's hypnograms are up to 31 longer than some of its signals


@dataclass(frozen=True)
class Preparation:
    """How nights are prepared. Defaults: SeqSleepNet (100 Hz, no scaling: its image is z-scored per frequency bin)."""

    # Role: derivation, or several of which the first that can be formed counts. None: every EEG and EOG channel.
    montage: dict | None
    rate: float = 100.0
    # "robust": median and inter-quartile range, then clipped to +-20 (AnySleep, section 4.1); "robust-authors": in the
    # order of the authors' code, clipped to +-20 inter-quartile ranges about zero first.
    scaling: str = "none"
    epoch_seconds: float = 30.0
    images: str = (
        "dB"  # or "standardised": each frequency bin z-scored over its recording, for montages never seen
    )
    filters: str = (
        "none"  # or "seqsleepnet": those of the authors' program, of which the paper does not speak
    )
    # Whether epochs of 20 s may be widened to 30 s (SeqSleepNet, section II). Their windows overlap, so that a network
    # that reads on through the night must not have them.
    widen: bool = True

    def __post_init__(self):
        for setting, known in _KNOWN.items():
            if getattr(self, setting) not in known:
                raise SleeplibError(
                    f"{setting} {getattr(self, setting)!r} is not known; choose {' or '.join(known)}"
                )


ANYSLEEP = {"montage": None, "rate": 128.0, "scaling": "robust", "widen": False}
"""Settings for AnySleep and U-Sleep: every EEG and EOG channel at 128 Hz, robustly scaled (section 4.1)."""


def log_power_images(epochs: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Log-power images (N, C, T, F) of a recording's epochs (N, C, S), standardised if the preparation says so."""
    images = signals.log_power_image(epochs, preparation.rate)
    return signals.standardise(images) if preparation.images == "standardised" else images


def prepared_signals(recording: Recording, preparation: Preparation) -> np.ndarray:
    """The montage's channels `(C, T)` float32 of a whole recording, at the preparation's rate and in its scaling.

    Raises
    ------
    SleeplibError
        If a channel is missing.
    """
    rows = [scaled(x, preparation, recording.gaps) for x, _ in resampled(recording, preparation)]
    return np.stack([row[: min(map(len, rows))] for row in rows])


def night(recording: Recording, preparation: Preparation) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """A scored recording cut to its epochs: rows (T,) of the montage's channels, and `starts` and `stages` of `place`.

    Raises
    ------
    SleeplibError
        If a channel or the hypnogram is missing, or the two do not fit.
    """
    if recording.hypnogram is None:
        raise SleeplibError(f"{recording.id}: no sleep stages in the file")
    rows = [x for x, _ in resampled(recording, preparation)]
    starts, stages = place(
        recording.hypnogram, min(map(len, rows)), preparation, recording.gaps, recording.id
    )
    return [epochs(row, starts, preparation, recording.gaps) for row in rows], starts, stages


def resampled(recording: Recording, preparation: Preparation) -> list[tuple[np.ndarray, str]]:
    """Each of the montage's channels (T,) at the preparation's rate, with its type."""
    lengths = [len(x) for x in recording.signals]
    header = Header(recording.channels, recording.rates, recording.units, lengths, recording.id)
    montage = preparation.montage or {label: label for label in recording.channels}

    def read(labels):
        chosen = [recording.channels.index(label) for label in labels]
        rows, rates = [recording.signals[i] for i in chosen], [recording.rates[i] for i in chosen]
        return Recording(rows, rates, labels, recording.id)

    derived = [(derive(d, read), d.type) for d in Montage({}, header).roles(montage)]
    return [(at_rate(*signal, kind, preparation), kind) for signal, kind in derived]


def at_rate(x: np.ndarray, rate: float, kind: str, preparation: Preparation) -> np.ndarray:
    """One channel (T,) float32, filtered if the preparation says so, at its rate.

    Parameters
    ----------
    kind : "EEG", "EOG" or "EMG"; the authors' filters differ
    """
    if preparation.filters == "seqsleepnet":
        x = signals.seqsleepnet_filter(x, rate, kind)
    return signals.resample(x, rate, preparation.rate)


def scaled(x: np.ndarray, preparation: Preparation, gaps=()) -> np.ndarray:
    """A channel (T,) in the preparation's scaling; what lies in `gaps` (onset, duration in s) does not count for it."""
    if preparation.scaling == "none":
        return x
    there = np.ones(len(x), bool)
    for onset, duration in gaps:
        there[
            max(round(onset * preparation.rate), 0) : max(round((onset + duration) * preparation.rate), 0)
        ] = False
    known = x if there.all() or not there.any() else x[there]
    if preparation.scaling == "robust":
        return signals.clip(signals.robust_scale(x, known))
    clipped = signals.clip_about_zero(x, known)
    return signals.robust_scale(clipped, clipped if known is x else clipped[there])


def epochs(x: np.ndarray, starts: np.ndarray, preparation: Preparation, gaps=()) -> np.ndarray:
    """The epochs of a channel (T,) laid end to end, in the preparation's scaling.

    The scale is that of the scored part: what was recorded before the first epoch and behind the last does not count
    (AnySleep's data were trimmed first).
    """
    size = round(preparation.epoch_seconds * preparation.rate)
    begin, end = starts[0], starts[-1] + size
    inside = [(onset - begin / preparation.rate, duration) for onset, duration in gaps]
    span = scaled(x[begin:end], preparation, inside)
    if np.all(np.diff(starts) == size):
        return span
    return span[((starts - begin)[:, None] + np.arange(size)).ravel()]


def place(
    hypnogram: Hypnogram, samples: int, preparation: Preparation, gaps=(), name: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Where each epoch lies in the signals, and its stage.

    Whole epochs before the first scored one, and epochs that lie in a gap of the recording, are unscored. Where epochs
    of 30 s are wanted, those of 20 s are widened by 5 s on both sides (SeqSleepNet, section II), and the first and the
    last are dropped (the authors' code). Epochs of a clock that is up to 0.1 % off (30.002 s, MASS) begin where the
    scorer's begin.

    Parameters
    ----------
    samples : of the signals, at the preparation's rate
    gaps : (onset, duration) in s

    Returns
    -------
    starts : array (N,) int, first sample of each epoch
    stages : array (N,) int8

    Raises
    ------
    SleeplibError
        If the epochs have another length, or the scored ones are far longer than the signals.
    """
    rate, wanted, own = preparation.rate, preparation.epoch_seconds, hypnogram.epoch_seconds
    widened = preparation.widen and near(own, 20) and near(wanted, 30)
    if not widened and not near(own, wanted):
        raise SleeplibError(f"{name}: epochs of {own:g} s; those of this cohort have {wanted:g} s")
    size, first = round(wanted * rate), round(hypnogram.onset * rate)
    step = size * own / wanted  # not a whole number where the scorer's clock is a little off
    before = 0 if widened else int(first // step)  # whole epochs that nobody scored
    stages = np.r_[np.full(before, UNSCORED), hypnogram.stages].astype(np.int8)
    margin = (size - round(step)) // 2 if widened else 0
    starts = first + np.round(step * np.arange(-before, len(hypnogram))).astype(int) - margin
    if widened:
        starts, stages = starts[1:-1], stages[1:-1]
    whole = int(np.searchsorted(starts, samples - size, side="right"))
    scored = np.flatnonzero(stages != UNSCORED)
    needed = scored[-1] + 1 if len(scored) else 0  # archives fill hypnograms up with unscored hours
    if whole < 1 or not needed or needed - whole > _longer(needed):
        raise SleeplibError(
            f"{name}: {needed} scored epochs from {hypnogram.onset:g} s do not fit {samples / rate:g} s of signal"
        )
    starts, stages = starts[:whole], stages[:whole]
    for onset, duration in gaps:
        stages[(starts + size > onset * rate) & (starts < (onset + duration) * rate)] = UNSCORED
    return starts, stages


def near(seconds: float, wanted: float) -> bool:
    """Whether epochs are meant to be of the wanted length: within 0.1 %, by which clocks of scorers differ."""
    return abs(seconds - wanted) <= 1e-3 * wanted


def _longer(scored: int) -> float:
    """Epochs by which a hypnogram may be longer than its signals; more is another recording's hypnogram."""
    return 1 + min(_EXCESS, scored / 10)


def move(events, starts: np.ndarray, preparation: Preparation, epoch_seconds: float) -> list[Event]:
    """Events with onsets in the signals as `epochs` lays them; those that begin outside the scored epochs are left out.

    Parameters
    ----------
    epoch_seconds : of the hypnogram; where its epochs were widened, an event goes with the epoch that it begins in
    """
    margin = max(preparation.epoch_seconds - epoch_seconds, 0.0) / 2
    begins = starts / preparation.rate
    moved = []
    for event in events:
        i = int(np.searchsorted(begins + margin, event.onset, side="right")) - 1
        if i >= 0 and event.onset < begins[i] + margin + epoch_seconds:
            onset = i * preparation.epoch_seconds + event.onset - begins[i]
            moved.append(Event(event.kind, float(onset), event.duration))
    return moved


def stages_at(hypnogram: Hypnogram, starts: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Another scorer's stages `(N,)` of the epochs at `starts`; unscored where that scorer saw nothing."""
    middles = starts / preparation.rate + preparation.epoch_seconds / 2
    index = np.floor((middles - hypnogram.onset) / hypnogram.epoch_seconds).astype(int)
    seen = (index >= 0) & (index < len(hypnogram))
    return np.where(seen, hypnogram.stages[np.clip(index, 0, len(hypnogram) - 1)], UNSCORED).astype(np.int8)
