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
# # How much context?
#
# ```{admonition} What you will see
# :class: tip
# Beyond the paper: SeqSleepNet with sequences of 1 to 200 epochs. What does context
# buy, for which stage, and what does it cost?
#
# **Data** the *simulated* twin of MASS, or the cohort that you name. **Question** the
# paper tried 10, 20 and 30 epochs and found no difference. Where does the gain begin,
# and where does it end?
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
import torch

from sleeplib import inference, plotting, protocol, results, suite
from sleeplib.models import weights as trained
from sleeplib.plotting import COLOURS
from sleeplib.stages import STAGES

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
cohort = "mass"  # manifest: its simulated twin, or with `root` its real nights
root = ""  # folder of the real nights; empty: the simulated twin
persons = 6  # of the twin
hours = 1.5  # of each of its nights; None: whole nights
folds = None  # None: one split; a number; or the path of the published folds
valid_persons = 1  # choose the training step
test_persons = 2  # are scored, and choose nothing; with folds all are
budget = "smoke"  # how much training: smoke, demo, real-eeg or paper
weights = ""  # weights that come with the project, used where they fit
lengths = [1, 5, 20]  # epochs that the network sees at once
seed = 0  # of the split, the weights, the batches and the dropout
jobs = 2  # processes side by side

# %%
nights = suite.nights(cohort, root, persons, hours, jobs)
split = suite.splits(nights, folds, valid_persons, test_persons, seed)
print(suite.summary(nights, split))
kind = "simulated" if nights.simulated else "real"

systems = suite.systems([suite.context(L) for L in lengths], budget, seed)
systems += protocol.BASELINES
predictions = suite.evaluate(nights, split, systems, jobs, weights)

# %% [markdown]
# ## The cost
#
# Training time is that of the machine that trained; staging a night with all its
# overlapping sequences is timed here, now. Each epoch is encoded once; the sequence
# layer then runs over as many windows as there are epochs, so its cost grows with the
# length.

# %%
night = torch.from_numpy(nights.images(int(split[0]["test"][0])))
staging = []
for s in systems[: len(lengths)]:
    network = trained.load(predictions.folders[s.label][0] / s.network)
    begun = time.perf_counter()
    inference.posteriors(network, night)
    staging.append(time.perf_counter() - begun)
rows = suite.rows(predictions, systems)
for row, seconds in zip(rows, staging, strict=False):
    row["staging_seconds"] = seconds
record = suite.record(
    f"How much context: SeqSleepNet with 1 to {max(lengths)} epochs",
    nights,
    split,
    systems,
    predictions,
    started,
    rows,
    budget=budget,
    weights=weights,
    seed=seed,
    lengths=lengths,
)
results.table(record)

# %%
suite.sizes(record)

# %% [markdown]
# ## The gain

# %%
models = rows[: len(lengths)]
figure, axes = plt.subplots(1, 3, figsize=(1.4 * plotting.WIDTH, 3.0))
value, low, high = (
    100 * np.array([row[f"accuracy{end}"] for row in models], float)
    for end in ("", "_low", "_high")
)
axes[0].errorbar(
    lengths,
    value,
    [value - low, high - value],
    marker="o",
    capsize=3,
    lw=1,
    color="#0072B2",
)
axes[0].set(
    ylabel="accuracy (%)", title=f"{record['data']['persons']} {kind} persons"
)
for k, stage in enumerate(STAGES):
    axes[1].plot(
        lengths,
        [
            np.nan
            if row["sensitivity"][k] is None
            else 100 * row["sensitivity"][k]
            for row in models
        ],
        marker="o",
        ms=4,
        color=COLOURS[stage],
        label=stage,
    )
axes[1].set(ylabel="sensitivity (%)", ylim=(0, 100), title="stage by stage")
axes[1].legend(ncols=2)
axes[2].plot(lengths, staging, marker="o", color="#D55E00")
axes[2].set(
    ylabel="s for a night",
    ylim=(0, None),
    title=f"staging ({len(night)} epochs)",
)
for axis in axes:
    axis.set(xscale="log", xlabel="sequence length L (epochs)")
    axis.set_xticks(lengths, labels=[str(L) for L in lengths])
    axis.minorticks_off()
plt.show()

# %%
suite.gain_table(
    {
        f"L = {L} minus L = {lengths[0]}": suite.gains(
            predictions, suite.context(L).label, systems[0].label
        )
        for L in lengths[1:]
    }
)

# %% [markdown]
# With L = 1 the sequence layer has nothing to remember: that is a one-epoch network with an
# idle recurrence, and the first row to compare with. All are trained by one recipe, and a step
# shows about as many epochs whatever L is (`sleeplib.suite.context`). A longer sequence is not
# free in another way, too: a night holds fewer independent ones.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
