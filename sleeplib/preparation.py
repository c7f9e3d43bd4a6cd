"""A recording in, arrays as a network wants them out: channels of the montage at one rate, scaled, cut to epochs."""

from dataclasses import dataclass

import numpy as np

from sleeplib import signals
from sleeplib.errors import SleeplibError
from sleeplib.recording import Recording


@dataclass(frozen=True)
class Preparation:
    """How nights are prepared. Defaults: SeqSleepNet (100 Hz, no scaling: its image is z-scored per frequency bin)."""

    montage: dict[str, str]
    rate: float = 100.0
    scaling: str = "none"  # or "robust": median and inter-quartile range, clipped to +-20 (AnySleep)
    epoch_seconds: float = 30.0
    images: str = (
        "dB"  # or "standardised": each frequency bin z-scored over its recording, for montages never seen
    )

    def __post_init__(self):
        for setting, known in (("scaling", ("none", "robust")), ("images", ("dB", "standardised"))):
            if getattr(self, setting) not in known:
                raise SleeplibError(
                    f"{setting} {getattr(self, setting)!r} is not known; choose {' or '.join(known)}"
                )


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
    rows = [
        signals.resample(*recording.channel(name), preparation.rate) for name in preparation.montage.values()
    ]
    x = np.stack([row[: min(map(len, rows))] for row in rows])
    return signals.clip(signals.robust_scale(x)) if preparation.scaling == "robust" else x


def align(recording: Recording, x: np.ndarray, preparation: Preparation) -> tuple[np.ndarray, np.ndarray]:
    """Cut signals `(C, T)` and stages to the epochs that both have.

    Raises
    ------
    SleeplibError
        If there is no hypnogram, its epochs have another length, or it does not fit the signal's duration.
    """
    hypnogram, seconds = recording.hypnogram, preparation.epoch_seconds
    if hypnogram is None:
        raise SleeplibError(f"{recording.id}: no sleep stages in the file")
    if not np.isclose(hypnogram.epoch_seconds, seconds):
        raise SleeplibError(
            f"{recording.id}: epochs of {hypnogram.epoch_seconds:g} s; those of this cohort have {seconds:g} s"
        )
    start, size = round(hypnogram.onset * preparation.rate), round(seconds * preparation.rate)
    whole = (x.shape[1] - start) // size
    scored = np.flatnonzero(hypnogram.scored)
    needed = scored[-1] + 1 if len(scored) else 0  # archives fill hypnograms up with unscored hours
    # The last epoch may be cut off by the end of the recording; more than that is another recording's hypnogram.
    if whole < 1 or not needed or needed > whole + 1:
        raise SleeplibError(
            f"{recording.id}: {needed} scored epochs from {hypnogram.onset:g} s do not fit "
            f"{x.shape[1] / preparation.rate:g} s of signal"
        )
    n = min(len(hypnogram), whole)
    return x[:, start : start + n * size], hypnogram.stages[:n]
