"""SeqSleepNet, E2E-ARNN and its multitask form as the authors' released code has them.

From a description of what that code computes, not from the code. It differs from the paper's text in the recurrent
cells, the attention score, the projections (it has none) and the output layer; `seqsleepnet` holds the text, and all
that both share.
Shapes: B sequences, L epochs, C channels, T frames, F frequency bins, M filters, H hidden units, A attention size.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sleeplib.models.recurrent import Bidirectional, StepwiseBatchNorm
from sleeplib.models.seqsleepnet import (
    E2EARNN,
    E2EARNNSettings,
    Filterbank,
    ImageNetwork,
    MultitaskE2EARNN,
    SeqSleepNet,
    SeqSleepNetSettings,
)


@dataclass(frozen=True)
class ReleasedE2EARNNSettings(E2EARNNSettings):
    """As the authors' run scripts set them: those of Table I."""

    variant: str = field(default="released", init=False)  # in the card of saved weights


@dataclass(frozen=True)
class ReleasedSeqSleepNetSettings(SeqSleepNetSettings):
    """As the authors' run scripts set them: those of Table I."""

    variant: str = field(default="released", init=False)


class BNLSTMLayer(nn.Module):
    """One layer, both directions, features first; the backward one is given its sequence reversed.

    f, i, o, j = BN(W_x x_t) + BN(W_h h_{t-1}) + b
    c_t = sigm(f) * c_{t-1} + sigm(i) * tanh(j)
    h_t = sigm(o) * tanh(BN(c_t) + b_c)

    BN(x) = gain * (x - mean_t) / sqrt(var_t + eps). Gains start at 0.1, b at 1 for f: the cell remembers at first.
    """

    def __init__(self, inputs: int, hidden: int, steps: int):
        super().__init__()
        self.hidden = hidden
        self.W_x = nn.Parameter(torch.empty(2, 4 * hidden, inputs))  # rows f, i, o, j
        self.W_h = nn.Parameter(torch.empty(2, 4 * hidden, hidden))
        self.gain_x = nn.Parameter(torch.full((2, 4 * hidden, 1), 0.1))
        self.gain_h = nn.Parameter(torch.full((2, 4 * hidden, 1), 0.1))
        self.gain_c = nn.Parameter(torch.full((2, hidden, 1), 0.1))
        self.b = nn.Parameter(torch.zeros(2, 4 * hidden, 1))
        self.b_c = nn.Parameter(torch.zeros(2, hidden, 1))
        self.norm_x = StepwiseBatchNorm(steps, 2, 4 * hidden)
        self.norm_h = StepwiseBatchNorm(steps, 2, 4 * hidden)
        self.norm_c = StepwiseBatchNorm(steps, 2, hidden)
        for direction in range(2):
            nn.init.orthogonal_(self.W_x[direction])
            nn.init.orthogonal_(self.W_h[direction])
        nn.init.ones_(self.b[:, :hidden])

    def forward(self, x: Tensor) -> Tensor:
        """`x` (T, 2, D, N), both directions in their own order of time -> states (T, 2, H, N)."""
        T, H = len(x), self.hidden
        self.norm_x.check(T)
        x, statistics_x = self.norm_x(self.W_x @ x, slice(T))
        x = torch.addcmul(self.b, self.gain_x, x)  # (T, 2, 4H, N)
        h = c = x.new_zeros(2, H, x.shape[-1])
        states, statistics_h, statistics_c = [], [], []
        for t, inputs in enumerate(x.unbind()):
            recurrent, statistics = self.norm_h(torch.bmm(self.W_h, h), t)
            statistics_h.append(statistics)
            gates = torch.addcmul(inputs, self.gain_h, recurrent)  # (2, 4H, N)
            f, i, o = gates[:, : 3 * H].sigmoid().chunk(3, dim=1)
            c = f * c + i * gates[:, 3 * H :].tanh()
            normalised, statistics = self.norm_c(c, t)
            statistics_c.append(statistics)
            h = o * torch.addcmul(self.b_c, self.gain_c, normalised).tanh()
            states.append(h)
        if self.training:
            self.norm_x.update(*statistics_x)
            self.norm_h.update(*map(torch.stack, zip(*statistics_h, strict=True)))
            self.norm_c.update(*map(torch.stack, zip(*statistics_c, strict=True)))
        return torch.stack(states)


class BNLSTM(Bidirectional):
    """Bidirectional LSTM with recurrent batch normalisation."""

    layer = BNLSTMLayer


class GRULayer(nn.Module):
    """One layer, both directions, features first; no batch normalisation, any number of steps.

    r_t = sigm(W_sr s_t + W_hr h_{t-1} + b_r)
    z_t = sigm(W_sz s_t + W_hz h_{t-1} + b_z)
    c_t = tanh(W_sh s_t + W_hh (r_t * h_{t-1}) + b_h)
    h_t = z_t * h_{t-1} + (1 - z_t) * c_t

    `torch.nn.GRU` applies r_t after the product with W_hh and is another network.
    """

    def __init__(self, inputs: int, hidden: int, steps: int):
        super().__init__()
        self.hidden = hidden
        self.W_s = nn.Parameter(torch.empty(2, 3 * hidden, inputs))  # rows r, z, h
        self.W_h = nn.Parameter(torch.empty(2, 2 * hidden, hidden))  # rows r, z
        self.W_hh = nn.Parameter(torch.empty(2, hidden, hidden))
        self.b = nn.Parameter(torch.zeros(2, 3 * hidden, 1))
        # The gates are one matrix of (inputs + hidden) x 2 hidden, the candidate another of (inputs + hidden) x hidden.
        for weight, fan_out in (
            (self.W_s[:, : 2 * hidden], 2 * hidden),
            (self.W_h, 2 * hidden),
            (self.W_s[:, 2 * hidden :], hidden),
            (self.W_hh, hidden),
        ):
            glorot_(weight, inputs + hidden, fan_out)
        nn.init.ones_(self.b[:, : 2 * hidden])

    def forward(self, s: Tensor) -> Tensor:
        """`s` (T, 2, D, N), both directions in their own order of time -> states (T, 2, H, N)."""
        H = self.hidden
        x = self.W_s @ s + self.b  # (T, 2, 3H, N)
        h = x.new_zeros(2, H, s.shape[-1])
        states = []
        for gates, candidate in zip(x[:, :, : 2 * H].unbind(), x[:, :, 2 * H :].unbind(), strict=True):
            r, z = torch.baddbmm(gates, self.W_h, h).sigmoid().chunk(2, dim=1)
            c = torch.baddbmm(candidate, self.W_hh, r * h).tanh()
            h = torch.lerp(c, h, z)
            states.append(h)
        return torch.stack(states)


class GRU(Bidirectional):
    """Bidirectional GRU without batch normalisation."""

    layer = GRULayer


class AdditiveAttention(nn.Module):
    """Weighted mean of a sequence of vectors, with weights from a layer of its own.

    u_t = v^T tanh(W h_t + b),   alpha = softmax(u),   a_bar = sum_t alpha_t h_t
    """

    def __init__(self, inputs: int, size: int):
        super().__init__()
        self.W = nn.Parameter(torch.randn(size, inputs) * 0.1)
        self.b = nn.Parameter(torch.randn(size) * 0.1)
        self.v = nn.Parameter(torch.randn(size) * 0.1)

    def weights(self, h: Tensor) -> Tensor:
        """`h` (N, T, D) -> alpha (N, T)."""
        return (torch.tanh(h @ self.W.T + self.b) @ self.v).softmax(dim=1)

    def forward(self, h: Tensor) -> Tensor:
        """`h` (N, T, D) -> (N, D)."""
        return torch.einsum("nt,ntd->nd", self.weights(h), h)


class NoDecayOfFilterbank:
    """The released program's penalty leaves the filterbanks out (facts B3)."""

    def decayed(self) -> list[nn.Parameter]:
        """All parameters but the filterbank's."""
        return [p for name, p in self.named_parameters() if "filterbank" not in name]


class ReleasedEncoder(nn.Module):
    """Filterbank, bidirectional RNN over the frames and attention over its states: an epoch becomes one vector."""

    def __init__(self, s: E2EARNNSettings, rnn: type[Bidirectional]):
        super().__init__()
        self.filterbank = Filterbank(s.channels, s.bins, s.filters)
        self.rnn = rnn(s.channels * s.filters, s.hidden, s.frames, s.depth, s.dropout)
        self.attention = AdditiveAttention(2 * s.hidden, s.attention)

    def states(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> h (N, T, 2H)."""
        return self.rnn(self.filterbank(S))

    def forward(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> a_bar (N, 2H)."""
        return self.attention(self.states(S))


class OutputLayers(nn.Module):
    """A linear layer of its own for each position of the sequence."""

    def __init__(self, positions: int, inputs: int, stages: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(positions, stages, inputs))
        self.bias = nn.Parameter(torch.empty(positions, stages))
        glorot_(self.weight, inputs, stages)
        glorot_(self.bias, stages, stages)

    def forward(self, o: Tensor) -> Tensor:
        """`o` (B, L, D) -> logits (B, L, K); a shorter sequence has the first positions."""
        L = o.shape[1]
        return torch.einsum("bld,lkd->blk", o, self.weight[:L]) + self.bias[:L]


class ReleasedE2EARNN(NoDecayOfFilterbank, E2EARNN):
    """One epoch in, one stage out: GRU, additive attention, output layer."""

    def __init__(self, settings: ReleasedE2EARNNSettings | None = None):
        ImageNetwork.__init__(self)  # parts of its own, not the paper's
        self.settings = s = settings or ReleasedE2EARNNSettings()
        self.encoder = ReleasedEncoder(s, GRU)
        self.classify = output_layer(2 * s.hidden, s.stages)


class ReleasedMultitaskE2EARNN(NoDecayOfFilterbank, MultitaskE2EARNN):
    """The same with three output layers side by side: previous, current and next epoch."""

    def __init__(self, settings: ReleasedE2EARNNSettings | None = None):
        ImageNetwork.__init__(self)
        self.settings = s = settings or ReleasedE2EARNNSettings()
        self.encoder = ReleasedEncoder(s, GRU)
        self.classify = output_layer(2 * s.hidden, s.stages, heads=3)


class ReleasedSeqSleepNet(NoDecayOfFilterbank, SeqSleepNet):
    """A sequence of epochs in, all their stages out: BN-LSTMs, additive attention, an output layer per position."""

    def __init__(self, settings: ReleasedSeqSleepNetSettings | None = None):
        ImageNetwork.__init__(self)
        self.settings = s = settings or ReleasedSeqSleepNetSettings()
        self.sequence_length = s.sequence_length
        self.encoder = ReleasedEncoder(s, BNLSTM)
        self.rnn = BNLSTM(2 * s.hidden, s.hidden, s.sequence_length, s.depth, s.dropout)
        self.classify = OutputLayers(s.sequence_length, 2 * s.hidden, s.stages)


def output_layer(inputs: int, stages: int, heads: int = 1) -> nn.Linear:
    """Linear layers side by side, each as TensorFlow initialises one: the biases too."""
    layer = nn.Linear(inputs, heads * stages)
    glorot_(layer.weight, inputs, stages)
    glorot_(layer.bias, stages, stages)
    return layer


@torch.no_grad()
def glorot_(x: Tensor, fan_in: int, fan_out: int) -> None:
    """Fill with uniform numbers of variance 2 / (fan_in + fan_out)."""
    bound = (6 / (fan_in + fan_out)) ** 0.5
    x.uniform_(-bound, bound)
