"""Trained networks on disk: `<name>.safetensors` and beside it a JSON card that says what they are.

`from_authors` takes the weights of both papers' authors.
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
from sleeplib.models import authors
from sleeplib.preparation import Preparation

# What a network of ours keeps and the authors' does not, or need not.
_OURS_ALONE = re.compile(r"encoder\.filterbank\.(triangles|mean|std)$|num_batches_tracked$")


def save(network, name: str, path: str | Path, preparation: Preparation, **card) -> Path:
    """Write a network as `path` (.safetensors) and its card (.json).

    Parameters
    ----------
    name : its name for `models.build`
    preparation : how nights were prepared for it; `inference.stage` prepares other nights alike
    card : what else is worth knowing: cohort, data digest, training settings, validation accuracy
    """
    path = _file(path)
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
    part.write_text(json.dumps(content, indent=1))
    part.replace(path.with_suffix(".json"))
    return path


def load(path: str | Path):
    """A network with its weights, ready to stage; its card is in `network.card`.

    Raises
    ------
    SleeplibError
        If the weights or the card are missing, or the weights are not those that the card describes.
    """
    path = _file(path)
    try:
        card = json.loads(path.with_suffix(".json").read_text())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SleeplibError(
            f"{error.filename}: missing; weights are a .safetensors file and its .json card"
        ) from error
    except ValueError as error:
        raise SleeplibError(f"{path.with_suffix('.json')}: damaged card ({error})") from error
    if not isinstance(card, dict) or digest != card.get("sha256"):
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


def _file(path: str | Path) -> Path:
    """The file of weights, also where its suffix is left away or the card is named."""
    path = Path(path)
    if path.suffix in (".safetensors", ".json"):
        return path.with_suffix(".safetensors")
    return path.with_name(path.name + ".safetensors")  # "net-0.5" has no suffix


def _fields(settings: dict) -> dict:
    """Settings as the network has them: JSON knows no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def from_authors(name: str, arrays):
    """A network with weights under its authors' names.

    Parameters
    ----------
    name : one of `models.RELEASED`, which becomes its released variant, or of `models.NIGHT_NETWORKS`
    arrays : mapping of str to array
        SeqSleepNet's TensorFlow variables, such as `frame_rnn_layer/fw/BNLSTMCell/W_xh:0`, or the state dict of
        AnySleep's PyTorch modules, such as `encoders.0.enc.0.weight`. The sizes of the network are those of the arrays.
        What the optimiser kept for itself may be among them.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. The z-score of SeqSleepNet's input is not in the arrays: `network.normalise` sets it.

    Raises
    ------
    SleeplibError
        If an array is missing, of another shape, or has no place in the network.
    """
    variants = {"released": models.RELEASED, "paper": models.NIGHT_NETWORKS}
    variant = next((key for key, names in variants.items() if name in names), None)
    if variant is None:
        known = ", ".join(key for names in variants.values() for key in names)
        raise SleeplibError(f"there are authors' weights of {known}, not of {name!r}")
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    try:
        state, settings = authors.translate(name, arrays)
        network = models.build(name, variant=variant, **settings)
        state = {key: torch.tensor(value) for key, value in state.items()}
        own = {key: x for key, x in network.state_dict().items() if _OURS_ALONE.search(key)}
        network.load_state_dict(own | state)
    except KeyError as error:
        raise SleeplibError(f"{name}: the authors' array {error.args[0]!r} is missing") from error
    except (IndexError, RuntimeError, ValueError) as error:
        raise SleeplibError(f"{name}: the authors' arrays do not fit together ({error})") from error
    if arrays:
        raise SleeplibError(f"{name} has no place for the authors' {', '.join(sorted(arrays))}")
    return network.eval()
