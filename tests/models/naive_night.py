"""U-Sleep and AnySleep with NumPy, loops and no cleverness, as a reference for the tests.

One night at a time: signals (C, T), maps (F, T). `p` maps the names of a network's state to arrays.
"""

import numpy as np

from tests.models.naive import softmax

EPS = 1e-5


def elu(x):
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def norm(p, name, x):
    """Batch normalisation of evaluation along the first axis: x (F, ...)."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    mean, var, gain, offset = (
        p[f"{name}.{key}"].reshape(shape) for key in ("running_mean", "running_var", "weight", "bias")
    )
    return gain * (x - mean) / np.sqrt(var + EPS) + offset


def convolve(x, W, b, left=0, right=0, stride=1):
    """x (F, T), W (F', F, k), b (F',), zeros on both sides: (F', T')."""
    x = np.concatenate([np.zeros((len(x), left)), x, np.zeros((len(x), right))], axis=1)
    k = W.shape[2]
    columns = []
    for t in range(0, x.shape[1] - k + 1, stride):
        columns.append(b + sum(W[:, :, tap] @ x[:, t + tap] for tap in range(k)))
    return np.stack(columns, axis=1)


def convolution(p, name, x):
    """Convolution, ELU, batch normalisation; the length stays."""
    W, b = p[f"{name}.conv.weight"], p[f"{name}.conv.bias"]
    k = W.shape[2]
    return norm(p, f"{name}.norm", elu(convolve(x, W, b, (k - 1) // 2, k // 2)))


def encoder(p, name, x):
    """x (F, T) -> the map (F', T or T + 1) and the maxima of its pairs."""
    x = convolution(p, f"{name}.convolution", x)
    if x.shape[1] % 2 == 1:
        x = np.concatenate([np.zeros((len(x), 1)), x], axis=1)
    return x, np.stack([x[:, t : t + 2].max(1) for t in range(0, x.shape[1], 2)], axis=1)


def decoder(p, name, x, skip):
    """x (F, T) and skip (F', T') -> (F', T')."""
    x = convolution(p, f"{name}.up", np.stack([x[:, t // 2] for t in range(2 * x.shape[1])], axis=1))
    surplus = x.shape[1] - skip.shape[1]
    if surplus == 2:  # one from each end
        x = x[:, 1:-1]
    assert x.shape == skip.shape
    return convolution(p, f"{name}.merge", np.concatenate([skip, x]))


def encode(p, x, depth):
    """Signals (C, T) of one U-Net -> the maps of its encoders and of the connector."""
    maps = []
    for i in range(depth):
        skip, x = encoder(p, f"unet.encoders.{i}", x)
        maps.append(skip)
    return [*maps, convolution(p, "unet.connector", x)]


def decode(p, maps):
    x = maps[-1]
    for i, skip in enumerate(reversed(maps[:-1])):
        x = decoder(p, f"unet.decoders.{i}", x, skip)
    return x


def classify(p, x, size):
    """Features (F, T) -> logits (N, 5), one for `size` samples; the rest is left out."""
    x = np.tanh(convolve(x, p["classifier.mix.weight"], p["classifier.mix.bias"]))
    x = np.stack([x[:, t : t + size].mean(1) for t in range(0, x.shape[1] - size + 1, size)], axis=1)
    x = elu(convolve(x, p["classifier.project.weight"], p["classifier.project.bias"]))
    return convolve(x, p["classifier.last.weight"], p["classifier.last.bias"]).T


def score(p, name, features, norm_first):
    """The multi-layer perceptron for one channel: features (F,) -> a number."""
    x = p[f"{name}.hidden.weight"] @ features + p[f"{name}.hidden.bias"]
    x = np.maximum(norm(p, f"{name}.norm", x), 0) if norm_first else norm(p, f"{name}.norm", elu(x))
    return (p[f"{name}.score.weight"] @ x + p[f"{name}.score.bias"])[0]


def weigh(weights, maps):
    """Maps (C, ...) -> their weighted sum."""
    return sum(weight * m for weight, m in zip(weights, maps, strict=True))


def attention(p, name, maps, norm_first):
    """Maps (C, F, T) -> the channels' weights (C,) and the weighted sum (F, T)."""
    weights = softmax(np.array([score(p, f"{name}.scores", m.mean(1), norm_first) for m in maps]))
    return weights, weigh(weights, maps)


def encoded_attention(p, maps, s):
    """Maps (C, F, T) -> weights (heads, C) and weighted sums (heads, F, T), with a channel encoder."""
    features = []
    for m in maps:
        x = convolve(m, p["fusion.encoder.0.weight"], p["fusion.encoder.0.bias"], stride=s.rate // 4)
        x = norm(p, "fusion.encoder.2", elu(x))
        features.append(convolve(x, p["fusion.encoder.3.weight"], p["fusion.encoder.3.bias"]).mean(1))
    weights = [
        softmax(np.array([score(p, f"fusion.heads.{h}", f, s.norm_first) for f in features]))
        for h in range(s.heads)
    ]
    return np.array(weights), np.stack([weigh(w, maps) for w in weights])


def usleep(p, x, s, size):
    return classify(p, decode(p, encode(p, x, s.depth)), size), None


def anysleep(p, x, s, size):
    """Signals (C, T) -> logits (N, 5) and weights (modules, C)."""
    channels = [encode(p, row[None], s.depth) for row in x]
    fused = [
        attention(p, f"fusions.{i}", [maps[i] for maps in channels], s.norm_first) for i in range(s.depth + 1)
    ]
    return classify(p, decode(p, [m for _, m in fused]), size), np.array([w for w, _ in fused])


def early(p, x, s, size):
    weights, virtual = encoded_attention(p, x[:, None], s)
    return usleep(p, virtual[:, 0], s, size)[0], weights


def late(p, x, s, size):
    maps = np.stack([decode(p, encode(p, row[None], s.depth)) for row in x])
    weights, fused = encoded_attention(p, maps, s)
    return classify(p, fused.mean(0), size), weights


NETWORKS = {"usleep": usleep, "anysleep": anysleep, "anysleep-early": early, "anysleep-late": late}
