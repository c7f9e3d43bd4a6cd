"""The 1-max CNN and its multitask version (Phan et al. 2018), as facts B2.6 has them.

They take time-frequency images. Their filterbank is that of a network trained beforehand, and is frozen.
ReLUs stand behind the maxima: the same numbers as before them, on a tenth of the values.
Shapes: B sequences, L epochs, C channels, T frames, F frequency bins, M filters, D features.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleeplib.errors import SleeplibError
from sleeplib.models.raw import (
    in_chunks,
)
from sleeplib.models.seqsleepnet import ImageNetwork, triangular_filterbank
from sleeplib.sampling import Nights
from sleeplib.stages import UNSCORED


@dataclass(frozen=True)
class OneMaxCNNSettings:
    """1000 filters as in the stored results (the code's default is 500), 20 filters in the filterbank.

    `learn_filterbank=True` trains the filterbank with the rest, which the paper does not. The settings named
    `pretraining` are those of `train_filterbank`.
    """

    channels: int = 3
    frames: int = 29
    bins: int = 129
    filters: int = 20  # of the filterbank, per channel
    kernels: tuple[int, ...] = (3, 5, 7)  # frames; an epoch of few frames needs shorter ones
    features: int = 1000  # of each kernel
    learn_filterbank: bool = False
    pretraining_passes: int = 50  # over the frames of the training nights
    pretraining_steps: int | None = None  # per channel; stop earlier
    dropout: float = 0.2
    stages: int = 5


def equal_triangles(s: OneMaxCNNSettings) -> Tensor:
    """Triangles of equal area `(F, M)`."""
    triangles = triangular_filterbank(s.bins, s.filters)
    return triangles / triangles.sum(0)


class FrameNetwork(nn.Module):
    """The DNN on single frames of one channel; its first layer, a filterbank, is what it is trained for."""

    def __init__(self, s: OneMaxCNNSettings):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(s.bins, s.filters))
        self.register_buffer("triangles", equal_triangles(s))
        sizes = (s.filters, 512, 256, 512)
        hidden = [
            nn.Sequential(nn.Linear(i, o), nn.ReLU(), nn.Dropout(s.dropout)) for i, o in pairwise(sizes)
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], s.stages))

    def filterbank(self) -> Tensor:
        """sigm(W) * T, (F, M)."""
        return self.weight.sigmoid() * self.triangles

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N, F) -> logits (N, 5) of the stage of the epoch that each is from."""
        return self.layers(frames @ self.filterbank())


def train_filterbank(
    images: Tensor, labels: Tensor, mean: Tensor, std: Tensor, s: OneMaxCNNSettings
) -> Tensor:
    """The filterbank of a `FrameNetwork` that has learned to stage single frames (facts B2.6).

    Batches hold 200 frames, each stage as often; Adam with learning rate 1e-4. Draws are torch's.

    Parameters
    ----------
    images : tensor (N, T, F)
        Of one channel.
    labels : tensor (N,)
    mean, std : tensor (F,)
        For the z-score of the frames.

    Returns
    -------
    tensor (F, M)
    """
    network = FrameNetwork(s).to(mean.device)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)
    of_stage = [torch.nonzero(labels == stage).flatten() for stage in labels[labels != UNSCORED].unique()]
    share = 200 // len(of_stage)
    steps = s.pretraining_passes * sum(map(len, of_stage)) * images.shape[1] // 200
    for _ in range(min(steps, s.pretraining_steps or steps)):
        epochs = torch.cat([stage[torch.randint(len(stage), (share,))] for stage in of_stage])
        frames = images[epochs, torch.randint(images.shape[1], epochs.shape)].to(mean.device)
        loss = functional.cross_entropy(network((frames - mean) / std), labels[epochs].to(mean.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.filterbank().detach()


class FixedFilterbank(nn.Module):
    """A filterbank for each channel that was made beforehand, and a z-score of its outputs.

    `weight` `(C, F, M)` starts as triangles of equal area, until `train_filterbank`. Bins are z-scored before it
    (`mean`, `std` `(C, F)`, 0 and 1 until set) and columns after it (`column_mean`, `column_std` `(C*M,)`); the
    published network has only the latter.
    """

    def __init__(self, s: OneMaxCNNSettings):
        super().__init__()
        weight = equal_triangles(s).repeat(s.channels, 1, 1)
        if s.learn_filterbank:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)
        self.register_buffer("mean", torch.zeros(s.channels, s.bins))
        self.register_buffer("std", torch.ones(s.channels, s.bins))
        self.register_buffer("column_mean", torch.zeros(s.channels * s.filters))
        self.register_buffer("column_std", torch.ones(s.channels * s.filters))

    def columns(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> (N, T, C*M), the channels side by side, before their z-score."""
        S = (S - self.mean[:, None]) / self.std[:, None]
        return torch.einsum("nctf,cfm->ntcm", S, self.weight).flatten(2)

    def forward(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> (N, T, C*M)."""
        return (self.columns(S) - self.column_mean) / self.column_std


class OneMaxEncoder(nn.Module):
    """Filterbank, convolutions over time that span all columns, and the maximum of each over the epoch."""

    def __init__(self, s: OneMaxCNNSettings):
        super().__init__()
        if max(s.kernels) > s.frames:
            raise SleeplibError(
                f"kernels={s.kernels}: an epoch has {s.frames} frames; choose shorter kernels, such as (2, 3, 4)"
            )
        self.filterbank = FixedFilterbank(s)
        columns = s.channels * s.filters
        self.convolutions = nn.ModuleList([nn.Conv1d(columns, s.features, kernel) for kernel in s.kernels])
        for convolution in self.convolutions:
            nn.init.trunc_normal_(convolution.weight, std=0.1, a=-0.2, b=0.2)
            nn.init.constant_(convolution.bias, 0.1)
        self.size = len(s.kernels) * s.features

    def forward(self, S: Tensor) -> Tensor:
        """Images (N, C, T, F) -> features (N, D)."""
        x = self.filterbank(S).transpose(1, 2)  # (N, C*M, T)
        maxima = [convolution(x).amax(-1) for convolution in self.convolutions]
        return torch.cat(maxima, dim=1).relu()


class OneMaxCNN(ImageNetwork):
    """1-max CNN: one image in, one stage out."""

    heads = 1

    def __init__(self, settings: OneMaxCNNSettings | None = None):
        super().__init__()
        self.settings = s = settings or OneMaxCNNSettings()
        self.encoder = OneMaxEncoder(s)
        self.dropout = nn.Dropout(s.dropout)
        self.classify = nn.Linear(self.encoder.size, self.heads * s.stages)
        nn.init.trunc_normal_(self.classify.weight, std=0.1, a=-0.2, b=0.2)
        nn.init.constant_(self.classify.bias, 0.1)

    def decayed(self) -> list[nn.Parameter]:
        """The output layer, weight and bias (facts B2.6)."""
        return list(self.classify.parameters())

    def adapt(self, train: Nights) -> None:
        """Train the filterbank on single frames of the training nights and freeze it; take all z-scores from them.

        With `learn_filterbank` the filterbank stays at its triangles until it is trained with the rest.
        """
        super().adapt(train)
        bank, s = self.encoder.filterbank, self.settings
        if not s.learn_filterbank:
            channels = zip(train.inputs.unbind(1), bank.mean, bank.std, strict=True)
            trained = [train_filterbank(x, train.labels, mean, std, s) for x, mean, std in channels]
            self.set_filterbank(torch.stack(trained))
        self.normalise_columns(train.scored(1024))

    @torch.no_grad()
    def normalise_columns(self, parts: list[Tensor]) -> None:
        """Set the z-score of the filterbank's outputs from training images `(N, C, T, F)`; after the other two."""
        bank = self.encoder.filterbank
        columns = torch.cat([bank.columns(part.to(bank.mean)) for part in parts]).flatten(0, 1)  # (N*T, C*M)
        bank.column_mean.copy_(columns.mean(0))
        bank.column_std.copy_(columns.std(0, correction=0).clamp_min(1e-8))

    @torch.no_grad()
    def set_filterbank(self, weight: Tensor) -> None:
        """Use a filterbank `(C, F, M)` that was trained beforehand: sigm(W) * T of the authors' DNN."""
        bank = self.encoder.filterbank
        if weight.shape != bank.weight.shape:
            raise SleeplibError(
                f"a filterbank {tuple(weight.shape)} does not fit (C, F, M) = {tuple(bank.weight.shape)}"
            )
        bank.weight.copy_(weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, L, C, T, F)` -> logits `(B, L, 5)`; each epoch on its own."""
        epochs = self.encoder(images.flatten(0, 1))  # (B*L, D)
        return self.classify(self.dropout(epochs)).unflatten(0, images.shape[:2])

    def decisions(self, images: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T, F)` -> log-posteriors `(N, 1, 5)`."""
        return in_chunks(self, images[:, None]).log_softmax(-1)


class MultitaskOneMaxCNN(OneMaxCNN):
    """Multitask 1-max CNN: one image in; the stages of the epoch before it, its own, and of the epoch after it."""

    reach = 1
    heads = 3

    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, L, C, T, F)` -> logits `(B, L, 3, 5)`: previous, current, next."""
        return super().forward(images).unflatten(-1, (self.heads, -1))

    def decisions(self, images: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T, F)` -> log-posteriors `(N - 2, 3, 5)`.

        Row i is about epochs i, i + 1 and i + 2, from the image in the middle: the same layout as the windows of
        SeqSleepNet. The first and last epoch have no such window. A night of one or two epochs is one window, from
        its first image.
        """
        if len(images) < 3:
            return self(images[:1, None])[:, 0, 1 : 1 + len(images)].log_softmax(-1)
        return in_chunks(self, images[1:-1, None])[:, 0].log_softmax(-1)
