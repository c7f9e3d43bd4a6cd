"""SeqSleepNet, of the text and as released, as ONNX graphs; recurrent layers as `models.folded_recurrent` has them.

Shapes: B sequences, L epochs, N epochs of a night, C channels, T frames, F frequency bins, M filters, A attention
size, H hidden units, D features; n epochs or windows, all of them side by side.
"""

import torch
from torch import Tensor

from sleeplib.models.folded_recurrent import CELLS, FoldedGRU
from sleeplib.models.onnx.graph import Graph
from sleeplib.models.released import AdditiveAttention, OutputLayers
from sleeplib.models.seqsleepnet import Attention, Filterbank


def logits(g: Graph, network, images: str) -> str:
    """Images (B, L, C, T, F) -> logits (B, L, 5)."""
    s = network.settings
    epochs = encoded(g, network.encoder, g.reshape(images, -1, s.channels, s.frames, s.bins))
    return staged(g, network, g.reshape(epochs, -1, s.sequence_length, g.size(epochs, 1)))


def night(g: Graph, network, images: str) -> str:
    """A night's images (N, C, T, F), N >= L -> log-posteriors (N, 5) before normalisation, all decisions fused."""
    s = network.settings
    L, N = s.sequence_length, g.size(images, 0)
    # This fails for nights of fewer epochs than a window; they would else come out as NaN.
    window = g("Reshape", g("Slice", images, [0], [L], [0]), [L, s.channels, s.frames, s.bins])
    images = g("Concat", window, g("Slice", images, [L], N, [0]), axis=0)
    epochs = encoded(g, network.encoder, images)  # each epoch once
    last = g("Squeeze", g("Sub", N, [L - 1]))
    first = g("Unsqueeze", g("Range", g.constant(0), last, g.constant(1)), [1])
    covered = g("Add", first, [list(range(L))])  # (n, L): the epochs of each window
    decisions = g("LogSoftmax", staged(g, network, g("Gather", epochs, covered)), axis=-1)
    where, shape = g("Unsqueeze", covered, [2]), g("Concat", N, [5], axis=0)
    nothing = g("Expand", g.constant([[0.0]]), shape)
    total, count = (
        g("ScatterND", nothing, where, values, reduction="add")
        for values in (decisions, g("Expand", g.constant([[[1.0]]]), g("Shape", decisions)))
    )
    return g("Div", total, count)  # eqs. 16-18


def linear(g: Graph, x: str, weight: Tensor, bias: Tensor) -> str:
    """`x` (..., D) -> (..., D')."""
    return g("Add", g("MatMul", x, weight.mT), bias)


def encoded(g: Graph, encoder, images: str) -> str:
    """`seqsleepnet.EpochEncoder` and `released.ReleasedEncoder`: images (n, C, T, F) -> (n, A)."""
    states = recurrent(g, encoder.rnn, filtered(g, encoder.filterbank, images))
    if hasattr(encoder, "project"):
        states = linear(g, states, encoder.project.weight, encoder.project.bias)
    return attended(g, encoder.attention, states)


def filtered(g: Graph, layer: Filterbank, images: str) -> str:
    """`seqsleepnet.Filterbank`: images (n, C, T, F) -> (T, C * M, n)."""
    weight = layer.weight.sigmoid() * layer.triangles / layer.std[..., None]  # (C, F, M)
    offset = torch.einsum("cf,cfm->cm", layer.mean, weight)
    x = g("Transpose", g("MatMul", images, weight), perm=[2, 1, 3, 0])  # (T, C, M, n)
    return g("Sub", g.reshape(x, g.size(images, 2), offset.numel(), -1), offset.reshape(-1, 1))


def attended(g: Graph, layer: Attention | AdditiveAttention, a: str) -> str:
    """The weighted mean of states (n, T, D) -> (n, D)."""
    if isinstance(layer, AdditiveAttention):
        score = g("MatMul", g("Tanh", linear(g, a, layer.W, layer.b)), layer.v[:, None])
    else:
        score = g("MatMul", a, layer.W_att[:, None])  # (n, T, 1)
    alpha = g("Transpose", g("Softmax", score, axis=1), perm=[0, 2, 1])
    return g("Squeeze", g("MatMul", alpha, a), [1])


def staged(g: Graph, network, epochs: str) -> str:
    """Sequences of epochs (n, L, A) -> logits (n, L, 5)."""
    o = recurrent(g, network.rnn, g("Transpose", epochs, perm=[1, 2, 0]))
    layer = network.classify
    if not isinstance(layer, OutputLayers):
        return linear(g, o, layer.weight, layer.bias)
    each = g("MatMul", g("Unsqueeze", o, [2]), layer.weight.mT)  # (n, L, 1, D) (L, D, 5)
    return g("Add", g("Squeeze", each, [2]), layer.bias)


def recurrent(g: Graph, rnn, x: str) -> str:
    """`recurrent.Bidirectional`: inputs (T, D, n) -> states (n, T, 2H)."""
    both = [x, x]  # what each direction sees
    for layer in rnn.layers:
        cell = CELLS[rnn.layer](layer)
        seen = [g("MatMul", weight, s) for weight, s in zip(cell.W_x.chunk(2), both, strict=True)]
        both = run(g, cell, seen, g.size(x, 2))
    return g("Transpose", g("Concat", *both, axis=1), perm=[2, 0, 1])


def run(g: Graph, cell, seen: list[str], n: str) -> list[str]:
    """Projected inputs of both directions (T, G H, n) -> their states (T, H, n)."""
    H = cell.W_h.shape[-1]
    zeros = g("Expand", torch.zeros(2, H, 1), g("Concat", [2, H], n, axis=0))
    gru = isinstance(cell, FoldedGRU)
    weights = (cell.W_h, cell.W_hh) if gru else (cell.W_h, cell.scale_c, cell.offset_c)

    def step(g: Graph, states: list[str], items: list[str]) -> tuple[list[str], list[str]]:
        """A step of both directions."""
        forward, backward, scale, offset, *rest = items
        x = g("Concat", g("Unsqueeze", forward, [0]), g("Unsqueeze", backward, [0]), axis=0)
        x = g("Add", g("Mul", scale, x), offset)
        states = (gru_step if gru else lstm_step)(g, H, x, *states, *rest)
        parts = g("Split", states[0], outputs=2, axis=0, num_outputs=2)
        return states, [g("Squeeze", part, [0]) for part in parts]

    constants = [g.constant(w) for w in (cell.scale, cell.offset, *weights)]
    back = [False, True] + [False] * len(constants)
    return g.scan(step, [zeros] * (1 if gru else 2), [*seen, *constants], back, [False, True])[1]


def tanh_of_half(g: Graph, x: str) -> str:
    """tanh(x / 2): what folded cells double for."""
    return g("Tanh", g("Mul", x, g.constant(0.5)))


def gru_step(g: Graph, H: int, x: str, h: str, W_h: str, W_hh: str) -> list[str]:
    """`FoldedGRU.step`."""
    gates, candidate = g("Split", x, [2 * H, H], outputs=2, axis=1)
    rz = g("Sigmoid", g("Add", gates, g("MatMul", W_h, h)))
    r, z = g("Split", rz, outputs=2, axis=1, num_outputs=2)
    c = tanh_of_half(g, g("Add", candidate, g("MatMul", W_hh, g("Mul", r, h))))
    return [g("Add", c, g("Mul", z, g("Sub", h, c)))]


def lstm_step(g: Graph, H: int, x: str, h: str, c: str, W_h: str, scale_c: str, offset_c: str) -> list[str]:
    """`FoldedLSTM.step`."""
    gates, j = g("Split", g("Add", x, g("MatMul", W_h, h)), [3 * H, H], outputs=2, axis=1)
    f, i, o = g("Split", g("Sigmoid", gates), outputs=3, axis=1, num_outputs=3)
    c = g("Add", g("Mul", f, c), g("Mul", i, tanh_of_half(g, j)))
    return [g("Mul", o, tanh_of_half(g, g("Add", offset_c, g("Mul", scale_c, c)))), c]
