"""The other convolutional networks of Table II (Phan et al. 2019), as facts B2.6 has them.

On raw signals: Chambon et al. (2018) and Tsinalis et al. (2016), which see the neighbours of the epoch that they
stage. On time-frequency images: the 1-max CNN and its multitask version (Phan et al. 2018), whose filterbank is that
of a network trained beforehand and is frozen.
ReLUs stand behind the maxima: the same numbers as before them, on a tenth of the values.
Shapes: B sequences, L epochs, C channels, T samples or frames, F frequency bins, M filters, D features.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleeplib.errors import SleeplibError
from sleeplib.models.raw import (
    SameConv1d,
    SameMaxPool1d,
    SignalNetwork,
    in_chunks,
    same_size,
    with_neighbours,
)
from sleeplib.models.seqsleepnet import ImageNetwork, triangular_filterbank
from sleeplib.sampling import Nights
from sleeplib.stages import UNSCORED


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
        self.normalise_columns(train.inputs)

    @torch.no_grad()
    def normalise_columns(self, images: Tensor) -> None:
        """Set the z-score of the filterbank's outputs from training images `(N, C, T, F)`; after the other two."""
        bank = self.encoder.filterbank
        columns = in_chunks(lambda part: bank.columns(part.to(bank.mean)), images, 1024).flatten(
            0, 1
        )  # (N*T, C*M)
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


def _odd(context: int) -> None:
    if context < 1 or context % 2 == 0:
        raise SleeplibError(f"context={context}: an odd number of epochs, the staged one in the middle")


def _valid(size: int, *layers: tuple[int, int]) -> int:
    """Length after layers of (kernel, stride) without padding."""
    for kernel, stride in layers:
        size = (size - kernel) // stride + 1
    return size
