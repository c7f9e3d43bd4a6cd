"""Night networks (U-Sleep, AnySleep and its variants) on whole nights.

They take one channel after the other, and long maps piece by piece of time. The result is that of the plain network;
the memory is that of one channel, however many there are.
Shapes: C channels, T samples at 128 Hz, F filters, N stages, M attention modules.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from math import exp, lcm

import numpy as np
import torch
from torch import Tensor

from sleeplib.errors import SleeplibError
from sleeplib.inference.sequences import evaluating, workers
from sleeplib.inference.unet import Pieces, joined
from sleeplib.models.anysleep import AnySleep, EarlyFusion, LateFusion
from sleeplib.models.folded import FoldedChannelEncoder, FoldedClassifier
from sleeplib.models.usleep import USleep
from sleeplib.stages import STAGES


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


def posteriors_of_sets(network, signals, sets) -> Iterator[Tensor]:
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
        for rows in sets:
            maps = [known[row] for row in rows] if known else None
            yield night.stages(signals[rows], [1], _softmax, maps)[0]


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
    """What a night network computes from signals (C, T), in the memory of one channel and the time of all workers."""

    def __init__(self, network, pool: ThreadPoolExecutor, threads: int):
        self.network, self.like = network, next(network.parameters())
        self.exact = torch.promote_types(self.like.dtype, torch.float32)
        self.unet = Pieces(network.unet, network.settings.kernel, pool, threads)

    def stages(
        self, signals: Tensor, resolutions, of: Callable[[Tensor], Tensor], known: list | None = None
    ) -> list[Tensor]:
        """`of(network(signals[None], per_epoch)[0])`, (N, 5), for each number of stages per epoch.

        `of` is a function of logits (n, 5), `known` are the channels' `scored_maps`.
        """
        classifier = self.network.classifier
        sizes = [classifier.size(n, signals.shape[-1]) for n in resolutions]
        size, folded = lcm(*sizes), FoldedClassifier(classifier)
        if size > signals.shape[-1]:
            raise SleeplibError(
                f"{signals.shape[-1]} samples are too short for whole stages at all of these resolutions: {size}"
            )

        whole = (signals.shape[-1] + signals.shape[-1] % 2) // size * size  # features come in pairs
        found = [torch.empty(whole // each, len(STAGES), dtype=self.exact) for each in sizes]

        def classify(x: Tensor, first: int) -> None:
            """Fill in what is said of a piece of features, at each resolution."""
            logits = [classifier(x, n) for n in resolutions] if x.is_cuda else folded(x, sizes)
            for stages, each, size in zip(found, logits, sizes, strict=True):
                stages[first // size :][: each.shape[1]] = of(each[0].to(self.exact))

        channels = known or map(self.scored_maps, signals[:, None])
        if isinstance(self.network, LateFusion):
            heads = self.fused(channels)
            parts = self.unet.pieces(lambda *x: sum(x) / len(x), *heads, size=size, then=classify)
        else:
            parts = self.unet.decode(self.maps(signals, channels), size=size, then=classify)
        for _ in parts:
            pass
        return found

    def attention(self, signals: Tensor) -> Tensor:
        """The channels' weights (M, C)."""
        if isinstance(self.network, EarlyFusion):
            return self.network.attention(signals.to(self.like)[None])[0].cpu()
        scores = [[score for score, _ in self.scored_maps(x)] for x in signals[:, None]]
        return torch.tensor(scores, dtype=self.like.dtype).T.softmax(-1)

    def known(self, signals: Tensor, rows: list[int]) -> dict[int, list] | None:
        """The `scored_maps` of some channels, where a network looks at them one by one."""
        if isinstance(self.network, AnySleep | LateFusion):
            self.unet.scratch = None  # all maps are kept
            return {row: list(self.scored_maps(signals[row : row + 1])) for row in rows}
        return None

    def maps(self, signals: Tensor, channels) -> list[Tensor]:
        """What the decoders take: one map of each encoder and the connector."""
        if isinstance(self.network, AnySleep):
            self.unet.one_by_one = True  # each map is added to the mean before the next one is made
            return self.fused(channels)
        x = signals.to(self.like)
        if isinstance(self.network, EarlyFusion):
            x = self.network.fusion(x[None, :, None])[0].squeeze(1)
        return [maps for maps, _ in self.unet.encode(x)]

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
        return means

    def scored_maps(self, signal: Tensor) -> Iterator[tuple[float, Tensor]]:
        """The score and the map of a channel (1, T) in each attention module."""
        maps = self.unet.encode(signal.to(self.like))
        if isinstance(self.network, AnySleep):
            for fusion, (x, mean) in zip(self.network.fusions, maps, strict=True):
                yield fusion.scores(mean[None]).item(), x
        else:
            x = joined(self.unet.decode([x for x, _ in maps]), signal.shape[-1] + signal.shape[-1] % 2)
            for score in self.channel_scores(x).flatten().tolist():
                yield score, x

    def channel_scores(self, x: Tensor) -> Tensor:
        """Late fusion's scores of a channel, one for each head, from its features (1, F, T)."""
        fusion = self.network.fusion
        if x.is_cuda:
            return fusion.logits(x[:, None])
        fusion.check(x.shape[-1])
        features = self.unet.mean_of(FoldedChannelEncoder(fusion.encoder), x[0].T.contiguous()).to(x)
        return torch.stack([scores(features[None]) for scores in fusion.heads])
