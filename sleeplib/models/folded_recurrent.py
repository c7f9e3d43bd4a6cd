"""Recurrent layers in eval mode, with batch normalisation folded into their weights: the same function, quicker.

There batch normalisation is an affine map of its own at each step t,

    BN(W x) + b = g_t W x + d_t,   g_t = gain / sqrt(var_t + eps),   d_t = b - g_t mean_t

so that W_h becomes g_t W_h, and the cell a plain one whose weights change from step to step. W_s s_t needs no product
for each step: both directions see the same input, and windows that overlap see the same epochs. tanh x is
2 sigmoid(2 x) - 1, which takes a quarter of its time; the 2 inside is folded, too.
Shapes: N sequences, T steps, D inputs, H hidden units, G gates and candidates of a cell (3 in GRUs, 4 in LSTMs).
"""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from sleeplib.models.recurrent import EPS, Bidirectional, BNGRULayer, StepwiseBatchNorm
from sleeplib.models.released import BNLSTMLayer
from sleeplib.models.seqsleepnet import SeqSleepNet

ROWS = 160  # sequences at a time, whose states fit into a processor's cache


def affine(norm: StepwiseBatchNorm, gain: Tensor) -> tuple[Tensor, Tensor]:
    """g_t and -g_t mean_t of all steps, `(T, 2, F, 1)` each."""
    scale = gain * (norm.var + EPS).rsqrt()
    return scale, -scale * norm.mean


def doubled(x: Tensor, last: int) -> Tensor:
    """`x` (..., 2, F, D), its `last` features doubled: those of a tanh, which is made of a sigmoid."""
    return torch.cat([x[..., :-last, :], 2 * x[..., -last:, :]], dim=-2)


def tanh_of_half(x: Tensor) -> Tensor:
    """tanh(x / 2), in place."""
    return x.sigmoid_().mul_(2).sub_(1)


class FoldedGRU:
    """A `BNGRULayer` in eval mode: rows r, z, h."""

    def __init__(self, layer: BNGRULayer):
        H = layer.hidden
        self.W_x, self.check = layer.W_s.flatten(0, 1), layer.norm_s.check  # (2 * 3H, D)
        scale, offset = affine(layer.norm_s, layer.gain_s)
        scale_h, offset_h = affine(layer.norm_h, layer.gain_h)
        scale_hh, offset_hh = affine(layer.norm_hh, layer.gain_hh)
        self.scale = doubled(scale, H)
        self.offset = doubled(layer.b + offset + torch.cat([offset_h, offset_hh], dim=2), H)
        self.W_h = scale_h * layer.W_h  # (T, 2, 2H, H)
        self.W_hh = 2 * scale_hh * layer.W_hh  # (T, 2, H, H)

    def start(self, n: int) -> tuple[Tensor]:
        """The state before the first step: h (2, H, n)."""
        return (self.W_x.new_zeros(2, self.W_hh.shape[-1], n),)

    def step(self, t: int, x: Tensor, h: Tensor) -> tuple[Tensor]:
        """The next state, from the inputs' part `x` (2, 3H, n)."""
        gates, candidate = x.split([self.W_h.shape[2], h.shape[1]], dim=1)
        r, z = torch.baddbmm(gates, self.W_h[t], h).sigmoid_().chunk(2, dim=1)
        c = tanh_of_half(torch.baddbmm(candidate, self.W_hh[t], r * h))
        return (torch.lerp(c, h, z),)


class FoldedLSTM:
    """A `BNLSTMLayer` in eval mode: rows f, i, o, j."""

    def __init__(self, layer: BNLSTMLayer):
        H = layer.hidden
        self.W_x, self.check = layer.W_x.flatten(0, 1), layer.norm_x.check  # (2 * 4H, D)
        scale, offset = affine(layer.norm_x, layer.gain_x)
        scale_h, offset_h = affine(layer.norm_h, layer.gain_h)
        scale_c, offset_c = affine(layer.norm_c, layer.gain_c)
        self.scale, self.offset = doubled(scale, H), doubled(layer.b + offset + offset_h, H)
        self.W_h = doubled(scale_h * layer.W_h, H)  # (T, 2, 4H, H)
        self.scale_c, self.offset_c = 2 * scale_c, 2 * (layer.b_c + offset_c)  # (T, 2, H, 1)

    def start(self, n: int) -> tuple[Tensor, Tensor]:
        """The state before the first step: h and c (2, H, n)."""
        zeros = self.W_x.new_zeros(2, self.W_h.shape[-1], n)
        return zeros, zeros

    def step(self, t: int, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, from the inputs' part `x` (2, 4H, n)."""
        f, i, o, j = torch.baddbmm(x, self.W_h[t], h).sigmoid_().chunk(4, dim=1)
        c = torch.addcmul(f * c, i, j.mul_(2).sub_(1))
        return o * tanh_of_half(torch.addcmul(self.offset_c[t], self.scale_c[t], c)), c


CELLS = {BNGRULayer: FoldedGRU, BNLSTMLayer: FoldedLSTM}


class FoldedRNN:
    """A `Bidirectional` of such layers in eval mode. Positions are counted as in the sequence, for both directions."""

    def __init__(self, rnn):
        self.cells = [CELLS[type(layer)](layer) for layer in rnn.layers]
        self.check = self.cells[0].check

    def __call__(self, x: Tensor) -> Tensor:
        """`x` (N, T, D) -> (N, T, 2H), forward states first."""
        self.check(x.shape[1])
        s = x.permute(1, 2, 0).contiguous()
        return self.states(torch.bmm(self.cells[0].W_x.expand(len(s), -1, -1), s))

    def windows(self, x: Tensor, length: int) -> Tensor:
        """`x` (N, D) -> the states of all its windows (N - length + 1, length, 2H); each row is projected once."""
        self.check(length)
        seen = (self.cells[0].W_x @ x.T).unfold(1, length, 1)  # (2 * G H, N - length + 1, length): no copy
        return self.states(seen.unbind(2))

    def states(self, seen) -> Tensor:
        """Projections of all positions, T times (2 * G H, n) -> states (n, T, 2H)."""
        states = run(self.cells[0], seen)
        for cell in self.cells[1:]:  # a direction's layers do not look at the other direction's
            states = run(cell, (cell.W_x.unflatten(0, (2, -1)) @ states).flatten(1, 2))
        return states.flatten(1, 2).permute(2, 0, 1)


def run(cell, seen) -> Tensor:
    """Projections of all positions, T times (2 * G H, n) -> states (T, 2, H, n) of both directions."""
    T, state = len(seen), cell.start(seen[0].shape[-1])
    states = seen[0].new_empty(T, *state[0].shape)
    for t in range(T):
        x = torch.stack([seen[t].chunk(2)[0], seen[T - 1 - t].chunk(2)[1]])  # backward from the end
        state = cell.step(t, torch.addcmul(cell.offset[t], cell.scale[t], x), *state)
        states[t, 0], states[T - 1 - t, 1] = state[0]
    return states


def pieces(function: Callable, x: Tensor, shared: int = 0, each: Callable = map) -> Tensor:
    """`function` of pieces of x, laid end to end; neighbours share so many rows. All is one piece on a GPU."""

    def piece(first: int) -> Tensor:
        """The piece that begins at this row."""
        with torch.inference_mode():  # each thread has its own
            return function(x[first : first + step + shared])

    step = max(len(x), 1) if x.is_cuda else ROWS
    return torch.cat(list(each(piece, range(0, len(x) - shared, step))))


def layers(network) -> list[Bidirectional]:
    """What can be folded in a network; of most there is nothing."""
    return [m for m in network.modules() if isinstance(m, Bidirectional) and m.layer in CELLS]


@contextmanager
def folded(network, each: Callable = map):
    """The network in eval mode with its recurrent layers folded, as they are now; afterwards they are not.

    Its encoder gets one piece of the epochs after the other, or as `each` calls it.
    """
    quick = {rnn: FoldedRNN(rnn) for rnn in layers(network)}
    quick[network.encoder] = partial(pieces, network.encoder.forward, each=each)
    try:
        for module, forward in quick.items():
            module.forward = forward
        yield network
    finally:
        for module in quick:
            vars(module).pop("forward", None)


def decisions(network, inputs: Tensor, each: Callable = map) -> Tensor:
    """`network.decisions` of a night in eval mode, without gradients, by folded `layers`.

    Parameters
    ----------
    network : SeqSleepNet, or another that has such layers in its encoder
    each : how pieces of a night are worked on; that of a pool of threads does so side by side
    """
    with torch.inference_mode(), folded(network, each):
        if not isinstance(network, SeqSleepNet):
            return network.decisions(inputs)
        epochs = network.encoder(inputs)  # (N, A)
        length = min(network.sequence_length, len(epochs))

        def windows(part: Tensor) -> Tensor:
            """Decisions of all windows of some neighbouring epochs."""
            return network.classify(network.rnn.forward.windows(part, length)).log_softmax(-1)

        return pieces(windows, epochs, length - 1, each)
