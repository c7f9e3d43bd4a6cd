"""Chambon et al. (2018) and Tsinalis et al. (2016), as facts B2.6 has them.

They take raw signals and see the neighbours of the epoch that they stage.
ReLUs stand behind the maxima: the same numbers as before them, on a tenth of the values.
Shapes: B sequences, L epochs, C channels, T samples, D features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sleeplib.errors import SleeplibError
from sleeplib.models.raw import (
    SameConv1d,
    SameMaxPool1d,
    SignalNetwork,
    in_chunks,
    same_size,
    with_neighbours,
)


@dataclass(frozen=True)
class ChambonSettings:
    """The re-implementation behind Table II; the original has 128 Hz, `kernel=64`, `pool=16`, `dropout=0.25`.

    `emg`: how many of the last channels are EMG and have a branch of their own; by default those after EEG and EOG.
    """

    channels: int = 3
    samples: int = 3000  # of an epoch
    context: int = 3  # epochs, the staged one in the middle
    emg: int | None = None
    filters: int = 8
    kernel: int = 50
    pool: int = 14
    dropout: float = 0.5
    stages: int = 5


@dataclass(frozen=True)
class TsinalisSettings:
    """The original's 150 s and two layers of 500; Dreem's re-implementation has `context=1` and `dense=50`."""

    channels: int = 1
    samples: int = 3000  # of an epoch
    context: int = 5  # epochs, the staged one in the middle
    dense: int = 500
    dropout: float = 0.0  # before the last layer; not in the original
    stages: int = 5


class Branch(nn.Module):
    """Chambon's branch: a linear mix of channels, then the same two convolutions for each mixed channel."""

    def __init__(self, s: ChambonSettings, channels: int):
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, 1)  # spatial filters
        self.convolutions = nn.Sequential(  # 3000 samples
            SameConv1d(1, s.filters, s.kernel),
            SameMaxPool1d(s.pool, s.pool),  # 215
            nn.ReLU(),
            SameConv1d(s.filters, s.filters, s.kernel),
            SameMaxPool1d(s.pool, s.pool),  # 16
            nn.ReLU(),
            nn.Flatten(),
        )
        self.size = channels * s.filters * same_size(s.samples, s.pool, s.pool)

    def forward(self, signals: Tensor) -> Tensor:
        """Signals (N, C, T) -> features (N, D)."""
        mixed = self.mix(signals).flatten(0, 1)[:, None]  # (N*C, 1, T)
        return self.convolutions(mixed).unflatten(0, signals.shape[:2]).flatten(1)


class Chambon(SignalNetwork):
    """Chambon et al.: each epoch's features, beside those of its neighbours, give its stage.

    Neighbours are those inside the sequence; at its edges the edge epoch itself stands in for the missing one
    (the published code leaves the first and last epoch of a recording out).
    """

    def __init__(self, settings: ChambonSettings | None = None):
        super().__init__(settings or ChambonSettings())
        s = self.settings
        _odd(s.context)
        self.sequence_length = s.context  # training stages the one in the middle
        emg = max(s.channels - 2, 0) if s.emg is None else s.emg
        if not 0 <= emg <= s.channels:
            raise SleeplibError(f"emg={emg}: there are {s.channels} channels")
        self.groups = [n for n in (s.channels - emg, emg) if n]  # EEG and EOG, EMG
        self.branches = nn.ModuleList([Branch(s, n) for n in self.groups])
        self.dropout = nn.Dropout(s.dropout)
        self.classify = nn.Linear(s.context * sum(branch.size for branch in self.branches), s.stages)
        # TensorFlow's default. With torch's, the 1 x 1 mix can drown the signal in its bias, and nothing is learned.
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def decayed(self) -> list[nn.Parameter]:
        """Nothing: the re-implementation has no L2 penalty (facts B2.6)."""
        return []

    def encode(self, signals: Tensor) -> Tensor:
        """Signals (N, C, T) -> features (N, D)."""
        parts = self.standardise(signals).split(self.groups, dim=1)
        return torch.cat([branch(part) for branch, part in zip(self.branches, parts, strict=True)], dim=1)

    def stage(self, epochs: Tensor) -> Tensor:
        """Features (B, L, D) -> logits (B, L, 5)."""
        context = with_neighbours(epochs, self.settings.context).flatten(2)  # (B, L, context*D)
        return self.classify(self.dropout(context))

    def forward(self, signals: Tensor) -> Tensor:
        """Signals `(B, L, C, T)` -> logits `(B, L, 5)`."""
        return self.stage(self.encode(signals.flatten(0, 1)).unflatten(0, signals.shape[:2]))

    def decisions(self, signals: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T)` -> log-posteriors `(N, 1, 5)`; each epoch is encoded once."""
        return self.stage(in_chunks(self.encode, signals)[None])[0, :, None].log_softmax(-1)


class Tsinalis(SignalNetwork):
    """Tsinalis et al.: convolutions over the raw signal of the epoch and its neighbours, then two dense layers.

    The second convolution spans all feature maps of the first (the paper's "stacking"). Neighbours and edges as in
    `Chambon`, but the neighbours' signals are joined before the first layer: a convolution crosses from one to the
    next. The convolutions run once over a whole sequence; the windows of neighbouring epochs share what lies in
    both. With the defaults the first dense layer has 144 million weights.
    """

    stride = 20  # samples from one step of the convolutions' output to the next

    def __init__(self, settings: TsinalisSettings | None = None):
        super().__init__(settings or TsinalisSettings())
        s = self.settings
        _odd(s.context)
        if s.samples % self.stride:
            raise SleeplibError(
                f"samples={s.samples}: a multiple of {self.stride}, the stride of this network"
            )
        self.sequence_length = s.context  # training stages the one in the middle
        self.steps = _valid(s.context * s.samples, (200, 1), (20, 10), (30, 1), (10, 2))
        if self.steps < 1:
            raise SleeplibError(f"{s.context} epochs of {s.samples} samples are too short for this network")
        self.convolutions = nn.Sequential(  # 15000 samples
            nn.Conv1d(s.channels, 20, 200),  # 14801
            nn.MaxPool1d(20, 10),  # 1479
            nn.ReLU(),
            nn.Conv1d(20, 400, 30),  # 1450
            nn.MaxPool1d(10, 2),  # 721
            nn.ReLU(),
        )
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(400 * self.steps, s.dense),
            nn.ReLU(),
            nn.Linear(s.dense, s.dense),
            nn.ReLU(),
            nn.Dropout(s.dropout),
            nn.Linear(s.dense, s.stages),
        )

    def decayed(self) -> list[nn.Parameter]:
        """Nothing: no L2 penalty is known (facts B2.6)."""
        return []

    def join(self, signals: Tensor) -> Tensor:
        """Signals (B, L, C, T) end to end, the edge epochs repeated for the context: (B, C, (L+context-1)*T)."""
        L, reach = signals.shape[1], self.settings.context // 2
        epochs = torch.arange(-reach, L + reach, device=signals.device).clamp(0, L - 1)
        return self.standardise(signals)[:, epochs].transpose(1, 2).flatten(2)

    def encode(self, signals: Tensor) -> Tensor:
        """Signals (B, L, C, T) -> maps of each epoch and its neighbours, (B, L, 400, steps), a view."""
        maps = self.convolutions(self.join(signals))  # (B, 400, ...)
        return maps.unfold(-1, self.steps, self.settings.samples // self.stride).transpose(1, 2)

    def forward(self, signals: Tensor) -> Tensor:
        """Signals `(B, L, C, T)` -> logits `(B, L, 5)`."""
        return self.dense(self.encode(signals).flatten(0, 1)).unflatten(0, signals.shape[:2])

    def decisions(self, signals: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T)` -> log-posteriors `(N, 1, 5)`."""
        return in_chunks(self.dense, self.encode(signals[None])[0])[:, None].log_softmax(-1)


def _odd(context: int) -> None:
    if context < 1 or context % 2 == 0:
        raise SleeplibError(f"context={context}: an odd number of epochs, the staged one in the middle")


def _valid(size: int, *layers: tuple[int, int]) -> int:
    """Length after layers of (kernel, stride) without padding."""
    for kernel, stride in layers:
        size = (size - kernel) // stride + 1
    return size
