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
# # Table III: length and depth
#
# ```{admonition} What you will see
# :class: tip
# SeqSleepNet with sequences of 10, 20 and 30 epochs and with one or two recurrent
# layers.
#
# **Data** the *simulated* twin of MASS, or the cohort that you name. **Question** is a
# longer or a deeper network a better one? **Time** is printed at the end.
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

systems = suite.systems(suite.TABLE_III, budget, seed) + list(
    protocol.BASELINES
)
predictions = suite.evaluate(nights, split, systems, jobs, weights)

# %% [markdown]
# ## Ours
#
# Accuracy in per cent, pooled over the test persons' epochs, with 95 % intervals over
# persons.

# %%
rows = suite.rows(predictions, systems)
record = suite.record(
    "Table III: length and depth of SeqSleepNet",
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
print(
    f"{kind} nights: {record['data']['persons']} persons, {record['data']['epochs']:,} epochs"
)
results.table(record)

# %%
suite.sizes(record)

# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.6))
for depth, marker in ((1, "o"), (2, "s")):
    line = [
        row
        for s, row in zip(systems, rows, strict=True)
        if s.settings.get("depth", 1) == depth and s.role == "model"
    ]
    lengths = [
        s.settings["sequence_length"]
        for s in systems
        if s.settings.get("depth", 1) == depth and s.role == "model"
    ]
    value, low, high = (
        100 * np.array([row[f"accuracy{end}"] for row in line], float)
        for end in ("", "_low", "_high")
    )
    axis.errorbar(
        np.array(lengths) + 0.4 * (depth - 1),
        value,
        [value - low, high - value],
        marker=marker,
        capsize=3,
        lw=1,
        label=f"depth {depth}",
    )
axis.set(
    xlabel="sequence length L (epochs)", ylabel="accuracy (%)", xticks=lengths
)
axis.set_title(f"{record['data']['persons']} {kind} persons, 95 % intervals")
axis.legend()
plt.show()

# %% [markdown]
# Depth, at each length, in points of accuracy, paired by person:

# %%
suite.gain_table(
    {
        f"depth 2 minus 1, L = {L}": suite.gains(
            predictions, f"SeqSleepNet-{L}, depth 2", f"SeqSleepNet-{L}"
        )
        for L in (10, 20, 30)
    }
)

# %% [markdown]
# At `demo` size the differences between lengths are those of single trainings on few persons,
# each stopped after some hundred steps: another seed would order them anew. A claim about length
# or depth needs the paper's training, and more persons to test on.

# %% [markdown]
# ## The published table
#
# Accuracy in per cent on MASS {cite:p}`phan2019seqsleepnet`. All six are within 0.3
# points; the paper gives no intervals.

# %%
suite.published("table_iii")

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
