"""A model and a night in, posteriors out."""

import numpy as np
import torch

from sleeplib.errors import SleeplibError
from sleeplib.preparation import Preparation, log_power_images, prepared_signals
from sleeplib.recording import Recording

# The derivations of SeqSleepNet's experiments (section II) under their AASM names.
PAPER_MONTAGE = {"EEG": "C4-M1", "EOG": "E1-M2 - E2-M2", "EMG": "Chin1-Chin2"}


def fuse(decisions: torch.Tensor) -> torch.Tensor:
    """Fuse the overlapping decisions about each epoch (SeqSleepNet, eqs. 16-18).

    log P(y_t) = 1/n_t * sum of log P(y_t | S_i) over the n_t windows S_i that cover epoch t. Inside a recording
    n_t = L; towards its ends there are fewer windows, down to one. The result is normalised to a posterior,
    which changes no maximum.

    Parameters
    ----------
    decisions : tensor (N - L + 1, L, K)
        Log-posteriors of window i for its position l, that is for epoch i + l.

    Returns
    -------
    tensor (N, K)
        Posteriors; the stage is their argmax.
    """
    n_windows, L, K = decisions.shape
    total = decisions.new_zeros(n_windows + L - 1, K)
    count = decisions.new_zeros(n_windows + L - 1, 1)
    for position in range(L):
        total[position : position + n_windows] += decisions[:, position]
        count[position : position + n_windows] += 1
    return (total / count).softmax(-1)


@torch.no_grad()
def posteriors(network, inputs: torch.Tensor) -> torch.Tensor:
    """Posteriors `(N, 5)` for a night's images `(N, C, T, F)` or signals `(N, C, T)`, all decisions fused.

    The network's mode is left as it was.
    """
    mode, device = network.training, next(network.parameters()).device
    network.eval()
    fused = fuse(network.decisions(inputs.to(device))).cpu()
    network.train(mode)
    return fused


def stage(
    recording: Recording, network, per_epoch: int = 1, montage: dict[str, str] | None = None
) -> np.ndarray:
    """Stage a whole night.

    Parameters
    ----------
    recording : Recording
    network : nn.Module
    per_epoch : int
        Stages per 30-s epoch; the networks of SeqSleepNet's tables know 1 only.
    montage : dict of role to channel or difference of channels, optional
        By default that of the network's card, or the paper's C4-M1, E1-E2 and chin.

    Returns
    -------
    array (N, 5) float32
        Posteriors of W, N1, N2, N3, REM for each whole epoch from the start of the recording.

    Raises
    ------
    SleeplibError
        If a channel is missing, the recording is shorter than an epoch, or the network cannot give that resolution.
    """
    if per_epoch != 1:
        raise SleeplibError(f"{type(network).__name__} gives one stage per epoch, not {per_epoch}")
    preparation = getattr(network, "preparation", None) or Preparation(PAPER_MONTAGE)
    preparation = Preparation(**vars(preparation) | ({"montage": montage} if montage else {}))
    if len(preparation.montage) != network.settings.channels:
        raise SleeplibError(
            f"the network takes {network.settings.channels} channels and the montage has {len(preparation.montage)}"
        )
    x = prepared_signals(recording, preparation)
    size = round(preparation.epoch_seconds * preparation.rate)
    n = x.shape[1] // size
    if n < 1:
        raise SleeplibError(
            f"{recording.id}: {recording.duration:g} s are shorter than an epoch of {preparation.epoch_seconds:g} s"
        )
    epochs = x[:, : n * size].reshape(len(x), n, size).swapaxes(0, 1)
    inputs = epochs if network.signals else log_power_images(epochs, preparation)
    return posteriors(network, torch.from_numpy(np.ascontiguousarray(inputs, np.float32))).numpy()
