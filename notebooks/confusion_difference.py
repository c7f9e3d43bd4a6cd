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
# # What context repairs: two confusion matrices
#
# ```{admonition} What you will see
# :class: tip
# Figure 4 of the paper: the confusion matrices of SeqSleepNet-20 and of E2E-ARNN, and
# their difference.
#
# **Data** the *simulated* twin of MASS, or the cohort that you name; and the committed
# predictions on real EEG. **Question** which mistakes go away when a network sees the
# neighbours?
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
longer = None  # steps of SeqSleepNet-20; None: those of the budget
seed = 0  # of the split, the weights, the batches and the dropout
jobs = 2  # processes side by side

# %%
nights = suite.nights(cohort, root, persons, hours, jobs)
split = suite.splits(nights, folds, valid_persons, test_persons, seed)
print(suite.summary(nights, split))
kind = "simulated" if nights.simulated else "real"

systems = suite.systems(
    budget=budget, seed=seed, only=["SeqSleepNet-20", "E2E-ARNN"]
) + list(protocol.BASELINES)
if longer:
    systems[:1] = suite.systems([suite.longer(longer)], budget, seed)
label = systems[0].label
predictions = suite.evaluate(nights, split, systems, jobs, weights)


# %%
def compare(first, second, kind, label="SeqSleepNet-20"):
    """Both matrices, and what the first does better (blue) or worse (red)."""
    _, axes = plt.subplots(1, 3, figsize=(1.45 * plotting.WIDTH, 3.4))
    plotting.confusion_matrix(first, axes[0], f"{label}\n({kind})")
    plotting.confusion_matrix(second, axes[1], f"E2E-ARNN\n({kind})")
    plotting.confusion_difference(
        first, second, axes[2], "difference\n(points)"
    )
    for axis in axes[1:]:
        axis.set_ylabel("")
    plt.show()


first, second = (predictions.confusions(s.label).sum(0) for s in systems[:2])
compare(first, second, kind, label)

# %% [markdown]
# Blue is better: more on the diagonal, less off it. Rows are the true stage, so a row
# says where the epochs of that stage went. At `demo` size SeqSleepNet-20 is the one with four times the
# steps of its neighbours in {doc}`table_ii`, where both are compared: N1 takes longest to learn.

# %%
rows = suite.rows(predictions, systems)
record = suite.record(
    "Confusion difference: SeqSleepNet-20 against E2E-ARNN",
    nights,
    split,
    systems,
    predictions,
    started,
    rows,
    budget=budget,
    weights=weights,
    longer=longer,
    seed=seed,
)
results.table(record, results.HEADLINE)

# %%
suite.gain_table(
    {f"{label} minus E2E-ARNN": suite.gains(predictions, label, "E2E-ARNN")}
)

# %% [markdown]
# ## On real EEG
#
# The same two networks on Sleep-EDF, by ten-fold cross-validation, from the predictions
# that come with the project ({doc}`real_eeg`): one EEG channel, five seconds of each
# epoch, no eyes and no chin.

# %%
stored = suite.stored(suite.real_eeg())
pair = [
    stored.confusions(label).sum(0) for label in ("SeqSleepNet-20", "E2E-ARNN")
]
compare(*pair, "real EEG")

# %% [markdown]
# In the paper, N1 is what changes: 17.2 points more of it are found, and little else moves.
# Look at the row of N1 first, at where its epochs went and at which of these mistakes are
# fewer with context; then at the column, for what is wrongly called N1.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
