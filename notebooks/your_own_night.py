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
# # Your own night
#
# ```{admonition} What you will see
# :class: tip
# A file becomes a hypnogram, and you see what there is to see before you believe it: what was
# understood of the channels, statistics beside what is usual, doubtful epochs, attention, what changes
# when channels are left out, and what a correction by hand does.
#
# **Data** a file that you name in `file`, or else a *simulated* night that is written to an EDF file first.
# **Question** how far can you trust a hypnogram that has no expert beside it?
# **Needs** {doc}`/book/your_own_night`. **Time** is printed at the end.
# ```
#
# Nothing leaves your machine. No result record is written, neither of your file nor of the
# simulated night, which is one night and no result. But the notebook itself, once run, holds
# pictures and times of the night: clear its outputs before you pass it on.

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
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import sleeplib
from sleeplib import (
    export,
    labels,
    parallel,
    plotting,
    readers,
    report,
    simulator,
    staging,
)
from sleeplib.analysis import architecture, metrics
from sleeplib.analysis import arousals as events
from sleeplib.analysis import resolution as pieces
from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import write_edf
from sleeplib.recording import AROUSAL
from sleeplib.report import look, tables
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED, parse
from sleeplib.staging.networks import DEMO

plotting.use_style()
started = time.perf_counter()
SECONDS = EPOCH_SECONDS

# %% tags=["parameters"]
file = ""  # yours, of any kind that the readers know; empty: a simulated night
weights = ""  # name or file; empty: published ones for yours, else the demo's
resolution = 30.0  # seconds per stage
arousals = True  # from stages of 3.75 s or less
channels = None  # labels or differences "A - B"; None: all EEG and EOG
start = None  # lights off, "23:10" or seconds; None: first sample
end = None  # lights on
age = None  # years, for what is usual; None: as the file says, if it does
hours = 1.5  # of the simulated night; None: a whole one
corrections = {}  # epoch, counted from 1, to stage, such as {212: "REM"}
scorer = "me"  # whose name the corrected night has
out = ""  # folder for the results; empty: one that is removed afterwards
force = False  # write over what is there
most = 8  # channels that are left out in turn
jobs = 1  # processes side by side

# %% [markdown]
# ## A file
#
# The simulated night goes the way of a real one: signals and header are written to an EDF file, and
# from there on only the file is read. What the simulated expert said and what was true stay behind,
# for comparison. Your file has neither.

# %%
workshop = tempfile.TemporaryDirectory(prefix="sleeplib-")
folder = Path(out or workshop.name)
if file:
    path, known, kind = Path(file), None, "your file"
else:
    known = simulator.night(10_007, site="isruc-sg3", hours=hours)
    path, kind = Path(workshop.name) / "night.edf", "simulated"
    write_edf(replace(known, hypnogram=None, events=[]), path)
header = readers.header(path)
print(
    f"{path.name} ({kind}): {len(header.channels)} channels, "
    f"{header.duration / 3600:.2f} h, begins {header.start or 'nobody knows when'}"
)

# %% [markdown]
# ## What was understood of the channels
#
# Look at this table before anything else. A belt that is taken for a brain, or an EEG that nobody
# recognised, is seen here and nowhere below. Where the finder errs, name the channels in
# `channels`.

# %%
pd.DataFrame([vars(row) for row in labels.table(header)]).set_index("label")

# %% [markdown]
# ## Three lines
#
# ```python
# import sleeplib
# night = sleeplib.stage("night.edf")
# night.hypnogram.plot()
# ```
#
# The first call fetches the weights that AnySleep's authors published. The simulated night is
# staged by a small network that comes with the project instead, since that one has learned from
# simulated nights and needs no network connection.

# %%
if file or weights:
    used, told = staging.find_weights(weights or None)
else:
    try:
        used, told = staging.find_weights(DEMO)
    except SleeplibError:  # an installed package has no demo weights
        used, told = staging.find_weights()

options = {"weights": used, "channels": channels, "age": age}
options |= {"start": start, "end": end}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", staging.StagingWarning)
    night = sleeplib.stage(
        path, resolution=resolution, arousals=arousals, **options
    )
if night.network["simulated"]:
    told = f"{told} WARNING: {night.network['title']}. Good for a tour; no word"
    told += " about a real night should be believed."
for line in [told.strip(), *(str(each.message) for each in caught)]:
    print(line)
print(
    f"{night.network['title']}: {len(night.posteriors)} epochs from "
    f"{len(night.channels)} channels: {', '.join(night.channels)}"
)

# %%
stages = night.hypnogram.stages
sure = night.posteriors.max(axis=1)
first = round(night.onset / SECONDS)
clock = tables.clock(night)
experts = known.hypnogram.stages[first : first + len(stages)] if known else None
truth = None
if known:
    truth = pieces.at_resolution(known.truth, 128, 1)[first:][: len(stages)]


def agreement(one, other):
    """Kappa of two hypnograms, of the epochs that have a stage in both."""
    n = min(len(one), len(other))
    one, other = one[:n], other[:n]
    both = (one != UNSCORED) & (other != UNSCORED)
    counts = metrics.confusion(one[both], other[both])
    return float(metrics.kappa(counts))


rows = [("network", stages, SECONDS)]
if night.fine is not None:
    fine = night.fine_hypnogram
    seconds = fine.epoch_seconds
    rows += [(f"network, {seconds:g} s", fine.stages, seconds)]
if known:
    rows += [("simulated expert", experts, SECONDS)]
figure, axes = plt.subplots(
    len(rows) + 2,
    1,
    figsize=(plotting.WIDTH, 1.5 * len(rows) + 2.6),
    sharex=True,
    height_ratios=[1.3] * len(rows) + [1.3, 0.7],
)
for axis, (name, each, seconds) in zip(axes, rows, strict=False):
    plotting.hypnogram(each, seconds, night.begins, axis).set(
        xlabel="", title=name if "simulated" in name else f"{name} ({kind})"
    )
density = plotting.hypnodensity(
    night.posteriors, start=night.begins, ax=axes[-2]
)
density.set(xlabel="")
edges = np.linspace(*axes[0].get_xlim(), len(sure) + 1)
axes[-1].stairs(sure, edges, fill=True, color="#888888")
axes[-1].set(ylim=(0, 1), ylabel="confidence")
axes[-1].set_xlabel("clock time" if night.begins else "time (h)")
plotting.stage_legend(figure, loc="outside lower center")
plt.show()

# %% [markdown]
# Confidence is the probability of the stage that was chosen. It dips at changes of stage, where an
# epoch holds two of them, and where the network does not know. It is no measure of being right
# ({ref}`own-doubt`).

# %%
if known:
    print(
        f"simulated night, {len(stages)} epochs: kappa {agreement(experts, stages):.2f} "
        f"with the simulated expert, {agreement(truth, stages):.2f} with the truth; "
        f"expert with the truth {agreement(truth, experts):.2f}"
    )
else:
    print(
        "Nobody has scored this file here. How much of it is right cannot be known; "
        "that an expert would agree cannot, either."
    )

# %% [markdown]
# ## Statistics, and what is usual
#
# The rows of the report. Ranges are of healthy adults of this age, told for 3 h or more; being
# outside of one is no finding, as a third of healthy sleepers are.

# %%
found = tables.statistics(night)
print(f"{kind}; {found['note']}")
pd.DataFrame(found["first"]).set_index("name")[
    ["meaning", "value", "usual", "verdict"]
]

# %% [markdown]
# ### When was the light out?
#
# A file often begins before it. The same hypnogram, counted between three pairs of times:

# %%
scored = np.flatnonzero((stages > 0) & (stages != UNSCORED))
asleep = (
    (scored[0] * SECONDS, (scored[-1] + 1) * SECONDS)
    if len(scored)
    else (None, None)
)
spans = {
    "what was staged": (None, None),
    "10 min later to 10 min sooner": (600, len(stages) * SECONDS - 600),
    "first to last sleep": asleep,
}
some = ["TIB", "TST", "SE", "SOL", "WASO_lights_on", "Lat_REM", "Lat_REM_sleep"]
counted = {
    span: architecture.report_statistics(stages, lights=lights)
    for span, lights in spans.items()
}
pd.DataFrame(
    {
        span: {f"{s} ({values[s].unit})": values[s].value for s in some}
        for span, values in counted.items()
    }
).round(1).T

# %% [markdown]
# ## Arousals
#
# Short awakenings among finer stages ({ref}`ar-rule`). No chin is asked, no airflow, no leg: why
# somebody woke is not in them.

# %%
if night.arousals is None:
    print("not looked for; set `arousals`")
else:
    print(
        f"{kind}: {len(night.arousals)} arousals from stages of "
        f"{night.arousal_seconds:g} s, median {np.median(np.diff(night.arousals)):.1f} s"
        if len(night.arousals)
        else f"{kind}: no arousals found"
    )
if known and night.arousals is not None:
    marks = [
        (e.onset - night.onset, e.onset + e.duration - night.onset)
        for e in known.true_events
        if e.kind == AROUSAL
    ]
    happened = np.array(marks).reshape(-1, 2)
    shifted = (night.arousals + 600) % (len(stages) * SECONDS)
    shifted = shifted[shifted[:, 0] < shifted[:, 1]]
    for name, each in (
        ("as found", night.arousals),
        ("moved by 10 min (chance)", shifted),
    ):
        score = events.match(each, happened)
        print(
            f"simulated night, {len(happened)} true arousals; {name}: precision "
            f"{score['precision']:.2f}, recall {score['recall']:.2f}, F1 {score['f1']:.2f}"
        )

# %% [markdown]
# ## Where the network is unsure
#
# Epochs that the report lists: the least certain ones, and sequences that sleepers hardly ever
# show. Begin here when you look at the night yourself.

# %%
worth, more = look.worth(night)
listed = pd.DataFrame(
    [
        {
            "epoch": entry["epoch"] + 1,
            "time": clock(entry["epoch"] * SECONDS),
            "probabilities": entry["best"],
            "why": entry["why"],
        }
        for entry in worth
    ]
    or [{"epoch": None}]
).set_index("epoch")
print(f"{kind}: {len(worth)} epochs listed, {more} more strange sequences not")
listed

# %%
least = int(np.argmin(np.where(stages == UNSCORED, 2.0, sure)))
seen = [
    row.label for row in labels.table(header) if row.used
] or header.channels
seen = seen[:8]
page = readers.read(path, seen)
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 0.5 * len(seen) + 1.1))
plotting.traces(
    page, night.onset + least * SECONDS, SECONDS, seen, axis, lane=150
)
shares = ", ".join(
    f"{name} {100 * p:.0f} %"
    for name, p in zip(STAGES, night.posteriors[least], strict=True)
)
axis.set_title(f"The least certain epoch, {least + 1} ({kind}): {shares}")
plt.show()

# %% [markdown]
# What would you say? And on what would you fall back if you could not say: the epoch before, a rule
# of the manual? The network has seen some seven minutes on either side ({ref}`receptive-field`).

# %%
if known:
    rank = np.argsort(np.argsort(sure, kind="stable"))
    quarter = 4 * rank // len(sure)
    own = pd.DataFrame(
        {
            "confidence": [sure[quarter == k].mean() for k in range(4)],
            "as the simulated expert": [
                (stages == experts)[quarter == k].mean() for k in range(4)
            ],
            "as the truth": [
                (stages == truth)[quarter == k].mean() for k in range(4)
            ],
            "epochs": [(quarter == k).sum() for k in range(4)],
        },
        index=["least sure quarter", "second", "third", "surest quarter"],
    )
    print("simulated night, shares of epochs:")
    print(own.round(2).to_string())
else:
    print("Whether sure means right here cannot be known without an expert.")

# %% [markdown]
# ## Attention over the night
#
# How much each channel counts, in pieces of 17.5 min. Shares need not be equal. What to look for is
# a channel that holds nearly everything, or one that falls out in the middle of the night, as a
# loose electrode does.

# %%
if night.attention is None:
    print("This network has no attention over channels.")
else:
    hours_at = np.minimum(
        np.arange(len(night.attention) + 1) * night.attention_seconds,
        len(stages) * SECONDS,
    )
    n = len(night.channels)
    figure, axis = plt.subplots(figsize=(plotting.WIDTH, 0.26 * n + 1.2))
    mesh = axis.pcolormesh(
        hours_at / 3600,
        np.arange(n + 1) - 0.5,
        100 * night.attention.T,
        cmap="Blues",
        vmin=0,
        vmax=max(100 * night.attention.max(), 200 / n),
    )
    axis.set(yticks=range(n), yticklabels=night.channels, xlabel="time (h)")
    axis.invert_yaxis()
    axis.set_title(f"Attention ({kind}): equal shares would be {100 / n:.3g} %")
    figure.colorbar(mesh, ax=axis, label="weight (%)")
    plt.show()

# %% [markdown]
# ## The files, read back by others
#
# EDF+ annotations by MNE, tables by pandas, YASA's codes by NumPy. Nothing is written over unless
# `force` says so.

# %%
written = export.write(
    night, folder, ["edf", "csv", "npz", "yasa", "statistics"], force
)
written.append(report.report(night, folder / f"{night.id}_report.html", force))
where = out or "a folder that the last cell removes; name one in `out`"
for each in written:
    print(f"{each.name:32} {each.stat().st_size / 1e3:8.1f} kB")
print(f"in {where}")

# %%
edf, table, arrays, codes = written[:4]
if importlib.util.find_spec("mne"):
    import mne

    marks = mne.read_annotations(edf)
    bouts = [text.startswith("Sleep stage") for text in marks.description]
    slept = sum(marks.duration[bouts]) / SECONDS
    print(
        f"MNE: {sum(bouts)} bouts that fill {slept:g} epochs, "
        f"{len(marks) - sum(bouts)} arousals"
    )
else:
    print("MNE is not installed; pip install mne")
back = pd.read_csv(table)
plain = [parse(text) if text != "?" else UNSCORED for text in back["stage"]]
with np.load(arrays, allow_pickle=False) as content:
    print(f"NumPy: {', '.join(content)}")
whole = np.where(stages == UNSCORED, -2, stages)
print(
    f"pandas: {len(back)} epochs, as staged: {np.array_equal(plain, stages)}; "
    f"YASA's codes as staged: {np.array_equal(np.loadtxt(codes), whole)}"
)
back.head(3)

# %% [markdown]
# ## Channels left out
#
# The night again, from each channel alone and from all but one. If a single channel makes another
# night of it, look at that channel. If one alone gives nearly the same, this says that the channels
# agree, *not* that they are right: what staged them is the same network with the same habits. The
# last line is chance: the result from all channels, moved by half the night, has the same minutes
# of each stage and agrees with nothing.

# %%


def staged_from(names):
    """Stages from some channels; None if the network cannot do with these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", staging.StagingWarning)
        try:
            found = sleeplib.stage(path, **options | {"channels": names})
        except SleeplibError:
            return None
    return found.hypnogram.stages


names = night.channels[:most]
sets = {f"{name} alone": [name] for name in names}
if len(night.channels) > 2:
    sets |= {
        f"without {name}": [n for n in night.channels if n != name]
        for name in names
    }
again = parallel.work(
    staged_from,
    [(each,) for each in sets.values()],
    jobs,
    desc="channel sets",
)
again = dict(zip(sets, again, strict=True))
CHANCE = "chance: all, moved by half the night"
versions = {"all": stages}
versions |= {name: each for name, each in again.items() if each is not None}
versions[CHANCE] = np.roll(stages, len(stages) // 2)
if failed := [name for name, each in again.items() if each is None]:
    print(f"not possible with this network: {', '.join(failed)}")


def line(each):
    """Agreement and minutes of one version."""
    cells = {"kappa with all": agreement(stages, each)}
    if known:
        cells["with the simulated expert"] = agreement(experts, each)
        cells["with the truth"] = agreement(truth, each)
    minutes = {
        f"{s} (min)": (each == k).sum() / 2 for k, s in enumerate(STAGES)
    }
    return cells | minutes


by_channels = pd.DataFrame({name: line(e) for name, e in versions.items()}).T
print(f"{kind}, one night of {len(stages)} epochs")
by_channels.round(2)

# %%
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 0.28 * len(names) + 1.5))
kappas = by_channels["kappa with all"]
y = np.arange(len(names))
for title, marker, colour in (
    ("{} alone", "o", "#0072B2"),
    ("without {}", "s", "#E69F00"),
):
    shown = kappas.reindex([title.format(name) for name in names])
    if shown.notna().any():
        label = title.format("it").replace("it alone", "alone")
        axis.plot(shown, y, marker, color=colour, ls="", label=label)
axis.axvline(kappas[CHANCE], color="#888888", ls=":", label="chance")
axis.set(
    yticks=y,
    yticklabels=names,
    xlabel="kappa with the result from all channels",
    xlim=(min(0, kappas.min()) - 0.03, 1.03),
    ylim=(len(names) - 0.5, -0.5),
)
axis.set_title(f"Each channel, alone and left out ({kind}, one night)")
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## Correction by hand, and scoring again
#
# You look at some epochs, change them in `corrections`, and the night is counted again and written
# under your name. Of the simulated night the simulated expert corrects what the list above named. A
# probability of 1 in the corrected file stands for your word.

# %%
changes = {int(epoch): stage for epoch, stage in corrections.items()}
if not changes and known:
    looked_at = [entry["epoch"] for entry in worth]
    changes = {
        k + 1: STAGES[experts[k]] for k in looked_at if experts[k] != UNSCORED
    }
mine = night.corrected(changes, scorer)
mine = night.corrected(changes, scorer)
hand = mine.hypnogram.stages
print(
    f"{kind}: {len(changes)} epochs looked at, {(hand != stages).sum()} changed; "
    f"kappa before with after {agreement(stages, hand):.3f}"
)
before, after = (
    architecture.report_statistics(
        each.hypnogram.stages, SECONDS, each.arousals
    )
    for each in (night, mine)
)
some = ["TST", "SE", "SOL", "WASO_lights_on", "Lat_REM_sleep", "awakenings"]
some += ["%N1", "%N2", "%N3", "%REM", "SSI"]
pd.DataFrame(
    {
        s if s[0] == "%" else f"{s} ({before[s].unit or 'number'})": {
            "before": before[s].value,
            "after": after[s].value,
        }
        for s in some
    }
).T.round(1)

# %% [markdown]
# A latency hangs on one epoch, the first of its stage; a share hangs on all of them. That is why a
# correction of a dozen epochs may leave the shares as they are and move a latency by half an hour,
# and why latencies deserve the first look.
#
# Was it worth it to look where the list says? The same number of epochs, drawn at random and
# corrected by the same expert, is the baseline.

# %%
if known:
    rng, gained = np.random.default_rng(0), []
    for _ in range(200):
        drawn = stages.copy()
        at = rng.choice(len(stages), len(changes), replace=False)
        drawn[at] = experts[at]
        gained.append(agreement(experts, drawn) - agreement(experts, stages))
    listed_gain = agreement(experts, hand) - agreement(experts, stages)
    print(
        f"simulated night: kappa with the expert gains {listed_gain:.3f} by the "
        f"{len(changes)} epochs listed, {np.mean(gained):.3f} by as many at random "
        f"(95 % of draws {np.quantile(gained, 0.025):.3f} to {np.quantile(gained, 0.975):.3f})"
    )
else:
    print("How much nearer to the truth this has come cannot be known.")
for each in export.write(mine, folder, ["edf", "csv", "yasa-json"], force):
    print(each.name)

# %% [markdown]
# ## What not to read from it
#
# One night is one night: whatever the tables above say of it, the next one may say something else,
# and *how well networks do with few channels* is measured on many persons in
# {doc}`channel_robustness`. A kappa between two results of one network is no accuracy. The gain by
# correction is that of an expert who corrects towards himself or herself. And none of this is a
# diagnosis.
#
# *Exercise:* set `channels` to the two eyes, and then to one occipital channel. Which stage loses
# most? *Hint:* {ref}`ex-own-channels`.

# %%
workshop.cleanup()
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
