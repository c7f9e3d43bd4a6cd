"""Trained networks on disk: `<name>.safetensors` and beside it a JSON card that says what they are.

`from_authors` takes the weights of SeqSleepNet's authors.
"""

import hashlib
import json
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sleeplib import models, provenance
from sleeplib.errors import SleeplibError
from sleeplib.preparation import Preparation


def save(network, name: str, path: str | Path, preparation: Preparation, **card) -> Path:
    """Write a network as `path` (.safetensors) and its card (.json).

    Parameters
    ----------
    name : its name for `models.build`
    preparation : how nights were prepared for it; `inference.stage` prepares other nights alike
    card : what else is worth knowing: cohort, data digest, training settings, validation accuracy
    """
    path = Path(path).with_suffix(".safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, part)
    part.replace(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    content = {
        "network": name,
        "settings": asdict(network.settings),
        "preparation": asdict(preparation),
        "sha256": digest,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "versions": provenance.versions(),
        "git": provenance.commit(),
        "device": provenance.device(),
        **card,
    }
    path.with_suffix(".json").write_text(json.dumps(content, indent=1))
    return path


def load(path: str | Path):
    """A network with its weights, ready to stage; its card is in `network.card`.

    Raises
    ------
    SleeplibError
        If the weights or the card are missing, or the weights are not those that the card describes.
    """
    path = Path(path).with_suffix(".safetensors")
    try:
        card = json.loads(path.with_suffix(".json").read_text())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SleeplibError(
            f"{error.filename}: missing; weights are a .safetensors file and its .json card"
        ) from error
    except ValueError as error:
        raise SleeplibError(f"{path.with_suffix('.json')}: damaged card ({error})") from error
    if digest != card.get("sha256"):
        raise SleeplibError(
            f"{path}: not the weights that its card describes (SHA-256 differs); copy or train them again"
        )
    try:
        network = models.build(card["network"], **_fields(card["settings"]))
        network.load_state_dict(load_file(path))
        network.preparation = Preparation(**card["preparation"])
    except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise SleeplibError(f"{path}: does not fit its card ({error})") from error
    network.card = card
    return network.eval()


def _fields(settings: dict) -> dict:
    """Settings as the network has them: JSON knows no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def from_authors(name: str, arrays):
    """The released variant of a network, with weights under the authors' TensorFlow names.

    Parameters
    ----------
    name : "seqsleepnet", "e2e-arnn" or "multitask-e2e-arnn"
    arrays : mapping of str to array
        Such as `frame_rnn_layer/fw/BNLSTMCell/W_xh:0`. The sizes of the network are those of the arrays. What the
        optimiser kept for itself may be among them.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. The z-score of its input is not in the arrays: `network.normalise` sets it.

    Raises
    ------
    SleeplibError
        If an array is missing, of another shape, or has no place in the network.
    """
    if name not in models.RELEASED:
        raise SleeplibError(f"there are authors' weights of {', '.join(models.RELEASED)}, not of {name!r}")
    arrays = {key.removesuffix(":0"): np.asarray(value) for key, value in arrays.items()}
    optimiser = re.compile(r"(^|/)(Adam(_\d+)?|beta\d_power|global_step)$")
    arrays = {key: value for key, value in arrays.items() if not optimiser.search(key)}
    try:
        state, settings = _translate(name, arrays)
        network = models.build(name, variant="released", **settings)
        state = {key: torch.tensor(value) for key, value in state.items()}
        network.load_state_dict(network.state_dict() | state)
    except KeyError as error:
        raise SleeplibError(f"{name}: the authors' array {error.args[0]!r} is missing") from error
    except (IndexError, RuntimeError, ValueError) as error:
        raise SleeplibError(f"{name}: the authors' arrays do not fit together ({error})") from error
    if arrays:
        raise SleeplibError(f"{name} has no place for the authors' {', '.join(sorted(arrays))}")
    return network.eval()


def _translate(name: str, arrays: dict) -> tuple[dict, dict]:
    """Our state and settings; takes what it uses out of `arrays`."""
    banks = [f"filterbank-layer-{channel}/Variable" for channel in ("eeg", "eog", "emg")]
    weight = np.stack([arrays.pop(bank) for bank in [b for b in banks if b in arrays] or banks])
    W, b, v = (arrays.pop(f"frame_attention_layer/Variable{suffix}") for suffix in ("", "_1", "_2"))
    state = {
        "encoder.filterbank.weight": weight,
        "encoder.attention.W": W.T,
        "encoder.attention.b": b,
        "encoder.attention.v": v,
    }
    channels, bins, filters = weight.shape
    settings = {"channels": channels, "bins": bins, "filters": filters, "attention": len(b)}

    # Output layers in the order of their numbers; those without a number in the order in which they came.
    layers = [key.removesuffix("/weights") for key in arrays if key.endswith("/weights")]
    layers.sort(key=lambda layer: int((re.findall(r"\d+$", layer) or [-1])[0]))
    weights = np.stack([arrays.pop(f"{layer}/weights").T for layer in layers])  # (L, K, 2H)
    biases = np.stack([arrays.pop(f"{layer}/biases") for layer in layers])  # (L, K)
    settings |= {"stages": weights.shape[1], "hidden": weights.shape[2] // 2}

    if name == "seqsleepnet":
        state |= {"classify.weight": weights, "classify.bias": biases}
        epochs, settings["depth"], settings["frames"] = _lstm(arrays, "frame_rnn_layer", "encoder.rnn")
        sequence, _, settings["sequence_length"] = _lstm(arrays, "epoch_rnn_layer", "rnn")
        return state | epochs | sequence, settings
    state |= {"classify.weight": np.concatenate(weights), "classify.bias": np.concatenate(biases)}
    epochs, settings["depth"] = _gru(arrays, "frame_rnn_layer", "encoder.rnn", settings["hidden"])
    return state | epochs, settings


def _lstm(arrays: dict, scope: str, ours: str) -> tuple[dict, int, int]:
    """State, depth and number of steps of a bidirectional LSTM with recurrent batch normalisation."""
    state, cells = {}, _cells(arrays, scope, "/W_xh")
    for i, cell in enumerate(cells):
        layer = {
            "W_x": _both(arrays, cell, "W_xh").swapaxes(1, 2),
            "W_h": _both(arrays, cell, "W_hh").swapaxes(1, 2),
            "b": _both(arrays, cell, "hh/offset")[..., None],
            "b_c": _both(arrays, cell, "c/offset")[..., None],
        }
        for letter, theirs in (("x", "xh"), ("h", "hh"), ("c", "c")):
            layer[f"gain_{letter}"] = _both(arrays, cell, f"{theirs}/scale")[..., None]
            for what in ("mean", "var"):
                population = _both(arrays, cell, f"{theirs}/pop_{what}")  # (2, T, features)
                layer[f"norm_{letter}.{what}"] = population.swapaxes(0, 1)[..., None]
        state |= {f"{ours}.layers.{i}.{key}": value for key, value in layer.items()}
    return state, len(cells), len(state[f"{ours}.layers.0.norm_x.mean"])


def _gru(arrays: dict, scope: str, ours: str, H: int) -> tuple[dict, int]:
    """State and depth of a bidirectional GRU; the authors' matrices take the input and the state side by side."""
    state, cells = {}, _cells(arrays, scope, "/gates/kernel")
    for i, cell in enumerate(cells):
        gates = _both(arrays, cell, "gates/kernel").swapaxes(1, 2)  # (2, 2H, D + H), reset and update
        candidate = _both(arrays, cell, "candidate/kernel").swapaxes(1, 2)  # (2, H, D + H)
        bias = [_both(arrays, cell, f"{part}/bias") for part in ("gates", "candidate")]
        layer = {
            "W_s": np.concatenate([gates, candidate], axis=1)[..., :-H],
            "W_h": gates[..., -H:],
            "W_hh": candidate[..., -H:],
            "b": np.concatenate(bias, axis=1)[..., None],
        }
        state |= {f"{ours}.layers.{i}.{key}": value for key, value in layer.items()}
    return state, len(cells)


def _cells(arrays: dict, scope: str, ending: str) -> list[tuple[str, str]]:
    """The scopes of the forward and the backward cell of each layer, known by an array that each has."""
    scopes = [
        sorted(
            key.removesuffix(ending)
            for key in arrays
            if key.startswith(f"{scope}/{direction}/") and key.endswith(ending)
        )
        for direction in ("fw", "bw")
    ]
    if not scopes[0]:
        raise KeyError(f"{scope}/fw/...{ending}")
    return list(zip(*scopes, strict=True))


def _both(arrays: dict, cell: tuple[str, str], key: str) -> np.ndarray:
    """An array of the forward and of the backward cell, `(2, ...)`."""
    return np.stack([arrays.pop(f"{scope}/{key}") for scope in cell])
