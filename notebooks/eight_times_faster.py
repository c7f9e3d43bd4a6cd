# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A U-Net under its roof
#
# ```{admonition} What you will see
# :class: tip
# The roof of this machine, measured; each level of AnySleep under it; and the tricks that
# `sleeplib.inference` stages a night with, one in each cell, with what it gains here and now and how far
# its result is from the plain one.
#
# **Data** none; weights and signals are random, which costs the same. **Question** why do maps of six
# filters take longer than maps of two hundred, and what can be done without changing the network?
# **Needs** {doc}`/book/eight_times_faster`. **Time** is printed at the end.
# ```

# %% tags=["setup", "remove-cell"]
import importlib.util
import subprocess
import sys

# Colab starts without the package.
if importlib.util.find_spec("sleeplib") is None:
    package = "sleeplib @ git+https://github.com/sleeplib/sleeplib"
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.check_call([*pip, package])

# %%
import math
import time

import matplotlib.pyplot as plt
import torch
from torch.nn import functional

from sleeplib import inference, models, plotting, provenance, results
from sleeplib.inference import finest
from sleeplib.models import folded
from sleeplib.models.folded import FOLD, Folded, affine, halved, rows_of

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
hours = 0.5  # of a night
channels = 3
times = 2  # of which the least counts
threads = 2  # for whole nights; all else is measured on one core
seed = 0

# %%
torch.set_num_threads(1)
torch.manual_seed(seed)
network = models.build("anysleep").eval()
for norm in network.modules():  # as after a training: no two filters alike
    if isinstance(norm, torch.nn.BatchNorm1d):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
samples = round(hours * 120) * 3840
night = torch.randn(channels, samples)
device = provenance.device()
print(f"{device['cpu']}, one core, float32; channels of {hours:g} h")


def least(function):
    """Least seconds of a function, and what it gave."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        with torch.inference_mode():
            result = function()
        found.append(time.perf_counter() - begun)
    return min(found), result


def often(function, rounds=50):
    """A function that calls this one many times: for those that take no time."""

    def called():
        for _ in range(rounds):
            result = function()
        return result

    return called


gains = {}


def compare(name, plain, quick, of="ms"):
    """Time both, print them, and remember the gain."""
    slow, expected = least(plain)
    fast, found = least(quick)
    off = (found - expected).abs().max().item()
    gains[name] = slow / fast
    unit = {"ms": 1e3, "s": 1}[of]
    print(f"{name}: {unit * slow:.3g} -> {unit * fast:.3g} {of}, ", end="")
    print(f"{slow / fast:.1f} times; largest difference {off:.0e}")


# %% [markdown]
# ## The roof
#
# A machine does so many operations a second, if it has nothing to wait for, and moves so many bytes a second, if
# it does nothing else. Whatever does $I$ operations for each byte that it moves can do no more than the smaller
# of the two: $\min(P, I \cdot B)$. For $P$ we take a convolution of 256 to 256 filters.

# %%
wide = torch.randn(1, 256, 1, 2048).to(memory_format=torch.channels_last)
weight = torch.randn(256, 256, 1, 9).to(memory_format=torch.channels_last)
many = often(lambda: functional.conv2d(wide, weight), 5)
peak = 5 * 2 * weight.numel() * (2048 - 8) / least(many)[0]
far = torch.randn(1 << 26)  # 256 MiB: no cache holds it
near = torch.randn(1 << 16)  # 256 KiB: one core's own
target, copy = torch.empty_like(far), torch.empty_like(near)
moved = 8 * len(far) / least(lambda: target.copy_(far))[0]
cached = 8 * len(near) * 1000 / least(often(lambda: copy.copy_(near), 1000))[0]
new = 4 * len(far) / least(lambda: torch.zeros(len(far)).add_(1))[0]
results.frame(
    {
        "wide convolutions": [f"{peak / 1e9:,.0f} · 10⁹ operations/s"],
        "memory, read and written": [f"{moved / 1e9:.1f} GB/s"],
        "cache of one core": [f"{cached / 1e9:.1f} GB/s"],
        "memory that is new to the process": [f"{new / 1e9:.1f} GB/s"],
    },
    ["measured"],
    "This machine",
)

# %% [markdown]
# ## The levels under it
#
# Each level of the left arm, as its file reads: a convolution, ELU, batch normalisation, and maxima of
# pairs. Operations are those of the convolution. The bytes are what has to be moved at least: the input
# once in, the map once out, in single precision.

# %%
x, levels = night[:1][None], []
for encoder in network.unet.encoders:
    seconds, (skip, low) = least(
        lambda encoder=encoder, x=x: encoder.halve(encoder.convolution(x))
    )
    operations = 2 * encoder.convolution.conv.weight.numel() * x.shape[-1]
    moving = 4 * (x.numel() + skip.numel())
    levels.append((x.shape[1], skip.shape[1], seconds, operations, moving))
    x = low
table = {
    f"{level}": [
        f"{inputs} → {filters}",
        f"{1e3 * seconds:.1f}",
        f"{operations / 1e9:.2f}",
        f"{operations / moving:.0f}",
        f"{operations / seconds / 1e9:.0f}",
    ]
    for level, (inputs, filters, seconds, operations, moving) in enumerate(
        levels
    )
}
results.frame(
    table,
    [
        "Filters",
        "ms",
        "10⁹ operations",
        "Operations per byte",
        "10⁹ operations/s",
    ],
    "Level",
)

# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 3.4))
intensity = torch.logspace(0, 3.2, 200)
for bandwidth, label, line in (
    (cached, "cache", ":"),
    (moved, "memory", "-"),
):
    roof = (intensity * bandwidth).clamp(max=peak) / 1e9
    axis.loglog(intensity, roof, line, color="black", label=f"roof, {label}")
for level, (_, _, seconds, operations, moving) in enumerate(levels):
    at = operations / moving, operations / seconds / 1e9
    axis.plot(*at, "o", color="#0072B2", label=None if level else "a level")
    axis.annotate(
        f"{level}", at, xytext=(4, -9), textcoords="offset points", fontsize=7
    )
axis.set(
    xlabel="operations per byte", ylabel="10⁹ operations/s", xlim=(1, 1600)
)
axis.set_ylim(0.5, 2 * peak / 1e9)
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# A roof in logarithms: up on the left, where memory decides, level on the right, where arithmetic does.
# *Each dot is a level of AnySleep's left arm, random weights, on this machine.* The finest levels lie
# furthest below the roof that their position gives them. They move far more than they would have to:
# each of the five operations on a map reads and writes all of it, most of them into memory that the system has
# to hand out and clear first. And six filters do not fill the registers of the processor, which takes
# sixteen numbers at a time.
#
# ## 1. Tiles
#
# Cut the night into pieces, whose maps fit into the cache, take each through everything, and write the result into
# memory that is used again and again. A piece is computed from a little more than itself, so that its ends are
# right: the halo of a kernel of nine is four samples.

# %%
layer = network.unet.encoders[1].convolution
filters = layer.conv.in_channels
x = torch.randn(1, filters, samples // 2)
kept = x.new_empty(1, layer.conv.out_channels, x.shape[-1])


def tiled(step=16_384, halo=4):
    """The layer's map, piece by piece."""
    for first in range(0, x.shape[-1], step):
        low = max(first - halo, 0)
        part = layer(x[..., low : first + step + halo])[..., first - low :]
        kept[..., first : first + step] = part[..., :step]
    return kept


compare("tiles", lambda: layer(x), tiled)

# %% [markdown]
# ## 2. Four samples side by side
#
# A convolution of 6 to 9 filters with kernel 9 is the same as one of 24 to 36 with kernel 3 that
# takes four samples at a time: its weights stand in a matrix of blocks, each row shifted by a sample
# (Toeplitz). More of them are zeros, so there is *more* to multiply. But registers are full, and time and
# filters lie in memory as (T, F), so that folding is no more than another look at the same numbers.

# %%
quick = Folded.same(layer)
rows = x[0].T.contiguous().view(-1, FOLD * filters)
kept_rows = rows.new_empty(len(rows), len(quick.bias))
print(f"weights {tuple(layer.conv.weight.shape)}", end=" -> ")
print(f"{tuple(quick.weight.shape)}")


def folding(step=4096):
    """The same map from folded rows, piece by piece."""
    for first in range(0, len(rows), step):
        last = min(first + step, len(rows))
        part = rows_of(rows, first - quick.before, last + quick.after)
        quick(part, out=kept_rows[first:last])
    return kept_rows


def unfolded(rows):
    """A folded map as (1, F, T); its samples stand in the order 0, 2, 1, 3."""
    parts = rows.unflatten(1, (FOLD, -1))[:, list(folded.SPLIT)]
    return parts.flatten(0, 1).T[None]


slow, expected = least(tiled)
fast, found = least(folding)
off = (unfolded(found) - expected).abs().max().item()
gains["folding, on top of tiles"] = slow / fast
print(f"{1e3 * slow:.3g} -> {1e3 * fast:.3g} ms, ", end="")
print(f"{slow / fast:.1f} times; largest difference {off:.0e}")

# %% [markdown]
# ## 3. Powers of two
#
# ELU is $\max(x, e^{\min(x, 0)} - 1)$, and $e^x = 2^{x \log_2 e}$. Processors store numbers as a mantissa times
# a power of two, so that powers of two are the cheaper ones; the factor goes into the weights before. Batch
# normalisation that learns no more is one product and one sum.

# %%
norm, map_ = layer.norm, torch.randn(1, layer.conv.out_channels, 1 << 14)
gain, shift = (p.repeat(FOLD) for p in affine(norm))
scaled = (map_[0].T / math.log(2)).reshape(-1, len(gain))
unit = scaled.new_tensor(-1 / math.log(2))


def powers():
    """ELU and normalisation of rows whose weights have the factor in them."""
    power = scaled.clamp(max=0).exp2_()
    torch.add(unit, power, alpha=1 / math.log(2), out=power)
    larger = torch.maximum(scaled, power, out=power)
    return torch.addcmul(shift, larger, gain * math.log(2))


compare(
    "powers of two",
    often(lambda: norm(functional.elu(map_))[0].T),
    often(lambda: powers().view(-1, layer.conv.out_channels)),
)

# %% [markdown]
# ## 4. Maxima of halves
#
# Maxima of neighbours make the processor pick every other number. If the four samples of a row stand in the order
# 0, 2, 1, 3, they are the maxima of its two halves, and the result is in order again.

# %%
in_order = unfolded(found).contiguous()
pooled = found.new_empty(len(found), found.shape[1] // 2)
compare(
    "maxima of halves",
    often(lambda: functional.max_pool1d(in_order, 2), 5),
    often(
        lambda: (
            halved(found, out=pooled).view(-1, layer.conv.out_channels).T[None]
        ),
        5,
    ),
)

# %% [markdown]
# ## 5. A sigmoid for a tanh
#
# The classifier has a tanh for each filter and sample: $\tanh x = 2 \sigma(2x) - 1$.

# %%
x = torch.randn(1 << 18)
compare(
    "sigmoid",
    often(x.tanh),
    often(lambda: x.mul(2).sigmoid_().mul_(2).sub_(1)),
)

# %% [markdown]
# ## The finest levels, depth first
#
# All of this together, on the three finest levels of one channel: a piece goes through all of them, and what comes
# out below is all that is kept.

# %%
layers = [Folded.same(e.convolution) for e in network.unet.encoders[:3]]
signal = night[:1].T.contiguous()
n, step = samples // (FOLD << 2), 2048
below = signal.new_empty(n, len(layers[-1].bias) // 2)


def plain_levels():
    """What leaves the third level, as the file reads."""
    x = night[:1][None]
    for encoder in network.unet.encoders[:3]:
        _, x = encoder(x)
    return x


def depth_first():
    """The same, piece by piece."""
    for first in range(0, n, step):
        last = min(first + step, n)
        map_, _ = finest.maps(layers, signal, first, last)[-1]
        halved(map_, out=below[first:last])
    return below.view(-1, layers[-1].weight.shape[0] // FOLD).T[None]


compare("three finest levels", plain_levels, depth_first)

# %% [markdown]
# ## All of it, and one channel at a time
#
# Channels come one after the other. The softmax over them runs along: with the weights so far,
# $S = \sum_{j \le i} e^{s_j}$, the mean moves towards channel $i$ by $e^{s_i} / S$ of the way. So the memory is that of
# one channel. Maps of the three finest levels are not even kept: making them again for the right arm
# takes less time than reading them.

# %%
torch.set_num_threads(threads)
print(f"{threads} threads, {channels} channels")
compare(
    "a whole night",
    lambda: network(night[None])[0].softmax(-1),
    lambda: inference.night_posteriors(network, night),
    "s",
)
exact, part = models.build("anysleep").double().eval(), night[:, : 3840 * 6]
exact.load_state_dict(network.state_dict())
with torch.inference_mode():
    plain = exact(part.double()[None])[0].softmax(-1)
ours = inference.night_posteriors(exact, part.double())
print(f"in double precision: {(ours - plain).abs().max().item():.0e}")

# %% [markdown]
# In single precision both differ from the exact network by about as much as from each other; in double precision,
# where rounding is out of the way, the difference shows whether it is the same function.

# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.4))
names = list(gains)
axis.barh(names, list(gains.values()), color="#0072B2")
for place, gain in enumerate(gains.values()):
    axis.text(gain, place, f" {gain:.1f}", va="center", fontsize=8)
axis.axvline(1, color="black", lw=0.8)
axis.invert_yaxis()
axis.set(xlabel="times faster", xlim=(0, 1.15 * max(gains.values())), ylim=None)
plt.show()

# %% [markdown]
# *Each bar is one cell of this page: how many times faster on this machine in this run.* They do not multiply: each
# trick saves its part of what is left.
#
# ## Half the bits
#
# bfloat16 keeps the range of single precision and 8 of its 24 bits. What is multiplied in it is no longer the same
# function: here is how many stages change.

# %%
half = models.build("anysleep").eval()
half.load_state_dict(network.state_dict())
half = half.bfloat16()
slow, exact = least(lambda: inference.night_posteriors(network, night))
fast, rough = least(lambda: inference.night_posteriors(half, night))
same = (exact.argmax(1) == rough.argmax(1)).float().mean().item()
print(f"{slow:.2f} -> {fast:.2f} s, {slow / fast:.1f} times; ", end="")
print(f"{100 * same:.1f} % of the stages are the same")

# %% [markdown]
# ## What not to read from it
#
# Random weights make stages of no meaning, and posteriors closer to each other than those of a trained network.
# The gains are those of this machine: another cache, another number of cores, and they are others. On a GPU the
# network runs as it is written. `python benchmarks/anysleep.py` measures nights of 8 hours, each in a
# process of its own, with memory.
#
# *Exercise:* {ref}`ex-faster-fold` folds eight samples instead of four; try it here.

# %%
print(f"{time.perf_counter() - started:.0f} s on {threads} threads")
