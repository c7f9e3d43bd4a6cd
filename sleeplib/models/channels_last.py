"""The same night networks with all filters of a sample side by side, to train them twice as fast.

The readable files keep a map as (B, F, T), one filter after the other. Here it is (B, T, F), from which convolutions
take whole registers of filters. Where there are very few of them, `FOLD` neighbouring samples make one row,
(B, T / 2, 2 F), which is only a change of view: a convolution of kernel 9 becomes one of kernel 5 from 2 F to 2 F'
columns. Parameters, gradients and running statistics are those of the network.
Shapes: B windows, C channels, T samples, F filters, N stages.
"""

import torch
from torch import Tensor, cat, nn, stack
from torch.autograd import Function
from torch.nn import functional

from sleeplib.models.anysleep import ChannelAttention, EarlyFusion, LateFusion
from sleeplib.models.usleep import Classifier, Convolution, Decoder, NightNetwork, UNet, USleep

NARROW = 8  # filters, below which folding pays
FOLD = 2  # samples of a row, for convolutions
ROW = 4  # the same for sums over time


class ChannelsLast(nn.Module):
    """One of `models.NIGHT_NETWORKS`, computed otherwise: signals `(B, C, T)` -> logits `(B, N, 5)`."""

    def __init__(self, network: NightNetwork):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, per_epoch: int = 1) -> Tensor:
        """As the network's own."""
        network = self.network
        network.check(x)
        channels = x.shape[1]
        if isinstance(network, USleep | EarlyFusion):
            x = x if isinstance(network, USleep) else network.fusion(x[:, :, None]).squeeze(2)
            x = decode(network.unet, encode(network.unet, x.mT))
        else:
            maps = encode(network.unet, x.flatten(0, 1)[..., None])  # each channel by itself
            if isinstance(network, LateFusion):
                x = decode(network.unet, maps).mT.contiguous().unflatten(0, (-1, channels))
                x = network.fusion(x).mean(1).mT
            else:
                fused = [fuse(f, m, channels) for f, m in zip(network.fusions, maps, strict=True)]
                x = decode(network.unet, fused)
        return classify(network.classifier, x, per_epoch)


def encode(layer: UNet, x: Tensor) -> list[Tensor]:
    """Signals (B, T, C) -> the maps of all encoders, finest first, and that of the connector."""
    maps = []
    for encoder in layer.encoders:
        skip = convolve(encoder.convolution, x)
        if skip.shape[1] % 2:
            skip = functional.pad(skip, (0, 0, 1, 0))
        maps.append(skip)
        x = PairMaxima.apply(skip)
    return [*maps, convolve(layer.connector, x)]


def decode(layer: UNet, maps: list[Tensor]) -> Tensor:
    """Such maps -> features (B, T, F). Takes them out of the list."""
    x = maps.pop()
    for decoder in layer.decoders:
        x = merge(decoder, x, maps.pop())
    return x


def merge(layer: Decoder, x: Tensor, skip: Tensor) -> Tensor:
    """`x` (B, T, F) and `skip` (B, 2 T or 2 T - 2, F') -> (B, length of `skip`, F')."""
    x = double(layer.up, x)
    surplus = x.shape[1] - skip.shape[1]
    first = surplus // 2 + surplus % 2
    return convolve(layer.merge, cat([skip, crop(x, first, skip.shape[1])], dim=2))


def crop(x: Tensor, first: int, length: int) -> Tensor:
    """Samples of maps (B, T, F) from `first` on. A cut that cuts nothing off would cost a copy of the gradient."""
    return x if x.shape[1] == length else x[:, first : first + length]


def fuse(layer: ChannelAttention, maps: Tensor, channels: int) -> Tensor:
    """Maps of all channels (B * C, T, F) -> their weighted sum (B, T, F)."""
    weights = layer.scores(mean(maps).unflatten(0, (-1, channels))).softmax(1)
    return (weights[:, None] @ maps.view(-1, channels, maps[0].numel())).view(-1, *maps.shape[1:])


def classify(layer: Classifier, x: Tensor, per_epoch: int) -> Tensor:
    """Features (B, T, F) -> logits (B, N, 5)."""
    size = layer.size(per_epoch, x.shape[1])
    n = x.shape[1] // size
    x = crop(product(layer.mix, x).tanh(), 0, n * size)
    x = mean(x.reshape(-1, size, x.shape[2])).unflatten(0, (-1, n))
    project, last = ((conv.weight[..., 0], conv.bias) for conv in (layer.project, layer.last))
    return functional.linear(functional.elu(functional.linear(x, *project)), *last)


def mean(x: Tensor) -> Tensor:
    """Means over time of maps (B, T, F): first over rows of several samples, which are long, then within them."""
    row = ROW if x.shape[1] % ROW == 0 else 1
    return x.reshape(len(x), -1, row * x.shape[2]).mean(1).view(len(x), row, -1).mean(1)


def convolve(layer: Convolution, x: Tensor) -> Tensor:
    """A convolution that keeps the length, ELU, batch normalisation: (B, T, F) -> (B, T, F')."""
    return normalise(layer.norm, product(layer.conv, x))


def double(layer: Convolution, x: Tensor) -> Tensor:
    """The same of kernel 2 behind a doubling of time: (B, T, F) -> (B, 2 T, F').

    Of an even sample both taps see the same sample of `x`, of an odd one the second tap sees the next.
    """
    even = functional.pad(layer.conv.weight.sum(-1, keepdim=True), (0, 1))
    weight = stack([even, layer.conv.weight]).flatten(0, 1)  # (2 F', F, 2)
    x = _convolution(functional.pad(x, (0, 0, 0, 1)), weight, layer.conv.bias.repeat(2), 0)
    return normalise(layer.norm, x.view(len(x), -1, len(layer.conv.weight)))


def product(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution that keeps the length, and nothing else: (B, T, F) -> (B, T, F').

    Folded, sample a of a row of output takes tap k from sample a + k - left, counted from the row's first: its kernel
    is pushed a to the right. It is as long as whole rows of input.
    """
    filters, inputs, kernel = conv.weight.shape
    fold = FOLD if filters < NARROW and x.shape[1] % FOLD == 0 else 1
    left, rows = (kernel - 1) // 2, -(-(kernel // 2) // fold)  # of input, on either side
    first, length = rows * fold - left, (2 * rows + 1) * fold
    pushed = [functional.pad(conv.weight, (first + a, length - kernel - first - a)) for a in range(fold)]
    weight = stack(pushed).unflatten(-1, (-1, fold))  # (fold, F', F, rows, fold)
    weight = weight.movedim(-1, 2).reshape(fold * filters, fold * inputs, -1)
    y = _convolution(x.reshape(len(x), -1, fold * inputs), weight, conv.bias.repeat(fold), rows)
    return y.view(*x.shape[:2], filters)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """A convolution over the rows of (B, n, columns), as one of pictures of height 1, which have the better kernels."""
    x, weight = (
        t.contiguous(memory_format=torch.channels_last) for t in (x.mT.unsqueeze(2), weight.unsqueeze(2))
    )
    return functional.conv2d(x, weight, bias, padding=(0, padding)).squeeze(2).mT.contiguous()


def normalise(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """ELU and batch normalisation of (B, T, F), with its running statistics."""
    learned = norm.running_mean is not None and norm.momentum is not None
    # Otherwise that of several processes, or one that refuses a batch of one value.
    if not (norm.training and learned and type(norm) is nn.BatchNorm1d and x.shape[0] * x.shape[1] > 1):
        return norm(functional.elu(x).flatten(0, 1)).view(x.shape)
    y, mean, variance = EluNorm.apply(x, norm.weight, norm.bias, norm.eps)
    n = x.shape[0] * x.shape[1]
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (n / (n - 1)), norm.momentum)
    return y


class EluNorm(Function):
    """ELU and batch normalisation by the batch: (B, T, F), gain, shift, eps -> map, mean and variance (F,).

    Sums run over rows of `ROW` samples, which are long, and then within them.
    """

    @staticmethod
    def forward(context, x: Tensor, gain: Tensor, shift: Tensor, eps: float):
        """Mean and variance are of ELU(x), over the batch, and not for gradients."""
        rows = functional.elu(x).view(-1, (1 if x.shape[0] * x.shape[1] % ROW else ROW) * x.shape[2])
        row, zero = rows.shape[1] // x.shape[2], gain.new_zeros(rows.shape[1])  # zeros of the right precision
        means, variances = (
            s.view(row, -1) for s in torch.batch_norm_update_stats(_picture(rows), zero, zero.clone(), 0.0)
        )
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        rate = (variance + eps).rsqrt()
        scale = gain * rate
        context.save_for_backward(rows, mean, rate, scale)
        context.mark_non_differentiable(mean, variance)
        y = torch.addcmul((shift - mean * scale).repeat(row), rows, scale.repeat(row))
        return y.to(x.dtype).view(x.shape), mean, variance

    @staticmethod
    def backward(context, gradient: Tensor, *_):
        """With u = (ELU - mean) rate, and means < > over the batch: (g - <g> - u <g u>) scale, times ELU'."""
        rows, mean, rate, scale = context.saved_tensors
        n, row = rows.numel() // len(mean), rows.shape[1] // len(mean)
        g = gradient.reshape(rows.shape)
        _, *sums = torch.ops.aten.native_batch_norm_backward(  # of g u and of g, at one look
            _picture(g), _picture(rows), None, None, None, mean.repeat(row), rate.repeat(row), True, 0.0,
            [False, True, True],
        )  # fmt: skip
        of_gain, of_shift = (s.view(row, -1).sum(0) for s in sums)
        slope = -scale * rate * of_gain / n
        found = torch.addcmul((-scale * of_shift / n - slope * mean).repeat(row), rows, slope.repeat(row))
        found = found.addcmul_(g, scale.repeat(row)).to(g.dtype)
        found = torch.ops.aten.elu_backward(found, 1.0, 1.0, 1.0, True, rows)
        return found.view(gradient.shape), of_gain, of_shift, None


def _picture(rows: Tensor) -> Tensor:
    """Rows (n, columns) as a picture (1, columns, 1, n), which batch normalisation has the better kernels for."""
    return rows.T[None, :, None]


class PairMaxima(Function):
    """Maxima of pairs of samples, (B, 2 T, F) -> (B, T, F). Of equals the first is meant, as max_pool1d does."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        """Remember which sample it was."""
        first, second = x.unflatten(1, (-1, 2)).unbind(2)
        context.save_for_backward(second > first)
        return torch.maximum(first, second)

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        """To the larger sample of each pair."""
        (second,) = context.saved_tensors
        x = gradient.new_empty(*gradient.shape[:2], 2, gradient.shape[2])
        torch.mul(gradient, second, out=x[:, :, 1])
        torch.sub(gradient, x[:, :, 1], out=x[:, :, 0])
        return x.flatten(1, 2)
