"""The finest levels of a U-Net: a piece of time goes through all of them while it lies in the processor's cache.

Their maps are nowhere kept. The decoders need them once more, and by then it is quicker to make them again than to read
them: a map of the finest level of an 8-h night is 88 MB. Maps are folded (`models.folded`), and n is the rows of the
coarsest of these levels.
"""

from torch import Tensor

from sleeplib.models.folded import FOLD, Folded, FoldedDecoder, halved, rows_of


class Unkept:
    """A weighted sum of one level's maps of several signals (T, C): signals and weights, and not the maps."""

    def __init__(self, signals: list[Tensor], weights: list[float]):
        self.signals, self.weights = signals, weights

    def clone(self) -> "Unkept":
        """The same sum."""
        return Unkept(self.signals, self.weights)

    def lerp_(self, other: "Unkept", share: float) -> None:
        """Move towards another sum by a share of the way, as tensors do."""
        self.weights = [w * (1 - share) for w in self.weights] + [w * share for w in other.weights]
        self.signals = self.signals + other.signals


def maps(layers: list[Folded], x: Tensor, first: int, last: int) -> list[tuple[Tensor, int]]:
    """Maps of a signal `x` (T, C), finest first: rows `first` to `last` of the coarsest, of others all that this needs.

    Beside each stands the number of its first row.
    """
    layer, finer = layers[-1], []
    low, high = max(first - layer.before, 0), last + layer.after
    if len(layers) == 1:
        rows = x.view(-1, FOLD * x.shape[1])[low:high]
    else:
        high = min(high, len(x) // (FOLD << len(layers) - 1))
        finer = maps(layers[:-1], x, 2 * low, 2 * high)
        rows = halved(finer[-1][0]).reshape(high - low, -1)
    # What is beyond these rows is beyond the ends of the night.
    return [*finer, (layer(rows_of(rows, first - layer.before - low, last + layer.after - low)), first)]


def inner(found: list[tuple[Tensor, int]], first: int, last: int) -> list[Tensor]:
    """Of such maps, what belongs to rows `first` to `last` of the coarsest."""
    deep = len(found) - 1
    return [
        x[(first << deep - level) - at : (last << deep - level) - at] for level, (x, at) in enumerate(found)
    ]


def features(
    layers: list[Folded], decoders: list[FoldedDecoder], x: Tensor, sums: list[Unkept], first: int, last: int
) -> Tensor:
    """Rows `first` to `last` of the decoders' last features, (m, FOLD * F).

    `x` are the features of the level below, in rows of half a FOLD; `sums` those of the maps to take in; layers,
    decoders and sums finest first.
    """
    ends = [len(sums[0].signals[0]) // (FOLD << level) for level in range(len(layers))]
    wanted, spans = [(first, last)], []  # rows of each level's features, and of the map that they take in
    for decoder, end in zip(decoders, ends, strict=True):
        low, high = wanted[-1]
        low, high = max(low - decoder.merge.before, 0), min(high + decoder.merge.after, end)
        spans.append((low, high))
        wanted.append((low // 2, min(-(-(high + decoder.up.after) // 2), end // 2)))
    skips = _summed(layers, sums, *spans[-1])
    begun = 0  # the first row of x
    for decoder, (skip, at), (low, high), (begin, end) in zip(
        decoders[::-1], skips[::-1], wanted[-2::-1], spans[::-1], strict=True
    ):
        x = decoder(x[begin - begun :], skip[begin - at : end - at], low - begin, high - begin)
        x, begun = x.reshape(-1, x.shape[1] // 2), 2 * low
    return x.reshape(last - first, -1)


def _summed(layers: list[Folded], sums: list[Unkept], first: int, last: int) -> list[tuple[Tensor, int]]:
    """The weighted sums of the signals' `maps`."""
    total = []
    for signal, *weights in zip(sums[0].signals, *(s.weights for s in sums), strict=True):
        found = maps(layers, signal, first, last)
        if not total and all(weight == 1 for weight in weights):
            total = found
        elif not total:
            total = [(x.mul_(weight), at) for (x, at), weight in zip(found, weights, strict=True)]
        else:
            for (x, _), (part, _), weight in zip(total, found, weights, strict=True):
                x.add_(part, alpha=weight)
    return total
