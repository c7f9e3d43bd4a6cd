"""U-Sleep and AnySleep with its variants as ONNX graphs, operator by operator what `usleep` and `anysleep` compute.

Nothing in them depends on how many nights, channels and samples there are.
Shapes: B nights, C channels, T samples, F filters, N stages, H heads.
"""

from torch import nn

from sleeplib.models.anysleep import AnySleep, EarlyFusion, EncodedChannelAttention, LateFusion, Scores
from sleeplib.models.onnx.graph import Graph
from sleeplib.models.usleep import Classifier, Convolution, Decoder, UNet


def logits(g: Graph, network, x: str, per_epoch: int) -> str:
    """Signals (B, C, T) -> logits (B, N, 5)."""
    if isinstance(network, AnySleep):
        features = decode(g, network.unet, fused(g, network, x))
    elif isinstance(network, LateFusion):
        maps = decode(g, network.unet, list(encode(g, network.unet, _one_by_one(g, x))))
        heads = weighted(g, x, encoded_scores(g, network.fusion, maps), maps)
        mean = g("ReduceMean", heads, [1], keepdims=0)
        features = g.reshape(mean, g.size(x, 0), network.settings.widths[0], -1)
    else:
        if isinstance(network, EarlyFusion):
            channels = _one_by_one(g, x)
            x = weighted(g, x, encoded_scores(g, network.fusion, channels), channels)  # (B, H, T)
        features = decode(g, network.unet, list(encode(g, network.unet, x)))
    return classify(g, network.classifier, features, per_epoch)


def fused(g: Graph, network: AnySleep, x: str) -> list[str]:
    """Signals (B, C, T) -> the weighted sum of the channels' maps in each attention module, (B, F, T) each.

    One channel after the other, in the memory of one: the softmax runs along, as in `inference.nights`. A channel of
    score e has the weight sigm(e - s) among those so far, where s is the logarithm of their sum of exp.
    """
    B, M = g.size(x, 0), len(network.fusions)
    means, length = [], g.size(x, 2)
    for module, filters in enumerate(network.settings.widths):
        if module < M - 1:  # encoders make their maps even
            length = g("Add", length, g("Mod", length, [2]))
        means.append(g("Expand", g.constant([[[0.0]]]), g("Concat", B, [filters], length, axis=0)))
        length = g("Div", length, [2])
    sums = [g("Expand", g.constant([[-1e30]]), g("Concat", B, [1], axis=0))] * M

    def step(g: Graph, states: list[str], items: list[str]) -> tuple[list[str], list[str]]:
        """One channel more."""
        maps = encode(g, network.unet, g("Unsqueeze", items[0], [1]))
        means, sums = states[:M], states[M:]
        for i, (fusion, x) in enumerate(zip(network.fusions, maps, strict=True)):
            e = scores(g, fusion.scores, g("ReduceMean", x, [2], keepdims=0))  # (B, 1)
            more = g("Sub", e, sums[i])
            weight = g("Unsqueeze", g("Sigmoid", more), [2])
            means[i] = g("Add", means[i], g("Mul", weight, g("Sub", x, means[i])))
            sums[i] = g("Add", g("Max", e, sums[i]), g("Softplus", g("Neg", g("Abs", more))))
        return means + sums, []

    return g.scan(step, means + sums, [g("Transpose", x, perm=[1, 0, 2])])[0][:M]


def _one_by_one(g: Graph, x: str) -> str:
    """Signals (B, C, T) -> (B * C, 1, T)."""
    return g.reshape(x, -1, 1, g.size(x, 2))


def conv(g: Graph, x: str, layer: nn.Conv1d, padding: tuple[int, int] = (0, 0)) -> str:
    """A convolution, with zeros before and behind."""
    return g("Conv", x, layer.weight, layer.bias, pads=list(padding), strides=list(layer.stride))


def norm(g: Graph, x: str, layer: nn.BatchNorm1d) -> str:
    """Batch normalisation with the statistics that were learned."""
    given = layer.weight, layer.bias, layer.running_mean, layer.running_var
    return g("BatchNormalization", x, *given, epsilon=layer.eps)


def convolution(g: Graph, x: str, layer: Convolution) -> str:
    """`usleep.Convolution`."""
    return norm(g, g("Elu", conv(g, x, layer.conv, layer.padding)), layer.norm)


def encode(g: Graph, unet: UNet, x: str):
    """Yield the maps of all encoders, finest first, and that of the connector."""
    for encoder in unet.encoders:
        x = convolution(g, x, encoder.convolution)
        odd = g("Mod", g.size(x, 2), [2])  # a column of zeros before the first sample
        x = g("Pad", x, g("Concat", odd, [0], axis=0), "", [2])
        yield x
        x = g("MaxPool", x, kernel_shape=[2], strides=[2])
    yield convolution(g, x, unet.connector)


def decode(g: Graph, unet: UNet, maps: list[str]) -> str:
    """Such maps -> features (B, F, T)."""
    x = maps[-1]
    for layer, skip in zip(unet.decoders, reversed(maps[:-1]), strict=True):
        x = merged(g, layer, x, skip)
    return x


def merged(g: Graph, layer: Decoder, x: str, skip: str) -> str:
    """`usleep.Decoder`."""
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = convolution(g, g("Resize", x, "", [1.0, 1.0, 2.0], **nearest), layer.up)
    length = g.size(skip, 2)
    surplus = g("Sub", g.size(x, 2), length)
    first = g("Div", g("Add", surplus, [1]), [2])
    x = g("Slice", x, first, g("Add", first, length), [2])
    return convolution(g, g("Concat", skip, x, axis=1), layer.merge)


def scores(g: Graph, layer: Scores, features: str) -> str:
    """`anysleep.Scores`: features (n, F) -> (n, 1)."""
    x = g("Gemm", features, layer.hidden.weight, layer.hidden.bias, transB=1)
    x = g("Relu", norm(g, x, layer.norm)) if layer.norm_first else norm(g, g("Elu", x), layer.norm)
    return g("Gemm", x, layer.score.weight, layer.score.bias, transB=1)


def encoded_scores(g: Graph, layer: EncodedChannelAttention, maps: str) -> str:
    """`anysleep.EncodedChannelAttention`: maps (B * C, F, T) -> (B * C, H)."""
    first, _, normalised, last = layer.encoder
    x = conv(g, norm(g, g("Elu", conv(g, maps, first)), normalised), last)
    features = g("ReduceMean", x, [2], keepdims=0)
    return g("Concat", *[scores(g, head, features) for head in layer.heads], axis=1)


def weighted(g: Graph, x: str, scored: str, maps: str) -> str:
    """Scores (B * C, H) and maps (B * C, F, T) of signals `x` (B, C, T) -> a sum for each head (B, H, F * T)."""
    B, C = g.size(x, 0), g.size(x, 1)
    weights = g("Softmax", g.reshape(scored, B, C, -1), axis=1)
    return g("MatMul", g("Transpose", weights, perm=[0, 2, 1]), g.reshape(maps, B, C, -1))


def classify(g: Graph, layer: Classifier, x: str, per_epoch: int) -> str:
    """`usleep.Classifier`."""
    x = g("Tanh", conv(g, x, layer.mix))
    if (size := layer.size(per_epoch, layer.samples)) > 1:
        n = g("Div", g.size(x, 2), [size])  # 0 of what is shorter than a stage
        x = g("Slice", x, [0], g("Mul", n, [size]), [2])
        x = g("ReduceMean", g.reshape(x, g.size(x, 0), layer.mix.out_channels, n, size), [3], keepdims=0)
    x = conv(g, g("Elu", conv(g, x, layer.project)), layer.last)
    return g("Transpose", x, perm=[0, 2, 1])
