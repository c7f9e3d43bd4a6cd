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
# # Transitions
#
# ```{admonition} What you will see
# :class: tip
# How often each system errs at changes of stage, and how often elsewhere. The paper:
# 16.6 % of the epochs stand at a change, and SeqSleepNet-20 is wrong on 34.5 % of them,
# on 8.7 % of the others.
#
# **Data** the *simulated* twin of MASS, or the cohort that you name; and the committed
# predictions on real EEG. **Question** is it the changes that are hard, for networks
# and for people?
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

from sleeplib import plotting, protocol, results, suite
from sleeplib.analysis import metrics, statistics

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

# %% [markdown]
# An epoch stands *at a transition* if the scored epoch before it or after it is of
# another stage.

# %%
nights = suite.nights(cohort, root, persons, hours, jobs)
split = suite.splits(nights, folds, valid_persons, test_persons, seed)
print(suite.summary(nights, split))
kind = "simulated" if nights.simulated else "real"

labels = ["SeqSleepNet-20", "Multitask E2E-ARNN", "E2E-ARNN"]
systems = suite.systems(budget=budget, seed=seed, only=labels) + list(
    protocol.BASELINES
)
predictions = suite.evaluate(nights, split, systems, jobs, weights)
rows = suite.rows(predictions, systems)
record = suite.record(
    "Transitions: where the errors are",
    nights,
    split,
    systems,
    predictions,
    started,
    rows,
    budget=budget,
    weights=weights,
    seed=seed,
)
columns = ["accuracy", "transition_error", "non_transition_error"]
results.table(record, columns)


# %%
def at_transitions(truth, predicted, recording):
    """Share (%) of the epochs that stand at transitions, and of the errors that do."""
    counts = metrics.confusion_at_transitions(truth, predicted, recording)
    epochs = counts.sum((1, 2))
    wrong = epochs - np.trace(counts, axis1=1, axis2=2)
    return 100 * epochs[0] / epochs.sum(), 100 * wrong[0] / wrong.sum()


share, errors = at_transitions(
    predictions.truth,
    predictions.stages("SeqSleepNet-20"),
    predictions.recording,
)
print(
    f"{kind}: {share:.1f} % of the epochs stand at a transition, and {errors:.1f} % of SeqSleepNet-20's errors"
)

# %% [markdown]
# ## How far from a change?
#
# The error against the distance to the nearest epoch at a transition of the same night.


# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.8))
for s in systems[:3]:
    axis.plot(
        100
        * metrics.error_by_distance(
            predictions.truth,
            predictions.stages(s.label),
            predictions.recording,
        ),
        marker="o",
        ms=4,
        label=s.label,
    )
axis.set(
    xlabel="distance from the nearest change of stage (epochs; 10 and more)",
    ylabel="error (%)",
    ylim=(0, None),
)
axis.set_title(f"{record['data']['persons']} {kind} persons")
axis.legend()
plt.show()

# %% [markdown]
# ## On real EEG
#
# From the committed predictions on Sleep-EDF ({doc}`real_eeg`).

# %%
real = suite.real_eeg()
stored = results.predictions(real)
shown = [label for label in labels if label in stored]
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.8))
for label in shown:
    share, errors = at_transitions(
        stored["truth"], stored[label], stored["recording"]
    )
    counts = statistics.transitions_by_person(
        stored["truth"], stored[label], stored["person"], stored["recording"]
    )
    ends = [
        statistics.bootstrap_by_person(metrics.REGISTRY[name], counts)
        for name in columns[1:]
    ]
    (there, *a), (elsewhere, *b) = 100 * np.array(ends)
    print(
        f"{label:20s} {there:.1f} % wrong at transitions ({a[0]:.1f}-{a[1]:.1f}; {share:.1f} % of the epochs, "
        f"{errors:.1f} % of the errors), {elsewhere:.1f} % elsewhere ({b[0]:.1f}-{b[1]:.1f})"
    )
    axis.plot(
        100
        * metrics.error_by_distance(
            stored["truth"], stored[label], stored["recording"]
        ),
        marker="o",
        ms=4,
        label=label,
    )
axis.set(
    xlabel="distance from the nearest change of stage (epochs; 10 and more)",
    ylabel="error (%)",
    ylim=(0, None),
)
axis.set_title(f"{real['data']['persons']} persons, real EEG")
axis.legend()
plt.show()

# %% [markdown]
# At a change, an epoch holds two stages and has one label: even two experts part there. The
# distance tells whether what a sequence network gains, it gains at the changes or in the
# middle of a bout, where the neighbours say what a single ambiguous epoch does not.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
