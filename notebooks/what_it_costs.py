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
# # What it costs
#
# ```{admonition} What you will see
# :class: tip
# Three answers to one question, for U-Sleep, AnySleep and its variants and more and more channels:
# the paper's count of computational steps, floating-point operations, and seconds and memory on this
# machine.
#
# **Data** none; weights and signals are random, which costs the same. **Question** what does a
# night cost, and who should count how? **Needs** {doc}`/book/what_channels_are_worth`. **Time** is
# printed at the end.
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
import time

import matplotlib.pyplot as plt

from sleeplib import models, plotting, provenance, results
from sleeplib.analysis import cost

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
montages = [
    [1, 1],
    [2, 1],
    [3, 1],
    [2, 2],
    [3, 2],
    [4, 2],
]  # EEG, EOG: figure 6
hours = 0.2  # of a night
settings = {"depth": 6}  # of the networks; {}: full size
times = 1  # of which the least counts
threads = 2

# %% [markdown]
# ## Steps, as the paper counts
#
# Figure 6 counts each encoder block, decoder block, attention module and classifier that runs as one
# step. First the figure's own numbers; then with what it leaves out: AnySleep's thirteenth module, and
# the connector at the bottom of each U.

# %%
names = {
    "usleep": ("U-Sleep's vote", "#CC3311", "^-"),
    "anysleep-early": ("early fusion", "#009E73", "s-"),
    "anysleep": ("AnySleep", "#0072B2", "o-"),
    "anysleep-late": ("late fusion", "#E69F00", "v-"),
}
heads = [f"{eeg} EEG + {eog} EOG" for eeg, eog in montages]


def table(numbers, name):
    """A line for each network, a column for each montage."""
    lines = {names[n][0]: numbers[n] for n in names}
    return results.frame(lines, heads, name)


steps = {n: [cost.steps(n, *m) for m in montages] for n in names}
table(steps, "Steps (figure 6)")

# %%
complete = {
    n: [cost.steps(n, *m, as_published=False) for m in montages] for n in names
}
table(complete, "Steps (complete)")

# %% [markdown]
# ## Operations
#
# A step at the top of the U acts on 128 columns a second, one at its bottom on a column in 32 seconds;
# the bottom has hundreds of filters instead. Operations count what is multiplied and added: here those
# of 16 epochs, in 10⁹ for each hour of a night. U-Sleep's vote has as many as it has pairs.

# %%
samples = 16 * 3840
networks = {n: models.build(n, **settings).eval() for n in names}
per_hour = 120 / 16 / 1e9


def operations(name, eeg, eog):
    """10^9 operations for an hour."""
    if name == "usleep":
        return eeg * eog * cost.flops(networks[name], 2, samples) * per_hour
    return cost.flops(networks[name], eeg + eog, samples) * per_hour


flops = {n: [operations(n, *m) for m in montages] for n in names}
table(
    {n: [f"{x:.1f}" for x in row] for n, row in flops.items()},
    "10⁹ operations per hour",
)

# %% [markdown]
# ## Seconds and memory
#
# As `sleeplib.inference` stages a night: channels one after the other, maps in pieces. Each network in
# a process of its own; the memory is its peak over all montages, with the interpreter, torch and the
# signals in it.

# %%
device = provenance.device()
print(
    f"{device['cpu']}, {threads} threads; nights of {hours:g} h; least of {times}"
)
measured = {
    n: cost.measure(n, montages, hours, threads, times, **settings)
    for n in names
}
seconds = {n: found[0] for n, found in measured.items()}
cells = {
    n: [*(f"{x:.2f}" for x in found), f"{mib:,.0f}"]
    for n, (found, mib) in measured.items()
}
results.frame(
    {names[n][0]: row for n, row in cells.items()},
    [*heads, "Peak (MiB)"],
    "Seconds",
)

# %%
figure, axes = plt.subplots(1, 3, figsize=(1.25 * plotting.WIDTH, 3.2))
kinds = (
    ("steps (figure 6)", steps),
    ("10⁹ operations per hour", flops),
    (f"seconds for {hours:g} h", seconds),
)
for axis, (label, numbers) in zip(axes, kinds, strict=True):
    for n, (name, colour, form) in names.items():
        axis.plot(numbers[n], form, color=colour, ms=4, label=name)
    axis.set(ylabel=label, ylim=(0, None), xlabel="EEG + EOG channels")
    axis.set_xticks(range(len(montages)), [f"{a}+{b}" for a, b in montages])
figure.legend(
    *axes[0].get_legend_handles_labels(), ncols=4, loc="outside upper center"
)
plt.show()

# %% [markdown]
# ## What not to read from it
#
# All four are small: a night takes seconds on a laptop. The order of the curves is what their form
# makes it, U-Sleep's vote by pairs, late fusion by channels, AnySleep by channels on one arm, early fusion
# hardly at all. How far apart they are depends on who counts: steps weigh a module with 40 hidden units
# like a convolution over 128 columns a second. Measure where you mean to run;
# `python benchmarks/anysleep.py` does so for nights of 8 hours, beside the plain networks and the
# authors' numbers.
#
# *Exercise:* from how many EEG channels on does AnySleep take less time than U-Sleep's vote, with one
# EOG and with two?

# %%
print(f"{time.perf_counter() - started:.0f} s on {threads} threads")
