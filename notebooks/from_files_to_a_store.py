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
# # From files to a store
#
# ```{admonition} What you will see
# :class: tip
# Eight archives, each with folders, labels and stage texts of its own, and how they become one vocabulary and one
# kind of array. Then seven traps on this way, each with the number that it costs, and what a batch of AnySleep sees.
#
# **Data** simulated twins of real cohorts, made here: their formats are those of the archives, their nights are not
# anybody's. **Tools** `sleeplib.cohorts`, `prepare`, `quality`, `sampling`. **Time** one to two minutes on a
# laptop.
# ```
#
# How to get the real archives is told in {doc}`../book/real_nights`, what is peculiar to each in
# {doc}`../book/cohorts`.

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
import json
import re
import shutil
import textwrap
from dataclasses import replace

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sleeplib import cohorts, plotting, readers, results, signals, simulator
from sleeplib.analysis import metrics, statistics
from sleeplib.cohorts import nights
from sleeplib.errors import SleeplibError
from sleeplib.models.classical import BandPowerLDA, band_powers
from sleeplib.montages import TYPES
from sleeplib.preparation import ANYSLEEP
from sleeplib.prepare import prepare
from sleeplib.readers.codes import ISRUC, SVUH, read_codes
from sleeplib.readers.edf import write_edf
from sleeplib.sampling import Loader, Nights, Sequences, Windows
from sleeplib.sampling.channels import probabilities_of_numbers
from sleeplib.sampling.windows import probabilities_of_sets
from sleeplib.stages import STAGES, UNSCORED, parse

plotting.use_style()
pd.set_option("display.max_colwidth", None)

# %% tags=["parameters"]
hours = 1.0  # of the nights of the tour
persons = 8  # of the trap of leakage, two nights each
night_hours = 1.5  # of these nights, and of those to be trimmed
batches = 500  # drawn in the last section
jobs = 1  # processes that simulate

# %% [markdown]
# ## Eight archives
#
# `sleeplib simulate --like COHORT` makes a *twin* of a real cohort: simulated nights in the folders, file names,
# labels, rates and formats of its archive. We make a short night of one cohort for each format and open the files
# as they stand. Beside them the simulator keeps its settings (`simulation.json`) and the truth (`truth/`); no real
# archive has these, and we leave them out of the lists.

# %%
place = results.data_folder() / "tour" / f"{hours:g}-{night_hours:g}"


def twin(name, persons=1, folder=None, hours=hours, **site):
    """Simulated nights of a cohort in its archive's files: manifest, folder and recordings."""
    manifest = cohorts.load(name)
    settings = dict(manifest.simulation)
    settings["site"] = settings["site"] | site
    manifest = replace(manifest, simulation=settings)
    folder = place / (folder or name)
    made = simulator.simulate(
        manifest,
        folder,
        persons=persons,
        hours=hours,
        jobs=jobs,
        progress=False,
    )
    found = [
        e for e in cohorts.recordings(manifest, folder) if e.signals in made
    ]
    return manifest, folder, found


ARCHIVES = {
    "sedf-sc": "EDF, stages in EDF+",
    "shhs": "EDF, stages in XML",
    "phys": "WFDB",
    "dcsm": "HDF5, stages in .ids",
    "dodh": "HDF5, scorers in JSON",
    "isruc-sg1": ".rec, stages in text",
    "svuh": ".rec, events by the clock",
    "mass-c1": "EDF+, events in XML",
}
twins = {name: twin(name) for name in ARCHIVES}


# %% tags=["hide-input"]
def tree(name):
    """The archive's files with their sizes."""
    _, folder, _ = twins[name]
    for path in sorted(folder.rglob("*")):
        own = path.relative_to(folder)
        if path.is_file() and own.parts[0] not in ("simulation.json", "truth"):
            size = path.stat().st_size
            told = f"{size} B" if size < 99_999 else f"{size / 1e6:.1f} MB"
            print(f"{told:>8} {own}")


def header(name):
    """Labels by rate, as the header of the file of signals has them."""
    said = nights.header_of(twins[name][2][0])
    for rate in sorted(set(said.rates), reverse=True):
        labels = [
            label
            for label, r in zip(said.channels, said.rates, strict=True)
            if r == rate
        ]
        line = f"{rate:g} Hz: {', '.join(labels)}"
        print(
            textwrap.fill(
                line, 72, subsequent_indent="        ", break_on_hyphens=False
            )
        )


def raw(path, first=0, n=320):
    """Some bytes of a file as they stand, control characters as \\x.."""
    piece = path.read_bytes()[first : first + n]
    text = piece.decode("latin-1")
    shown = "".join(
        c if c.isprintable() and ord(c) < 127 else f"\\x{ord(c):02x}"
        for c in text
    )
    print("\n".join(textwrap.wrap(shown, 72, break_on_hyphens=False)))


def lines(path, first=0, n=4):
    """Some lines of a text file."""
    for line in path.read_text(encoding="utf-8").splitlines()[
        first : first + n
    ]:
        print(line)


def inside(path, most=6):
    """What a file of HDF5 holds."""
    with h5py.File(path) as file:
        print("attributes", {k: str(v)[:40] for k, v in file.attrs.items()})
        found = []
        file.visititems(lambda key, node: found.append((key, node)))
        data = [(k, v) for k, v in found if isinstance(v, h5py.Dataset)]
        for key, node in data[:most]:
            print(f"/{key}  {node.dtype} {node.shape}")
        if len(data) > most:
            print(f"... and {len(data) - most} others")


# %% [markdown]
# ### Sleep-EDF: EDF, and a second EDF+ file for the stages
#
# The name of a hypnogram ends in a letter of its scorer, so the two names of a pair differ in more than their ending.
# Stages are *runs* with onset and duration. What to see in the bytes: `\x15` stands between onset and duration,
# `\x14` around the text. The scoring goes on to 86,400 s as `Sleep stage ?`, long after the signals have ended. And
# the chin has one value per second: an envelope, no signal.

# %%
entry = twins["sedf-sc"][2][0]
tree("sedf-sc")
header("sedf-sc")

# %%
raw(entry.scoring[0], first=512, n=230)

# %% [markdown]
# ### SHHS: EDF, and XML for stages and events
#
# The nine cohorts of the National Sleep Research Resource write this XML. Folders repeat the visit. Note the two
# EEG labels: `EEG` is C4-A1, `EEG(sec)` or one of its four other spellings is C3-A2. EEG, eyes and chin differ in
# their rates.

# %%
entry = twins["shhs"][2][0]
tree("shhs")
header("shhs")

# %%
lines(entry.scoring[0], first=3, n=16)

# %% [markdown]
# ### PhysioNet 2018: WFDB
#
# A text header (`.hea`) describes a matrix of integers (`.mat`); the annotations are binary. Each has two
# bytes of type and time, then its text. A stage is written only where it *changes*, and the first one does not
# stand at 0 s: what lies before it nobody scored. Events are brackets, `(name` and `name)`.

# %%
entry = twins["phys"][2][0]
tree("phys")
lines(entry.signals, n=3)

# %%
raw(entry.scoring[0], n=230)

# %% [markdown]
# ### DCSM: HDF5, and three columns of text
#
# Derived channels, one array each, with the rate in an attribute. The hypnogram is a list of runs: start, duration,
# stage. Wake before and after the night is long.

# %%
entry = twins["dcsm"][2][0]
tree("dcsm")
inside(entry.signals, most=4)
lines(entry.scoring[0])

# %% [markdown]
# ### DOD-H: HDF5, and five scorers
#
# The consensus is inside the file of the signals, as numbers, with -1 for epochs without a stage. Each scorer's own
# list is a file of JSON that begins earlier and ends later than the signals. The cut is a rule of the data set's
# evaluation program, and nothing in the files says where it lies.

# %%
entry = twins["dodh"][2][0]
tree("dodh")
inside(entry.signals, most=3)
with h5py.File(entry.signals) as file:
    consensus = file["hypnogram"][:]
print("consensus", len(consensus), "epochs:", *consensus[:8], "...")
for path in entry.scoring:
    said = json.loads(path.read_text())
    print(path.parent.name, len(said), "epochs:", *said[:8], "...")

# %% [markdown]
# ### ISRUC: `.rec`, and a digit for each epoch
#
# `.rec` is EDF by another name. Two scorers, one digit per line: 0 W, 1 N1, 2 N2, 3 N3, and 5 for REM.

# %%
entry = twins["isruc-sg1"][2][0]
tree("isruc-sg1")
header("isruc-sg1")
for path in entry.scoring:
    print(path.name, *path.read_text().split()[:24], "...")

# %% [markdown]
# ### SVUH: the same, with other digits, and a clock
#
# 0 W, **1 REM**, 2 to 5 the four stages of Rechtschaffen and Kales, 6 to 8 unscored. Labels run together (`C3A2`,
# `Lefteye`). Breathing events have times of day; their seconds from the start need the header's clock, and a day
# more after midnight.

# %%
entry = twins["svuh"][2][0]
tree("svuh")
header("svuh")
print(entry.scoring[0].name, *entry.scoring[0].read_text().split()[:24], "...")
lines(entry.events[0], n=6)

# %% [markdown]
# ### MASS: three EDF files of one night
#
# Signals, stages (`Base`), events (`Annotations`), with a blank in each name. An annotation's text is itself an
# element of XML. The first epoch begins some seconds after the signals; the onset of the first stage is the only
# place where that is written. (`participants.csv` is no part of the archive: whoever has the descriptor tables writes
# it from them.)

# %%
entry = twins["mass-c1"][2][0]
tree("mass-c1")
header("mass-c1")

# %%
raw(entry.scoring[0], first=512, n=110)
raw(entry.events[0], first=512, n=190)

# %% [markdown]
# ## One vocabulary
#
# `cohorts.read` takes a manifest and the files of a night, and gives the same object for all eight. What is
# peculiar to a cohort stands in its manifest, in `data_manifests/`; the tables below are computed from the files above.
# First the stages: the words that the file has for two of them, and the epochs of each after reading.


# %% tags=["hide-input"]
def words(entry):
    """The distinct texts of stages in the files of a night, as they stand."""
    path = (entry.scoring or [entry.signals])[0]
    if path.suffix == ".json":
        found = map(str, json.loads(path.read_text()))
    elif path.suffix == ".xml":
        pattern = r"Stages\|Stages</EventType>\s*<EventConcept>([^<]*)"
        found = re.findall(pattern, path.read_text())
    elif path.suffix == ".edf":
        pattern = rb"\x14((?:Sleep stage|Movement)[^\x14]*)\x14"
        found = [t.decode() for t in re.findall(pattern, path.read_bytes())]
    elif path.suffix == ".arousal":
        texts = re.findall(rb"(.)\xfc([ -~]+)", path.read_bytes(), re.DOTALL)
        texts = [text[: size[0]].decode() for size, text in texts]
        found = [t for t in texts if re.fullmatch(r"[WR]|N\d", t)]
    elif path.suffix == ".ids":
        found = [line.split(",")[2] for line in path.read_text().split()]
    else:
        found = path.read_text().split()
    return sorted(set(found))


def meaning(manifest, word):
    """The stage that a word of a cohort's files means."""
    codes = manifest.hypnogram.get("codes")
    if codes:
        return codes[word]
    if word.lstrip("-").isdigit():  # the scorers' lists have our own codes
        return STAGES[int(word)] if int(word) >= 0 else "unscored"
    code = parse(word)
    return STAGES[code] if code != UNSCORED else "unscored"


read = {n: cohorts.read(m, found[0]) for n, (m, _, found) in twins.items()}
rows = {}
for name, night in read.items():
    manifest, _, found = twins[name]
    stages, row = night.hypnogram.stages, {}
    for stage in ("N3", "REM"):
        row[f"{stage} in the file"] = ", ".join(
            w for w in words(found[0]) if meaning(manifest, w) == stage
        )
    row |= {s: (stages == code).sum() for code, s in enumerate(STAGES)}
    row["no stage"] = (stages == UNSCORED).sum()
    row["begins at (s)"] = f"{night.hypnogram.onset:g}"
    rows[name] = row
pd.DataFrame(rows).T

# %% [markdown]
# Then the channels, of each kind the first. Here every derivation stands in the file under some label; where a file
# has electrodes, as most of NSRR's, it is formed from two of them.

# %% tags=["hide-input"]
rows = {}
for name, (manifest, _, found) in twins.items():
    said = nights.header_of(found[0])
    chosen = nights.derivations(manifest, said, None, TYPES)
    rate = dict(zip(said.channels, said.rates, strict=True))
    row = {"used": f"{len(chosen)} of {len(said.channels)}"}
    for kind in TYPES:
        first = next(d for d in chosen if d.type == kind)
        (label,) = first.terms  # no difference is needed in these eight
        told = f"{first.name} = {label}" if label != first.name else label
        row[kind] = f"{told}, {rate[label]:g} Hz"
    rows[name] = row
pd.DataFrame(rows).T

# %% [markdown]
# Last the events. Where a cell is 0, the archive has none, or nobody marked any in this short night.

# %% tags=["hide-input"]
rows = {
    name: {
        kind: sum(event.kind == kind for event in night.events)
        for kind in ("arousal", "hypopnea", "obstructive apnea")
    }
    for name, night in read.items()
}
pd.DataFrame(rows).T

# %% [markdown]
# ## A store for each network
#
# `sleeplib prepare COHORT --for seqsleepnet` takes one EEG, one EOG and the chin, at 100 Hz, in microvolts.
# `--for anysleep` takes every EEG and EOG channel at 128 Hz, each with median 0 and inter-quartile range 1, clipped to
# &plusmn;20. Both cut the night to whole epochs and align it with the stages. Here both for all eight, by the function
# under the command. (Sleep-EDF's two channels are no mistake: an envelope of 1 Hz cannot be a chin at 100 Hz.)

# %%
stores, rows = {}, {}
for name, (manifest, folder, _) in twins.items():
    for network, recipe in (("seqsleepnet", {}), ("anysleep", ANYSLEEP)):
        store, failures = prepare(
            manifest,
            folder,
            place / "prepared" / network / name,
            limit=1,
            progress=False,
            **recipe,
        )
        assert not failures
        stores[network, name] = store
    one, other = stores["seqsleepnet", name], stores["anysleep", name]
    rows[name] = {
        "epochs": int(one.lengths[0]),
        "seqsleepnet": str(one.samples(0).shape),
        "anysleep": str(other.samples(0).shape),
    }
pd.DataFrame(rows).T

# %% [markdown]
# A store is a folder: samples as 16-bit integers, a sidecar with everything about the night, and an index of all
# nights, so that 20,000 of them open in a second.

# %%
store = stores["anysleep", "shhs"]
for path in sorted(store.folder.iterdir()):
    print(f"{path.name:16s} {path.stat().st_size:>12,} bytes")
sidecar = json.loads((store.folder / f"{store.ids[0]}.json").read_text())
for key, value in sidecar.items():
    print(f"{key:12s} {str(value).replace(str(place), '...')[:58]}")

# %% [markdown]
# What the networks take from it are *windows*. SeqSleepNet: sequences of log-power images. AnySleep: 35 epochs,
# 17.5 minutes, of raw samples, of as many channels as the batch has drawn.

# %%
images, labels = Sequences(
    Nights.from_store(stores["seqsleepnet", "shhs"]), length=20, batch_size=4
).batch(0)
print("SeqSleepNet", tuple(images.shape), "(B, L, C, T, F)")
windows = Windows([store], batch_size=4, seed=3)
batch = next(Loader(windows)(steps=1)).clone()
x = batch.signals()
print("AnySleep   ", tuple(x.shape), "(B, C, T)")

# %% tags=["hide-input"]
figure, axes = plt.subplots(
    2, 1, figsize=(plotting.WIDTH, 3.4), sharex=True, height_ratios=[1, 1.4]
)
plotting.hypnogram(batch.labels[0].numpy(), ax=axes[0])
hour = np.arange(x.shape[2]) / store.rate / 3600
names = [store.names(0)[c] for c in batch.where.channels[0]]
for row, signal in enumerate(x[0].numpy()):
    axes[1].plot(hour, signal - 12 * row, lw=0.2, color="#222222")
axes[1].set(
    yticks=-12 * np.arange(len(names)),
    yticklabels=names,
    xlabel="time in the window (h)",
    ylim=(-12 * len(names) + 4, 8),
)
axes[0].set(xlabel="", title="A window of AnySleep: stages (simulated) ...")
axes[1].set_title("... and channels; 12 inter-quartile ranges between lines")
plt.show()

# %% [markdown]
# ### What a broken channel looks like
#
# `prepare` measures every channel before anything is scaled, since scaling hides the evidence: the wrong unit is gone,
# and a flat channel is a flat channel of zeros. We take six nights of the SHHS twin and break one channel of four
# of them, in the files: a contact that was lost for 40 % of the night, an amplifier that cannot follow beyond
# 40 &micro;V, millivolts under the label `uV`, and a cable that swings in one epoch of eight.


# %%
def lost(x, rate):
    x[: int(0.4 * len(x))] = 0


def clipped(x, rate):
    np.clip(x, -40, 40, out=x)


def millivolts(x, rate):
    x /= 1000


def loose(x, rate):
    size = round(30 * rate)
    noise = 100 * x.std() * np.random.default_rng(0).standard_normal(size)
    for first in range(0, len(x) - size, 8 * size):
        x[first : first + size] += noise


manifest, folder, found = twin("shhs", persons=6, folder="six")
broken = place / "broken"
shutil.rmtree(broken, ignore_errors=True)
shutil.copytree(folder, broken)
for entry, (kind, how) in zip(
    found[1:5],
    [("EEG", lost), ("EEG", clipped), ("EOG", millivolts), ("EOG", loose)],
    strict=True,
):
    path = broken / entry.signals.relative_to(folder)
    night = readers.read(path)
    i = next(i for i, c in enumerate(night.channels) if c.startswith(kind))
    how(night.signals[i], night.rates[i])
    write_edf(night, path)
    print(f"{entry.id}: {night.channels[i]} {how.__name__}")

store, _ = prepare(
    manifest, broken, place / "prepared" / "broken", progress=False, **ANYSLEEP
)
for i, name in enumerate(store.ids):
    print(name, "; ".join(store.quality(i)["notes"]) or "nothing to note")

# %%
figure = plotting.quality(store)
figure.axes[0].set_title("shhs: 6 simulated recordings, four of them broken")
plt.show()

# %% [markdown]
# Above, red is the share that cannot be used. Below, each channel's spread over the recordings, on a scale of powers
# of ten: the channel in millivolts stands alone at the left. `sleeplib prepare` writes this picture (`quality.png`)
# and the table under it (`quality.tsv`) into each store. It tells; it does not throw away. What to leave out is yours
# to decide, before you look at any result.

# %% [markdown]
# ## Trap 1: two nights of one person
#
# Sleep-EDF has two nights of nearly everybody. If one is in training and the other in the test set, a model may know
# the person. How much does that flatter it? For each night of a twin of Sleep-EDF we train twice, on the same number of
# nights: once on strangers only, once with the person's other night in the place of a stranger's. Two classifiers on
# the band powers of single epochs: a linear discriminant, which has little room to remember anybody, and the five
# nearest neighbours, which do nothing but remember.

# %%
manifest, folder, _ = twin(
    "sedf-sc", persons, "leak", night_hours, awake=[10, 10]
)
store, _ = prepare(
    manifest, folder, place / "prepared" / "leak", jobs, progress=False
)
everyone = Nights.from_store(store).split()
features = [band_powers(images) for images, _ in everyone]
truth = [labels.numpy() for _, labels in everyone]
scored = [labels != UNSCORED for labels in truth]
person = np.unique(store.persons, return_inverse=True)[1]


def confusions(make, known):
    """A confusion matrix of each person; `known`: their other night is in the training set."""
    rng, counts = np.random.default_rng(1), []
    for i in range(len(store)):
        train = np.flatnonzero(person != person[i])
        if known:
            own = np.setdiff1d(np.flatnonzero(person == person[i]), [i])
            out = rng.choice(train, len(own), replace=False)
            train = np.r_[np.setdiff1d(train, out), own]
        x = np.concatenate([features[j][scored[j]] for j in train])
        y = np.concatenate([truth[j][scored[j]] for j in train])
        said = make().fit(x, y).predict(features[i][scored[i]])
        counts.append(metrics.confusion(truth[i][scored[i]], said))
    counts = np.array(counts)
    return np.array([counts[person == p].sum(0) for p in np.unique(person)])


rows = {}
for title, make in {
    "linear discriminant": LinearDiscriminantAnalysis,
    "5 nearest neighbours": lambda: make_pipeline(
        StandardScaler(), KNeighborsClassifier(5)
    ),
}.items():
    honest, leaky = confusions(make, False), confusions(make, True)
    gain, low, high = 100 * np.array(
        statistics.paired_difference(metrics.accuracy, leaky, honest)
    )
    rows[title] = {
        "by person (%)": f"{100 * metrics.accuracy(honest.sum(0)):.1f}",
        "by recording (%)": f"{100 * metrics.accuracy(leaky.sum(0)):.1f}",
        "gain (points)": f"{gain:+.1f}",
        "95 % interval": f"{low:+.1f} to {high:+.1f}",
        "beyond chance": "yes" if low > 0 else "not shown",
    }
print(f"accuracy, {len(store)} simulated nights of {person.max() + 1} persons")
pd.DataFrame(rows).T

# %% [markdown]
# With few persons the interval is wide, and where it holds zero, this cohort has not shown the effect. That is no
# acquittal: the person *is* in the signals, as a simpler question tells. Take the mean spectrum of each night, asleep
# in N2, and look for the night that is most like it. How often is it the other night of the same person?

# %%
spectra = np.array(
    [
        images[labels == 2].mean((0, 2)).flatten().numpy()
        for images, labels in everyone
    ]
)
z = (spectra - spectra.mean(0)) / spectra.std(0)
distance = np.square(z[:, None] - z[None]).sum(-1)
np.fill_diagonal(distance, np.inf)
hits = person[distance.argmin(1)] == person
print(
    f"found {hits.sum()} of {len(hits)} other nights ({100 * hits.mean():.0f} %); "
    f"by chance {100 / (len(hits) - 1):.0f} %"
)

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.8))
hertz = np.arange(129) * 100 / 256
for p in range(min(4, person.max() + 1)):
    for night, style in zip(np.flatnonzero(person == p), "-:", strict=False):
        axis.plot(
            hertz[hertz <= 30],
            spectra[night].reshape(-1, 129)[0][hertz <= 30],
            style,
            lw=1.2,
            color=f"C{p}",
            label=f"person {p + 1}, night {'-:'.index(style) + 1}",
        )
axis.set(
    xlim=(0.5, 30), xlabel="frequency (Hz)", ylabel="power (dB)",
    title="Mean spectrum of N2, Fpz-Cz, two nights a person (simulated)",
)  # fmt: skip
axis.legend(ncols=2)
plt.show()

# %% [markdown]
# A simulated person's traits are drawn once and kept for both nights, so this is what the simulator was told. Real
# brains do it unasked. All splits of this book are by person; `cohorts.splits.check_disjoint` refuses any other, and a
# manifest says what a person is (`files.person`) and what else must stay together (`files.group`, such as a family).

# %% [markdown]
# ## Trap 2: an offset that nobody applied
#
# Stages that begin some seconds after the signals are still the right stages, of other seconds. Since our nights are
# simulated, we know the true state at every moment, and can shift the scoring along the signals and see where it fits.


# %%
def agreement(manifest, folder, found, shifts):
    """Kappa (night, shift) of the scored stages with the truth, if the first epoch began at `shift` s."""
    curves, onsets = [], []
    for entry in found:
        scorer = nights.score(manifest, entry, nights.header_of(entry))[0]
        state, _ = simulator.read_truth(folder / "truth" / f"{entry.id}.tsv")
        until = np.cumsum(np.eye(5, dtype=np.int32)[state], axis=0)
        until = np.vstack([np.zeros(5, np.int32), until])
        onsets.append(scorer.onset)
        curve = []
        for shift in shifts:
            at = shift + 30 * np.arange(len(scorer) + 1)
            fits = (at[:-1] >= 0) & (at[1:] <= len(state) / 128)
            edge = np.clip((at * 128).round().astype(int), 0, len(state))
            really = np.diff(until[edge], axis=0).argmax(1)
            use = fits & scorer.scored
            curve.append(
                metrics.kappa(
                    metrics.confusion(really[use], scorer.stages[use])
                )
            )
        curves.append(curve)
    return np.array(curves), np.array(onsets)


figure, axes = plt.subplots(
    1, 2, figsize=(plotting.WIDTH, 2.8), width_ratios=[1, 1.6], sharey=True
)
for axis, (name, (number, last)) in zip(
    axes, {"mass-c1": (3, 60), "phys": (2, 330)}.items(), strict=True
):
    made = twin(name, number, f"few/{name}")
    shifts = np.arange(0, last + 1)
    curves, onsets = agreement(*made, shifts)
    right = [c[int(o)] for c, o in zip(curves, onsets, strict=True)]
    print(
        f"{name}: epochs begin at {', '.join(f'{o:g} s' for o in onsets)}; kappa {np.mean(right):.2f} there, "
        f"{curves[:, 0].mean():.2f} if the offset is ignored"
    )
    for i, (curve, onset) in enumerate(zip(curves, onsets, strict=True)):
        axis.plot(shifts, curve, lw=1, color=f"C{i}")
        axis.plot(onset, curve[int(onset)], "o", ms=5, color=f"C{i}")
    axis.set(xlabel="assumed begin of scoring (s)", title=f"{name} (simulated)")
axes[0].set_ylabel("kappa with the truth")
plt.show()

# %% [markdown]
# Each line is a night, the dot is what the file says. Part of an epoch costs a little, several epochs cost nearly all
# that can be lost in these short nights. Nothing crashes, and a network trained on it merely looks mediocre. The
# maximum of such a curve lies near the second where the scorer began; on real nights, without the truth, one can draw
# it with a trained network in its place.

# %% [markdown]
# ## Trap 3: offsets of the other kind, and who clips first
#
# The paper of AnySleep subtracts the median, divides by the inter-quartile range, and then clips to &plusmn;20. The
# authors' code clips first: to &plusmn;20 inter-quartile ranges *about zero*. For a channel around zero both are the
# same. A channel that stands on a constant voltage is another matter. We add one to an EEG channel.

# %%
night = read["shhs"]
x = signals.resample(*night.channel("C4-A1"), 128.0)
iqr = np.subtract(*np.percentile(x, [75, 25]))
offsets = np.arange(0, 41)
lost_by = {"paper": [], "authors": []}
for offset in offsets:
    moved = x + np.float32(offset * iqr)
    paper = signals.clip(signals.robust_scale(moved))
    authors = signals.clip_about_zero(moved)
    edge = 20 * np.subtract(*np.percentile(moved, [75, 25]))
    lost_by["paper"].append(np.mean(np.abs(paper) >= 20))
    lost_by["authors"].append(np.mean(np.abs(authors) >= edge * (1 - 1e-6)))
print(f"inter-quartile range of the channel: {iqr:.0f} uV")
for offset in (0, 10, 19, 20, 21, 25):
    print(
        f"offset {offset:2d} IQR = {offset * iqr:4.0f} uV: at the edge "
        + ", ".join(f"{k} {100 * v[offset]:.1f} %" for k, v in lost_by.items())
    )

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(plotting.WIDTH, 2.8))
for (name, share), colour in zip(
    lost_by.items(), (plotting.COLOURS["N2"], plotting.COLOURS["REM"]), strict=True
):  # fmt: skip
    axes[0].plot(
        offsets * iqr / 1000, 100 * np.array(share), color=colour, label=name
    )
axes[0].set(
    xlabel="offset of the channel (mV)", ylabel="samples at the edge (%)",
    title="What is lost (simulated C4-A1)",
)  # fmt: skip
axes[0].legend()
moved = x + np.float32(20 * iqr)
shown = slice(128 * 600, 128 * 610)
t = np.arange(1280) / 128
paper = signals.clip(signals.robust_scale(moved))[shown]
authors = signals.robust_scale(signals.clip_about_zero(moved))[shown]
axes[1].plot(t, paper, lw=0.6, color=plotting.COLOURS["N2"])
axes[1].plot(t, authors - 8, lw=0.6, color=plotting.COLOURS["REM"])
axes[1].set(
    yticks=[0, -8], yticklabels=["paper", "authors"], xlabel="time (s)",
    title="Ten seconds at an offset of 20 IQR",
)  # fmt: skip
plt.show()

# %% [markdown]
# Amplifiers with a high-pass filter let no offset through; electrodes recorded down to 0 Hz have millivolts of it. Both
# orders are here: `--scaling robust` (the paper's, the default) and `robust-authors`.
#
# **Units** hide in the same place. If a channel's millivolts are called microvolts:

# %%
epochs = x[: len(x) // 3840 * 3840].reshape(-1, 3840)
small = epochs / 1000
change = signals.log_power_image(small, 128.0) - signals.log_power_image(
    epochs, 128.0
)
scaled = np.abs(
    signals.robust_scale(small.ravel()) - signals.robust_scale(epochs.ravel())
)
print(f"log-power image: {np.median(change):+.0f} dB in the median bin")
print(f"robustly scaled: largest difference {scaled.max():.6f} IQR")

# %% [markdown]
# AnySleep does not notice, SeqSleepNet sees a brain at the bottom of the scale. The readers bring V, mV and
# &micro;V to microvolts by the header's unit, and the quality report tells a channel whose size no EEG has.

# %% [markdown]
# ## Trap 4: one rate for the whole file
#
# A reader that returns one matrix brings every channel to the fastest rate of the file. What does that do to the
# eight nights?

# %%
rows = {}
for name, (_, _, found) in twins.items():
    said = nights.header_of(found[0])
    own = sum(said.rates) * 3600 * 4 / 1e6
    most = len(said.rates) * max(said.rates) * 3600 * 4 / 1e6
    rows[name] = {
        "rates (Hz)": ", ".join(f"{r:g}" for r in sorted(set(said.rates))),
        "as they are (MB/h)": f"{own:.0f}",
        "one matrix (MB/h)": f"{most:.0f}",
        "times": f"{most / own:.1f}",
    }
pd.DataFrame(rows).T

# %% [markdown]
# Memory is the smaller half of it. The eyes of SHHS come at 50 Hz: there is nothing above 25 Hz in them, whatever the
# rate they are brought to. Resampled to 100 Hz, the upper half of their image is empty, and a network that sees both
# eyes at 50 Hz and eyes at 256 Hz can tell the cohorts apart there.

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.6))
for name, channel, style in (
    ("shhs", "EOG(L)-PG1", "-"),
    ("dcsm", "E1-M2", "--"),
):
    y, rate = read[name].channel(channel)
    y = signals.resample(y, rate, 100.0)
    image = signals.log_power_image(
        y[: len(y) // 3000 * 3000].reshape(-1, 3000)
    )
    level = np.median(image, axis=(0, 1))
    cut = level[(hertz > 30) & (hertz < 45)].mean()
    print(f"{name} {channel}: {rate:g} Hz, {cut:.0f} dB from 30 to 45 Hz")
    axis.plot(hertz, level, style, label=f"{name}, recorded at {rate:g} Hz")
axis.set(
    xlabel="frequency (Hz)", ylabel="power (dB)", xlim=(0, 50),
    title="An eye channel at 100 Hz, median of the night (simulated)",
)  # fmt: skip
axis.legend()
plt.show()

# %% [markdown]
# ## Trap 5: 1 is REM, or N1
#
# Two archives of `.rec` files, each with a digit per epoch. Read SVUH's with ISRUC's table, and nearly every digit has
# a meaning there. How well does the result agree with the right reading?

# %%
_, _, found = twin("svuh", 2, "few/svuh")
right, wrong, refused = [], [], 0
for entry in found:
    path = entry.scoring[0]
    digits = path.read_text().split()
    known = [d for d in digits if d in ISRUC]
    refused += len(digits) - len(known)
    right += [SVUH[d] for d in known]
    wrong += [ISRUC[d] for d in known]
counts = metrics.confusion(np.array(right), np.array(wrong))
print(
    f"kappa {metrics.kappa(counts):.2f}, accuracy {metrics.accuracy(counts):.2f}"
)
print(
    f"{refused} of {len(right) + refused} digits have no meaning in ISRUC's table"
)

# %%
figure, axis = plt.subplots(figsize=(4.2, 3.8))
plotting.confusion_matrix(counts, ax=axis)
axis.set(xlabel="with ISRUC's table", ylabel="with SVUH's own")
axis.set_title(f"{len(found)} nights of the SVUH twin (simulated)")
plt.show()

# %% [markdown]
# Wake survives, and some of the deep sleep, so a glance at the hypnogram may not tell. What helps is a reader that
# refuses to guess. SVUH's scorers also used 6, 7 and 8, which ISRUC's table does not have:

# %%
for entry in found:
    try:
        read_codes(entry.scoring[0], ISRUC)
    except SleeplibError as error:
        print(str(error).replace(str(place), "..."))
        break

# %% [markdown]
# ## Trap 6: how much wake?
#
# A cassette of Sleep-EDF runs for 20 hours. Wake is easy, and the more of it is scored, the better everything looks.
# We train the linear discriminant on some twins of such nights and test it on others, *once*; only then do we choose
# which epochs to count.

# %%
# Minutes before and after; a night of 8 h becomes a recording of 20 h.
around = round(night_hours * 45)
manifest, folder, _ = twin(
    "sedf-sc", 4, "cassette", night_hours, awake=[around, around]
)
store, _ = prepare(
    manifest, folder, place / "prepared" / "cassette", jobs, progress=False
)
everyone = np.unique(store.persons)
train = np.flatnonzero(np.isin(store.persons, everyone[:2]))
test = np.flatnonzero(np.isin(store.persons, everyone[2:]))
model = BandPowerLDA().fit(Nights.from_store(store, train))
rows = {}
for title, minutes in {"everything": None, "30 min around sleep": 30}.items():
    counts = np.zeros((5, 5), int)
    for images, labels in Nights.from_store(store, test).split():
        said, stages = model.posteriors(images).argmax(1), labels.numpy()
        asleep = np.flatnonzero((stages > 0) & (stages != UNSCORED))
        first, last = 0, len(stages)
        if minutes is not None:
            first = max(asleep[0] - 2 * minutes, 0)
            last = asleep[-1] + 1 + 2 * minutes
        counts += metrics.confusion(stages[first:last], said[first:last])
    rows[title] = {
        "epochs": f"{counts.sum():,}",
        "always wake: accuracy (%)": f"{100 * counts[0].sum() / counts.sum():.1f}",
        "accuracy (%)": f"{100 * metrics.accuracy(counts):.1f}",
        "kappa": f"{metrics.kappa(counts):.3f}",
        "macro F1": f"{metrics.macro_f1(counts):.3f}",
    }
print(f"the same predictions, {len(test)} simulated nights")
pd.DataFrame(rows).T

# %% [markdown]
# The network of one paper has not become better than that of another because it counted the afternoon. Trimming uses
# the expert's hypnogram, which a new night does not have; say which you did, and report both where you can. `prepare`
# trims nothing.

# %% [markdown]
# ## Trap 7: the same word
#
# `Unsure|Unsure` stands in the XML of four cohorts. In CHAT it is a mixed apnea, in ABC, MESA and MrOS a
# hypopnea with a large loss of airflow. Nights of the twin of ABC, read with three tables: its own, CHAT's, and one
# that takes the word for what it says and leaves it out.

# %%
abc, _, found = twin("abc", persons=2)
own = abc.events
skipped = own | {"hypopnea": [t for t in own["hypopnea"] if "nsure" not in t]}
rows = {}
for title, table in {
    "ABC's own": own,
    "CHAT's": cohorts.load("chat").events,
    "Unsure left out": skipped,
}.items():
    kinds, sleep = [], 0.0
    for entry in found:
        night = cohorts.read(replace(abc, events=table), entry)
        kinds += [event.kind for event in night.events]
        asleep = np.isin(night.hypnogram.stages, [1, 2, 3, 4])
        sleep += asleep.sum() * 30 / 3600
    apneas = sum("apnea" in kind for kind in kinds)
    breaths = apneas + kinds.count("hypopnea")
    rows[title] = {
        "hypopneas": kinds.count("hypopnea"),
        "mixed apneas": kinds.count("mixed apnea"),
        "apneas per hour": f"{apneas / sleep:.1f}",
        "AHI (per hour)": f"{breaths / sleep:.1f}",
    }
print(f"{len(found)} simulated nights, {sleep:.1f} h of sleep")
pd.DataFrame(rows).T

# %% [markdown]
# The twin's experts wrote `Unsure` for every other hypopnea, so the sizes are ours; the direction is not.

# %% [markdown]
# ## What a batch of AnySleep sees
#
# Several cohorts train one network, and the largest should neither drown the others nor count as little as the
# smallest. AnySleep draws, for each window of a batch, a stage (all alike), then a data set with probability
#
# $$
# P(d) = \frac{\alpha}{N_d} + (1 - \alpha)\,\frac{N_{rec_d}}{\sum_j N_{rec_j}} , \qquad \alpha = 0.5 ,
# $$
#
# half of it shared alike among the $N_d$ data sets, half by their numbers of recordings; then a recording, then one of
# its epochs of that stage. The number of channels is drawn once for a batch,
#
# $$
# P(n) = \frac{1}{n\,H} , \qquad H = \sum_{i=1}^{N_{ch}} \frac{1}{i} , \qquad n = 1, \dots, N_{ch} ,
# $$
#
# so that batches of few channels are frequent. These are eqs. (1) and (2) of the paper. Beside them, what our sampler
# draws from stores of five twins.

# %%
sizes = {"sedf-sc": 1, "shhs": 6, "phys": 2, "dcsm": 1, "svuh": 2}
sets = []
for name, number in sizes.items():
    own = {"sedf-sc": name, "dcsm": name, "shhs": "six"}
    manifest, folder, _ = twin(name, number, own.get(name, f"few/{name}"))
    store, _ = prepare(
        manifest,
        folder,
        place / "prepared" / "sampling" / name,
        progress=False,
        **ANYSLEEP,
    )
    sets.append(store)
windows = Windows(sets, batch_size=64, seed=1)
drawn = [windows.draw(step) for step in range(batches)]
counts = windows.selection.counts
expected = probabilities_of_sets(counts)
channels = probabilities_of_numbers(windows.most_channels)
print("recordings:", dict(zip(sizes, counts.tolist(), strict=True)))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(plotting.WIDTH, 2.9))
chosen = np.concatenate([d.store for d in drawn])
numbers = np.array([d.channels.shape[1] for d in drawn])
inside_windows = np.concatenate(
    [
        sets[s].stages(r, f, windows.length)
        for d in drawn
        for s, r, f in zip(d.store, d.recording, d.first, strict=True)
    ]
)
stored = np.concatenate([s.stages(i) for s in sets for i in range(len(s))])


def shares(codes, k):
    return np.bincount(codes[codes < k], minlength=k) / (codes < k).sum()


panels = [
    (list(sizes), expected, shares(chosen, len(sets)), "data sets, eq. (1)"),
    (
        list(range(1, len(channels) + 1)),
        channels,
        shares(numbers - 1, len(channels)),
        "channels of a batch, eq. (2)",
    ),
    (STAGES, shares(stored, 5), shares(inside_windows, 5), "stages"),
]
for axis, (names, bars, dots, title) in zip(axes, panels, strict=True):
    axis.bar(range(len(bars)), 100 * bars, color="#BBBBBB", width=0.7)
    axis.plot(range(len(bars)), 100 * dots, "o", ms=5, color="#CC3311")
    axis.set_xticks(range(len(bars)), names, fontsize=8)
    axis.set_title(title)
axes[0].tick_params(axis="x", rotation=35)
axes[0].set_ylabel("share (%)")
plt.show()
print(f"{batches} batches of 64 windows of 35 epochs, simulated nights")
print("grey: eq. (1), eq. (2), share of the stage in the stores; red: drawn")
print(
    "largest difference:",
    ", ".join(
        f"{title} {100 * np.abs(bars - dots).max():.1f} points"
        for _, bars, dots, title in panels[:2]
    ),
)

# %% [markdown]
# Two things to see. The drawn shares of the data sets are close to eq. (1), and not equal to it even in the long run:
# where a recording has no epoch of the drawn stage, the paper draws again from the data set on, which moves windows to
# cohorts that have the rare stages. And the stages *of the windows* are not balanced, although each window was laid
# around a stage drawn with probability 1/5: thirty-four other epochs come along, most of them of what surrounds it.
#
# ## What to take along
#
# None of the seven traps raises an error by itself. What finds them is the same each time: a number that one knows
# beforehand. How many epochs should there be, how many persons, how large is an EEG, how much REM has a night, who is
# in which part? `sleeplib prepare --dry-run` and the quality report print most of them before the first hour of
# training.
