"""The authors' names of all weights, and ours.

Every function takes what it uses out of the arrays that it is given: what is left has no place in the network.
"""

import re

import numpy as np

NIGHT_NAMES = (  # AnySleep's PyTorch modules; pattern of theirs, ours
    (r"encoders\.(\d+)\.enc\.0", r"unet.encoders.\1.convolution.conv"),
    (r"encoders\.(\d+)\.enc\.2", r"unet.encoders.\1.convolution.norm"),
    (r"connector\.0", r"unet.connector.conv"),
    (r"connector\.2", r"unet.connector.norm"),
    (r"decoders\.(\d+)\.dec1\.1", r"unet.decoders.\1.up.conv"),
    (r"decoders\.(\d+)\.dec1\.3", r"unet.decoders.\1.up.norm"),
    (r"decoders\.(\d+)\.dec2\.0", r"unet.decoders.\1.merge.conv"),
    (r"decoders\.(\d+)\.dec2\.2", r"unet.decoders.\1.merge.norm"),
    (r"segment_classifier\.segment_classifier\.0", r"classifier.mix"),
    (r"segment_classifier\.segment_classifier\.3", r"classifier.project"),
    (r"segment_classifier\.segment_classifier\.5", r"classifier.last"),
    (r"skip_connections\.(\d+)\.mlp\.0", r"fusions.\1.scores.hidden"),
    (r"skip_connections\.(\d+)\.mlp\.1", r"fusions.\1.scores.norm"),
    (r"skip_connections\.(\d+)\.mlp\.3", r"fusions.\1.scores.score"),
    (r"channel_attention\.encoder\.(\d+)", r"fusion.encoder.\1"),
    (r"channel_attention\.mlps\.(\d+)\.0", r"fusion.heads.\1.hidden"),
    (r"channel_attention\.mlps\.(\d+)\.2", r"fusion.heads.\1.norm"),
    (r"channel_attention\.mlps\.(\d+)\.3", r"fusion.heads.\1.score"),
)


def translate(name: str, arrays: dict) -> tuple[dict, dict]:
    """Our state and settings for a network of `models.RELEASED` or `models.NIGHT_NETWORKS`.

    Raises
    ------
    KeyError
        If an array is missing.
    """
    return (
        _night(name, arrays)
        if name in ("usleep", "anysleep", "anysleep-early", "anysleep-late")
        else _tables(name, arrays)
    )


def _night(name: str, arrays: dict) -> tuple[dict, dict]:
    """U-Sleep and AnySleep: the same modules under other names."""

    def numbered(pattern: str) -> int:
        return sum(bool(re.match(pattern, key)) for key in arrays)

    first = arrays["encoders.0.enc.0.weight"]
    settings = {
        "depth": numbered(r"encoders\.\d+\.enc\.0\.bias"),
        "kernel": first.shape[-1],
        "stages": len(arrays["segment_classifier.segment_classifier.5.bias"]),
    }
    if name == "usleep":
        settings["channels"] = first.shape[1]
    elif name == "anysleep":
        settings["hidden"] = len(arrays["skip_connections.0.mlp.0.bias"])
    else:
        settings |= {
            "heads": numbered(r"channel_attention\.mlps\.\d+\.3\.bias"),
            "hidden": len(arrays["channel_attention.mlps.0.0.bias"]),
            "encoder_filters": len(arrays["channel_attention.encoder.0.bias"]),
        }
    state = {}
    for theirs, ours in NIGHT_NAMES:
        for key in [key for key in arrays if re.match(theirs + r"\.\w+$", key)]:
            state[re.sub("^" + theirs, ours, key)] = arrays.pop(key)
    return state, settings


def _tables(name: str, arrays: dict) -> tuple[dict, dict]:
    """SeqSleepNet and its relatives: TensorFlow's variables, matrices transposed and directions stacked."""
    kept_by_optimiser = re.compile(r"(^|/)(Adam(_\d+)?|beta\d_power|global_step)$")
    for key in list(arrays):
        value = arrays.pop(key)
        key = key.removesuffix(":0")
        if not kept_by_optimiser.search(key):
            arrays[key] = value
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
