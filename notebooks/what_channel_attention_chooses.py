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
# # What the channel attention chooses
#
# ```{admonition} What you will see
# :class: tip
# How much each of AnySleep's thirteen attention modules weighs an eye, a frontal, a central and an
# occipital channel; and what the network loses without each of them, which is another question.
#
# **Data** *simulated* twins of AnySleep's cohorts, or your real ones. **Question** which channel
# does the network listen to, and at which time scale? **Needs**
# {doc}`/book/what_channels_are_worth`. **Time** is printed at the end.
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
import numpy as np

from sleeplib import multicohort, plotting, protocol, results, suite
from sleeplib.analysis import metrics, statistics
from sleeplib.models import weights as trained
from sleeplib.suite import across, channels

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
sites = ["phys", "abc"]  # cohorts that are trained on; None: all 13
hold_out = ["isruc-sg3"]  # cohorts that only test; None: all 8
root = ""  # folder with a folder of real nights for each cohort; empty: twins
persons = 3  # of each twin; 6 or more to train here on all 13
hours = 1.5  # of each of their nights; None: whole nights
test_persons = 1  # of each cohort, are scored and choose nothing
valid_persons = 1  # of each cohort, choose the training epoch
budget = "smoke"  # how much training: smoke, demo, long or paper
weights = ""  # weights that come with the project; empty: train here
kept = ""  # what the project has of these nights; empty: stage them here
seeds = [0]  # a panel for each run of the network
few = 1  # persons of each cohort, one night of each; None: all nights
jobs = 2  # processes side by side


# %%
known = suite.stores(sites or suite.sites.TRAINING, root, persons, hours, jobs)
strange = suite.stores(
    hold_out or suite.sites.HOLD_OUT, root, test_persons, hours, jobs
)
stores = [*known, *strange]
kind = "simulated" if known[0].simulated else "real"

networks = {}
for seed in seeds:
    (system,) = (
        s for s in suite.night_systems(budget, seed) if s.network == "anysleep"
    )
    found = across.night_networks(
        known, [system], weights, test_persons, valid_persons, jobs
    )
    networks[f"run {seed}"] = found[system.label]
first = networks[f"run {seeds[0]}"]
tests = across.test_nights(networks.values(), known, strange)
which = [
    across.first_nights(s, channels.nights_with(s, w, channels.LEFT), few)
    for s, w in zip(stores, tests, strict=True)
]

# %% [markdown]
# ## Figure 4, ours
#
# Nights that have a left EOG, F3, C3 and O1 against ear or linked ears (at `demo` size the first
# night of each person); the network is given just these four. A number is the weight of a channel
# in a module, meaned over persons; the four of a row add up to 1. Modules 1 to 12 join the maps of
# the encoders, from 128 columns a second to one column in 16 seconds; module 13 joins those of the
# connector. A weight that knows nothing is 0.25. With the `demo` profile all but one of the nights were
# looked at before (`python book/staged/make.py any-long`); `kept=""` looks at all of them here.

# %%
found, person = across.gather(
    channels.weights, networks, stores, which, jobs, kept
)
found = {run: np.stack(values) for run, values in found.items()}  # (R, M, 4)
modules = [str(1 + m) for m in range(next(iter(found.values())).shape[1])]
figure, axes = plt.subplots(
    1,
    len(found),
    figsize=(max(0.62, 0.42 * len(found)) * plotting.WIDTH, 4.6),
    squeeze=False,
    layout="constrained",
)
for axis, (run, values) in zip(axes[0], found.items(), strict=True):
    mean = statistics.by_person(values, person).mean(0)
    mean = np.vstack([mean, mean.mean(0)])
    plotting.numbers(
        100 * mean, [*modules, "mean"], channels.LEFT, axis, span=(0, 100)
    )
    axis.set(ylabel="module", title=f"{run}: weights (%), {kind} nights")
    axis.axhline(len(modules) - 0.5, color="black", lw=0.8)
plt.show()
print(f"{len(person)} recordings of {len(set(person))} persons")

# %% [markdown]
# Do persons agree? The weights of a module differ between nights; the table has the mean over
# modules, and how much persons differ.

# %%
each = statistics.by_person(found[f"run {seeds[0]}"], person).mean(1)  # (P, 4)
lines = {
    name: [
        results.interval(*statistics.mean_of_persons(each[:, k])),
        f"{100 * each[:, k].min():.1f} to {100 * each[:, k].max():.1f}",
    ]
    for k, name in enumerate(channels.LEFT)
}
results.frame(
    lines, ["Mean weight (%), 95 %", "Persons, lowest to highest"], "Channel"
)

# %% [markdown]
# ## What the network loses
#
# The same nights without one of the four channels, and from one alone: macro F1 of a recording, its
# change in points, 95 % intervals paired by person, p from flipped signs (Holm). If weights were
# importance, the channel with the largest weight would be missed most.

# %%
counts, person = across.gather(
    channels.without_each, {"AnySleep": first}, stores, which, jobs, kept
)
f1 = np.stack(
    [metrics.macro_f1(c) for c in counts["AnySleep"]]
)  # (R, 1 + 4 + 4)
f1 = statistics.by_person(f1, person)
n = len(channels.LEFT)
everything, without, alone = f1[:, 0], f1[:, 1 : 1 + n], f1[:, 1 + n :]
lost = everything[:, None] - without
p = statistics.holm(statistics.sign_flips(lost, "two-sided"))
lines = {
    name: [
        f"{100 * each[:, k].mean():.1f}",
        results.interval(*statistics.mean_of_persons(lost[:, k])),
        f"{p[k]:.2g}",
        results.interval(*statistics.mean_of_persons(alone[:, k])),
    ]
    for k, name in enumerate(channels.LEFT)
}
print(
    f"from all four: macro F1 {results.interval(*statistics.mean_of_persons(everything))} %"
)
results.frame(
    lines,
    [
        "Mean weight (%)",
        "Lost without it (points)",
        "p (Holm)",
        "From it alone (%)",
    ],
    "Channel",
)

# %% [markdown]
# And which stage misses it? The change of each stage's F1, pooled over these nights.

# %%
pooled = np.sum(counts["AnySleep"], axis=0)  # (1 + 4 + 4, 5, 5)
change = 100 * (metrics.f1(pooled[1 : 1 + n]) - metrics.f1(pooled[0]))
figure, axis = plt.subplots(figsize=(0.62 * plotting.WIDTH, 2.4))
limit = max(1.0, np.nanmax(np.abs(change)))
plotting.numbers(
    change,
    [f"without {name}" for name in channels.LEFT],
    plotting.STAGES,
    axis,
    cmap="RdBu",
    span=(-limit, limit),
)
axis.set_title(f"change of F1 (points), {kind} nights")
plt.show()

# %% [markdown]
# ## The record

# %%
baselines = multicohort.baselines(trained.load(first), known)
staged = across.stage_nights(baselines, stores, which, jobs)
used = [s for s, w in zip(stores, which, strict=True) if len(w)]
conditions = [
    "EOG, F3, C3, O1",
    *(f"without {name}" for name in channels.LEFT),
    *(f"{name} alone" for name in channels.LEFT),
]
people = np.unique(person)
by_person = np.stack(
    [np.stack(counts["AnySleep"])[person == name].sum(0) for name in people]
)
rows = [
    {"system": f"AnySleep: {condition}", "role": "model"}
    | statistics.score_counts(by_person[:, k])
    for k, condition in enumerate(conditions)
]
rows += across.together(used, staged).rows(protocol.BASELINES)
record = across.record_of_sites(
    "What the channel attention chooses: with and without each channel",
    stores,
    which,
    rows,
    started,
    budget=budget,
    weights=weights,
    hours=hours,
    seeds=seeds,
)
results.table(record)

# %% [markdown]
# ## What not to read from it
#
# A weight says how much of a channel goes into a map, not what the map is used for. Two channels that
# say the same can share their weights in any proportion without any loss, and what is missing without
# one of them is only what no other has. That is why losses without a channel are so much smaller than
# what it gives alone. Runs of one network need not agree on weights even if they agree on stages.
#
# *Exercise:* give the network the first channel twice, EOG, EOG, F3, C3, O1. Which weights change, and
# by which rule? *Hint:* {ref}`channel-attention`.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
