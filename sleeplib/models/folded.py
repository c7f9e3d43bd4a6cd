"""The fine levels of a U-Net in a layout that processors like, and exactly the same function.

There, maps have few filters F and millions of samples T. A map (F, T) is kept here as rows of `FOLD` neighbouring
samples with all their filters, (T / FOLD, FOLD * F): a convolution of kernel 9 becomes one of kernel 3 from FOLD * F to
FOLD * F' columns, which has enough of them to fill vector registers. In memory this is (T, F), row by row, so that
folding is a change of view. Within a row the samples are in one of two orders: as they come, or `SPLIT`, the even ones
before the odd ones. In the second a maximum of pairs is that of two halves of the row, and doubling time makes two
halves of it, so that nothing is ever moved.
"""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor
from torch.nn import functional

from sleeplib.models.usleep import Classifier, Convolution, Decoder

FOLD = 4
_LOG2_E = 1 / log(2)
COME, SPLIT = (0, 1, 2, 3), (0, 2, 1, 3)


class Folded:
    """A `Convolution` in eval mode on folded maps: `(m + taps - 1, columns)` -> `(m, FOLD * F)`.

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
        weight = layer.conv.weight.detach()  # (F', F, k)
        filters, inputs, kernel = weight.shape
        wide = inputs // maps
        folded = weight.new_zeros(before + 1 + after, FOLD, filters, maps, fold, wide)
        parts = weight.unflatten(1, (maps, wide))  # (F', maps, F, k)
        for sample in range(FOLD):
            for tap in range(kernel):
                row, place = divmod(source(sample, tap), fold)
                folded[before + row, out.index(sample), :, :, order.index(place)] += parts[..., tap]
        # (columns out, columns in, 1, taps), filters last in memory: as convolutions of pictures like it
        folded = folded.flatten(3).flatten(1, 2).permute(1, 2, 0)[:, :, None]
        self.weight = folded.contiguous(memory_format=torch.channels_last)
        norm = layer.norm
        gain = norm.weight.detach() * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias.detach() - norm.running_mean * gain
        self.bias, self.gain, self.shift = (x.repeat(FOLD) for x in (layer.conv.bias.detach(), gain, shift))
        self.before, self.after = before, after

    @classmethod
    def same(cls, layer: Convolution, order=COME, maps: int = 1, out=SPLIT) -> "Folded":
        """A convolution that keeps the length."""
        left, right = layer.padding
        rows = -(-left // FOLD), -(-right // FOLD)
        return cls(layer, lambda sample, tap: sample + tap - left, *rows, FOLD, order, maps, out)

    @classmethod
    def doubled(cls, layer: Convolution) -> "Folded":
        """A convolution of kernel 2 behind a doubling of time, from rows of FOLD / 2 samples at half the rate."""
        return cls(
            layer, lambda sample, tap: (sample + tap) // 2, 0, 1, FOLD // 2, COME[: FOLD // 2], 1, SPLIT
        )

    def __call__(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        picture = rows.T[None, :, None]  # (1, columns, 1, rows): no copy
        x = functional.conv2d(picture, self.weight, self.bias)[0, :, 0].T
        return torch.addcmul(self.shift, elu_(x), self.gain, out=out)


def elu_(x: Tensor) -> Tensor:
    """ELU in place: the larger of x and exp(min(x, 0)) - 1. Powers of two take a quarter of the time of exp."""
    return torch.maximum(x, x.clamp(max=0).mul_(_LOG2_E).exp2_().sub_(1), out=x)


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
        self.wide = [(torch.block_diag(*[w] * FOLD), b.repeat(FOLD)) for w, b in self.layers]

    def __call__(self, x: Tensor, sizes: list[int]) -> list[Tensor]:
        """Logits (1, N, 5) for stages of each of these numbers of samples, all of which divide T."""
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
