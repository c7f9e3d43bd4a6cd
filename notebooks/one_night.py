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
# # One night
#
# ```{admonition} What you will see
# :class: tip
# One night of a simulated person, from the raw traces of a 30-s page to the hypnogram of eight hours: what the
# stages look like, and what a network will be given to tell them apart.
#
# **Data** one simulated night, made here from a seed. **Tools** `sleeplib.simulator`, `sleeplib.signals`,
# `sleeplib.plotting`. **Time** under ten seconds on a laptop.
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
import matplotlib.pyplot as plt
import numpy as np

from sleeplib import plotting, simulator
from sleeplib.signals import log_power_image, resample
from sleeplib.stages import STAGES

plotting.use_style()

# %% tags=["parameters"]
seed = 37  # of the person and of the night
age = 31  # years
sex = "F"

# %% [markdown]
# `simulator.night` returns a `Recording`: signals in microvolts, one rate for each channel, the scored
# hypnogram, events, and,
# since the night is simulated, the true state at 128 Hz. Everything below would work on a recording from a file.

# %%
night = simulator.night(seed, age=age, sex=sex)
print(
    f"{night.duration / 3600:.1f} h from {night.start:%H:%M}, {len(night.hypnogram)} epochs of 30 s"
)
for name, rate, x in zip(
    night.channels, night.rates, night.signals, strict=True
):
    print(
        f"{name:12s} {rate:g} Hz  {np.percentile(np.abs(x), 50):6.1f} uV median amplitude"
    )

# %% [markdown]
# ## The night at a glance
#
# A hypnogram has W on top and N3 at the bottom, with REM just below W, as sleep laboratories draw it. The
# spectrogram below it is of one EEG channel. Look for three things: N3 (much slow power) gathers in the
# first third of the night, REM bouts (red) come in cycles and tend to grow, and brief awakenings break the
# night up. No night keeps to all of it.

# %%
figure, axes = plt.subplots(
    2, 1, figsize=(plotting.WIDTH, 4.2), sharex=True, height_ratios=[1, 1.3]
)
plotting.hypnogram(night.hypnogram.stages, start=night.start, ax=axes[0])
axes[0].set(xlabel="", title=f"Hypnogram: simulated person, {age} years, {sex}")
plotting.spectrogram(*night.channel("C4-M1"), start=night.start, ax=axes[1])
axes[1].set_title("Spectrogram of C4-M1 (simulated)")
plt.show()

# %%
shares = (
    np.bincount(night.hypnogram.stages[night.hypnogram.scored], minlength=5)
    / night.hypnogram.scored.sum()
)
print(
    "share of the night: "
    + ", ".join(
        f"{name} {100 * p:.0f} %"
        for name, p in zip(STAGES, shares, strict=True)
    )
)
arousals = [event for event in night.events if event.kind == "arousal"]
asleep = np.isin(night.hypnogram.stages, [1, 2, 3, 4]).sum() * 30 / 3600
print(
    f"{len(arousals)} arousals, {len(arousals) / asleep:.1f} per hour of sleep"
)

# %% [markdown]
# ## A page of each stage
#
# Scorers look at pages of 30 s. For each stage we draw the page that shows its sign most clearly:
# **W**: alpha over the back of the head (O1, O2) when the eyes are closed, and a busy chin.
# **N1**: alpha is gone, theta takes its place, the eyes roll slowly. **N2**: spindles and K-complexes.
# **N3**: high slow waves. **REM**: low mixed activity, eyes that jump in opposite phase in the two EOG
# channels, and the flattest chin of the night. Most pages are not so clear, which is why staging is hard.

# %%
SIGNS = {  # channel and band (Hz) in which a stage shows
    "W": ("O2-M1", 8, 12),
    "N1": ("C4-M1", 4, 7),
    "N2": ("C4-M1", 12, 15),
    "N3": ("F4-M1", 0.5, 2),
    "REM": ("E1-M2 - E2-M2", 0.5, 4),
}
stages = night.hypnogram.stages
hertz = np.arange(129) * 100 / 256


def images_of(channel):
    """Log-power images `(N, 29, 129)` of a channel, in dB."""
    x = resample(*night.channel(channel), 100.0)
    return log_power_image(x[: len(stages) * 3000].reshape(-1, 3000))


examples = {}
for code, (name, (channel, low, high)) in enumerate(SIGNS.items()):
    band = (hertz >= low) & (hertz < high)
    wide = (hertz >= 0.5) & (hertz < 30)
    image = images_of(channel)
    # In dB above the page's other frequencies: a movement is loud in all of them.
    above = image[..., band].mean(2) - image[..., wide].mean(2)
    power = np.percentile(above, 80, axis=1)
    clear = np.where(stages == code, power, -np.inf)
    # The very clearest pages may be artefacts: we take the one after the first hundredth.
    rank = np.argsort(clear)[-1 - (stages == code).sum() // 100]
    if (stages == code).any():
        examples[name] = rank

# %%
shown = ["F4-M1", "C4-M1", "O2-M1", "E1-M2", "E2-M2", "Chin1-Chin2"]
for name, epoch in examples.items():
    axis = plotting.traces(night, epoch * 30.0, 30.0, shown)
    axis.set_title(f"{name} (simulated), epoch {epoch + 1}")
    plt.show()

# %% [markdown]
# ## What the network is given
#
# SeqSleepNet does not see traces. It sees the *log-power image* of each epoch: 29 frames of 2 s with half overlap, 129
# frequencies from 0 to 50 Hz, in decibels. Here are the five pages above as images of C4-M1, resampled to 100 Hz.

# %%
all_images = images_of("C4-M1")
images = {name: all_images[epoch] for name, epoch in examples.items()}
low, high = np.percentile(np.stack(list(images.values())), [2, 99.5])
figure, axes = plt.subplots(
    1, len(images), figsize=(plotting.WIDTH, 2.6), sharey=True, squeeze=False
)
for axis, (name, S) in zip(axes[0], images.items(), strict=True):
    mesh = axis.imshow(
        S.T,
        origin="lower",
        aspect="auto",
        cmap="viridis",
        extent=(0, 30, 0, 50),
        vmin=low,
        vmax=high,
    )
    axis.set(title=name, xlabel="time (s)", ylim=(0, 35))
axes[0, 0].set_ylabel("frequency (Hz)")
figure.colorbar(mesh, ax=axes, label="power (dB)")
plt.show()

# %% [markdown]
# The stages differ most below 16 Hz, and they overlap: an epoch of N1 and one of REM can hold nearly the
# same picture. That is why the
# eyes and the chin are recorded, and why the next chapters let the network look at the neighbouring epochs as well.
#
# Average spectra say the same with fewer details.

# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 3))
for code, name in enumerate(STAGES):
    if (stages == code).any():
        spectrum = np.median(all_images[stages == code], axis=(0, 1))
        axis.plot(hertz, spectrum, color=plotting.COLOURS[name], label=name)
axis.set(
    xscale="log", xlim=(0.5, 45), xlabel="frequency (Hz)", ylabel="power (dB)"
)
axis.set_title("Median spectrum per stage, C4-M1 (simulated)")
axis.set_xticks(
    [0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"]
)
axis.legend()
plt.show()
