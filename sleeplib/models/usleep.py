"""U-Sleep (Perslev et al. 2021) as AnySleep's authors trained it (Grieger et al. 2025, section 4.2 and figure 5).

The file reads like figure 5a from left to right: encoder blocks that halve time, a connector, decoder blocks that
double it again, and a classifier that averages over as much time as one stage shall last.
Shapes: B nights or windows, C channels, T samples at 128 Hz, F filters, N stages.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import floor, sqrt
from operator import index

from torch import Tensor, cat, nn, tanh
from torch.nn import functional

from sleeplib.errors import SleeplibError


@dataclass(frozen=True)
class USleepSettings:
    """U-Sleep with one EEG and one EOG channel, in this order. Smaller `complexity` makes a narrower network."""

    channels: int = 2
    depth: int = 12  # encoder blocks, and decoder blocks
    complexity: float = 1.67  # widths grow with its square root
    kernel: int = 9
    rate: int = 128  # Hz
    epoch_seconds: int = 30
    stages: int = 5

    @property
    def widths(self) -> list[int]:
        """Filters of the encoder blocks, then of the connector: 6, 9, 11, 15, ..., 214, 302 (facts A2.1)."""
        base = [5]
        while len(base) <= self.depth:
            base.append(floor(base[-1] * 1.4142))
        return [max(1, floor(filters * sqrt(self.complexity))) for filters in base]


class Convolution(nn.Module):
    """Convolution that keeps the length, ELU, batch normalisation: `(B, C, T)` -> `(B, F, T)`.

    An even kernel looks one sample further ahead than back.
    """

    def __init__(self, inputs: int, filters: int, kernel: int):
        super().__init__()
        self.padding = (kernel - 1) // 2, kernel // 2
        self.conv = nn.Conv1d(inputs, filters, kernel, padding=self.padding[0])
        self.norm = nn.BatchNorm1d(filters)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.padding
        if right > left:  # the convolution itself pads both sides alike
            x = functional.pad(x, (0, right - left))
        return self.norm(functional.elu(self.conv(x), inplace=True))


class Encoder(nn.Module):
    """Half the time, more filters: `(B, F, T)` -> its map `(B, F', T or T + 1)` and the map's maxima of pairs."""

    def __init__(self, inputs: int, filters: int, kernel: int):
        super().__init__()
        self.convolution = Convolution(inputs, filters, kernel)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.halve(self.convolution(x))

    @staticmethod
    def halve(x: Tensor) -> tuple[Tensor, Tensor]:
        """A map (B, F, T), made even, and the maxima of its pairs."""
        if x.shape[-1] % 2:
            x = functional.pad(x, (1, 0))  # a column of zeros before the first sample
        return x, functional.max_pool1d(x, 2)


class Decoder(nn.Module):
    """Twice the time, fewer filters, beside the encoder's map of that length."""

    def __init__(self, inputs: int, filters: int, kernel: int):
        super().__init__()
        self.up = Convolution(inputs, filters, 2)
        self.merge = Convolution(2 * filters, filters, kernel)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """`x` (B, F, T) and `skip` (B, F', 2T or 2T - 2) -> (B, F', length of `skip`)."""
        x = self.up(functional.interpolate(x, scale_factor=2.0))
        surplus = x.shape[-1] - skip.shape[-1]  # from the column that a deeper encoder put in front
        first = surplus // 2 + surplus % 2
        return self.merge(cat([skip, x[..., first : first + skip.shape[-1]]], dim=1))


class UNet(nn.Module):
    """Encoders, connector and decoders: signals `(B, C, T)` -> features `(B, F, T)`."""

    def __init__(self, s: USleepSettings, channels: int):
        super().__init__()
        widths = s.widths
        self.encoders = nn.ModuleList(
            Encoder(inputs, filters, s.kernel) for inputs, filters in pairwise([channels, *widths[:-1]])
        )
        self.connector = Convolution(widths[-2], widths[-1], s.kernel)
        self.decoders = nn.ModuleList(
            Decoder(inputs, filters, s.kernel) for inputs, filters in pairwise(reversed(widths))
        )

    def encode(self, x: Tensor) -> list[Tensor]:
        """Signals (B, C, T) -> the maps of all encoders, finest first, and that of the connector."""
        maps = []
        for encoder in self.encoders:
            skip, x = encoder(x)
            maps.append(skip)
        return [*maps, self.connector(x)]

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Such maps -> features (B, F, T). Takes them out of the list, so that their memory is free again."""
        x = maps.pop()
        for decoder in self.decoders:
            x = decoder(x, maps.pop())
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Classifier(nn.Module):
    """Features `(B, F, T)` -> logits `(B, N, 5)`, averaged over the time of one stage (figure 5c).

    Nothing that is learned depends on the resolution.
    """

    def __init__(self, s: USleepSettings):
        super().__init__()
        filters = s.widths[0]
        self.samples = s.rate * s.epoch_seconds
        self.mix = nn.Conv1d(filters, filters, 1)
        self.project = nn.Conv1d(filters, s.stages, 1)
        self.last = nn.Conv1d(s.stages, s.stages, 1)

    def size(self, per_epoch: int, samples: int) -> int:
        """Samples of one stage. Refuses what does not divide an epoch, and signals of fewer `samples`."""
        try:
            stages = 0 if isinstance(per_epoch, bool) else index(per_epoch)
        except TypeError:
            stages = 0
        if stages < 1 or self.samples % stages:
            raise SleeplibError(
                f"{per_epoch} stages per epoch: it has to be a whole number that divides {self.samples} samples"
            )
        size = self.samples // stages
        if samples < size:
            raise SleeplibError(f"{samples} samples are shorter than one stage of {size} samples")
        return size

    def forward(self, x: Tensor, per_epoch: int = 1) -> Tensor:
        size = self.size(per_epoch, x.shape[-1])
        x = functional.avg_pool1d(tanh(self.mix(x)), size)  # (B, F, N)
        return self.last(functional.elu(self.project(x))).transpose(1, 2)


class NightNetwork(nn.Module):
    """What U-Sleep and AnySleep have in common: they take signals of any length, `(B, C, T)`."""

    def __init__(self, settings: USleepSettings):
        super().__init__()
        self.settings = settings

    def initialise(self) -> None:
        """Weights as the authors' (facts A2.1): He-normal by fan-out; biases of linear layers are 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)

    def check(self, x: Tensor) -> None:
        """Refuse what is not `(B, C, T)`, and other numbers of channels where the network has a fixed one."""
        if x.dim() != 3 or 0 in x.shape:
            raise SleeplibError(
                f"{type(self).__name__} takes signals (nights, channels, samples), not {tuple(x.shape)}"
            )


class USleep(NightNetwork):
    """One EEG and one EOG channel in, stages of any length out."""

    def __init__(self, settings: USleepSettings | None = None):
        super().__init__(settings or USleepSettings())
        self.unet = UNet(self.settings, self.settings.channels)
        self.classifier = Classifier(self.settings)
        self.initialise()

    def forward(self, x: Tensor, per_epoch: int = 1) -> Tensor:
        """Signals (B, C, T) -> logits (B, N, 5), `per_epoch` stages for each 30 s."""
        self.check(x)
        if x.shape[1] != self.settings.channels:
            raise SleeplibError(
                f"U-Sleep takes {self.settings.channels} channels (EEG, then EOG) and got {x.shape[1]}"
            )
        return self.classifier(self.unet(x), per_epoch)
