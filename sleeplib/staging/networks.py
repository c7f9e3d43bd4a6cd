"""Weights by name or path in, a network out; a night's signals in, posteriors and attention out.

Shapes: C channels, T samples at 128 Hz, N stages, M attention modules, K windows.
"""

import copy
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sleeplib import inference
from sleeplib.errors import SleeplibError
from sleeplib.inference.devices import known_device
from sleeplib.inference.finest import Unkept, inner
from sleeplib.inference.finest import maps as made
from sleeplib.inference.nights import Night, checked, night_of
from sleeplib.inference.segments import Segment
from sleeplib.models import weights as files
from sleeplib.models.anysleep import AnySleep, EarlyFusion, LateFusion
from sleeplib.models.folded import FOLD
from sleeplib.models.usleep import NightNetwork
from sleeplib.results import committed_folder, data_folder

DEMO = "any/anysleep-0"
_TITLES = {"anysleep": "AnySleep", "anysleep-early": "AnySleep, early fusion", "anysleep-late": "AnySleep, late fusion",
           "usleep": "U-Sleep", "seqsleepnet": "SeqSleepNet"}  # fmt: skip


class StagingWarning(UserWarning):
    """Something about a night or its network that readers of its stages should know."""


def find_weights(weights: str | Path | None = None) -> tuple[Path, str]:
    """The file of some weights, and what to know about the choice ("" if nothing).

    A name is one of `sleeplib weights list`; published weights that are not here are fetched and verified. Without a
    name they are `published.DEFAULT` or, where these cannot be had, weights that know simulated nights only.

    Raises
    ------
    SleeplibError
        If there are none of that name, or they cannot be fetched.
    """
    own = committed_folder().parent / "weights"
    for path in () if weights is None else (Path(weights), own / weights):
        if found := _file(path):
            return found, ""
    from sleeplib.models import published  # its library warns in notebooks

    if weights is None:
        try:
            return _published(published.DEFAULT), ""
        except SleeplibError as error:
            demo = _file(own / DEMO)
            if demo is None:  # an installed package has none
                raise
            return (
                demo,
                f"{error}. {DEMO} stages instead, which has seen simulated nights only: a demonstration",
            )
    if str(weights) in published.catalogue():
        return _published(str(weights)), ""
    raise SleeplibError(
        f"no weights {str(weights)!r}; give a .safetensors file with its card beside it, or a name of "
        "`sleeplib weights list`"
    )


def _published(name: str) -> Path:
    from sleeplib.models import published

    folder = data_folder() / "weights"
    try:
        report = published.fetch([name], folder, timeout=10.0, retries=1, backoff=0.5)
    except OSError as error:
        raise SleeplibError(
            f"{error.filename or folder}: {error.strerror}; name a folder in SLEEPLIB_DATA"
        ) from error
    if report.failed:
        raise SleeplibError(
            f"the published weights {name} are not here ({report.failed[name]}); `sleeplib weights fetch {name}` "
            f"brings them to {folder}"
        )
    return folder / f"{name}.safetensors"


def _file(path: Path) -> Path | None:
    """The file of these weights, or the only one of this folder."""
    if path.is_dir():
        found = list(path.glob("*.safetensors"))
        return found[0] if len(found) == 1 else None
    path = path.with_suffix(".safetensors") if path.suffix == ".json" else path
    path = (
        path if path.suffix == ".safetensors" or not path.name else path.with_name(path.name + ".safetensors")
    )
    return path if path.is_file() else None


def load(weights, device: str = "cpu", bfloat16: bool = False):
    """A network on its device, ready to stage; `about` says what it is, as `Staged.network` has it.

    Parameters
    ----------
    weights : as for `find_weights`, or a network
    bfloat16 : whether a night network computes in half the bits

    Raises
    ------
    SleeplibError
        As `find_weights` and `models.weights.load`, or if there is no such device, or a network of sequences is to
        compute in half the bits.
    """
    network, path = weights, None
    if not isinstance(weights, torch.nn.Module):
        path, told = find_weights(weights)
        network = files.load(path)
        if told:
            warnings.warn(told, StagingWarning, stacklevel=3)
    network.about = _about(network, path)
    if bfloat16 and not isinstance(network, NightNetwork):
        raise SleeplibError(f"{network.about['title']} does not stage in bfloat16; leave the option away")
    if bfloat16:
        network = copy.deepcopy(network).bfloat16()  # a network that was given is left as it is
    return network.to(known_device(device))


def _about(network, path: Path | None) -> dict:
    card = getattr(network, "card", None) or {}
    kind = card.get("network", type(network).__name__)
    title, sites = _TITLES.get(kind, kind), card.get("cohorts")
    sites = list(sites.values()) if isinstance(sites, dict) and sites else [card]
    simulated = all(isinstance(site, dict) and bool(site.get("simulated")) for site in sites)
    if "source" in card:
        title += ", with the weights that its authors published"
    elif simulated:
        title += ", trained on simulated nights only"
    versions = card.get("versions")
    return {
        "name": kind if path is None else path.parent.name if path.stem == kind else path.stem,
        "title": title,
        "simulated": simulated,
        "licence": str(card.get("licence", "")),
        "sha256": str(card.get("sha256", "")),
        "version": str(versions.get("sleeplib", "")) if isinstance(versions, dict) else "",
    }


def posteriors(
    network, x: np.ndarray, kinds, resolutions, window: int
) -> tuple[dict[int, np.ndarray], np.ndarray | None]:
    """Posteriors (N, 5) at each resolution and the attention (K, C) in windows of so many samples, in one pass.

    Parameters
    ----------
    x : array (C, T), prepared
    kinds : C times "EEG" or "EOG"

    Returns
    -------
    The attention is the mean over the modules, None for U-Sleep.

    Raises
    ------
    SleeplibError
        If U-Sleep lacks a channel, or the network's numbers are not finite.
    """
    attention = None
    if isinstance(network, AnySleep | EarlyFusion | LateFusion):
        with night_of(network) as night, np.errstate(invalid="ignore"):
            watched = Watched(night, window)
            found = watched.stages(checked(network, x), resolutions, lambda logits: logits.softmax(-1))
        attention = watched.windows()
    else:
        found = inference.posteriors_at(network, x, resolutions, kinds)
    if isinstance(network, EarlyFusion):
        pieces = [x[:, first : first + window] for first in range(0, x.shape[1], window)]
        attention = torch.stack([inference.attention(network, piece).mean(0) for piece in pieces]).numpy()
    if not all(each.isfinite().all() for each in found):
        raise SleeplibError("the network's posteriors are not finite; its weights are damaged or do not fit")
    return {n: each.float().numpy() for n, each in zip(resolutions, found, strict=True)}, attention


class Watched(Night):
    """A `Night` that also keeps what its attention modules say of each channel in windows of the night."""

    def __init__(self, night: Night, window: int):
        vars(self).update(vars(night))
        self.window, self.seen = window, {}  # the first sample of a segment: scores (M, K) of each channel

    def scored_maps(
        self, signal: Tensor, segment: Segment, scores: list[float] | None = None
    ) -> Iterator[tuple[float, Tensor]]:
        """As those of `Night`; the scores of windows, which begin anew in each segment, are kept."""
        found, finest = [], []  # the scores; window means of the maps that are nowhere kept
        for score, maps in super().scored_maps(signal, segment, scores):
            if isinstance(maps, Unkept):
                finest = finest or self._unkept(maps, segment)
                found.append(self._scores(len(found), finest[len(found)]))
            else:
                found.append(self._windowed(len(found), maps, segment))
            yield score, maps
        self.seen.setdefault(segment.first, []).append(torch.stack(found))

    def _edges(self, steps: int, segment: Segment) -> list[tuple[int, int]]:
        """Where the windows begin and end among so many steps of a segment."""
        samples, first, last = (at - segment.start for at in (segment.stop, segment.first, segment.last))
        edges = [min(at * steps // samples, steps - 1) for at in range(first, last, self.window)]
        return [(a, max(b, a + 1)) for a, b in pairwise([*edges, last * steps // samples])]

    def _unkept(self, maps: Unkept, segment: Segment) -> list[Tensor]:
        """Means (K, FOLD * F) of the finest levels' maps, made once more."""
        signal = maps.signals[0]
        layers = self.unet.encoders[: min(self.unet.unkept, self.unet.levels(len(signal)))]
        rows = len(signal) // (FOLD << len(layers) - 1)

        def window(edges: tuple[int, int]) -> list[Tensor]:
            with torch.inference_mode():  # each thread has its own
                return [each.mean(0) for each in inner(made(layers, signal, *edges), *edges)]

        means = self.unet.pool.map(window, self._edges(rows, segment))
        return [torch.stack(level) for level in zip(*means, strict=True)]

    def _windowed(self, module: int, maps: Tensor, segment: Segment) -> Tensor:
        """Scores (K,) of a module; maps are (T / 4, 4 * F) or (1, F, T), see `inference.unet`."""
        steps = maps if maps.dim() == 2 else maps[0].T
        pieces = [steps[a:b] for a, b in self._edges(len(steps), segment)]
        if isinstance(self.network, LateFusion):
            return torch.stack([
                self.network.fusion.logits(piece.T[None, None]).flatten()[module] for piece in pieces
            ]).cpu()  # fmt: skip
        return self._scores(module, torch.stack([piece.mean(0) for piece in pieces]), maps.dim() == 2)

    def _scores(self, module: int, means: Tensor, folded: bool = True) -> Tensor:
        """Scores (K,) of a module from mean maps (K, F), or (K, FOLD * F) if they are folded."""
        means = means.unflatten(1, (FOLD, -1)).mean(1) if folded else means
        return self.network.fusions[module].scores(means).cpu()

    def windows(self) -> np.ndarray | None:
        """Weights (K, C) of the channels, the mean over modules."""
        if not self.seen:
            return None
        parts = [torch.stack(channels) for _, channels in sorted(self.seen.items())]
        scores = torch.cat(parts, dim=2)  # (C, M, K)
        return scores.float().softmax(0).mean(1).T.numpy()
