"""DeepSleepNet1 and E2E-DeepSleepNet (Supratak et al. 2017; Phan et al. 2019, section V-C).

The file reads like figure 3b of Phan et al., from bottom to top: two branches of convolutions on the raw signal of an
epoch, then a bidirectional LSTM over the sequence with a shortcut around it. Numbers are those of facts B2.5; how
three channels enter is not stated there: all of them enter the first convolutions.
Shapes: B sequences, L epochs, C channels, T samples, D features, H hidden units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleeplib.models.raw import SameConv1d, SameMaxPool1d, SignalNetwork, in_chunks, same_size


@dataclass(frozen=True)
class DeepSleepNet1Settings:
    """The CNN of DeepSleepNet with a softmax layer, for signals at 100 Hz.

    `decay` is that of batch normalisation (no penalty on weights). After n steps decay^n of the statistics that
    evaluation uses are still the initial 0 and 1, 37 % after 1000 steps: runs of a few hundred steps want less, such
    as 0.9.
    """

    channels: int = 3
    samples: int = 3000  # of an epoch
    dropout: float = 0.5
    decay: float = 0.999  # of the population statistics: old * decay + batch * (1 - decay)
    stages: int = 5


@dataclass(frozen=True)
class E2EDeepSleepNetSettings(DeepSleepNet1Settings):
    """`sequence_length` is 10, 20 or 30 in the paper; DeepSleepNet itself has peephole connections."""

    sequence_length: int = 20
    hidden: int = 512
    peepholes: bool = False


class Convolution(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU: `(N, C, T)` -> `(N, filters, ceil(T / stride))`."""

    def __init__(self, inputs: int, filters: int, kernel: int, stride: int = 1, decay: float = 0.999):
        super().__init__(
            SameConv1d(inputs, filters, kernel, stride, bias=False),
            nn.BatchNorm1d(filters, eps=1e-5, momentum=1 - decay),
            nn.ReLU(),
        )


class EpochEncoder(nn.Module):
    """The two branches: short filters see when, long filters see at which frequency (Supratak et al., section II-A)."""

    def __init__(self, s: DeepSleepNet1Settings):
        super().__init__()
        self.small = nn.Sequential(  # 3000 samples
            Convolution(s.channels, 64, 50, 6, s.decay),  # 500
            SameMaxPool1d(8, 8),  # 63
            nn.Dropout(s.dropout),
            Convolution(64, 128, 8, decay=s.decay),
            Convolution(128, 128, 8, decay=s.decay),
            Convolution(128, 128, 8, decay=s.decay),
            SameMaxPool1d(4, 4),  # 16
            nn.Flatten(),
        )
        self.large = nn.Sequential(  # 3000 samples
            Convolution(s.channels, 64, 400, 50, s.decay),  # 60
            SameMaxPool1d(4, 4),  # 15
            nn.Dropout(s.dropout),
            Convolution(64, 128, 6, decay=s.decay),
            Convolution(128, 128, 6, decay=s.decay),
            Convolution(128, 128, 6, decay=s.decay),
            SameMaxPool1d(2, 2),  # 8
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(s.dropout)
        self.size = 128 * (same_size(s.samples, 6, 8, 4) + same_size(s.samples, 50, 4, 2))  # 2048 + 1024

    def forward(self, signals: Tensor) -> Tensor:
        """Signals (N, C, T) -> features (N, D)."""
        return self.dropout(torch.cat([self.small(signals), self.large(signals)], dim=1))


class LSTM(nn.Module):
    """One bidirectional layer of TensorFlow's LSTM cell: one bias, which starts at 1 for the forget gate.

    i, f = sigm(W x_t + U h_{t-1} + p * c_{t-1} + b), j = tanh(W x_t + U h_{t-1} + b)
    c_t  = f * c_{t-1} + i * j
    o    = sigm(W x_t + U h_{t-1} + p * c_t + b)
    h_t  = o * tanh(c_t)

    The peephole weights p are those of `peepholes=True`. The backward direction is given its sequence reversed.
    """

    def __init__(self, inputs: int, hidden: int, peepholes: bool = False):
        super().__init__()
        glorot = (6 / (inputs + hidden + 4 * hidden)) ** 0.5
        self.W = nn.Parameter(
            torch.empty(2, inputs, 4 * hidden).uniform_(-glorot, glorot)
        )  # columns i, f, j, o
        self.U = nn.Parameter(torch.empty(2, hidden, 4 * hidden).uniform_(-glorot, glorot))
        self.b = nn.Parameter(torch.zeros(2, 1, 4 * hidden))
        nn.init.ones_(self.b[..., hidden : 2 * hidden])
        self.p = None
        if peepholes:
            glorot = (6 / (2 * hidden)) ** 0.5
            self.p = nn.Parameter(torch.empty(3, 2, 1, hidden).uniform_(-glorot, glorot))  # i, f, o

    def forward(self, x: Tensor) -> Tensor:
        """`x` (L, 2, N, D), both directions in their own order of time -> states (L, 2, N, H)."""
        return self.states(x @ self.W + self.b)

    def states(self, gates: Tensor) -> Tensor:
        """W x_t + b (L, 2, N, 4H) -> states (L, 2, N, H)."""
        h = c = gates.new_zeros(2, gates.shape[2], self.U.shape[1])
        states = []
        for step in gates.unbind():
            i, f, j, o = torch.baddbmm(step, h, self.U).chunk(4, dim=-1)
            if self.p is not None:
                i, f = i + self.p[0] * c, f + self.p[1] * c
            c = f.sigmoid() * c + i.sigmoid() * j.tanh()
            if self.p is not None:
                o = o + self.p[2] * c
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states)


class BiLSTM(nn.Module):
    """Stacked layers whose two directions do not exchange; dropout on the output of each layer.

    The first layer's matrix, by far the largest, is applied to single vectors (`gates`): the windows of a night
    share that work.
    """

    def __init__(self, inputs: int, hidden: int, depth: int, dropout: float, peepholes: bool):
        super().__init__()
        sizes = [inputs] + [hidden] * (depth - 1)
        self.layers = nn.ModuleList([LSTM(size, hidden, peepholes) for size in sizes])
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """`x` (N, L, D) -> (N, L, 2H), forward states first."""
        return self.states(self.gates(x))

    def gates(self, x: Tensor) -> Tensor:
        """W x + b of the first layer, both directions: `x` (..., D) -> (..., 2, 4H)."""
        first = self.layers[0]
        return torch.stack([x @ W + b for W, b in zip(first.W, first.b, strict=True)], dim=-2)

    def states(self, gates: Tensor) -> Tensor:
        """Sequences of `gates` (N, L, 2, 4H) -> (N, L, 2H)."""
        forward, backward = gates.unbind(2)
        s = torch.stack([forward, backward.flip(1)]).permute(2, 0, 1, 3)  # (L, 2, N, 4H)
        s = functional.dropout(self.layers[0].states(s), self.dropout, self.training)
        for layer in self.layers[1:]:
            s = functional.dropout(layer(s), self.dropout, self.training)
        return torch.cat([s[:, 0], s[:, 1].flip(0)], dim=-1).transpose(0, 1)


class DeepSleepNet(SignalNetwork):
    """What both networks begin with."""

    def __init__(self, settings):
        super().__init__(settings)
        self.encoder = EpochEncoder(settings)

    def decayed(self) -> list[nn.Parameter]:
        """The first convolution of the branch of short filters (facts B2.5)."""
        return list(self.encoder.small[0][0].parameters())


class DeepSleepNet1(DeepSleepNet):
    """The CNN alone: one epoch in, one stage out (facts B2.6)."""

    def __init__(self, settings: DeepSleepNet1Settings | None = None):
        super().__init__(settings or DeepSleepNet1Settings())
        self.classify = nn.Linear(self.encoder.size, self.settings.stages)

    def forward(self, signals: Tensor) -> Tensor:
        """Signals `(B, L, C, T)` -> logits `(B, L, 5)`; each epoch on its own."""
        epochs = self.encoder(self.standardise(signals).flatten(0, 1))  # (B*L, D)
        return self.classify(epochs).unflatten(0, signals.shape[:2])

    def decisions(self, signals: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T)` -> log-posteriors `(N, 1, 5)`."""
        return in_chunks(super().decisions, signals)


class E2EDeepSleepNet(DeepSleepNet):
    """A sequence of epochs in, all their stages out (section V-C, figure 3b); trained end to end."""

    def __init__(self, settings: E2EDeepSleepNetSettings | None = None):
        super().__init__(settings or E2EDeepSleepNetSettings())
        s = self.settings
        self.sequence_length = s.sequence_length
        self.shortcut = nn.Sequential(
            nn.Linear(self.encoder.size, 2 * s.hidden, bias=False),
            nn.BatchNorm1d(2 * s.hidden, eps=1e-5, momentum=1 - s.decay),
            nn.ReLU(),
        )
        self.rnn = BiLSTM(self.encoder.size, s.hidden, 2, s.dropout, s.peepholes)
        self.dropout = nn.Dropout(s.dropout)
        self.classify = nn.Linear(2 * s.hidden, s.stages)

    def forward(self, signals: Tensor) -> Tensor:
        """Signals `(B, L, C, T)` -> logits `(B, L, 5)`."""
        epochs = self.encoder(self.standardise(signals).flatten(0, 1))  # (B*L, D)
        shortcut, sequence = (e.unflatten(0, signals.shape[:2]) for e in (self.shortcut(epochs), epochs))
        return self.classify(self.dropout(shortcut + self.rnn(sequence)))

    def decisions(self, signals: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T)` -> log-posteriors `(N - L + 1, L, 5)` of all its windows.

        Each epoch is encoded once, not once for each of the L windows it lies in. A night that is shorter than L
        is one window.
        """
        epochs = in_chunks(lambda part: self.encoder(self.standardise(part)), signals)  # (N, D)
        L = min(self.sequence_length, len(epochs))
        shortcut = self.shortcut(epochs).unfold(0, L, 1).movedim(-1, 1)  # (N-L+1, L, 2H)
        gates = self.rnn.gates(epochs).unfold(0, L, 1).movedim(-1, 1)  # (N-L+1, L, 2, 4H)
        return self.classify(shortcut + in_chunks(self.rnn.states, gates)).log_softmax(-1)
