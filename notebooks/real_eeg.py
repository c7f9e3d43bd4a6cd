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
# The same two networks on real nights, by person-wise cross-validation. Name a folder of nights in the `.npz` layout of
# DeepSleepNet and TinySleepNet (`x`, `y`, `fs`; epochs of any length) and it runs on them; without one, this page shows
# the record that comes with the project.
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
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sleeplib import cohorts, plotting, protocol, results
from sleeplib.analysis import metrics, statistics
from sleeplib.prepare import prepare
from sleeplib.stages import STAGES

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
folder = ""  # of .npz nights; empty: show the committed record
channel = ""  # its name in the files; empty: the manifest's
cohort = "sleep-edf-npz"  # manifest: how the files' names tell persons, which channel, how long an epoch is
k = 10  # folds, by person
valid_persons = 1  # in each fold, to choose the training step
sequence_length = 20  # epochs
learning_rate = 3e-4  # the paper's is 1e-4, with many more steps
steps_seqsleepnet = 2000  # None: the paper's 10 passes
steps_e2e_arnn = 6000  # None: the paper's 20 passes
seed = 0
jobs = 2  # folds trained side by side
max_nights = None  # use only the first ones, for a quick look

# %% [markdown]
# ## The folds
#
# All nights of a person are in one fold. In each fold one person's nights test, another's choose the training step,
# the others train. The normalisation of the images, too, comes from the training nights alone. The learning
# rate and the number of steps were chosen by the validation accuracy of the first three folds.

# %%
name = "real-eeg"
if folder:
    root = Path(folder)
    prepared = results.data_folder() / "prepared" / cohorts.load(cohort).name
    changes = {"montage": {"EEG": channel}} if channel else {}
    nights, failures = prepare(
        cohorts.load(cohort),
        root,
        prepared,
        jobs,
        progress=False,
        limit=max_nights,
        **changes,
    )
    folds = cohorts.folds(nights.persons, k, valid_persons, seed)
    print(
        f"{len(nights)} nights of {len(set(nights.persons))} persons, {len(folds)} "
        f"folds; {len(failures)} could not be used"
    )

# %%
recipe = {"learning_rate": learning_rate, "seed": seed}
systems = [
    protocol.System(
        f"SeqSleepNet-{sequence_length}",
        "seqsleepnet",
        {"sequence_length": sequence_length},
        recipe
        | {
            "max_steps": steps_seqsleepnet,
            "passes": 1000 if steps_seqsleepnet else 10,
        },
    ),
    protocol.System(
        "E2E-ARNN",
        "e2e-arnn",
        {},
        recipe
        | {
            "max_steps": steps_e2e_arnn,
            "passes": 1000 if steps_e2e_arnn else 20,
        },
    ),
    *protocol.BASELINES,
]
if folder:
    runs = results.build_folder() / "runs"
    predictions = protocol.evaluate(
        nights, folds, systems, runs, jobs, progress=False
    )
    results.write(
        name,
        title=f"SeqSleepNet-{sequence_length} against E2E-ARNN, {nights.title}",
        simulated=False,
        parameters={
            "folds": k,
            "valid_persons": valid_persons,
            "sequence_length": sequence_length,
            "seed": seed,
            "jobs": jobs,
            "learning_rate": learning_rate,
            "steps": {s.label: s.training["max_steps"] for s in systems[:2]},
        },
        data=protocol.describe(nights, predictions),
        rows=predictions.rows(systems),
        seconds=time.perf_counter() - started,
        predictions=predictions.arrays(),
    )

# %% [markdown]
# ## The numbers

# %%
found = results.latest(results.load_all())
record = found[name]
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
results.table(record)

# %% [markdown]
# Pooled over all folds; in brackets 95 % intervals from drawing persons again. Each epoch was predicted by
# a network that had never
# seen its person.

# %%
plotting.intervals(record["rows"])
plt.title(
    f"{data['persons']} persons, real EEG, {data['epoch_seconds']:g}-s epochs"
)
plt.show()

# %%
stored = results.predictions(record)
models = [row["system"] for row in record["rows"] if row["role"] == "model"]
first, second = (
    statistics.confusions_by_person(
        stored["truth"], stored[label], stored["person"]
    )
    for label in models
)
gain, low, high = statistics.paired_difference(metrics.accuracy, first, second)
print(
    f"{models[0]} minus {models[1]}: {100 * gain:+.1f} points of accuracy "
    f"({100 * low:+.1f} to {100 * high:+.1f}), paired by person"
)

# %% [markdown]
# ## Person by person
#
# A pooled number hides how much persons differ. Each line is one person, from the one-epoch network to the
# sequence network.

# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.8))
by_person = 100 * np.stack([metrics.accuracy(second), metrics.accuracy(first)])
axis.plot([0, 1], by_person, color="#888888", marker="o", ms=4, lw=1)
axis.plot(
    [0, 1],
    by_person.mean(1),
    color="#0072B2",
    marker="o",
    lw=2.5,
    label="mean of persons",
)
axis.set(
    xticks=[0, 1],
    xticklabels=models[::-1],
    xlim=(-0.3, 1.3),
    ylabel="accuracy (%)",
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
figure, axes = plt.subplots(1, 2, figsize=(plotting.WIDTH, 3.9))
for axis, label in zip(axes, models, strict=True):
    row = next(row for row in record["rows"] if row["system"] == label)
    plotting.confusion_matrix(
        row["confusion"], ax=axis, title=f"{label} (real EEG)"
    )
axes[1].set_ylabel("")
plt.show()

# %% [markdown]
# N1 is the weak spot of every row, and the reason is not the network alone: it is the rarest stage,
# experts agree least on
# it, and what defines it (alpha that goes, eyes that roll) is seen over the back of the head and in the EOG, neither
# of which is in these files. Context lifts it, as in the paper, but not to where one would rely on it.

# %% [markdown]
# ## A night

# %%
night = stored["recording"] == 0
truth = stored["truth"][night]
seconds = data["epoch_seconds"]
figure, axes = plt.subplots(3, 1, figsize=(plotting.WIDTH, 4.4), sharex=True)
for axis, (label, stages) in zip(
    axes,
    [("Expert", truth), *((m, stored[m][night]) for m in models)],
    strict=True,
):
    plotting.hypnogram(stages, ax=axis)
    share = (
        ""
        if label == "Expert"
        else f": {100 * np.mean(stages[truth < len(STAGES)] == truth[truth < len(STAGES)]):.0f} % right"
    )
    axis.set(title=f"{label}{share}", xlabel="")
ticks = axes[-1].get_xticks()
axes[-1].set_xlabel("time (h, scored epochs end to end)")
plt.show()

# %% [markdown]
# What to keep in mind: only one EEG channel is used, of each 30-s epoch only the first seconds may be in
# the file (`epoch_seconds`
# above says how many), and the persons of Sleep-EDF's first subjects are young and healthy. These are
# honest numbers for these data, and
# not comparable to those of papers that used whole epochs, other persons, or more channels.
