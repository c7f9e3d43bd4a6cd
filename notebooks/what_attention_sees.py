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
# # What attention sees
#
# ```{admonition} What you will see
# :class: tip
# Figure 6 of the paper: for an epoch of each stage the signal, a fine spectrogram, and
# the weight that attention gives to each of its frames; and then, over all epochs,
# what the frames with much attention have that others lack.
#
# **Data** the *simulated* twin of MASS, or the cohort that you name. **Question** does
# the network look where a scorer would?
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
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from sleeplib import plotting, suite
from sleeplib.models import weights as trained
from sleeplib.models.features import BANDS
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
network = trained.load(predictions.folders[label][0] / systems[0].network)

# %% [markdown]
# ## An epoch of each stage
#
# Of the test nights of the first split, the epoch of each stage of which the network is
# surest, among those it stages right.

# %%
test = split[0]["test"]
n = sum(nights.lengths[i] for i in test)
posteriors, truth = predictions.posteriors[label][:n], predictions.truth[:n]
images = np.concatenate([nights.images(i) for i in test])
signals = np.concatenate([nights.epochs(i) for i in test])
with torch.no_grad():
    parts = torch.from_numpy(images).split(256)
    alpha = torch.cat(
        [network.attention(part[:, None])[:, 0] for part in parts]
    ).numpy()
print(
    f"{len(alpha):,} epochs of {len(test)} nights, {alpha.shape[1]} frames each"
)

# %%
rate, seconds = nights.rate, nights.epoch_seconds
frames = 1.0 + np.arange(alpha.shape[1])  # s, the middle of each frame of 2 s
stft = ShortTimeFFT(
    hann(round(rate)), hop=round(rate / 20), fs=rate, scale_to="psd"
)
figure, axes = plt.subplots(
    3,
    len(STAGES),
    figsize=(1.5 * plotting.WIDTH, 4.6),
    sharex=True,
    sharey="row",
    height_ratios=[1, 1.4, 0.8],
)
for stage, (name, column) in enumerate(zip(STAGES, axes.T, strict=True)):
    sure = np.where(
        (truth == stage) & (posteriors.argmax(1) == stage),
        posteriors[:, stage],
        -1.0,
    )
    epoch = int(sure.argmax())
    if sure[epoch] < 0:
        column[0].set_title(f"{name}: none staged right")
        continue
    x = signals[epoch]
    for row, lane in enumerate(x):
        column[0].plot(
            np.arange(len(lane)) / rate,
            lane - 150 * row,
            lw=0.4,
            color="#333333",
        )
    power = 10 * np.log10(stft.spectrogram(x[0]) + 1e-3)
    column[1].pcolormesh(
        stft.t(len(x[0])), stft.f, power, vmin=-10, vmax=30, rasterized=True
    )
    column[2].step(frames, alpha[epoch], where="mid", color="#0072B2")
    column[2].axhline(1 / len(frames), color="#BBBBBB", lw=0.8)
    column[0].set_title(f"{name} (p = {sure[epoch]:.2f})")
    column[2].set(xlabel="time (s)", xlim=(0, seconds))
axes[0, 0].set(
    yticks=[-150 * k for k in range(len(nights.channels))],
    yticklabels=nights.channels,
)
axes[1, 0].set(ylabel="EEG (Hz)", ylim=(0, 30))
axes[2, 0].set(ylabel="attention")
figure.suptitle(
    f"One epoch of each stage ({kind}); 150 µV from lane to lane",
    x=0.01,
    ha="left",
    fontsize=10,
)
plt.show()

# %% [markdown]
# The spectrogram is finer than the network's image (windows of 1 s, 20 a second; the
# image has windows of 2 s, one a second), so that a spindle or a K-complex can be seen.
# The grey line is attention that looks everywhere alike.
#
# ## What much attention has in common
#
# One epoch proves nothing. For all epochs of a stage: the power of the frames weighed
# by attention, minus their plain mean, in dB. Red is what attention seeks, blue what it
# avoids.

# %%
bands = BANDS
hertz = np.arange(images.shape[-1]) * rate / 256
masks = [(hertz >= low) & (hertz < high) for low, high in bands.values()]
power = np.stack(
    [images[..., mask].mean(-1) for mask in masks], -1
)  # (N, C, T, bands)
sought = np.einsum("nt,nctb->ncb", alpha, power) - power.mean(2)
figure, axes = plt.subplots(
    1,
    len(nights.channels),
    figsize=(1.2 * plotting.WIDTH, 2.6),
    sharey=True,
    squeeze=False,
)
limit = (
    0.01
    + np.abs(
        [sought[truth == s].mean(0) for s in range(5) if (truth == s).any()]
    ).max()
)
for c, (axis, channel) in enumerate(zip(axes[0], nights.channels, strict=True)):
    mean = np.array(
        [
            sought[truth == s, c].mean(0)
            if (truth == s).any()
            else np.full(len(bands), np.nan)
            for s in range(5)
        ]
    )
    drawn = axis.imshow(
        mean, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto"
    )
    axis.set(
        xticks=range(len(bands)),
        yticks=range(5),
        yticklabels=STAGES,
        title=f"{channel} ({kind})",
    )
    axis.set_xticklabels(bands, rotation=45, ha="right")
figure.colorbar(drawn, ax=axes, label="dB")
plt.show()

# %%
evenness = -(alpha * np.log(alpha)).sum(1) / np.log(alpha.shape[1])
for stage, name in enumerate(STAGES):
    if (truth == stage).any():
        print(
            f"{name:4s} largest weight of a frame {100 * alpha[truth == stage].max(1).mean():.1f} % "
            f"(even: {100 / alpha.shape[1]:.1f} %), evenness {evenness[truth == stage].mean():.2f}"
        )

# %% [markdown]
# What the paper reads from five epochs (waves in N3, K-complexes in N2, eyes in REM,
# muscle in W) can be looked up here for each stage. Keep in mind what attention is not:
# the recurrent states behind each frame have seen the whole epoch, so a large weight
# says where the network *reads out*, not what it knows. Exercise: how would you show
# that a spindle, and not its neighbourhood, moves the decision? *Hint:* take it out of
# the signal, and stage again.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
