"""Parts of a long night, each with enough before and after it that its features are those of the whole night.

A U-Net halves time again and again. Where a level's length is odd, a column is put in front of it, and going back up
one is cut off on both sides. For the same columns to be paired, segments begin at multiples of `2 ** depth` samples;
for the same ones to be put in front and cut off, their lengths are that of the night but for such multiples.
"""

from itertools import pairwise
from typing import NamedTuple

from sleeplib.models.usleep import USleepSettings

LONGEST = 12 * 120 * 3840  # samples of a night that is looked at in one part, 12 h
PART = (
    560 * 3840
)  # samples of a part of a longer one, 4 h 40 min: sixteen windows of 35 epochs, as in training
ROW = 128  # samples that a row of a folded map may stand for


class Segment(NamedTuple):
    """Samples `start` to `stop` of a night are looked at for what is to be said of `first` to `last`.

    Sample i of the night is sample `i - start` of the segment, and so are features.
    """

    start: int
    stop: int
    first: int
    last: int
    depth: int  # how often time is halved

    def columns(self, level: int) -> tuple[int, int]:
        """Which columns of a level's map of the segment are to be described."""
        first, last = self.first - self.start >> level, self.last - self.start >> level
        if self.last == self.stop:
            # All that are left. Maps are even, twice as long as the next one.
            last = -(-(self.stop - self.start) >> min(level + 1, self.depth)) * (1 + (level < self.depth))
        return first, last

    def stages(self, night: int, size: int) -> range:
        """The stages of `size` features that begin in what is described, by their first feature in the segment.

        `night` is the number of features of the whole night.
        """
        whole, last = night // size * size, night if self.last == self.stop else self.last
        first, last = (min(-(-at // size) * size, whole) for at in (self.first, last))
        return range(first - self.start, last - self.start, size)


def segments(samples: int, s: USleepSettings) -> list[Segment]:
    """Parts of a night: the night itself unless it is longer than `LONGEST`."""
    if samples <= LONGEST:
        return [Segment(0, samples, 0, samples, s.depth)]
    grid, rest = max(1 << s.depth, ROW), samples % (1 << s.depth)
    # Each level's convolutions see half a kernel to both sides, in encoder and decoder, and pairs and what is cut off
    # three columns more: of the coarsest level, three half kernels and nine columns are more than all of that together.
    # A stage may end an epoch behind the segment in which it begins.
    reach = 3 * (s.kernel // 2 + 3) * (1 << s.depth) + s.rate * s.epoch_seconds
    halo, step = -(-reach // grid) * grid, -(-PART // grid) * grid
    return [
        Segment(max(first - halo, 0), min(last + halo + rest, samples), first, last, s.depth)
        for first, last in pairwise([*range(0, samples, step), samples])
    ]
