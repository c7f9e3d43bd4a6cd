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
# # Where to fuse
#
# ```{admonition} What you will see
# :class: tip
# U-Sleep, AnySleep, and AnySleep with its channels joined earlier or later, on the same nights
# with all of their channels: Table 1 of the paper, known cohorts and strange ones.
#
# **Data** *simulated* twins of AnySleep's cohorts, or your real ones. **Question** at which
# depth should channels be joined? **Needs** {doc}`/book/what_channels_are_worth`. **Time** is
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
import numpy as np
from IPython.display import display

from sleeplib import multicohort, plotting, protocol, results, suite
from sleeplib.analysis import metrics, statistics
from sleeplib.models import weights as trained
from sleeplib.stages import STAGES
from sleeplib.suite import across

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
sites = ["sedf-sc", "ccshs"]  # cohorts that are trained on; None: all 13
hold_out = ["isruc-sg3"]  # cohorts that only test; None: all 8
root = ""  # folder with a folder of real nights for each cohort; empty: twins
persons = 3  # of each twin; 6 or more to train here on all 13
hours = 1.5  # of each of their nights; None: whole nights
test_persons = 1  # of each cohort, are scored and choose nothing
valid_persons = 1  # of each cohort, choose the training epoch
budget = "smoke"  # how much training: smoke, demo, long or paper
weights = ""  # weights that come with the project; empty: train here
kept = ""  # what the project has of these nights; empty: stage them here
seeds = [0]  # one run of each network for each of them
few = None  # persons of each cohort, one night of each; None: all nights
jobs = 2  # processes side by side


# %%
known = suite.stores(sites or suite.sites.TRAINING, root, persons, hours, jobs)
strange = suite.stores(
    hold_out or suite.sites.HOLD_OUT, root, test_persons, hours, jobs
)
stores = [*known, *strange]
kind = "simulated" if known[0].simulated else "real"

labels = [system.label for system in suite.TABLE_1]
runs = {}  # files of weights by seed and label
for seed in seeds:
    systems = suite.night_systems(budget, seed)
    runs[seed] = across.night_networks(
        known, systems, weights, test_persons, valid_persons, jobs
    )
first = runs[seeds[0]]
every = [path for found in runs.values() for path in found.values()]
tests = [
    across.first_nights(store, which, few)
    for store, which in zip(
        stores, across.test_nights(every, known, strange), strict=True
    )
]

# %% [markdown]
# All four were trained on the same persons, with windows drawn by the same rule and, at `demo` size,
# as many steps at the same learning rate: few, see N1. {doc}`training_across_cohorts` has an AnySleep
# that was given twelve times as many. U-Sleep was shown one EEG and one EOG channel of each window,
# and cannot use recordings without one of them; the others were shown a random number of channels
# ({doc}`/book/many_cohorts`).

# %%
lines = {}
for label in labels:
    card = trained.load(first[label]).card
    best = next(
        entry
        for entry in across.history(first[label])
        if entry["step"] == card["steps"]
    )
    lines[label] = [
        f"{card['parameters']:,}",
        f"{card['steps']:,}",
        f"{100 * best['macro_f1']:.1f}",
        f"{100 * best['f1'][STAGES.index('N1')]:.1f}",
        f"{card['seconds'] / 60:.0f}",
    ]
results.frame(
    lines,
    [
        "Parameters",
        "Kept step",
        "Validation macro F1 (%)",
        "F1 of N1 (%)",
        "Training (min)",
    ],
)

# %% [markdown]
# ## Table 1, ours
#
# Macro F1 in percent, pooled over the epochs of a cohort, of persons never seen; below, the means
# of the cohorts weighted by their numbers of recordings. U-Sleep's pairs vote, the others look at
# all channels, the discriminant at the first EEG channel. With several runs, the mean and the
# standard deviation over them.
#
# Nobody has to wait for the vote of forty pairs: what the networks that come with the project say of
# these simulated nights comes with it, too (`python book/staged/make.py any` made it). One night of each
# network is staged again here. If it does not come out the same, or with `kept=""`, all are.

# %%
baselines = multicohort.baselines(trained.load(first["AnySleep"]), known)
staged = {
    seed: across.stage_nights(
        runs[seed] | (baselines if seed == seeds[0] else {}),
        stores,
        tests,
        jobs,
        kept,
    )
    for seed in seeds
}


def scores(label):
    """Macro F1 (runs, cohorts) of a system."""
    there = [s for s in seeds if label in staged[s][0].posteriors]
    return np.array(
        [
            [metrics.macro_f1(p.confusions(label).sum(0)) for p in staged[s]]
            for s in there
        ]
    )


found = {label: scores(label) for label in [*labels, *baselines]}
counts = np.array([len(which) for which in tests])
is_known = np.arange(len(stores)) < len(known)
lines = {
    store.cohort: [counts[k], *(across.spread(f[:, k]) for f in found.values())]
    for k, store in enumerate(stores)
}
for name, chosen in (("Mean, known", is_known), ("Mean, strange", ~is_known)):
    share = counts[chosen] / counts[chosen].sum()
    means = [across.spread(f[:, chosen] @ share) for f in found.values()]
    lines[name] = [counts[chosen].sum(), *means]
print(f"{kind} nights; {len(seeds)} run{'s'[: len(seeds) > 1]}")
results.frame(lines, ["Nights", *found], "Macro F1 (%)")

# %% [markdown]
# ## With intervals
#
# All epochs of all cohorts pooled, 95 % over persons; the first run of each network.

# %%
chosen = [
    *(protocol.System(s.label, s.network) for s in suite.TABLE_1),
    *protocol.BASELINES,
]
pooled, records = {}, {}
for name, there in (("known", is_known), ("strange", ~is_known)):
    mine = [k for k in range(len(stores)) if there[k]]
    pooled[name] = across.together(
        [stores[k] for k in mine], [staged[seeds[0]][k] for k in mine]
    )
    records[name] = across.record_of_sites(
        f"Where to fuse, {name} laboratories: all channels",
        [stores[k] for k in mine],
        [tests[k] for k in mine],
        pooled[name].rows(chosen),
        started,
        pooled[name],
        budget=budget,
        weights=weights,
        hours=hours,
        seeds=seeds,
    )

# %% [markdown]
# **Known laboratories:**

# %%
results.table(records["known"])

# %% [markdown]
# **Strange laboratories:**

# %%
results.table(records["strange"])

# %%
figure, axes = plt.subplots(
    1, 2, figsize=(1.15 * plotting.WIDTH, 2.6), sharey=True
)
for axis, name in zip(axes, pooled, strict=True):
    plotting.intervals(records[name]["rows"], "macro_f1", axis)
    axis.set(
        title=f"{name} laboratories ({kind})", xlabel="macro F1 (%), pooled"
    )
plt.show()

# %% [markdown]
# ## AnySleep against the others, tested twice
#
# In points of the macro F1 of a recording. Welch's test takes the recordings of two networks for
# other recordings and those of one person for other persons; the right column flips the signs of
# each person's difference and corrects for three comparisons (Holm). Both ask whether there is any
# difference, not in which direction. Neither knows that another run of the same network would
# differ, too.

# %%
for name, predictions in pooled.items():
    f1 = {label: across.by_recording(predictions, label) for label in labels}
    ours, person = f1["AnySleep"]
    others = [label for label in labels if label != "AnySleep"]
    gain = np.stack(
        [statistics.by_person(ours - f1[o][0], person) for o in others], 1
    )
    flipped = statistics.holm(statistics.sign_flips(gain, "two-sided"))
    lines = {
        f"over {label}": [
            results.interval(*statistics.mean_of_persons(gain[:, k])),
            f"{statistics.welch(ours, f1[label][0], 'two-sided'):.2g}",
            f"{flipped[k]:.2g}",
        ]
        for k, label in enumerate(others)
    }
    print(f"{name} laboratories: {len(ours)} recordings of {len(gain)} persons")
    heads = ["Gain (points)", "p, Welch", "p, by person, Holm"]
    display(results.frame(lines, heads, "AnySleep"))

# %% [markdown]
# ## The published table
#
# As printed {cite:p}`grieger2025anysleep`: real nights, full-size networks, three runs. It stands by
# itself, because neither persons nor nights nor training are those of ours.

# %%
suite.published_anysleep("table_1")

# %% [markdown]
# ## What not to read from it
#
# The paper's networks have twice the filters, a hundred times the persons and far more steps, and
# three runs each; there the order is AnySleep, late fusion, U-Sleep, early fusion, within 3 points
# ({ref}`early-late`). Here a network that learns quickly looks better than one that learns slowly,
# and one run says nothing about the next. What carries over is the method: the same persons, the
# same nights, and a test that knows both.
#
# *Exercise:* U-Sleep's vote hears the EOG channels together as often as all EEG channels, however
# few they are. Let the pairs' posteriors be averaged instead (`pairs="mean"` of
# `sleeplib.inference.night_posteriors`). Is the difference larger than that between two
# architectures?

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
