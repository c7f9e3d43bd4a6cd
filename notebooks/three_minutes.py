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
# # Three minutes
#
# ```{admonition} What you will see
# :class: tip
# Three minutes of one night as figure 2a of AnySleep's paper shows them: spectrogram, trace, the
# expert's 30-s stages and arousals, and the network's stages every few seconds with the arousals
# that follow from them.
#
# **Data** a *simulated* night of a laboratory that the network was not trained on, or your real one.
# **Question** what do stages below 30 s look like? **Needs** {doc}`/book/below_thirty_seconds`.
# **Time** is printed at the end.
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

from sleeplib import multicohort, plotting, suite
from sleeplib.analysis import arousals
from sleeplib.errors import SleeplibError
from sleeplib.models import weights as trained
from sleeplib.suite import across, resolutions

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
sites = ["phys", "abc"]  # cohorts that are trained on; None: all 13
cohort = "mass-c1"  # whose night is shown; it only tests
root = ""  # folder with a folder of real nights for each cohort; empty: twins
persons = 3  # of each twin to train on; 6 or more to train here on all 13
hours = 1.5  # of each of their nights; None: whole nights
test_persons = 1  # of the cohort that is shown
valid_persons = 1  # of each cohort, choose the training epoch
budget = "smoke"  # how much training: smoke, demo, long or paper
weights = ""  # weights that come with the project; empty: train here
seed = 0  # of the weights
jobs = 2  # processes side by side

night = 0  # which of the cohort's nights that the network has not seen
per_epoch = 8  # stages per 30 s, as in the paper's figure
window = 180  # s

# %%
known = suite.stores(sites or suite.sites.TRAINING, root, persons, hours, jobs)
(store,) = suite.stores([cohort], root, test_persons, hours, jobs)
kind = "simulated" if store.simulated else "real"
systems = [
    s for s in suite.night_systems(budget, seed) if s.label == "AnySleep"
]
networks = across.night_networks(
    known, systems, weights, 1, valid_persons, jobs
)
network = trained.load(networks["AnySleep"])
night = across.test_nights(networks.values(), known, [store])[-1][night]

# %% [markdown]
# The night is staged as a whole, once at 30 s and once finer. The weights are the same; only the time over which
# the classifier takes its mean is shorter.

# %%
coarse, fine = multicohort.posteriors_at(network, store, night, [1, per_epoch])
step = 30 / per_epoch  # s
stages = fine.argmax(1)
found = arousals.detect(stages, per_epoch)
expert = resolutions.expert_arousals(store, night)
if not len(expert):
    raise SleeplibError(
        f"{store.ids[night]}: no arousal is marked; choose another night or cohort"
    )
scored = arousals.match(found, expert)
print(
    f"{store.ids[night]} ({kind}), {store.lengths[night] / 120:.1f} h: the expert marked {len(expert)} "
    f"arousals, stages of {step:g} s give {len(found)}"
)
print(
    f"precision {scored['precision']:.2f}, recall {scored['recall']:.2f}, F1 {scored['f1']:.2f} "
    "at an intersection over union above 0.2"
)

# %% [markdown]
# Which three minutes? Not the best ones. Of all windows with at least two arousals of the expert,
# beginning at a whole minute, *typical* is the one whose own F1 is nearest to the whole night's, and
# *worst* the one with the lowest. (Of equal ones the first.)

# %%


def within(events, onset):
    """Events that begin in a window, in seconds from its beginning."""
    inside = (events[:, 0] >= onset) & (events[:, 0] < onset + window)
    return np.clip(events[inside] - onset, 0, window)


onsets = np.arange(0, store.lengths[night] * 30 - window + 1, 60)
most = max(len(within(expert, onset)) for onset in onsets)
onsets = [
    onset for onset in onsets if len(within(expert, onset)) >= min(2, most)
]
f1 = np.array(
    [arousals.match(within(found, o), within(expert, o))["f1"] for o in onsets]
)
typical = onsets[np.abs(f1 - scored["f1"]).argmin()]
worst = onsets[f1.argmin()]
print(
    f"{len(onsets)} windows of {window} s; F1 from {f1.min():.2f} to {f1.max():.2f}, median {np.median(f1):.2f}"
)

# %%
names = store.names(night)
eeg = [n for n, t in zip(names, store.types(night), strict=True) if t == "EEG"]
shown = next((name for name in eeg if name.startswith("C4")), eeg[0])
(x,) = multicohort.signals(store, night, [names.index(shown)])


def panel(onset, title):
    """The window that begins at `onset` s."""
    cut = slice(int(onset * store.rate), int((onset + window) * store.rate))
    figure, (top, trace, steps, areas) = plt.subplots(
        4,
        1,
        figsize=(plotting.WIDTH, 6.8),
        sharex=True,
        height_ratios=[1.2, 1, 1.6, 1],
    )
    plotting.spectrogram(x[cut], store.rate, 2.0, ax=top)
    minutes = np.arange(cut.stop - cut.start) / store.rate / 60
    trace.plot(minutes, x[cut], color="#222222", lw=0.4)
    trace.set_ylabel(f"{shown} (IQR)")
    pieces = slice(int(onset / step), int((onset + window) / step))
    of_expert = np.repeat(store.stages(night), per_epoch)[pieces]
    plotting.hypnogram(of_expert, step, ax=steps, label="expert, 30 s")
    plotting.hypnogram(
        stages[pieces],
        step,
        ax=steps,
        label=f"AnySleep, {step:g} s",
        colour="#CC3311",
    )
    bars = ((5.2, expert, "#009E73", "expert's arousals"),)
    bars += ((4.8, found, "#E69F00", "arousals from AnySleep's stages"),)
    for y, events, colour, label in bars:
        plotting.event_bars(within(events, onset), y, steps, colour, label)
    steps.set_ylim(-0.4, 5.6)
    steps.legend(ncols=2, loc="upper left", bbox_to_anchor=(0, 1.3))
    plotting.hypnodensity(fine[pieces], step, ax=areas)
    for axis in (top, trace, steps):
        axis.set_xlabel("")
    areas.set_xlabel(
        f"time from {onset / 60:.0f} min after the first epoch (min)"
    )
    plotting.stage_legend(figure, loc="outside lower center")
    figure.suptitle(f"{title} ({kind})", x=0.01, ha="left", fontsize=10)
    plt.show()


panel(typical, f"{store.ids[night]}: three typical minutes")

# %%
panel(worst, f"{store.ids[night]}: the three minutes with the lowest F1")

# %% [markdown]
# The thick red line is REM sleep in both hypnograms. The spectrogram has frames of 2 s. The trace is in inter-quartile
# ranges of the whole night, which is what the network sees.
#
# ## What the whole night looks like
#
# The same stages at 30 s, and finer. What looks like noise in the lower line is partly arousals.

# %%
figure, axes = plt.subplots(
    3,
    1,
    figsize=(plotting.WIDTH, 4.6),
    sharex=True,
    height_ratios=[1, 1, 0.25],
)
plotting.hypnogram(store.stages(night), ax=axes[0])
axes[0].set_title(f"expert, 30 s ({kind} night)")
plotting.hypnogram(stages, step, ax=axes[1])
axes[1].set_title(f"AnySleep, {step:g} s")
for y, events, colour in ((1, expert, "#009E73"), (0, found, "#E69F00")):
    axes[2].vlines(events.mean(1) / 3600, y - 0.4, y + 0.4, color=colour, lw=1)
axes[2].set(
    yticks=[0, 1],
    yticklabels=["arousals, AnySleep", "arousals, expert"],
    ylim=(-0.7, 1.7),
    xlabel="time (h)",
)
for axis in axes[:2]:
    axis.set_xlabel("")
plt.show()

# %% [markdown]
# ## What not to read from it
#
# One night, chosen by its number and not by its score; two windows, chosen by a rule. What a
# network does on average is in {doc}`arousals_by_resolution`. The simulated arousal is a change of
# background activity with a burst of muscle noise that begins and ends at a stroke; a real one often
# fades in and out, and two experts place its ends seconds apart.
#
# *Exercise:* set `per_epoch` to 128 and look at the same minutes. Which of the arousals are lost, and by
# which part of the rule? *Hint:* {ref}`ex-below-fragments`.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
