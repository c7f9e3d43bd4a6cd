"""AnySleep and its two variants (Grieger et al. 2025, sections 2.5 and 4.2, figure 5).

U-Sleep that takes any channels: some of it looks at each channel by itself, the rest at their weighted sum, and the
weights are computed from what the channels show. Where the sum is taken is the only difference: between encoders and
decoders (AnySleep), before the first encoder (early) or after the last decoder (late fusion).
Shapes: B nights or windows, C channels, T samples at 128 Hz, F filters, N stages, M attention modules.
"""

from dataclasses import dataclass

from torch import Tensor, einsum, nn, stack

from sleeplib.errors import SleeplibError
from sleeplib.models.usleep import Classifier, NightNetwork, UNet, USleepSettings


@dataclass(frozen=True)
class AnySleepSettings(USleepSettings):
    """Fusion between encoders and decoders; each channel is encoded by itself."""

    channels: int | None = None  # any number
    hidden: int = 40  # units of the attention modules' hidden layer
    norm_first: bool = True  # batch normalisation, then ReLU; False: ELU, then batch normalisation


@dataclass(frozen=True)
class LateFusionSettings(AnySleepSettings):
    """Late fusion: a channel encoder before the attention module.

    `norm_first=True` is the text; the default is the released code. Its configuration has 32 hidden units, but the
    paper's parameter counts and the sizes of the published weights need 40 (facts A2.3).
    """

    norm_first: bool = False
    heads: int = 1
    encoder_filters: int = 32


@dataclass(frozen=True)
class EarlyFusionSettings(LateFusionSettings):
    """Early fusion: four heads make four virtual channels."""

    heads: int = 4


class Scores(nn.Module):
    """Multi-layer perceptron of an attention module: features `(..., F)` -> a score each `(...)`."""

    def __init__(self, inputs: int, s: AnySleepSettings):
        super().__init__()
        self.hidden = nn.Linear(inputs, s.hidden)
        self.norm = nn.BatchNorm1d(s.hidden)
        self.score = nn.Linear(s.hidden, 1)
        self.norm_first = s.norm_first

    def forward(self, features: Tensor) -> Tensor:
        x = self.hidden(features.flatten(0, -2))  # batch normalisation counts each channel as a row
        x = self.norm(x).relu() if self.norm_first else self.norm(nn.functional.elu(x))
        return self.score(x).view(features.shape[:-1])


class ChannelAttention(nn.Module):
    """Maps of the channels `(B, C, F, T)` -> their weighted sum `(B, F, T)` (section 4.2, figure 5b).

    m_i = mean over time of map i, w = softmax over channels of MLP(m_i), and the sum over i of w_i map_i.
    The mean runs over all of the input, so that weights are those of a whole window in training and of a whole
    night in staging.
    """

    def __init__(self, filters: int, s: AnySleepSettings):
        super().__init__()
        self.scores = Scores(filters, s)

    def logits(self, maps: Tensor) -> Tensor:
        """The channels' scores before the softmax, `(B, C)`."""
        return self.scores(maps.mean(-1))

    def weights(self, maps: Tensor) -> Tensor:
        """The channels' weights, `(B, C)`: 1 in all."""
        return self.logits(maps).softmax(1)

    def forward(self, maps: Tensor) -> Tensor:
        return einsum("bc,bcft->bft", self.weights(maps), maps)


class AnySleep(NightNetwork):
    """Fusion in the middle: an attention module on each connection from the encoders to the decoders."""

    def __init__(self, settings: AnySleepSettings | None = None):
        super().__init__(settings or AnySleepSettings())
        s = self.settings
        self.unet = UNet(s, channels=1)
        self.fusions = nn.ModuleList(ChannelAttention(filters, s) for filters in s.widths)
        self.classifier = Classifier(s)
        self.initialise()

    def forward(self, x: Tensor, per_epoch: int = 1) -> Tensor:
        """Signals (B, C, T) of any channels in any order -> logits (B, N, 5), `per_epoch` stages for each 30 s."""
        fused = [fusion(maps) for fusion, maps in zip(self.fusions, self.maps(x), strict=True)]
        return self.decode(fused, per_epoch)

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the encoders and the connector make of each channel: M maps (B, C, F, T)."""
        self.check(x)
        return [m.unflatten(0, x.shape[:2]) for m in self.unet.encode(x.flatten(0, 1)[:, None])]

    def decode(self, fused: list[Tensor], per_epoch: int = 1) -> Tensor:
        """M fused maps (B, F, T) -> logits (B, N, 5). The list is empty afterwards."""
        return self.classifier(self.unet.decode(fused), per_epoch)

    def attention(self, x: Tensor) -> Tensor:
        """The channels' weights in each module, `(B, M, C)`: encoders from fine to coarse, then the connector."""
        return stack([f.weights(m) for f, m in zip(self.fusions, self.maps(x), strict=True)], dim=1)


class EncodedChannelAttention(nn.Module):
    """Channel attention with an encoder of its own and several heads, for maps that no other encoder has seen.

    Maps `(B, C, F, T)` -> one weighted sum of channels for each head `(B, heads, F, T)`.
    """

    def __init__(self, filters: int, s: LateFusionSettings):
        super().__init__()
        # A filter of half a second, each quarter of a second: 64 and 32 samples at 128 Hz.
        self.encoder = nn.Sequential(
            nn.Conv1d(filters, s.encoder_filters, s.rate // 2, stride=s.rate // 4),
            nn.ELU(),
            nn.BatchNorm1d(s.encoder_filters),
            nn.Conv1d(s.encoder_filters, s.encoder_filters, 9),
        )
        self.heads = nn.ModuleList(Scores(s.encoder_filters, s) for _ in range(s.heads))
        self.shortest = s.rate // 2 + 8 * (s.rate // 4)  # samples that both convolutions span

    def check(self, samples: int) -> None:
        """Refuse signals that are shorter than what both convolutions span."""
        if samples < self.shortest:
            raise SleeplibError(f"{samples} samples; the channel encoder takes {self.shortest} or more")

    def logits(self, maps: Tensor) -> Tensor:
        """The channels' scores for each head before the softmax, `(B, heads, C)`."""
        self.check(maps.shape[-1])
        features = self.encoder(maps.flatten(0, 1)).mean(-1).unflatten(0, maps.shape[:2])  # (B, C, F)
        return stack([scores(features) for scores in self.heads], dim=1)

    def weights(self, maps: Tensor) -> Tensor:
        """The channels' weights for each head, `(B, heads, C)`: 1 in all of each head."""
        return self.logits(maps).softmax(-1)

    def forward(self, maps: Tensor) -> Tensor:
        return einsum("bhc,bcft->bhft", self.weights(maps), maps)


class EarlyFusion(NightNetwork):
    """Fusion of the raw signals into a few virtual channels, which U-Sleep then takes."""

    def __init__(self, settings: EarlyFusionSettings | None = None):
        super().__init__(settings or EarlyFusionSettings())
        s = self.settings
        self.fusion = EncodedChannelAttention(1, s)
        self.unet = UNet(s, channels=s.heads)
        self.classifier = Classifier(s)
        self.initialise()

    def forward(self, x: Tensor, per_epoch: int = 1) -> Tensor:
        """Signals (B, C, T) -> logits (B, N, 5), `per_epoch` stages for each 30 s."""
        self.check(x)
        virtual = self.fusion(x[:, :, None]).squeeze(2)  # (B, heads, T)
        return self.classifier(self.unet(virtual), per_epoch)

    def attention(self, x: Tensor) -> Tensor:
        """The channels' weights for each virtual channel, `(B, heads, C)`."""
        self.check(x)
        return self.fusion.weights(x[:, :, None])


class LateFusion(NightNetwork):
    """Fusion of what a whole U-Net made of each channel, before the classifier."""

    def __init__(self, settings: LateFusionSettings | None = None):
        super().__init__(settings or LateFusionSettings())
        s = self.settings
        self.unet = UNet(s, channels=1)
        self.fusion = EncodedChannelAttention(s.widths[0], s)
        self.classifier = Classifier(s)
        self.initialise()

    def forward(self, x: Tensor, per_epoch: int = 1) -> Tensor:
        """Signals (B, C, T) -> logits (B, N, 5), `per_epoch` stages for each 30 s."""
        return self.classifier(self.fusion(self.maps(x)).mean(1), per_epoch)

    def maps(self, x: Tensor) -> Tensor:
        """What the U-Net makes of each channel, `(B, C, F, T)`."""
        self.check(x)
        return self.unet(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2])

    def attention(self, x: Tensor) -> Tensor:
        """The channels' weights, `(B, heads, C)`."""
        return self.fusion.weights(self.maps(x))
