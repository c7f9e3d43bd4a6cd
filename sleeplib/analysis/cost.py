"""What a network costs to stage a night: figure 6 of AnySleep, and operations as they are counted.

Figure 6 counts computational steps: each encoder block, decoder block, attention module and classifier that runs is
one step, whatever its size.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.inference import night_posteriors
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
        count no connector, the heads of early fusion as four steps, and late fusion without its channel encoder.
        False: 13 modules, and a connector in every U-Net.

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
        "usleep": pairs * (2 * BLOCKS + connector + 1) + 1,
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


def measure(
    name: str, montages, hours: float, threads: int = 2, times: int = 1, **settings
) -> tuple[list[float], float]:
    """Seconds to stage a night with random weights, and the memory it takes, on this machine's CPU.

    A process of its own does it, so that its peak memory is that of network, signals, torch and interpreter.

    Parameters
    ----------
    name : one of `models.NIGHT_NETWORKS`; U-Sleep stages all pairs
    montages : list of (EEG channels, EOG channels)
    times : of which the least counts
    settings : of the network

    Returns
    -------
    list of seconds for each montage, peak MiB over all of them (NaN where the system does not tell it)
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measured, name, list(montages), hours, threads, times, settings).result()


def _measured(name, montages, hours, threads, times, settings):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = models.build(name, **settings).eval()
    samples = round(hours * 120) * network.classifier.samples
    night_posteriors(network, torch.randn(2, 2 * network.classifier.samples))  # what torch does only once
    return [_least(network, eeg, eog, samples, times) for eeg, eog in montages], _peak()


def _least(network, eeg: int, eog: int, samples: int, times: int) -> float:
    signals, found = torch.randn(eeg + eog, samples), []
    for _ in range(times):
        begun = time.perf_counter()
        night_posteriors(network, signals, ["EEG"] * eeg + ["EOG"] * eog)
        found.append(time.perf_counter() - begun)
    return min(found)


def _peak() -> float:
    """Largest resident memory of this process so far, MiB. Linux; `getrusage` would count that of the parent, too."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return float("nan")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
