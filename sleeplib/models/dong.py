"""Dong et al. (2017): a rectifier network on hand-crafted features, alone (DNN) or followed by an LSTM (MNN).

Known from the abstract, Table II of Phan et al. (2019) and facts B2.6: features of one epoch, rectifier layers, and in
the "mixed" network an LSTM over a few epochs. Their features and sizes are not known to us: the features are those
of `features`, the sizes and the dropout are ours. The original has one channel; here every channel gives features.
Shapes: B sequences, L epochs, C channels, T samples, D features, H hidden units.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from sleeplib.models.features import FEATURES, hand_crafted
from sleeplib.models.raw import SignalNetwork


@dataclass(frozen=True)
class DongDNNSettings:
    """All sizes are ours."""

    channels: int = 3
    samples: int = 3000  # of an epoch
    rate: float = 100.0  # Hz, of the signals
    hidden: tuple[int, ...] = (512, 512)  # units of the rectifier layers
    dropout: float = 0.5  # after each of them
    stages: int = 5


@dataclass(frozen=True)
class DongMNNSettings(DongDNNSettings):
    """`sequence_length`: the staged epoch is the last of so many."""

    sequence_length: int = 5
    memory: int = 256  # units of the LSTM


class RectifierNetwork(SignalNetwork):
    """What both networks begin with: features, their z-score, rectifier layers.

    `feature_mean` and `feature_std` `(D,)` are those of the training nights (`adapt`). The features have no parameters.
    """

    def __init__(self, settings):
        super().__init__(settings)
        s = self.settings
        sizes = (s.channels * len(FEATURES), *s.hidden)
        self.register_buffer("feature_mean", torch.zeros(sizes[0]))
        self.register_buffer("feature_std", torch.ones(sizes[0]))
        layers = [
            nn.Sequential(nn.Linear(i, o), nn.ReLU(), nn.Dropout(s.dropout)) for i, o in pairwise(sizes)
        ]
        self.rectifiers = nn.Sequential(*layers)
        self.size = sizes[-1]

    def adapt(self, train) -> None:
        """Take the z-score of the features from the training nights; signals themselves stay in microvolts."""
        features = torch.cat([hand_crafted(x, self.settings.rate) for x in train.scored(1024)])
        std = features.std(0, correction=0)
        self.feature_mean.copy_(features.mean(0))
        # What never varies (silence) is only centred.
        self.feature_std.copy_(torch.where(std > 1e-3, std, 1.0))

    def encode(self, signals: Tensor) -> Tensor:
        """Signals (N, C, T) -> activations of the last rectifier layer (N, H)."""
        features = hand_crafted(self.standardise(signals), self.settings.rate)
        return self.rectifiers((features - self.feature_mean) / self.feature_std)


class DongDNN(RectifierNetwork):
    """The rectifier network alone: one epoch in, one stage out."""

    def __init__(self, settings: DongDNNSettings | None = None):
        super().__init__(settings or DongDNNSettings())
        self.classify = nn.Linear(self.size, self.settings.stages)

    def forward(self, signals: Tensor) -> Tensor:
        """Signals `(B, L, C, T)` -> logits `(B, L, 5)`; each epoch on its own."""
        return self.classify(self.encode(signals.flatten(0, 1))).unflatten(0, signals.shape[:2])


class DongMNN(RectifierNetwork):
    """The mixed network: an epoch is staged from itself and the epochs before it; it never sees the future.

    Training shows it sequences and its loss is on all positions: position l has seen epochs 0 to l. A night is
    staged from the last position of the window that ends at each epoch; before the first whole window there are as
    many epochs as there are.
    """

    def __init__(self, settings: DongMNNSettings | None = None):
        super().__init__(settings or DongMNNSettings())
        s = self.settings
        self.sequence_length = s.sequence_length
        self.rnn = nn.LSTM(self.size, s.memory, batch_first=True)
        self.classify = nn.Linear(s.memory, s.stages)

    def stage(self, epochs: Tensor) -> Tensor:
        """Rectifier activations (B, L, H) -> logits (B, L, 5)."""
        return self.classify(self.rnn(epochs)[0])

    def forward(self, signals: Tensor) -> Tensor:
        """Signals `(B, L, C, T)` -> logits `(B, L, 5)`, of each epoch from those up to it."""
        return self.stage(self.encode(signals.flatten(0, 1)).unflatten(0, signals.shape[:2]))

    def decisions(self, signals: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T)` -> log-posteriors `(N, 1, 5)`; each epoch is encoded once."""
        epochs = self.encode(signals)  # (N, H)
        L = min(self.sequence_length, len(epochs))
        windows = epochs.unfold(0, L, 1).transpose(1, 2)  # (N-L+1, L, H)
        # the first window says all its epochs, each later one its last
        logits = torch.cat([self.stage(windows[:1])[0, :-1], self.stage(windows)[:, -1]])
        return logits[:, None].log_softmax(-1)
