"""Networks as ONNX files, which run where there is no Python: one file for any number of nights, channels and samples.

What a user of such a file has to know (rate, scaling, channels, order of stages) stands in its metadata.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from sleeplib import provenance
from sleeplib.errors import SleeplibError
from sleeplib.models.seqsleepnet import SeqSleepNet
from sleeplib.models.usleep import NightNetwork, USleep
from sleeplib.preparation import ANYSLEEP, Preparation
from sleeplib.stages import EPOCH_SECONDS, STAGES

_NOTES = {
    "robust": "each channel: (x - median) / inter-quartile range of the whole night, clipped to +-20",
    "robust-authors": "each channel: clipped to +-20 inter-quartile ranges about zero, then (x - median) / IQR",
    "none": "samples in microvolts, as they are",
}


def export(network, path: str | Path, per_epoch: int = 1, night: bool = False) -> Path:
    """Write a network as an ONNX file, in float32, in evaluation mode.

    Night networks: input `signals` (nights, channels, samples), any of these; outputs `logits` and `posteriors`
    (nights, stages, 5), `per_epoch` of them for each 30 s. SeqSleepNet: input `images` (sequences, L, C, T, F), any
    number of sequences; outputs (sequences, L, 5). With `night`, input `images` (epochs, C, T, F) of a whole night of L
    epochs or more; output `posteriors` (epochs, 5) of all decisions fused.

    Parameters
    ----------
    network : a night network, or a SeqSleepNet of the text or as released; its mode is left as it was
    per_epoch : stages per 30 s, of night networks; fixed in the file

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SleeplibError
        If the network cannot be written, has no such resolution or is no network of that kind, or the package onnx is
        not installed.
    """
    nights = isinstance(network, NightNetwork)
    if not nights and not isinstance(network, SeqSleepNet):
        raise SleeplibError(
            f"{type(network).__name__} cannot be written as ONNX; night networks and SeqSleepNet can"
        )
    if not nights and per_epoch != 1:
        raise SleeplibError(f"{type(network).__name__} gives one stage per epoch, not {per_epoch}")
    if nights and night:
        raise SleeplibError(f"{type(network).__name__} takes whole nights anyway; leave `night` away")
    if nights:
        network.classifier.size(per_epoch, network.classifier.samples)
    from sleeplib.models.onnx.graph import Graph  # which needs the package onnx

    g = Graph("network")
    with torch.no_grad():
        (_night_network if nights else _whole_night if night else _sequences)(g, network, per_epoch)
    model = g.model(facts(network, per_epoch, night), __doc__)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(model.SerializeToString())
    part.replace(path)
    return path


def _night_network(g, network, per_epoch: int) -> None:
    """Signals in, logits and posteriors out."""
    from sleeplib.models.onnx import nights

    channels = network.settings.channels or "channels"
    x = g.input("signals", "nights", channels, "samples")
    _give(g, nights.logits(g, network, x, per_epoch), "nights", "stages")


def _sequences(g, network, per_epoch: int) -> None:
    """Sequences of epochs in, logits and posteriors out."""
    from sleeplib.models.onnx import sequences

    s = network.settings
    x = g.input("images", "sequences", s.sequence_length, s.channels, s.frames, s.bins)
    _give(g, sequences.logits(g, network, x), "sequences", s.sequence_length)


def _whole_night(g, network, per_epoch: int) -> None:
    """A night's epochs in, posteriors out."""
    from sleeplib.models.onnx import sequences

    s = network.settings
    x = g.input("images", "epochs", s.channels, s.frames, s.bins)
    g.output(g("Softmax", sequences.night(g, network, x), axis=-1), "posteriors", "epochs", s.stages)


def _give(g, logits: str, *shape) -> None:
    """Logits (*shape, 5) and their posteriors as outputs."""
    g.output(logits, "logits", *shape, len(STAGES))
    g.output(g("Softmax", logits, axis=-1), "posteriors", *shape, len(STAGES))


def facts(network, per_epoch: int = 1, night: bool = False) -> dict[str, str]:
    """What a user of the file has to know, as ONNX's metadata has it: texts, some of them JSON."""
    nights = isinstance(network, NightNetwork)
    card = getattr(network, "card", {})
    preparation = getattr(network, "preparation", None) or (Preparation(**ANYSLEEP) if nights else None)
    known = {
        "network": card.get("network", type(network).__name__),
        "settings": json.dumps(asdict(network.settings)),
        "stages": ",".join(STAGES),
        "stages_per_epoch": str(per_epoch),
        "seconds_per_stage": f"{EPOCH_SECONDS / per_epoch:g}",
        "input": _input(network, night),
        "sleeplib": provenance.versions()["sleeplib"],
    }
    if preparation:
        known |= {
            "rate_hz": f"{preparation.rate:g}",
            "scaling": _NOTES[preparation.scaling],
            "montage": json.dumps(preparation.montage),
            "preparation": json.dumps(asdict(preparation)),
        }
    cited = {key: card[key] for key in ("sha256", "source", "licence", "citation") if key in card}
    return known | {key: x if isinstance(x, str) else json.dumps(x) for key, x in cited.items()}


def _input(network, night: bool) -> str:
    """What the input is, in a sentence."""
    if isinstance(network, USleep):
        return "signals (nights, 2, samples): an EEG, then an EOG channel; of more channels, let all such pairs vote"
    if isinstance(network, NightNetwork):
        return "signals (nights, channels, samples): EEG and EOG channels, any number in any order"
    prepared = getattr(network, "preparation", None)
    scored = ", each bin z-scored over its night" if prepared and prepared.images == "standardised" else ""
    first = f"epochs of a night, {network.sequence_length} or more" if night else "sequences, epochs"
    return (
        f"images ({first}, channels in the montage's order, frames, bins): 20 log10 |X| of 2-s Hamming windows each "
        f"second, FFT of 256 points (sleeplib.signals.log_power_image){scored}"
    )
