"""A recording in, arrays as a network wants them out: channels of the montage at one rate, scaled, cut to epochs."""

from dataclasses import dataclass

import numpy as np

from sleeplib import signals
from sleeplib.cohorts.channels import Montage, derive
from sleeplib.errors import SleeplibError
from sleeplib.recording import Header, Hypnogram, Recording
from sleeplib.stages import UNSCORED

_KNOWN = {
    "scaling": ("none", "robust", "robust-authors"),
    "filters": ("none", "seqsleepnet"),
    "images": ("dB", "standardised"),
}


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

    def __post_init__(self):
        for setting, known in _KNOWN.items():
            if getattr(self, setting) not in known:
                raise SleeplibError(
                    f"{setting} {getattr(self, setting)!r} is not known; choose {' or '.join(known)}"
                )


def anysleep(**changes) -> Preparation:
    """The preparation of AnySleep and U-Sleep: every EEG and EOG channel at 128 Hz, robustly scaled (section 4.1)."""
    return Preparation(**{"montage": None, "rate": 128.0, "scaling": "robust"} | changes)


def log_power_images(epochs: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Log-power images (N, C, T, F) of a recording's epochs (N, C, S), standardised if the preparation says so."""
    images = signals.log_power_image(epochs, preparation.rate)
    return signals.standardise(images) if preparation.images == "standardised" else images


def prepared_signals(recording: Recording, preparation: Preparation) -> np.ndarray:
    """The montage's channels `(C, T)` float32 at the preparation's rate, scaled and clipped if it says so.

    Raises
    ------
    SleeplibError
        If a channel is missing.
    """
    lengths = [len(x) for x in recording.signals]
    header = Header(recording.channels, recording.rates, recording.units, lengths, recording.id)
    montage = preparation.montage or {label: label for label in recording.channels}

    def read(labels):
        chosen = [recording.channels.index(label) for label in labels]
        rows, rates = [recording.signals[i] for i in chosen], [recording.rates[i] for i in chosen]
        return Recording(rows, rates, labels, recording.id)

    derived = [(derive(d, read), d.type) for d in Montage({}, header).roles(montage)]
    rows = [prepared(*signal, kind, preparation) for signal, kind in derived]
    return np.stack([row[: min(map(len, rows))] for row in rows])


def prepared(x: np.ndarray, rate: float, kind: str, preparation: Preparation) -> np.ndarray:
    """One channel (T,) float32 at the preparation's rate: filtered, resampled, scaled and clipped as it says.

    Parameters
    ----------
    kind : "EEG", "EOG" or "EMG"; the authors' filters differ
    """
    if preparation.filters == "seqsleepnet":
        x = signals.seqsleepnet_filter(x, rate, kind)
    x = signals.resample(x, rate, preparation.rate)
    if preparation.scaling == "robust":
        return signals.clip(signals.robust_scale(x))
    if preparation.scaling == "robust-authors":
        return signals.robust_scale(signals.clip_about_zero(x))
    return x


def align(recording: Recording, x: np.ndarray, preparation: Preparation) -> tuple[np.ndarray, np.ndarray]:
    """Cut signals `(C, T)` and stages to the epochs that both have.

    Raises
    ------
    SleeplibError
        If there is no hypnogram, its epochs have another length, or it does not fit the signal's duration.
    """
    if recording.hypnogram is None:
        raise SleeplibError(f"{recording.id}: no sleep stages in the file")
    starts, stages = place(recording.hypnogram, x.shape[1], preparation, recording.gaps, recording.id)
    return cut(x, starts, preparation), stages


def place(
    hypnogram: Hypnogram, samples: int, preparation: Preparation, gaps=(), name: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Where each epoch lies in the signals, and its stage.

    Epochs that lie in a gap of the recording become unscored. Where epochs of 30 s are wanted, those of 20 s are
    widened by 5 s on both sides (SeqSleepNet, section II), and the first and the last are dropped (the authors' code).

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
        If the epochs have another length, or the scored ones do not fit the signals.
    """
    rate, wanted, own = preparation.rate, preparation.epoch_seconds, hypnogram.epoch_seconds
    widened = np.isclose(own, 20) and np.isclose(wanted, 30)
    if not widened and not np.isclose(own, wanted):
        raise SleeplibError(f"{name}: epochs of {own:g} s; those of this cohort have {wanted:g} s")
    size, start = round(wanted * rate), round(hypnogram.onset * rate)
    step = round(own * rate)
    starts = start + step * np.arange(len(hypnogram)) - (size - step) // 2
    stages = hypnogram.stages.copy()
    if widened:
        starts, stages = starts[1:-1], stages[1:-1]
    whole = int(np.searchsorted(starts, samples - size, side="right"))
    scored = np.flatnonzero(stages != UNSCORED)
    needed = scored[-1] + 1 if len(scored) else 0  # archives fill hypnograms up with unscored hours
    # The last epoch may be cut off by the end of the recording; more than that is another recording's hypnogram.
    if whole < 1 or not needed or needed > whole + 1:
        raise SleeplibError(
            f"{name}: {needed} scored epochs from {hypnogram.onset:g} s do not fit {samples / rate:g} s of signal"
        )
    starts, stages = starts[:whole], stages[:whole]
    for onset, duration in gaps:
        stages[(starts + size > onset * rate) & (starts < (onset + duration) * rate)] = UNSCORED
    return starts, stages


def stages_at(hypnogram: Hypnogram, starts: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Another scorer's stages `(N,)` of the epochs at `starts`; unscored where that scorer saw nothing."""
    middles = starts / preparation.rate + preparation.epoch_seconds / 2
    index = np.floor((middles - hypnogram.onset) / hypnogram.epoch_seconds).astype(int)
    seen = (index >= 0) & (index < len(hypnogram))
    return np.where(seen, hypnogram.stages[np.clip(index, 0, len(hypnogram) - 1)], UNSCORED).astype(np.int8)


def cut(x: np.ndarray, starts: np.ndarray, preparation: Preparation) -> np.ndarray:
    """The epochs of signals `(..., T)` laid end to end."""
    size = round(preparation.epoch_seconds * preparation.rate)
    if len(starts) < 2 or np.all(np.diff(starts) == size):
        return x[..., starts[0] : starts[-1] + size]
    return x[..., (starts[:, None] + np.arange(size)).ravel()]
