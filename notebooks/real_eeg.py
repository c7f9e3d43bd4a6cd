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
# # On real EEG
#
# ```{admonition} What you will see
# :class: tip
# All systems of Table II that can do with one EEG channel and five seconds of each epoch, by person-wise
# cross-validation on real nights. Name a folder of nights in the `.npz` layout of DeepSleepNet and TinySleepNet (`x`,
# `y`, `fs`; epochs of any length) and it runs on them; without one, this page shows the record that comes with the
# project.
#
# **Data** Sleep-EDF {cite:p}`kemp2000sleepedf,goldberger2000physionet`, one EEG channel. **Question** does what
# we saw on simulated nights hold on real ones? **Time** is in the record.
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
from sleeplib.analysis import metrics
from sleeplib.stages import STAGES

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
folder = ""  # of .npz nights; empty: show the committed record
channel = ""  # its name in the files; empty: the manifest's
cohort = "sleep-edf-npz"  # manifest: how the files' names tell persons, which channel, how long an epoch is
folds = 10  # by person
valid_persons = 1  # in each fold, to choose the training step
budget = "real-eeg"  # how much training: see sleeplib.suite
only = None  # labels of the systems wanted; None: all
best = "SeqSleepNet-30"  # whose figures are drawn, and whose weights come with the project
seed = 0
jobs = 2  # folds trained side by side

# %% [markdown]
# ## The folds
#
# All nights of a person are in one fold. In each fold some persons test, others choose the training step, the rest
# train. Everything that is learned from data, the normalisation of the images too, comes from the training
# nights alone. The learning rates, steps and penalties of the committed record were chosen by the validation persons of
# three folds (SeqSleepNet, E2E-ARNN and its multitask form) or of one. Those are test persons of other folds, which
# flatters all rows a little.

# %%
name = "real-eeg"
if folder:
    changes = {"montage": {"EEG": channel}} if channel else {}
    nights = suite.nights(cohort, folder, jobs=jobs, **changes)
    split = suite.splits(nights, folds, valid_persons, seed=seed)
    systems = suite.systems(suite.REAL_EEG, budget, seed, only)
    predictions = suite.evaluate(nights, split, systems, jobs)
    results.write(
        name,
        title=f"Table II on {nights.title}",
        simulated=nights.simulated,
        parameters={
            "folds": len(split),
            "valid_persons": valid_persons,
            "budget": budget,
            "seed": seed,
            "jobs": jobs,
        },
        data=protocol.describe(nights, predictions),
        rows=suite.rows(predictions, systems),
        seconds=time.perf_counter() - started,
        predictions=predictions.arrays(),
    )

# %% [markdown]
# ## The numbers

# %%
record = results.latest(results.load_all())[name]
data, device = record["data"], record["device"]
if not folder:
    print(
        "No folder of real nights was named: this page shows the record that was committed with the project.\n"
    )
print(
    f"{record['title']}\n{data['recordings']} real nights of {data['persons']} persons, "
    f"{data['epochs']:,} epochs of {data['epoch_seconds']:g} s"
)
print(
    f"made {record['date'][:10]} in {record['seconds'] / 60:.0f} min on {device['cpu']} "
    f"({device['cores']} cores), sleeplib {record['versions']['sleeplib']}"
)
print(
    f"data SHA-256 {data['digest'][:16]}..., commit {(record['git'] or {}).get('commit', 'none')[:10]}"
)

# %%
results.table(record, results.HEADLINE)

# %% [markdown]
# Pooled over all folds; in brackets 95 % intervals from drawing persons again. Each epoch was predicted by a network
# that had never seen its person.

# %%
plotting.intervals(record["rows"])
plt.title(
    f"{data['persons']} persons, real EEG, {data['epoch_seconds']:g}-s epochs"
)
plt.show()

# %% [markdown]
# What they have and what they cost, all folds together:

# %%
suite.sizes(record)

# %% [markdown]
# ## What each idea is worth
#
# Differences on the same epochs, in points, with 95 % intervals paired by person.

# %%
stored = suite.stored(record)
suite.idea_table(stored)

# %% [markdown]
# The families, best first, each by its best member; the best of several is flattered a little, since it was picked on
# these same persons:

# %%
suite.family_table(record["rows"])

# %% [markdown]
# ## Person by person
#
# A pooled number hides how much persons differ. Each line is one person, from the one-epoch network to the
# sequence network.

# %%
pair = [label for label in ("E2E-ARNN", best) if label in stored.posteriors]
by_person = 100 * np.stack(
    [metrics.accuracy(stored.confusions(label)) for label in pair]
)
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.8))
places = range(len(pair))
axis.plot(places, by_person, color="#888888", marker="o", ms=4, lw=1)
axis.plot(
    places,
    by_person.mean(1),
    color="#0072B2",
    marker="o",
    lw=2.5,
    label="mean of persons",
)
axis.set(
    xticks=places, xticklabels=pair, xlim=(-0.3, 1.3), ylabel="accuracy (%)"
)
axis.set_title(f"Accuracy of {by_person.shape[1]} persons (real EEG)")
axis.legend()
plt.show()

# %% [markdown]
# ## Stage by stage
#
# Of the epochs that are a stage, the share found (sensitivity), and of those called a stage, the share that is
# right (selectivity), in per cent:

# %%
results.stage_table(record, "sensitivity")

# %%
results.stage_table(record, "selectivity")

# %%
figure, axes = plt.subplots(1, 2, figsize=(plotting.WIDTH, 3.9), squeeze=False)
for axis, label in zip(axes[0], pair[::-1], strict=False):
    plotting.confusion_matrix(
        stored.confusions(label).sum(0), ax=axis, title=f"{label} (real EEG)"
    )
axes[0, 1].set_ylabel("")
plt.show()

# %% [markdown]
# N1 is where stagers fail, and not the networks alone: it is the rarest stage, experts agree least on it, and what
# defines it (alpha that goes, eyes that roll) is seen over the back of the head and in the EOG, neither of which is in
# the files of Sleep-EDF used here. Look what context does to its sensitivity, and what is paid in selectivity by
# networks that were trained with each stage equally often.

# %% [markdown]
# ## A night

# %%
night = stored.recording == 0
truth = stored.truth[night]
figure, axes = plt.subplots(
    1 + len(pair), 1, figsize=(plotting.WIDTH, 4.4), sharex=True
)
plotting.hypnogram(truth, ax=axes[0]).set(xlabel="", title="Expert")
for axis, label in zip(axes[1:], pair[::-1], strict=True):
    stages = stored.stages(label)[night]
    share = np.mean((stages == truth)[truth < len(STAGES)])
    plotting.hypnogram(stages, ax=axis)
    axis.set(title=f"{label}: {100 * share:.0f} % right", xlabel="")
axes[-1].set_xlabel("time (h, scored epochs end to end)")
plt.show()

# %% [markdown]
# What to keep in mind: only one EEG channel is used, of each 30-s epoch only the first seconds may be in the file
# (`epoch_seconds` above says how many), and the persons of Sleep-EDF's first subjects are young and healthy. These are
# honest numbers for these data, and not comparable to those of papers that used whole epochs, other persons, or more
# channels.
#
# A SeqSleepNet trained on eight of these ten persons, while two chose its step, comes with the project in
# `book/weights/real-eeg`; `sleeplib evaluate` stages your nights with it.
