"""A U-Net on a whole night, piece by piece of time: fine levels folded (`models.folded`), coarse ones as they are.

The result is that of the network itself. Maps of the finest levels are not kept (`inference.finest`); those of other
folded levels are (T / FOLD, FOLD * F), and the rest (1, F, T).
Shapes: C channels, T samples, F filters.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from sleeplib import memory
from sleeplib.inference import finest
from sleeplib.inference.finest import Unkept
from sleeplib.inference.segments import Segment
from sleeplib.models.folded import (
    COME,
    FOLD,
    SPLIT,
    Coarse,
    CoarseDecoder,
    Encoded,
    Folded,
    FoldedChannelEncoder,
    FoldedDecoder,
    halve,
    halved,
    rows_of,
)  # fmt: skip
from sleeplib.models.usleep import Encoder, UNet

PIECE = 16 * 3840  # samples of a piece of time, whose maps fit into a processor's cache
CACHE = 1 << 18  # numbers of a folded map that are worked on at a time
LEVELS = 6  # that are folded; further down maps have filters enough
UNKEPT = 3  # of these, the finest, whose maps are made again for the decoders


class Mean(NamedTuple):
    """A sum (F,) over time, and of how many columns it is."""

    total: Tensor
    columns: int


class Pieces:
    """The encoders and decoders of a U-Net, worked on by several threads at once, each with a piece of time."""

    def __init__(self, unet: UNet, kernel: int, pool: Executor, threads: int):
        self.unet, self.kernel, self.pool, self.threads = unet, kernel, pool, threads
        self.like = next(unet.parameters())
        self.exact = torch.promote_types(self.like.dtype, torch.float32)  # of sums
        self.scratch: dict[str, Tensor] | None = {}
        self.one_by_one = False  # whether a level's map is used up before the next one is asked for
        self.unkept = UNKEPT  # levels
        # On a GPU all levels are as they are written.
        fine = [] if self.like.is_cuda else unet.encoders[:LEVELS]
        self.encoders = [Folded.same(e.convolution, COME, out=SPLIT) for e in fine]
        self.decoders = [FoldedDecoder(d) for d in reversed(unet.decoders[-len(fine) :])] if fine else []
        self.halve = halve if fine else Encoder.halve
        self.coarse_encoders = [
            Coarse(c) if fine else c for c in (*(e.convolution for e in unet.encoders), unet.connector)
        ]
        self.coarse_decoders = [CoarseDecoder(d) if fine else d for d in unet.decoders]

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

    def encode(self, x: Tensor, segment: Segment) -> Iterator[tuple[Tensor, Mean]]:
        """Signals (C, T) of a segment -> the map of each encoder, finest first, then the connector's.

        With each comes its mean over what the segment describes.
        With `scratch` a folded map lasts until that of the next channel, or until the next map if it is `one_by_one`.
        """
        k = self.levels(x.shape[1])
        if k:
            signal = x.T.contiguous()  # (T, F), as all that is folded
            x, means = self._finest_encoders(self.encoders[: min(self.unkept, k)], signal, segment)
            for mean in means:
                yield Unkept([signal], [1.0]), mean
            for level, layer in enumerate(self.encoders[self.unkept : k], self.unkept):
                skip, x, mean = self._folded_encoder(layer, x.reshape(-1, FOLD * x.shape[1]), level, segment)
                yield skip, mean
                del skip
            x = x.T
        x = x[None]
        *encoders, connector = self.coarse_encoders
        for level, layer in enumerate(encoders[k:], k):
            skip, x = self.halve(joined(self.pieces(layer, x), x.shape[-1]))
            yield skip, self._mean(skip, segment.columns(level))
            del skip
        x = joined(self.pieces(connector, x), x.shape[-1])
        yield x, self._mean(x, segment.columns(len(encoders)))

    def decode(self, maps: list[Tensor], wanted: range, then: Callable | None = None) -> Iterator[Tensor]:
        """Such maps -> the `wanted` features (1, F, T) in pieces, each of a multiple of `wanted.step` samples.

        `then` is a function of a piece and its first sample. The list is empty afterwards.
        """
        sums = [x for x in maps if isinstance(x, Unkept)]
        k = len(sums) + sum(x.dim() == 2 for x in maps[len(sums) :])
        x, decoders = maps.pop(), self.coarse_decoders
        for decoder in decoders[: len(decoders) - max(k, 1)]:
            x = joined(self.pieces(decoder, x, maps[-1]), maps.pop().shape[-1])
        if not k:
            yield from self.pieces(decoders[-1], x, maps.pop(), wanted=wanted, then=then)
            return
        x = x[0].T.contiguous()
        if self.one_by_one and self.scratch:
            self.scratch.pop("map", None)
        for level in range(k - 1, len(sums) - 1, -1):
            x = self._folded_decoder(self.decoders[level], _pairs(x), maps.pop(), level)
        maps.clear()
        memory.release()  # 60 MiB less at 128 Hz, where posteriors take as much
        yield from self._finest_decoders(_pairs(x), sums, wanted, then)

    def _mean(self, x: Tensor, rows: tuple[int, int]) -> Mean:
        """That of some columns of a map (1, F, T)."""
        return Mean(x[0, :, slice(*rows)].sum(-1, dtype=self.exact), rows[1] - rows[0])

    def _finest_encoders(
        self, layers: list[Folded], signal: Tensor, segment: Segment
    ) -> tuple[Tensor, list[Mean]]:
        """The maxima that leave the finest levels, and the mean of each level's map."""
        deep = len(layers) - 1
        n, columns = len(signal) // (FOLD << deep), len(layers[-1].bias)
        low = self.space(f"low {deep % 2}", signal, n, columns // 2)
        counted = _folded(segment.columns(deep))

        def piece(rows: slice) -> list[Tensor]:
            """Fill the rows, and the sums of the maps over time."""
            with torch.inference_mode():  # each thread has its own
                maps = finest.inner(finest.maps(layers, signal, rows.start, rows.stop), rows.start, rows.stop)
                halved(maps[-1], out=low[rows])
                first, last = _within(rows, counted)
                return [
                    x[first << deep - level : last << deep - level].sum(0, dtype=self.exact)
                    for level, x in enumerate(maps)
                ]

        totals = map(sum, zip(*self.pool.map(piece, _cut(n, columns)), strict=True))
        means = [
            Mean(x.view(FOLD, -1).sum(0), FOLD * (counted[1] - counted[0] << deep - level))
            for level, x in enumerate(totals)
        ]
        return low.view(-1, columns // FOLD), means

    def _finest_decoders(self, x: Tensor, sums: list[Unkept], wanted: range, then) -> Iterator[Tensor]:
        """The features of the finest level in pieces, which are nowhere kept."""
        layers, decoders = self.encoders[: len(sums)], self.decoders[: len(sums)]

        def piece(first: int) -> Tensor:
            """The piece that begins at this sample."""
            last = min(first + step, wanted.stop)
            with torch.inference_mode():
                rows = finest.features(layers, decoders, x, sums, first // FOLD, -(-last // FOLD))
                part = rows.reshape(-1, rows.shape[1] // FOLD)[first % FOLD :][: last - first].T[None]
                return then(part, first) if then else part

        step = max(PIECE // wanted.step, 1) * wanted.step
        return self.pool.map(piece, range(wanted.start, wanted.stop, step))

    def _folded_encoder(
        self, layer: Folded, x: Tensor, level: int, segment: Segment
    ) -> tuple[Tensor, Tensor, Mean]:
        """The map of a level, its maxima of pairs (T / 2, F), and its mean."""
        n, columns = len(x), len(layer.bias)
        skip = self.space("map" if self.one_by_one else f"map {level}", x, n, columns)
        low = self.space(f"low {level % 2}", x, n, columns // 2)
        counted = _folded(segment.columns(level))

        def piece(rows: slice) -> Tensor:
            """Fill the rows, and their sum over time."""
            with torch.inference_mode():  # each thread has its own
                part = rows_of(x, rows.start - layer.before, rows.stop + layer.after)
                halved(layer(part, out=skip[rows]), out=low[rows])
                return skip[rows][slice(*_within(rows, counted))].sum(0, dtype=self.exact)

        total = sum(self.pool.map(piece, _cut(n, columns)))
        mean = Mean(total.view(FOLD, -1).sum(0), FOLD * (counted[1] - counted[0]))
        return skip, low.view(-1, columns // FOLD), mean

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

    def approach(self, mean: Tensor | Unkept, other: Tensor | Unkept, share: float) -> None:
        """Move a map towards another one by a share of the way."""
        if isinstance(mean, Unkept):
            mean.lerp_(other, share)
            return

        def piece(mean: Tensor, other: Tensor) -> None:
            with torch.inference_mode():
                mean.lerp_(other, share)

        time = 0 if mean.dim() == 2 else -1
        list(self.pool.map(piece, *(x.chunk(self.threads, dim=time) for x in (mean, other))))

    def encoded(self, encoder: FoldedChannelEncoder, x: Tensor, n: int) -> list[Encoded]:
        """The first `n` rows that a fusion's encoder makes of features (T, F), as its `mean` takes them."""

        def piece(rows: slice) -> Encoded:
            with torch.inference_mode():
                return encoder(x, rows)

        return list(self.pool.map(piece, _cut(n, encoder.stride * x.shape[1])))

    def pieces(self, layer, *maps: Tensor, wanted: range | None = None, then=None) -> Iterator[Tensor]:
        """`layer(*maps)` of maps (1, F, T), what is `wanted` of it, in pieces of a multiple of `wanted.step` samples.

        Each piece is computed from a little more than itself, so that convolutions see what is beyond its ends. All
        is one piece on a GPU, and where a map is not just as long as the longest or half of it. Pieces and what is
        added to them are of even length, so that maps of half the length can be cut at the same times.
        """
        length = max(x.shape[-1] for x in maps)
        wanted = wanted or range(length)
        whole = self.like.is_cuda or any(length % x.shape[-1] for x in maps)
        # A decoder sees half a kernel and a sample; two kernels are more than that, and even.
        most, halo = min(PIECE, -(-length // self.threads)), 2 * self.kernel
        step = -(-most // (2 * wanted.step)) * 2 * wanted.step
        if whole:
            step = halo = length

        def piece(first: int) -> Tensor:
            """The piece that begins at `first`."""
            last = min(first + step, wanted.stop)
            low, high = max(first - first % 2 - halo, 0), min(last + last % 2 + halo, length)
            cut = [x[..., low * x.shape[-1] // length : high * x.shape[-1] // length] for x in maps]
            with torch.inference_mode():
                part = layer(*cut)[..., first - low : last - low]
                return then(part, first) if then else part

        return self.pool.map(piece, range(wanted.start, wanted.stop, step))


def _pairs(x: Tensor) -> Tensor:
    """Features (T, F) as rows of FOLD / 2 samples."""
    return x.reshape(-1, FOLD // 2 * x.shape[1])


def _folded(rows: tuple[int, int]) -> tuple[int, int]:
    """Rows of a map as rows of FOLD of them."""
    return rows[0] // FOLD, rows[1] // FOLD


def _within(rows: slice, counted: tuple[int, int]) -> tuple[int, int]:
    """What of a piece's rows is counted, from the first of the piece."""
    first = min(max(counted[0], rows.start), rows.stop)
    return first - rows.start, max(min(counted[1], rows.stop), first) - rows.start


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
        if x is None:
            filters, by_time = (
                part.shape[1],
                part.stride(1) == 1,
            )  # folded levels have all filters side by side
            x = part.new_empty(1, length, filters).mT if by_time else part.new_empty(1, filters, length)
        x[..., first : first + part.shape[-1]] = part
        first += part.shape[-1]
    return x
