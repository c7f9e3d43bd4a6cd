"""Night networks (U-Sleep, AnySleep and its variants) on whole nights.

They take one channel after the other, and long maps piece by piece of time; nights longer than half a day in segments.
The result is that of the plain network; the memory is that of one channel, however many there are, and of half a day.
Shapes: C channels, T samples at 128 Hz, F filters, N stages, M attention modules.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from math import exp, lcm

import numpy as np
import torch
from torch import Tensor

from sleeplib.errors import SleeplibError
from sleeplib.inference.segments import Segment, segments
from sleeplib.inference.sequences import evaluating, workers
from sleeplib.inference.unet import UNKEPT, Mean, Pieces, joined
from sleeplib.models.anysleep import AnySleep, EarlyFusion, LateFusion
from sleeplib.models.folded import Encoded, FoldedChannelEncoder, FoldedClassifier
from sleeplib.models.usleep import USleep
from sleeplib.stages import STAGES

FEW = 8  # channels, whose signals take little memory


def night_posteriors(
    network, signals, kinds=None, per_epoch: int = 1, pairs: str = "vote", seed: int = 0
) -> Tensor:
    """Posteriors `(N, 5)` of a night network for a whole night, `per_epoch` of them for each 30 s.

    As `posteriors_at`, for one resolution.
    """
    return posteriors_at(network, signals, [per_epoch], kinds, pairs, seed)[0]


def posteriors_at(
    network, signals, resolutions, kinds=None, pairs: str = "vote", seed: int = 0
) -> list[Tensor]:
    """Posteriors of a night network for a whole night at several resolutions, for little more than the price of one.

    AnySleep and its variants look at all channels together. U-Sleep stages every pair of an EEG and an EOG channel,
    and the pairs vote on each stage, ties broken at random (AnySleep, section 4.4). The posteriors are then shares of
    the votes; their maximum is the elected stage, which counts a thousandth of a vote more than it was given.

    Parameters
    ----------
    network : one of `models.NIGHT_NETWORKS`; its mode is left as it was
    signals : array or tensor (C, T), prepared
    resolutions : list of int
        Stages per 30 s. What does not fill a stage of each of them is left out at the end.
    kinds : C times "EEG" or "EOG", for U-Sleep; by default it has two channels, EEG and EOG
    pairs : "vote", or "mean" for the mean of the pairs' posteriors
    seed : of what breaks ties

    Returns
    -------
    list of tensors (N, 5), one for each resolution, on the CPU, in the network's precision or a better one than half

    Raises
    ------
    SleeplibError
        If a resolution does not divide an epoch, the night is shorter than a stage, U-Sleep lacks a channel, or
        samples are not finite.
    """
    if pairs not in ("vote", "mean"):
        raise SleeplibError(f"{pairs!r} is not known; choose vote or mean")
    signals = checked(network, signals)
    with night_of(network) as night:
        if not isinstance(network, USleep):
            return night.stages(signals, resolutions, _softmax)
        rows, tallies = eeg_eog_pairs(("EEG", "EOG") if kinds is None else kinds, len(signals)), None
        for pair in rows:
            counted = night.stages(signals[pair], resolutions, _vote if pairs == "vote" else _softmax)
            tallies = [a.add_(b) for a, b in zip(tallies, counted, strict=True)] if tallies else counted
        return [_elected(x, seed) if pairs == "vote" else x / len(rows) for x in tallies]


def _softmax(logits: Tensor) -> Tensor:
    """Posteriors of logits (N, 5), over columns of N: over rows of five it takes ten times as long."""
    return logits.T.softmax(0).T


def posteriors_of_sets(network, signals, sets) -> list[Tensor]:
    """Posteriors `(N, 5)` of a night network for each of several sets of a night's channels.

    AnySleep and late fusion look at each channel once, however many sets it is in; its maps stay in memory meanwhile.

    Parameters
    ----------
    network : one of `models.NIGHT_NETWORKS`; its mode is left as it was
    signals : array or tensor (C, T), prepared
    sets : lists of rows of `signals`, in the order in which the network shall see them; U-Sleep takes two

    Raises
    ------
    SleeplibError
        If a set is empty or not of two channels for U-Sleep, or samples are not finite.
    """
    sets, signals = [list(rows) for rows in sets], checked(network, signals)
    if wrong := [rows for rows in sets if not rows or (isinstance(network, USleep) and len(rows) != 2)]:
        needed = "an EEG and an EOG channel" if isinstance(network, USleep) else "one channel or more"
        raise SleeplibError(f"{type(network).__name__} takes {needed}, not channels {wrong[0]}")
    with night_of(network) as night:
        known = night.known(signals, sorted({row for rows in sets for row in rows}))
        maps = [[known[row] for row in rows] if known else None for rows in sets]
        return [night.stages(signals[rows], [1], _softmax, m)[0] for rows, m in zip(sets, maps, strict=True)]


def eeg_eog_pairs(kinds, channels: int) -> list[list[int]]:
    """Rows of every EEG channel with every EOG channel.

    Raises
    ------
    SleeplibError
        If there is none of one kind, or not a kind for each of the channels.
    """
    if len(kinds) != channels:
        raise SleeplibError(
            f"here are {channels} channels and {len(kinds)} kinds; U-Sleep needs the kind of each"
        )
    eeg, eog = ([row for row, kind in enumerate(kinds) if kind == wanted] for wanted in ("EEG", "EOG"))
    if not eeg or not eog:
        raise SleeplibError(f"U-Sleep takes an EEG and an EOG channel; here are {', '.join(kinds)}")
    return [list(pair) for pair in product(eeg, eog)]


def elect(each, seed: int = 0) -> Tensor:
    """Shares of votes `(N, 5)` of voters' logits `(N, 5)`; one of those with most votes has 0.001 votes more."""
    return _elected(sum(map(_vote, each)), seed)


def _vote(logits: Tensor) -> Tensor:
    return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)


def _elected(votes: Tensor, seed: int) -> Tensor:
    chance = torch.rand(votes.shape, generator=torch.Generator().manual_seed(seed)) / 2
    elected = (votes + chance).argmax(1, keepdim=True)
    votes.scatter_(1, elected, 1e-3, reduce="add")
    return votes / votes.sum(1, keepdim=True)


def attention(network, signals) -> Tensor:
    """The channels' weights `(M, C)` in each attention module (AnySleep: encoders from fine to coarse, connector).

    Early and late fusion have a module for each head.

    Raises
    ------
    SleeplibError
        If the network has no attention, or samples are not finite.
    """
    if not isinstance(network, AnySleep | EarlyFusion | LateFusion):
        raise SleeplibError(f"{type(network).__name__} does not weigh channels")
    signals = checked(network, signals)
    with night_of(network) as night:
        return night.attention(signals)


def checked(network, signals) -> Tensor:
    """Signals (C, T) as a tensor, copied only where torch cannot share them.

    Raises
    ------
    SleeplibError
        If they have another shape, or samples that are not finite: one would spoil the whole night.
    """
    if isinstance(signals, np.ndarray) and (
        min(signals.strides, default=0) < 0 or not signals.flags.writeable
    ):
        signals = signals.copy()
    signals = torch.as_tensor(signals)
    network.check(signals[None])
    # The sum is finite unless a sample is not, and quicker; samples so large that it is not are looked at one by one.
    spoilt = [str(row) for row, x in enumerate(signals) if not x.sum().isfinite() and not x.isfinite().all()]
    if spoilt:
        raise SleeplibError(
            f"samples that are not finite (NaN or infinite) in channels {', '.join(spoilt)}, counted from 0; "
            "repair these channels or leave them out"
        )
    return signals


@contextmanager
def night_of(network):
    """A `Night` for the network, with `workers`."""
    threads = torch.get_num_threads()
    with evaluating(network), workers() as pool:
        yield Night(network, pool, threads)


class Night:
    """What a night network computes from signals (C, T), in the memory of one channel and the time of all workers.

    A long night is looked at in `segments`, twice where channels are weighed: their weights are those of all of it.
    """

    def __init__(self, network, pool: ThreadPoolExecutor, threads: int):
        self.network, self.like = network, next(network.parameters())
        self.exact = torch.promote_types(self.like.dtype, torch.float32)
        self.unet = Pieces(network.unet, network.settings.kernel, pool, threads)
        # AnySleep adds each map to the mean before the next one is made.
        self.unet.one_by_one = isinstance(network, AnySleep)

    def stages(
        self, signals: Tensor, resolutions, of: Callable[[Tensor], Tensor], known: list | None = None
    ) -> list[Tensor]:
        """`of(network(signals[None], per_epoch)[0])`, (N, 5), for each number of stages per epoch.

        `of` is a function of logits (n, 5), `known` are the channels' `scored_maps`.
        """
        night, classifier = signals.shape[-1], self.network.classifier
        sizes = [classifier.size(n, night) for n in resolutions]
        size, folded = lcm(*sizes), FoldedClassifier(classifier)
        if size > night:
            raise SleeplibError(
                f"{night} samples are too short for whole stages at all of these resolutions: {size}"
            )

        features = night + night % 2  # they come in pairs
        found = [
            torch.empty(features // size * size // each, len(STAGES), dtype=self.exact) for each in sizes
        ]
        segments = self.segments(night)
        scores = None
        if isinstance(self.network, EarlyFusion) or (self.weighs and len(segments) > 1):
            scores = [self.scores(x, segments) for x in signals[:, None]]
        for segment in segments:
            wanted = segment.stages(features, size)

            def classify(x: Tensor, first: int, before: int = segment.start) -> None:
                """Fill in what is said of a piece of features, at each resolution."""
                logits = [classifier(x, n) for n in resolutions] if x.is_cuda else folded(x, sizes)
                for stages, each, size in zip(found, logits, sizes, strict=True):
                    stages[(before + first) // size :][: each.shape[1]] = of(each[0].to(self.exact))

            for _ in self.features(signals, segment, scores, known, wanted, classify) if wanted else ():
                pass
        return found

    @property
    def weighs(self) -> bool:
        """Whether the network weighs maps of single channels."""
        return isinstance(self.network, AnySleep | LateFusion)

    def segments(self, night: int) -> list[Segment]:
        """The parts of a night of so many samples."""
        return segments(night, self.network.settings)

    def attention(self, signals: Tensor) -> Tensor:
        """The channels' weights (M, C)."""
        scores = [self.scores(x, self.segments(x.shape[-1])) for x in signals[:, None]]
        return torch.tensor(scores, dtype=self.like.dtype).T.softmax(-1)

    def known(self, signals: Tensor, rows: list[int]) -> dict[int, list] | None:
        """The `scored_maps` of some channels, where a network looks at them one by one, and at all of a night."""
        segments = self.segments(signals.shape[-1])
        if self.weighs and len(segments) == 1:
            self.unet.scratch = None  # all maps are kept
            return {row: list(self.scored_maps(signals[row : row + 1], segments[0])) for row in rows}
        return None

    def features(
        self, signals: Tensor, segment: Segment, scores, known, wanted: range, then
    ) -> Iterator[Tensor]:
        """What the classifier takes, piece by piece."""
        if not self.weighs:
            x = signals[:, segment.start : segment.stop].to(self.like)
            if isinstance(self.network, EarlyFusion):
                x = torch.tensor(scores, dtype=x.dtype, device=x.device).softmax(0).T @ x
            return self.unet.decode([maps for maps, _ in self.unet.encode(x, segment)], wanted, then)
        channels = known or (
            self.scored_maps(x, segment, scores and scores[i]) for i, x in enumerate(signals[:, None])
        )
        if isinstance(self.network, AnySleep):
            # Two levels more are made again where signals take much memory: 80 MiB less, and a tenth more time.
            self.unet.unkept = UNKEPT + 2 * (len(signals) > FEW)
            return self.unet.decode(self.fused(channels), wanted, then)
        heads = self.fused(channels)
        return self.unet.pieces(lambda *x: sum(x) / len(x), *heads, wanted=wanted, then=then)

    def fused(self, channels) -> list[Tensor]:
        """The weighted sum of the channels' maps in each attention module, from their `scored_maps`.

        The softmax runs along with the channels: each moves the mean of those before it towards its own map, by its
        weight among the channels so far, exp(e) over the sum of all exp(e).
        """
        means, sums = [], []
        for channel in channels:
            for i, (score, maps) in enumerate(channel):
                if i == len(means):
                    means.append(maps.clone())
                    sums.append(score)
                else:
                    sums[i] = np.logaddexp(sums[i], score)
                    self.unet.approach(means[i], maps, exp(score - sums[i]))
                del maps  # before the next is made
        return means

    def scored_maps(
        self, signal: Tensor, segment: Segment, scores: list[float] | None = None
    ) -> Iterator[tuple[float, Tensor]]:
        """The score and the map of a channel (1, T) in each attention module; `scores` that are known already."""
        if isinstance(self.network, AnySleep):
            for i, (x, mean) in enumerate(self._encoded(signal, segment)):
                yield scores[i] if scores else self._score(i, [mean]), x
        else:
            x = self._decoded(signal, segment)
            for score in scores or self._head_scores(self._channel_encoded(x, signal.shape[-1], segment)):
                yield score, x

    def scores(self, signal: Tensor, segments: list[Segment]) -> list[float]:
        """The score of a channel (1, T) in each attention module."""
        if isinstance(self.network, AnySleep):
            means = [[mean for _, mean in self._encoded(signal, segment)] for segment in segments]
            return [self._score(i, parts) for i, parts in enumerate(zip(*means, strict=True))]
        encoded = []
        for segment in segments:
            if isinstance(self.network, EarlyFusion):
                x = signal[None, :, segment.start : segment.stop].to(self.like)
            else:
                x = self._decoded(signal, segment)
            encoded += self._channel_encoded(x, signal.shape[-1], segment)
        return self._head_scores(encoded)

    def _encoded(self, signal: Tensor, segment: Segment) -> Iterator[tuple[Tensor, Mean]]:
        """A channel's map in each attention module, and its mean."""
        return self.unet.encode(signal[:, segment.start : segment.stop].to(self.like), segment)

    def _score(self, module: int, means: Sequence[Mean]) -> float:
        """One of AnySleep's scores of a channel, from means over all segments."""
        mean = sum(m.total for m in means) / sum(m.columns for m in means)
        return self.network.fusions[module].scores(mean.to(self.like)[None]).item()

    def _decoded(self, signal: Tensor, segment: Segment) -> Tensor:
        """What the U-Net makes of a channel, (1, F, T)."""
        maps, samples = [x for x, _ in self._encoded(signal, segment)], segment.stop - segment.start
        samples += samples % 2
        return joined(self.unet.decode(maps, range(samples)), samples)

    def _channel_encoded(self, x: Tensor, night: int, segment: Segment) -> list[Encoded]:
        """What early or late fusion's encoder makes of a channel's signal or features (1, F, T)."""
        self.network.fusion.check(night)
        encoder = FoldedChannelEncoder(self.network.fusion.encoder)
        columns = night + night % 2 if isinstance(self.network, LateFusion) else night
        strides = segment.stages(columns, encoder.stride)
        # Each row is one of two strides.
        rows = columns // encoder.stride - 1 - (segment.start + strides.start) // encoder.stride
        n = max(min(rows, len(strides)), 0)
        return self.unet.encoded(encoder, x[0].T[strides.start :].contiguous(), n)

    def _head_scores(self, encoded: list[Encoded]) -> list[float]:
        """Early or late fusion's scores of a channel, one for each head."""
        mean = FoldedChannelEncoder(self.network.fusion.encoder).mean(encoded).to(self.like)
        return [scores(mean[None]).item() for scores in self.network.fusion.heads]
