"""What a network costs to stage a night: figure 6 of AnySleep, and operations as they are counted.

Figure 6 counts computational steps: each encoder block, decoder block, attention module and classifier that runs is
one step, whatever its size.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from sleeplib.errors import SleeplibError
from sleeplib.inference.sequences import evaluating

BLOCKS = 12  # encoder blocks, and decoder blocks
HEADS = 4  # virtual channels of early fusion


def steps(name: str, eeg: int, eog: int, as_published: bool = True) -> int:
    """Computational steps to stage a night of `eeg` EEG and `eog` EOG channels (AnySleep, figure 6; facts A4.8).

    Parameters
    ----------
    name : one of `models.NIGHT_NETWORKS`; U-Sleep stages all pairs, and their vote is a step
    as_published : bool
        The figure's numbers. They count 12 attention modules of AnySleep; it has 13, one behind the connector. They
        count the connector in U-Sleep's pairs only, and the heads of early fusion as four steps. False: 13 modules,
        and a connector in every U-Net.

    Raises
    ------
    SleeplibError
        If there is no such network, or none of the channels that it needs.
    """
    channels, pairs = eeg + eog, eeg * eog
    needed = pairs if name == "usleep" else channels
    if min(eeg, eog) < 0 or not needed:
        raise SleeplibError(f"{name} stages nothing with {eeg} EEG and {eog} EOG channels")
    connector = 0 if as_published else 1
    counts = {
        "anysleep-early": channels + HEADS + 2 * BLOCKS + connector + 1,
        "anysleep": channels * (BLOCKS + connector) + (BLOCKS + connector) + BLOCKS + 1,
        "anysleep-late": channels * (2 * BLOCKS + connector) + 1 + 1,
        "usleep": pairs * (2 * BLOCKS + 1) + 1,
    }
    if name not in counts:
        raise SleeplibError(f"figure 6 does not count the steps of {name!r}; it has {', '.join(counts)}")
    return counts[name]


def flops(network, channels: int, samples: int, per_epoch: int = 1) -> int:
    """Floating-point operations of a night network's pass over signals `(channels, samples)`.

    Counted by torch while the network runs: products and sums of convolutions and linear layers, two for each weight
    that is applied. Element-wise functions, normalisation and means do not count.

    Raises
    ------
    SleeplibError
        If the network does not take that many channels, or so few samples.
    """
    like = next(network.parameters())
    counter = FlopCounterMode(display=False)
    with evaluating(network), counter:
        network(torch.zeros(1, channels, samples, dtype=like.dtype, device=like.device), per_epoch)
    return counter.get_total_flops()
