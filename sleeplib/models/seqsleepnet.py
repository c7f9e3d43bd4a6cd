"""SeqSleepNet and its one-epoch part E2E-ARNN (Phan et al. 2019), as the paper's text has them (`released`: the code).

The file reads like the paper's figure 2, from left to right: filterbank, attention RNN of an epoch, RNN
of the sequence.
Shapes: B sequences, L epochs, C channels, T frames, F frequency bins, M filters, H hidden units, A attention size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sleeplib.errors import SleeplibError
from sleeplib.models.recurrent import BNGRU


@dataclass(frozen=True)
class E2EARNNSettings:
    """Table I, with the attention size of section V-C."""

    channels: int = 3
    frames: int = 29
    bins: int = 129
    filters: int = 32
    hidden: int = 64
    attention: int = 32
    depth: int = 1
    dropout: float = 0.25
    stages: int = 5


@dataclass(frozen=True)
class SeqSleepNetSettings(E2EARNNSettings):
    """Table I; `sequence_length` is 10, 20 or 30 in the paper."""

    attention: int = 64
    sequence_length: int = 20


def triangular_filterbank(bins: int = 129, filters: int = 32) -> Tensor:
    """The constant matrix T `(F, M)` of eq. 1: triangles with linear spacing from 0 to the Nyquist frequency.

    Filter j rises from edge j to its peak of 1 at edge j+1 and falls to edge j+2; edges are rounded down to bins.
    """
    # Integers, because floor((2F - 1) * j / (2 (M + 1))) must not depend on the rounding of a float.
    edges = torch.arange(filters + 2) * (2 * bins - 1) // (2 * (filters + 1))
    if filters > bins - 2:  # two edges would fall into one bin
        raise SleeplibError(f"{filters} filters do not fit into {bins} frequency bins; choose fewer")
    low, peak, high = (edges[i : i + filters].double() for i in range(3))
    k = torch.arange(bins, dtype=torch.float64)[:, None]
    rising, falling = (k - low) / (peak - low), (high - k) / (high - peak)
    return torch.minimum(rising, falling).clamp_min(0).float()


class Filterbank(nn.Module):
    """One learned filterbank for each channel (section III-B), after a z-score of each frequency bin.

    W_fb = sigm(W) * T                    (1)
    X    = W_fb^T (S - mean) / std        (2)

    `mean` and `std` `(C, F)` are those of the training nights (`normalise`); until then they are 0 and 1.
    """

    def __init__(self, channels: int, bins: int, filters: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, bins, filters))
        self.register_buffer("triangles", triangular_filterbank(bins, filters))
        self.register_buffer("mean", torch.zeros(channels, bins))
        self.register_buffer("std", torch.ones(channels, bins))

    def forward(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> (N, T, C*M), the channels side by side."""
        W_fb = self.weight.sigmoid() * self.triangles  # (C, F, M)
        # ((S - mean) / std) W = S (W / std) - (mean / std) W: the z-score costs nothing inside the filterbank.
        W_fb = W_fb / self.std[..., None]
        offset = torch.einsum("cf,cfm->cm", self.mean, W_fb)
        X = torch.einsum("nctf,cfm->ntcm", S, W_fb) - offset
        return X.flatten(2)


class Attention(nn.Module):
    """Weighted mean of a sequence of vectors, with weights from a linear score.

    alpha_t = exp(a_t^T W_att) / sum_i exp(a_i^T W_att)   (10, 11)
    a_bar   = sum_t alpha_t a_t                           (12)
    """

    def __init__(self, size: int):
        super().__init__()
        self.W_att = nn.Parameter(torch.randn(size) * 0.1)

    def weights(self, a: Tensor) -> Tensor:
        """`a` (N, T, A) -> alpha (N, T)."""
        return (a @ self.W_att).softmax(dim=1)

    def forward(self, a: Tensor) -> Tensor:
        """`a` (N, T, A) -> (N, A)."""
        return torch.einsum("nt,nta->na", self.weights(a), a)


class EpochEncoder(nn.Module):
    """Filterbank, bidirectional RNN over the frames and attention: an epoch becomes one vector (section III-C)."""

    def __init__(self, s: E2EARNNSettings):
        super().__init__()
        self.filterbank = Filterbank(s.channels, s.bins, s.filters)
        self.rnn = BNGRU(s.channels * s.filters, s.hidden, s.frames, s.depth, s.dropout)
        self.project = nn.Linear(2 * s.hidden, s.attention)  # W_ha, b_a
        self.attention = Attention(s.attention)

    def states(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> a (N, T, A), eqs. 1-9."""
        return self.project(self.rnn(self.filterbank(S)))

    def forward(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> a_bar (N, A), eqs. 1-12."""
        return self.attention(self.states(S))


class ImageNetwork(nn.Module):
    """What the networks on time-frequency images have in common."""

    signals = False  # takes images
    sequence_length = 1  # epochs that training shows it at once
    reach = 0  # neighbours on either side whose stages it says, too

    def adapt(self, train) -> None:
        """Take from the training nights (`sampling.Nights`) what has to be known before training: their z-score."""
        self.normalise(*train.statistics())

    def decayed(self) -> list[nn.Parameter]:
        """What the L2 penalty of the loss is on: all parameters (eq. 15)."""
        return list(self.parameters())

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set the z-score of each channel's frequency bins, `(C, F)` each, from training nights only."""
        self.encoder.filterbank.mean.copy_(mean)
        self.encoder.filterbank.std.copy_(std)


class AttentionNetwork(ImageNetwork):
    """What the networks have in common whose epoch encoder ends in attention."""

    def attention(self, images: Tensor) -> Tensor:
        """Attention weights `(B, L, T)` over the frames of each epoch of images `(B, L, C, T, F)`."""
        alpha = self.encoder.attention.weights(self.encoder.states(images.flatten(0, 1)))
        return alpha.unflatten(0, images.shape[:2])


class E2EARNN(AttentionNetwork):
    """End-to-end attention RNN: one epoch in, one stage out (section V-C, figure 3a)."""

    def __init__(self, settings: E2EARNNSettings | None = None):
        super().__init__()
        self.settings = s = settings or E2EARNNSettings()
        self.encoder = EpochEncoder(s)
        self.classify = nn.Linear(s.attention, s.stages)

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, L, C, T, F)` -> logits `(B, L, 5)`; each epoch on its own."""
        return self.classify(self.encoder(images.flatten(0, 1))).unflatten(0, images.shape[:2])

    def decisions(self, images: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T, F)` -> log-posteriors `(N, 1, 5)`."""
        return self(images[:, None]).log_softmax(-1)


class MultitaskE2EARNN(AttentionNetwork):
    """One epoch in, the stages of the previous, of the same and of the next epoch out: three heads on one encoder."""

    reach = 1

    def __init__(self, settings: E2EARNNSettings | None = None):
        super().__init__()
        self.settings = s = settings or E2EARNNSettings()
        self.encoder = EpochEncoder(s)
        self.classify = nn.Linear(s.attention, 3 * s.stages)

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, L, C, T, F)` -> logits `(B, L, 3, 5)` of the previous, current and next epoch."""
        logits = self.classify(self.encoder(images.flatten(0, 1)))  # (B*L, 15)
        return logits.unflatten(1, (3, -1)).unflatten(0, images.shape[:2])

    def decisions(self, images: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T, F)` -> log-posteriors `(N - 2, 3, 5)`, like those of windows of 3.

        The first and the last epoch are no centres, they lack a neighbour. In a night of one or two epochs the
        first is.
        """
        decided = self(images[:, None])[:, 0].log_softmax(-1)  # (N, 3, 5)
        N = len(decided)
        return decided[1:-1] if N > 2 else decided[:1, 1 : 1 + N]


class SeqSleepNet(AttentionNetwork):
    """A sequence of epochs in, all their stages out (sections III-C to III-E, figure 2)."""

    def __init__(self, settings: SeqSleepNetSettings | None = None):
        super().__init__()
        self.settings = s = settings or SeqSleepNetSettings()
        self.sequence_length = s.sequence_length
        self.encoder = EpochEncoder(s)
        self.rnn = BNGRU(s.attention, s.hidden, s.sequence_length, s.depth, s.dropout)
        self.classify = nn.Linear(2 * s.hidden, s.stages)  # W_ho, b_o (13), shared by all positions

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, L, C, T, F)` -> logits `(B, L, 5)`."""
        epochs = self.encoder(images.flatten(0, 1))  # unfold: (B*L, A)
        sequence = epochs.unflatten(0, images.shape[:2])  # fold: (B, L, A)
        return self.classify(self.rnn(sequence))

    def decisions(self, images: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T, F)` -> log-posteriors `(N - L + 1, L, 5)` of all its windows.

        Each epoch is encoded once, not once for each of the L windows it lies in. A night that is shorter than L
        is one window.
        """
        epochs = self.encoder(images)  # (N, A)
        windows = epochs.unfold(0, min(self.sequence_length, len(epochs)), 1)  # (N-L+1, A, L)
        return self.classify(self.rnn(windows.transpose(1, 2))).log_softmax(-1)
