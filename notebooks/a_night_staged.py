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
# # A night, staged
#
# ```{admonition} What you will see
# :class: tip
# Figure 5 of the paper: the hypnogram of SeqSleepNet-20 over that of the expert, the
# errors, and the probabilities of all five stages.
#
# **Data** the *simulated* twin of MASS, or the cohort that you name. **Question** where
# in a night does it err, and does it know?
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

from sleeplib import plotting, suite
from sleeplib.analysis import architecture
from sleeplib.stages import UNSCORED

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
seed = 0  # of the split, the weights, the batches and the dropout
jobs = 2  # processes side by side

# %%
nights = suite.nights(cohort, root, persons, hours, jobs)
split = suite.splits(nights, folds, valid_persons, test_persons, seed)
print(suite.summary(nights, split))
kind = "simulated" if nights.simulated else "real"

systems = suite.systems(budget=budget, seed=seed, only=["SeqSleepNet-20"])
predictions = suite.evaluate(nights, split, systems, jobs, weights)
label = systems[0].label

# %% [markdown]
# The test night whose sleep statistics are nearest to the mean of all of them: neither
# the best nor the worst.

# %%
step = {
    nights.ids[i]: nights.quality(i).get("step", nights.epoch_seconds)
    for i in range(len(nights))
}  # s from one epoch to the next: 20 where epochs of 20 s were widened to 30
names = list(dict.fromkeys(predictions.recording.tolist()))
names = [name for name in names if step[name] == step[names[0]]]
truths = [predictions.truth[predictions.recording == name] for name in names]
name = names[architecture.typical(truths, step[names[0]])]
here = predictions.recording == name
truth, stages = predictions.truth[here], predictions.stages(label)[here]
posteriors = predictions.posteriors[label][here]
right = np.mean(stages[truth != UNSCORED] == truth[truth != UNSCORED])
figure, axes = plt.subplots(
    4,
    1,
    figsize=(plotting.WIDTH, 6.0),
    sharex=True,
    height_ratios=[1.2, 1.2, 0.35, 1.3],
)
plotting.hypnogram(stages, step[name], ax=axes[0]).set(
    xlabel="", title=f"{label}: {100 * right:.0f} % right ({name}, {kind})"
)
plotting.hypnogram(truth, step[name], ax=axes[1]).set(
    xlabel="", title="Expert" if kind == "real" else "Simulated expert"
)
plotting.errors(truth, stages, step[name], ax=axes[2]).set(xlabel="")
plotting.hypnodensity(posteriors, step[name], ax=axes[3])
plotting.stage_legend(figure)
plt.show()

# %% [markdown]
# Errors are coloured by the true stage. Look where they stand: at changes of stage, or in the
# middle of a bout? And are the probabilities torn there?
#
# ## Does it know when it errs?
#
# Epochs of all test nights, by the probability that the network gives to the stage it
# chose: how many there are, and how many of them are right.

# %%
scored = predictions.truth != UNSCORED
sure = predictions.posteriors[label][scored].max(1)
correct = (predictions.stages(label) == predictions.truth)[scored]
edges = np.array([0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
bins = np.clip(np.digitize(sure, edges) - 1, 0, len(edges) - 2)
counts = np.bincount(bins, minlength=len(edges) - 1)
filled = counts > 0
claimed = np.bincount(bins, sure, len(counts))[filled] / counts[filled]
share = np.bincount(bins, correct, len(counts))[filled] / counts[filled]
figure, axis = plt.subplots(figsize=(0.6 * plotting.WIDTH, 3.0))
axis.plot([20, 100], [20, 100], color="#BBBBBB", lw=1)
axis.plot(100 * claimed, 100 * share, "o-", color="#0072B2")
for x, y, n in zip(claimed, share, counts[filled], strict=True):
    axis.annotate(
        f"{n:,}",
        (100 * x, 100 * y),
        (0, -11),
        textcoords="offset points",
        ha="center",
        fontsize=7,
    )
axis.set(xlabel="probability of the chosen stage (%)", ylabel="right (%)")
axis.set_title(f"{scored.sum():,} epochs ({kind})")
plt.show()

# %% [markdown]
# On the grey line, the network would know exactly how sure to be; above it, it is too modest,
# below it too bold. The small numbers are epochs. The fused probability is a geometric mean of
# many decisions, and those who disagree pull it down together.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
