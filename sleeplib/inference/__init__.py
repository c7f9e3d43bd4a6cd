"""A model and a night in, posteriors out."""

from dataclasses import replace

import numpy as np
import torch

from sleeplib import labels
from sleeplib.errors import SleeplibError
from sleeplib.inference.nights import attention, night_posteriors, posteriors_at, posteriors_of_sets
from sleeplib.inference.sequences import fuse, posteriors
from sleeplib.models.usleep import NightNetwork
from sleeplib.preparation import ANYSLEEP, Preparation, log_power_images, prepared_signals
from sleeplib.recording import Recording

__all__ = [
    "PAPER_MONTAGE", "attention", "eeg_and_eog", "fuse", "night_posteriors", "posteriors", "posteriors_at",
    "posteriors_of_sets", "stage",
]  # fmt: skip

# The derivations of SeqSleepNet's experiments (section II) under their AASM names.
PAPER_MONTAGE = {"EEG": "C4-M1", "EOG": "E1-M2 - E2-M2", "EMG": "Chin1-Chin2"}


def stage(
    recording: Recording, network, per_epoch: int = 1, montage: dict[str, str] | None = None
) -> np.ndarray:
    """Stage a whole night.

    Parameters
    ----------
    recording : Recording
    network : nn.Module
    per_epoch : int
        Stages per 30-s epoch: of night networks any number that divides 3840; the networks of SeqSleepNet's tables
        know 1 only.
    montage : dict of role to channel or difference of channels, optional
        By default that of the network's card; else the paper's C4-M1, E1-E2 and chin, or for night networks every
        channel whose name is that of an EEG or EOG channel. For night networks, roles begin with EEG or EOG, or are
        such names themselves ("C4-M1", "E1-M2"; see `eeg_and_eog`).

    Returns
    -------
    array (N, 5) float32
        Posteriors of W, N1, N2, N3, REM, `per_epoch` for each whole epoch from the start of the recording. U-Sleep
        gives shares of votes (see `night_posteriors`).

    Raises
    ------
    SleeplibError
        If a channel is missing, not finite or, for night networks, neither EEG nor EOG, the recording is shorter than
        an epoch, or the network cannot give that resolution.
    """
    night = isinstance(network, NightNetwork)
    if per_epoch != 1 and not night:
        raise SleeplibError(f"{type(network).__name__} gives one stage per epoch, not {per_epoch}")
    preparation = _preparation(recording, network, montage)
    kinds = _kinds(preparation.montage) if night else None
    x = prepared_signals(recording, preparation)
    size = round(preparation.epoch_seconds * preparation.rate)
    n = x.shape[1] // size
    if n < 1:
        raise SleeplibError(
            f"{recording.id}: {recording.duration:g} s are shorter than an epoch of {preparation.epoch_seconds:g} s"
        )
    if night:
        return night_posteriors(network, x[:, : n * size], kinds, per_epoch).float().numpy()
    if spoilt := [
        role for role, row in zip(preparation.montage, x, strict=True) if not np.isfinite(row).all()
    ]:
        raise SleeplibError(
            f"{recording.id}: samples that are not finite (NaN or infinite) in {', '.join(spoilt)}; repair these "
            "channels or name others in a montage"
        )
    epochs = x[:, : n * size].reshape(len(x), n, size).swapaxes(0, 1)
    inputs = epochs if network.signals else log_power_images(epochs, preparation)
    return posteriors(network, torch.from_numpy(np.ascontiguousarray(inputs, np.float32))).numpy()


def _preparation(recording: Recording, network, montage: dict | None) -> Preparation:
    """How the network wants this recording, with a montage of channels that it has."""
    night = isinstance(network, NightNetwork)
    default = Preparation(**ANYSLEEP) if night else Preparation(PAPER_MONTAGE)
    preparation = getattr(network, "preparation", None) or default
    montage = montage or preparation.montage or eeg_and_eog(recording)
    if not night and len(montage) != network.settings.channels:
        raise SleeplibError(
            f"the network takes {network.settings.channels} channels and the montage has {len(montage)}"
        )
    return replace(preparation, montage=montage)


def _kinds(montage: dict) -> list[str]:
    """EEG or EOG for each role: what it begins with, or the kind of channel that it is the name of."""
    begins = {role: role[:3].upper() for role in montage}
    kinds = {role: kind if kind in labels.SLOWEST else _kind(role) for role, kind in begins.items()}
    others = [role for role, kind in kinds.items() if not kind]
    if others:
        raise SleeplibError(
            f"night networks take EEG and EOG only, and the montage has {', '.join(others)}; leave that out, or begin "
            "the roles of EEG and EOG channels with EEG and EOG"
        )
    return list(kinds.values())


def _kind(name: str) -> str | None:
    """EEG or EOG, if it is the name of such a channel."""
    role = labels.understand(name).role
    return role if role in labels.SLOWEST else None


def eeg_and_eog(recording: Recording) -> dict[str, str]:
    """A montage of every EEG and EOG channel, told by their names: `{"EEG C4-M1": "C4-M1", ...}`.

    Electrodes against a common reference become differences to an ear, see `labels.derivations`.

    Raises
    ------
    SleeplibError
        If there is none.
    """
    found = {f"{d.role} {d.name}": d.expression for d in labels.derivations(recording)}
    if not found:
        raise SleeplibError(
            f"{recording.id}: no EEG or EOG among {', '.join(recording.channels)}; name them in a montage"
        )
    return found
