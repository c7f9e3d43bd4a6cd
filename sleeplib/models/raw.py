"""What the networks on raw signals share: TensorFlow's "SAME" padding, a z-score of channels, neighbouring epochs."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleeplib.errors import SleeplibError

CHUNK = 64  # epochs (or windows) of a night that are worked on at once; bounds memory, changes nothing else


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME" padding, left and right: `ceil(size / stride)` outputs, an odd sample goes to the right."""
    total = max((same_size(size, stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def same_size(size: int, *strides: int) -> int:
    """Length after "SAME" layers of these strides, one after the other."""
    for stride in strides:
        size = -(-size // stride)
    return size


class SameConv1d(nn.Conv1d):
    """Convolution with TensorFlow's "SAME" padding: `(N, C, T)` -> `(N, filters, ceil(T / stride))`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, same_padding(x.shape[-1], *self.kernel_size, *self.stride)))


class SameMaxPool1d(nn.MaxPool1d):
    """Maximum over `kernel` steps with TensorFlow's "SAME" padding (padded steps are never the maximum)."""

    def forward(self, x: Tensor) -> Tensor:
        left, _ = same_padding(x.shape[-1], self.kernel_size, self.stride)
        # ceil_mode pads as much as is missing on the right, and nothing is copied.
        return functional.max_pool1d(x, self.kernel_size, self.stride, left, ceil_mode=True)


def with_neighbours(epochs: Tensor, context: int) -> Tensor:
    """Each epoch between its neighbours: `(B, L, ...)` -> `(B, L, context, ...)`, in order of time.

    At the edges of the sequence the first or last epoch stands in for the neighbours that are missing.
    """
    L, reach = epochs.shape[1], context // 2
    near = torch.arange(-reach, reach + 1, device=epochs.device)
    index = torch.arange(L, device=epochs.device)[:, None] + near  # (L, context)
    return epochs[:, index.clamp(0, L - 1)]


def in_chunks(function, x: Tensor, size: int = CHUNK) -> Tensor:
    """`function` of the rows of `x`, a few rows at a time."""
    return torch.cat([function(part) for part in x.split(size)])


class SignalNetwork(nn.Module):
    """What the networks on raw signals `(B, L, C, T)` have in common.

    `mean` and `std` `(C, 1)` are those of the channels in the training nights (`normalise`); until then they are
    0 and 1: the published networks take signals as they are (facts B2.6).
    """

    signals = True
    sequence_length = 1  # epochs that training shows it at once
    reach = 0

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.zeros(settings.channels, 1))
        self.register_buffer("std", torch.ones(settings.channels, 1))

    def adapt(self, train) -> None:
        """Take from the training nights (`sampling.Nights`) what has to be known before training: their z-score."""
        self.normalise(*train.statistics())

    def decayed(self) -> list[nn.Parameter]:
        """What the L2 penalty of the loss is on: all parameters, unless a network's own recipe differs."""
        return list(self.parameters())

    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Set the z-score of each channel, `(C,)` each, from training nights only."""
        self.mean.copy_(mean[:, None])
        self.std.copy_(std[:, None])

    def standardise(self, signals: Tensor) -> Tensor:
        """Signals `(..., C, T)`, each channel z-scored."""
        built = self.settings.channels, self.settings.samples
        if signals.shape[-2:] != built:
            raise SleeplibError(
                f"this network was built for epochs of {built[0]} channels and {built[1]} samples and got "
                f"{signals.shape[-2]} and {signals.shape[-1]}"
            )
        return (signals - self.mean) / self.std

    def decisions(self, signals: Tensor) -> Tensor:
        """All decisions about a night, `(N, C, T)` -> log-posteriors `(N, 1, 5)`; each epoch is encoded once."""
        return self(signals[None])[0, :, None].log_softmax(-1)
