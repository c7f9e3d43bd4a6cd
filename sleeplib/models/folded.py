"""A U-Net's layers in eval mode, in a layout that processors like, and exactly the same function.

A map (F, T) is kept as (T, F), all filters of a sample side by side. Fine levels have few filters and millions of
samples; there, rows of `FOLD` neighbouring samples are looked at as one, (T / FOLD, FOLD * F), which is no more than a
change of view: a convolution of kernel 9 becomes one of kernel 3 from FOLD * F to FOLD * F' columns, and these are
enough of them to fill vector registers. Within a row the samples are in one of two orders: as they come, or `SPLIT`,
the even ones before the odd ones. In the second a maximum of pairs is that of two halves of the row, and doubling time
makes two halves of it, so that nothing is ever moved.
"""

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleeplib.models.usleep import Classifier, Convolution, Decoder

FOLD = 4
_LOG2_E = 1 / log(2)
COME, SPLIT = (0, 1, 2, 3), (0, 2, 1, 3)


class Folded:
    """A `Convolution` in eval mode on rows of samples: `(m + taps - 1, columns)` -> `(m, samples of a row * F)`.

    Convolution, ELU and batch normalisation; the rows beyond the ends of the night have to be given, as zeros.
    """

    def __init__(
        self, layer: Convolution, source: Callable, before: int, after: int, fold: int, order, maps: int, out
    ):
        """
        Parameters
        ----------
        source : (sample of a row, tap of the kernel) -> sample of the input, counted from the row's first
        before, after : rows of input that an output row needs beside its own
        fold, order : samples of a row of input, and their order
        maps : how many maps of equal width stand side by side in the input
        out : order of the samples in a row of output
        """
        weight = layer.conv.weight.detach() * _LOG2_E  # (F', F, k)
        filters, inputs, kernel = weight.shape
        wide = inputs // maps
        folded = weight.new_zeros(before + 1 + after, len(out), filters, maps, fold, wide)
        parts = weight.unflatten(1, (maps, wide))  # (F', maps, F, k)
        for sample in range(len(out)):
            for tap in range(kernel):
                row, place = divmod(source(sample, tap), fold)
                folded[before + row, out.index(sample), :, :, order.index(place)] += parts[..., tap]
        # (columns out, columns in, 1, taps), filters last in memory: as convolutions of pictures like it
        folded = folded.flatten(3).flatten(1, 2).permute(1, 2, 0)[:, :, None]
        self.weight = folded.contiguous(memory_format=torch.channels_last)
        self.bias = (layer.conv.bias.detach() * _LOG2_E).repeat(len(out))
        gain, shift = affine(layer.norm)
        self.gain, self.shift = (gain / _LOG2_E).repeat(len(out)), shift.repeat(len(out))
        self.floor = self.gain.new_tensor(-_LOG2_E)
        self.before, self.after = before, after

    @classmethod
    def same(cls, layer: Convolution, order=COME, maps: int = 1, out=SPLIT) -> "Folded":
        """A convolution that keeps the length, from rows of as many samples to such rows."""
        left, right = layer.padding
        fold = len(out)
        rows = -(-left // fold), -(-right // fold)
        return cls(layer, lambda sample, tap: sample + tap - left, *rows, fold, order, maps, out)

    @classmethod
    def doubled(cls, layer: Convolution, out=SPLIT) -> "Folded":
        """A convolution of kernel 2 behind a doubling of time, from rows of half as many samples at half the rate."""
        fold = len(out) // 2
        return cls(layer, lambda sample, tap: (sample + tap) // 2, 0, 1, fold, COME[:fold], 1, out)

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        picture = rows.T[None, :, None]  # (1, columns, 1, rows): no copy
        # z is log2(e) times the convolution, whose ELU is the larger of x and exp(min(x, 0)) - 1; powers of two take a
        # quarter of the time of exp.
        z = functional.conv2d(picture, self.weight, self.bias)[0, :, 0].T.to(self.gain)
        power = z.clamp(max=0).exp2_()
        torch.maximum(z, torch.add(self.floor, power, alpha=_LOG2_E, out=power), out=z)
        return torch.addcmul(self.shift, z, self.gain, out=rows.new_empty(z.shape) if out is None else out)


def affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Gain and shift of batch normalisation in eval mode, in single precision or better."""
    mean, var, weight, bias = (
        x.detach().to(torch.promote_types(x.dtype, torch.float32))
        for x in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    gain = weight * (var + norm.eps).rsqrt()
    return gain, bias - mean * gain


def elu_(x: Tensor) -> Tensor:
    """ELU in place: the larger of x and exp(min(x, 0)) - 1. Powers of two take a quarter of the time of exp."""
    return torch.maximum(x, x.clamp(max=0).mul_(_LOG2_E).exp2_().sub_(1), out=x)


def halved(rows: Tensor, out: Tensor | None = None) -> Tensor:
    """Maxima of pairs of a map in the order `SPLIT`: (n, FOLD * F) -> (n, FOLD / 2 * F)."""
    return torch.maximum(*rows.chunk(2, dim=1), out=out)


def rows_of(x: Tensor, first: int, last: int) -> Tensor:
    """Rows `first` to `last` of a folded map; zeros where they lie beyond its ends."""
    missing = max(-first, 0), max(last - len(x), 0)
    rows = x[max(first, 0) : min(last, len(x))]
    return functional.pad(rows, (0, 0, *missing)) if any(missing) else rows


class FoldedDecoder:
    """A `Decoder` on folded maps: half the rate in rows of FOLD / 2, and the encoder's map, to the order `COME`."""

    def __init__(self, layer: Decoder):
        self.up = Folded.doubled(layer.up)
        self.merge = Folded.same(layer.merge, SPLIT, maps=2, out=COME)

    def __call__(self, x: Tensor, skip: Tensor, first: int, last: int, out: Tensor | None = None) -> Tensor:
        """Rows `first` to `last` (m, FOLD * F) from all of `x` (n, FOLD / 2 * F') and `skip` (n, FOLD * F)."""
        low, high = first - self.merge.before, last + self.merge.after
        both = skip.new_zeros(high - low, 2 * skip.shape[1])
        begin, end = max(low, 0), min(high, len(skip))
        inside = both[begin - low : end - low]
        inside[:, : skip.shape[1]] = skip[begin:end]
        self.up(rows_of(x, begin, end + 1), out=inside[:, skip.shape[1] :])
        return self.merge(both, out=out)


class Coarse:
    """A `Convolution` in eval mode on maps (1, F, T) that lie in memory as (T, F): as it is, but twice as fast."""

    def __init__(self, layer: Convolution):
        self.rows = Folded.same(layer, (0,), out=(0,))

    def __call__(self, x: Tensor) -> Tensor:
        rows = rows_of(x[0].T, -self.rows.before, x.shape[-1] + self.rows.after)
        return self.rows(rows).T[None]


def halve(x: Tensor) -> tuple[Tensor, Tensor]:
    """As `Encoder.halve`, for such maps."""
    rows = x[0].T
    if len(rows) % 2:
        rows = functional.pad(rows, (0, 0, 1, 0))
    return rows.T[None], halved(rows.reshape(len(rows) // 2, -1)).T[None]


class CoarseDecoder:
    """A `Decoder` in eval mode on such maps."""

    def __init__(self, layer: Decoder):
        self.up = Folded.doubled(layer.up, (0, 1))
        self.merge = Coarse(layer.merge)

    def __call__(self, x: Tensor, skip: Tensor) -> Tensor:
        """As `Decoder`, with its rule for odd lengths."""
        up, skip = self.up(rows_of(x[0].T, 0, x.shape[-1] + 1)), skip[0].T
        up = up.view(2 * len(up), -1)
        surplus = len(up) - len(skip)
        first = surplus // 2 + surplus % 2
        return self.merge(torch.cat([skip, up[first : first + len(skip)]], dim=1).T[None])


class Encoded(NamedTuple):
    """Rows of the second convolution's input: their sum (F',), how many they are, and the first and last few."""

    total: Tensor
    rows: int
    head: Tensor
    tail: Tensor


class FoldedChannelEncoder:
    """The encoder of an `EncodedChannelAttention` on features (T, F): `mean` of all its rows is its mean over time.

    Its first convolution spans two strides: a product with rows of one stride, each with the next one. The second one
    is exchanged with the mean: mean_t sum_k W_k y_(t+k) = sum_k W_k mean_t y_(t+k), which is exact and next to nothing.
    """

    def __init__(self, encoder: nn.Sequential):
        first, _, norm, self.second = encoder
        self.stride = first.stride[0]
        self.weights = first.weight.detach().unflatten(2, (2, -1)).permute(2, 3, 1, 0).flatten(1, 2)
        self.bias = first.bias.detach()
        self.gain, self.shift = affine(norm)
        self.ends = self.second.kernel_size[0] - 1

    def __call__(self, x: Tensor, rows: slice) -> Encoded:
        """Features (T, F) -> what the second convolution takes in some rows."""
        now, then = (
            x[self.stride * (rows.start + k) : self.stride * (rows.stop + k)].reshape(
                -1, self.stride * x.shape[1]
            )
            for k in (0, 1)
        )
        y = torch.addmm(self.bias, now, self.weights[0]).addmm_(then, self.weights[1]).to(self.gain)
        y = torch.addcmul(self.shift, elu_(y), self.gain)
        # Copies: a view would keep all rows in memory.
        return Encoded(y.sum(0), len(y), y[: self.ends].clone(), y[-self.ends :].clone())

    def mean(self, parts: list[Encoded]) -> Tensor:
        """All rows of the second convolution's input, in parts one after the other -> its mean over time, (F',)."""
        weight = self.second.weight.detach().to(parts[0].total)  # (F', F', k)
        total, rows = sum(p.total for p in parts), sum(p.rows for p in parts)
        head = torch.cat([p.head for p in parts])[: self.ends]
        tail = torch.cat([p.tail for p in parts])[-self.ends :]
        inside = rows - self.ends
        means = [(total - head[:k].sum(0) - tail[k:].sum(0)) / inside for k in range(self.ends + 1)]
        return torch.einsum("ofk,kf->o", weight, torch.stack(means)) + self.second.bias.detach().to(total)


class FoldedClassifier:
    """A `Classifier` on features (1, F, T), at several resolutions from one look at them.

    Its convolutions of kernel 1 are products with small matrices, here for FOLD moments side by side; tanh x is
    2 sigmoid(2 x) - 1, which takes a fifth of its time.
    """

    def __init__(self, layer: Classifier):
        self.layers = [
            (conv.weight.detach()[:, :, 0], conv.bias.detach())
            for conv in (layer.mix, layer.project, layer.last)
        ]
        exact = torch.promote_types(self.layers[0][0].dtype, torch.float32)
        self.layers = [(w.to(exact), b.to(exact)) for w, b in self.layers]
        self.wide = [(torch.block_diag(*[w] * FOLD), b.repeat(FOLD)) for w, b in self.layers]

    def __call__(self, x: Tensor, sizes: list[int]) -> list[Tensor]:
        """Logits (1, N, 5) for stages of each of these numbers of samples, all of which divide T."""
        x = x.to(self.layers[0][0])
        mixed = self._product(0, x[0].T.contiguous()).mul_(2).sigmoid_().mul_(2).sub_(1)  # (T, F)
        found = []
        for size in sizes:
            rows = FOLD if size % FOLD == 0 else 1  # first over rows, which are long, then within them
            means = (
                mixed.view(-1, size // rows, rows * mixed.shape[1])
                .mean(1)
                .view(-1, rows, mixed.shape[1])
                .mean(1)
            )
            found.append(self._product(2, elu_(self._product(1, means)))[None])
        return found

    def _product(self, number: int, x: Tensor) -> Tensor:
        """One of the layers on rows (n, F) -> (n, F')."""
        if len(x) % FOLD:
            return functional.linear(x, *self.layers[number])
        weight, bias = self.wide[number]
        return functional.linear(x.reshape(-1, weight.shape[1]), weight, bias).view(len(x), -1)
