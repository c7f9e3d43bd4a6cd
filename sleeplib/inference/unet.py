"""A U-Net on a whole night, piece by piece of time: fine levels folded (`models.folded`), coarse ones as they are.

The result is that of the network itself. Maps of folded levels are (T / FOLD, FOLD * F), others (1, F, T).
Shapes: C channels, T samples, F filters.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from math import prod

import torch
from torch import Tensor

from sleeplib.models.folded import COME, FOLD, SPLIT, Folded, FoldedDecoder, rows_of
from sleeplib.models.usleep import UNet

PIECE = 16 * 3840  # samples of a piece of time, whose maps fit into a processor's cache
CACHE = 1 << 18  # numbers of a folded map that are worked on at a time
LEVELS = 6  # that are folded; further down maps have filters enough


class Pieces:
    """The encoders and decoders of a U-Net, worked on by several threads at once, each with a piece of time."""

    def __init__(self, unet: UNet, kernel: int, pool: Executor):
        self.unet, self.kernel, self.pool = unet, kernel, pool
        self.like = next(unet.parameters())
        self.scratch: dict[str, Tensor] | None = None
        fine = [] if self.like.is_cuda else unet.encoders[:LEVELS]
        self.encoders = [Folded.same(e.convolution, COME, out=SPLIT) for e in fine]
        self.decoders = [FoldedDecoder(d) for d in reversed(unet.decoders[-len(fine) :])] if fine else []

    def levels(self, samples: int) -> int:
        """How many levels can be folded: their maps have whole rows, and pairs in them."""
        return next((k for k in range(len(self.encoders), 0, -1) if samples % (FOLD << k - 1) == 0), 0)

    def space(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Memory for a folded map; with `scratch` the same each time, so that the system need not hand out pages."""
        if self.scratch is None:
            return like.new_empty(shape)
        size = prod(shape)
        if name not in self.scratch or self.scratch[name].numel() < size:
            self.scratch[name] = like.new_empty(size)
        return self.scratch[name][:size].view(shape)

    def encode(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Signals (C, T) -> the map of each encoder, finest first, then the connector's, each with its mean (F,).

        With `scratch` a folded map lasts until the next is asked for.
        """
        k = self.levels(x.shape[1])
        if k:
            x = x.T.contiguous()  # (T, F), as all that is folded
            for level, layer in enumerate(self.encoders[:k]):
                skip, x, mean = self._folded_encoder(layer, x.reshape(-1, FOLD * x.shape[1]), level)
                yield skip, mean
                del skip
            x = x.T
        x = x[None].contiguous()
        for encoder in self.unet.encoders[k:]:
            skip, x = encoder.halve(joined(self.pieces(encoder.convolution, x), x.shape[-1]))
            yield skip, skip.mean(-1)[0]
            del skip
        x = self.unet.connector(x)
        yield x, x.mean(-1)[0]

    def decode(self, maps: list[Tensor], size: int = 1, then: Callable | None = None) -> Iterator[Tensor]:
        """Such maps -> features (1, F, T) in pieces, each of a multiple of `size` samples; what does not fill it is
        dropped. `then` is a function of a piece. The list is empty afterwards."""
        k = sum(x.dim() == 2 for x in maps)
        x, decoders = maps.pop(), list(self.unet.decoders)
        for decoder in decoders[: len(decoders) - max(k, 1)]:
            x = joined(self.pieces(decoder, x, maps[-1]), maps.pop().shape[-1])
        if not k:
            yield from self.pieces(decoders[-1], x, maps.pop(), size=size, then=then)
            return
        x = x[0].T.contiguous()
        for level in range(k - 1, 0, -1):
            x = self._folded_decoder(self.decoders[level], _pairs(x), maps.pop(), level)
        yield from self._last(self.decoders[0], _pairs(x), maps.pop(), size, then)

    def _folded_encoder(self, layer: Folded, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """The map of a level, its maxima of pairs (T / 2, F), and its mean."""
        n, columns = len(x), len(layer.bias)
        skip, low = self.space("map", x, n, columns), self.space(f"low {level % 2}", x, n, columns // 2)

        def piece(rows: slice) -> Tensor:
            """Fill the rows, and their sum over time."""
            with torch.inference_mode():  # each thread has its own
                part = rows_of(x, rows.start - layer.before, rows.stop + layer.after)
                torch.maximum(*layer(part, out=skip[rows]).chunk(2, dim=1), out=low[rows])
                return skip[rows].sum(0)

        total = sum(self.pool.map(piece, _cut(n, columns)))
        return skip, low.view(-1, columns // FOLD), total.view(FOLD, -1).sum(0) / (FOLD * n)

    def _folded_decoder(self, decoder: FoldedDecoder, x: Tensor, skip: Tensor, level: int) -> Tensor:
        """Features (T, F) of a level."""
        filters = skip.shape[1] // FOLD
        features = self.space(f"low {level % 2}", skip, *skip.shape)

        def piece(rows: slice) -> None:
            """Fill the rows."""
            with torch.inference_mode():
                decoder(x, skip, rows.start, rows.stop, out=features[rows])

        list(self.pool.map(piece, _cut(len(skip), skip.shape[1])))
        return features.view(-1, filters)

    def _last(self, decoder: FoldedDecoder, x: Tensor, skip: Tensor, size: int, then) -> Iterator[Tensor]:
        """The features of the finest level in pieces, which are nowhere kept."""
        filters, end = skip.shape[1] // FOLD, len(skip) * FOLD // size * size

        def piece(first: int) -> Tensor:
            """The piece that begins at this sample."""
            last = min(first + step, end)
            with torch.inference_mode():
                rows = decoder(x, skip, first // FOLD, -(-last // FOLD))
                part = rows.reshape(-1, filters)[first % FOLD :][: last - first].T[None]
                return then(part) if then else part

        step = max(PIECE // size, 1) * size
        return self.pool.map(piece, range(0, end, step))

    def pieces(self, layer, *maps: Tensor, size: int = 1, then=None) -> Iterator[Tensor]:
        """`layer(*maps)` of maps (1, F, T) in pieces of a multiple of `size` samples; what does not fill it is dropped.

        Each piece is computed from a little more than itself, so that convolutions see what is beyond its ends. All
        is one piece on a GPU, and where a map is not just as long as the longest or half of it. Pieces and what is
        added to them are of even length, so that maps of half the length can be cut at the same times.
        """
        length = max(x.shape[-1] for x in maps)
        end = length - length % size
        whole = self.like.is_cuda or any(length % x.shape[-1] for x in maps)
        # A decoder sees half a kernel and a sample; two kernels are more than that, and even.
        step, halo = max(PIECE // (2 * size), 1) * 2 * size, 2 * self.kernel
        if whole:
            step = halo = length

        def piece(first: int) -> Tensor:
            """The piece that begins at `first`."""
            last = min(first + step, end)
            low, high = max(first - halo, 0), min(last + last % 2 + halo, length)
            cut = [x[..., low * x.shape[-1] // length : high * x.shape[-1] // length] for x in maps]
            with torch.inference_mode():
                part = layer(*cut)[..., first - low : last - low]
                return then(part) if then else part

        return self.pool.map(piece, range(0, end, step))


def _pairs(x: Tensor) -> Tensor:
    """Features (T, F) as rows of FOLD / 2 samples."""
    return x.reshape(-1, FOLD // 2 * x.shape[1])


def _cut(rows: int, columns: int) -> list[slice]:
    """Pieces of time, as rows of so many columns, that fit into a cache."""
    step = max(CACHE // columns, 1)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def joined(parts: Iterator[Tensor], length: int) -> Tensor:
    """Pieces of a map laid end to end, (1, F, T), each as it comes: at no time are all of them there twice."""
    x, first = None, 0
    for part in parts:
        if part.shape[-1] == length:
            return part
        x = part.new_empty(*part.shape[:-1], length) if x is None else x
        x[..., first : first + part.shape[-1]] = part
        first += part.shape[-1]
    return x
