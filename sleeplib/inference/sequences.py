"""Networks of sequences of epochs: all decisions about an epoch become one."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from sleeplib.models import folded_recurrent


@contextmanager
def evaluating(network):
    """No gradients, and batch statistics as they were learned; afterwards each module's mode is as it was."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def workers():
    """As many threads as torch uses, each with one of its own for torch, which has one in here, too.

    Two threads on one small product would mostly wait for each other, the more so on a busy machine.
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        torch.set_num_threads(1)
        try:
            yield pool
        finally:
            torch.set_num_threads(threads)


def fuse(decisions: Tensor) -> Tensor:
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


def posteriors(network, inputs: Tensor) -> Tensor:
    """Posteriors `(N, 5)` for a night's images `(N, C, T, F)` or signals `(N, C, T)`, all decisions fused.

    The network's mode is left as it was.
    """
    inputs = inputs.to(next(network.parameters()).device)
    with evaluating(network):
        if not folded_recurrent.layers(network):
            return fuse(network.decisions(inputs)).cpu()
        with workers() as pool:
            return fuse(folded_recurrent.decisions(network, inputs, pool.map)).cpu()
