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
# # Training across cohorts
#
# ```{admonition} What you will see
# :class: tip
# One AnySleep for thirteen cohorts with different channels, and how well it stages
# persons of these cohorts that it has never seen, and cohorts that it has never seen.
#
# **Data** *simulated* twins of AnySleep's 21 cohorts, or your real ones.
# **Question** does one network do for all, and how much does it lose in a strange
# laboratory? **Needs** {doc}`/book/many_cohorts`. **Time** is printed at the end.
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
from IPython.display import Markdown, display

from sleeplib import multicohort, plotting, protocol, results, suite
from sleeplib.analysis import metrics, statistics
from sleeplib.models import weights as trained
from sleeplib.stages import STAGES
from sleeplib.suite import across, limits

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
sites = ["sedf-sc", "ccshs"]  # cohorts that are trained on; None: all 13
hold_out = ["isruc-sg3"]  # cohorts that only test; None: all 8
root = ""  # folder with a folder of real nights for each cohort; empty: twins
persons = 3  # of each twin; 6 or more to train here on all 13
hours = 1.5  # of each of their nights; None: whole nights
test_persons = 1  # of each cohort, are scored and choose nothing
valid_persons = 1  # of each cohort, choose the training epoch
budget = "smoke"  # how much training: smoke, demo, long or paper
weights = ""  # weights that come with the project; empty: train here
kept = ""  # what the project has of these nights; empty: stage them here
seed = 0  # of the weights and of what is drawn
jobs = 2  # processes side by side

# %% [markdown]
# ## The cohorts
#
# A twin has the channels, rates, references, ages and patients of its archive, and its
# scorers' habits ({doc}`/book/real_nights`). All EEG and EOG channels are kept, at 128 Hz.

# %%
known = suite.stores(sites or suite.sites.TRAINING, root, persons, hours, jobs)
strange = suite.stores(
    hold_out or suite.sites.HOLD_OUT, root, test_persons, hours, jobs
)
kind = "simulated" if known[0].simulated else "real"

(system,) = (
    s for s in suite.night_systems(budget, seed) if s.network == "anysleep"
)
networks = across.night_networks(
    known, [system], weights, test_persons, valid_persons, jobs
)
path = networks[system.label]
tests = across.test_nights([path], known, strange)
across.overview(known, strange, tests)

# %% [markdown]
# ## What was trained, and on what
#
# The weights' card remembers. The `paper` budget is the recipe of the paper; `demo` and `long`
# are a narrower network with larger steps, for a laptop; how many, {ref}`demo-weights` says.
# Their weights come with the project, `python book/weights/make.py any-long` makes these
# again, and `weights=""` trains here.

# %%
network = trained.load(path)
card, recipe = network.card, network.card["training"]
nights = sum(origin["nights"]["train"] for origin in card["cohorts"].values())
print(
    f"{card['parameters']:,} parameters; {nights} {kind} nights of {len(card['cohorts'])} cohorts"
)
print(
    f"batches of {recipe['batch_size']} windows of {recipe['length']} epochs, learning rate "
    f"{recipe['learning_rate']:g}{', annealed' if recipe['annealed'] else ''}; kept: step {card['steps']:,}"
)
print(f"{card['seconds'] / 60:.0f} min on {card['device']['cpu']}")

# %% [markdown]
# What it learned, and in which order: F1 of each stage on the validation persons (whole
# nights, all channels, pooled over cohorts) after each training epoch. N1 lies between all the
# others and comes last. Where training ends before it comes, as with the `demo` budget, its line
# stays at the bottom, and no macro F1 above 80 % is possible, however good the rest.

# %%
history = across.history(path)
steps = [entry["step"] for entry in history]
figure, axis = plt.subplots()
for k, stage in enumerate(STAGES):
    axis.plot(
        steps,
        [entry["f1"][k] for entry in history],
        "o-",
        ms=3,
        color=plotting.COLOURS[stage],
        label=stage,
    )
axis.plot(
    steps,
    [entry["macro_f1"] for entry in history],
    "k--",
    label="mean (macro F1)",
)
axis.set(xlabel="training step", ylabel="validation F1", ylim=(0, 1))
axis.set_title(f"AnySleep on {kind} nights of {len(card['cohorts'])} cohorts")
axis.legend(ncols=3)
plt.show()

# %% [markdown]
# ## Strange persons, and strange laboratories
#
# AnySleep gets all EEG and EOG channels of a night. Below it, in each table, chance and a
# linear discriminant on the band powers of the first EEG channel, which learned from
# training persons of the same cohorts. Pooled over epochs, 95 % intervals over persons. With the `demo`
# profile AnySleep's stages come with the project (`python book/staged/make.py any-long`): one night is
# staged again and has to come out the same; with `kept=""` all are.
#
# All of them are measured against one expert's labels, or what a few agreed on, and experts err.
# Of simulated nights the true state at each moment is known, so each table ends with two rows that no signal was
# needed for: what *another expert* of the same laboratory reads, with habits and chance of
# their own, and what the manual's rules make of the *true states*. Nobody can know which
# errors the first expert made, so the last row is about the best that can be had.

# %%
by = {system.label: path} | multicohort.baselines(network, known)
systems = [protocol.System(system.label, system.network), *protocol.BASELINES]
staged = across.stage_nights(by, [*known, *strange], tests, jobs, kept)
if kind == "simulated":
    limits.add([*known, *strange], tests, staged, seed)
    systems += limits.LIMITS
parts = {
    "known laboratories": (known, tests[: len(known)], staged[: len(known)]),
    "strange laboratories": (
        strange,
        tests[len(known) :],
        staged[len(known) :],
    ),
}
pooled, records = {}, {}
for name, (stores, which, predictions) in parts.items():
    pooled[name] = across.together(stores, predictions)
    rows = [
        row | {"network": s.network}
        for row, s in zip(pooled[name].rows(systems), systems, strict=True)
    ]
    persons_there = sum(
        len(set(s.persons[w])) for s, w in zip(stores, which, strict=True)
    )
    records[name] = across.record_of_sites(
        f"AnySleep in {name}, {persons_there} persons: all channels",
        stores,
        which,
        rows,
        started,
        pooled[name],
        budget=budget,
        weights=weights,
        sha256=card["sha256"],
        hours=hours,
        seed=seed,
    )

# %% [markdown]
# **Persons never seen, of the cohorts that were trained on:**

# %%
results.table(records["known laboratories"], results.HEADLINE)

# %% [markdown]
# **Cohorts never seen:**

# %%
results.table(records["strange laboratories"], results.HEADLINE)

# %% [markdown]
# Share of each stage found (sensitivity, %), in known laboratories ...

# %%
results.stage_table(records["known laboratories"])

# %% [markdown]
# ... and in strange ones.

# %%
results.stage_table(records["strange laboratories"])

# %% [markdown]
# Cohort by cohort: macro F1 pooled over the epochs of a cohort (bars), and person by
# person (dots); of twins also that of the true states (lines), which says how far a bar could
# reach. With so few persons in a cohort the bars wobble; compare colours rather than neighbours.

# %%
stores, colours = [*known, *strange], {"known": "#0072B2", "strange": "#E69F00"}
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 0.8 + 0.22 * len(stores)))
for y, predictions in enumerate(staged):
    counts = predictions.confusions(system.label)
    role = "known" if y < len(known) else "strange"
    axis.barh(
        -y,
        100 * metrics.macro_f1(counts.sum(0)),
        color=colours[role],
        alpha=0.5,
        height=0.7,
    )
    persons_f1 = 100 * metrics.macro_f1(counts)
    axis.plot(
        persons_f1, np.full(len(counts), -y), "o", ms=3, color=colours[role]
    )
    if kind == "simulated":
        best = predictions.confusions(limits.TRUTH.label).sum(0)
        axis.plot(2 * [100 * metrics.macro_f1(best)], [-y - 0.4, -y + 0.4], "k")
axis.set(
    yticks=-np.arange(len(stores)),
    yticklabels=[store.cohort for store in stores],
    xlabel="macro F1 (%)",
    xlim=(0, 100),
)
handles = [
    plt.Rectangle((0, 0), 1, 1, color=c, alpha=0.5) for c in colours.values()
]
names = [f"{role} laboratory" for role in colours]
if kind == "simulated":
    handles.append(plt.Line2D([], [], color="k"))
    names.append(limits.TRUTH.label)
figure.legend(handles, names, loc="outside lower center", ncols=3)
axis.set_title(f"AnySleep, all channels, {kind} nights")
plt.show()

# %% [markdown]
# How much is lost in a strange laboratory? The persons differ, so nothing can be paired:
# persons of either kind are drawn again, and the difference of the pooled macro F1 taken.
# Known and strange nights need not be equally hard. How hard they are, the true states tell:
# the second line is the difference of what AnySleep *lacks* to them. Below, AnySleep against
# who stages the same nights, paired by person.


# %%
def counts_of(record, label):
    """Confusion matrices (P, 5, 5) of the persons of a record."""
    arrays = results.predictions(record)
    return statistics.confusions_by_person(
        arrays["truth"], arrays[label], arrays["person"]
    )


def lacking(counts):
    """Macro F1 of the true states minus AnySleep's, of counts (..., 2, 5, 5)."""
    f1 = metrics.macro_f1(counts)
    return f1[..., 1] - f1[..., 0]


def points(difference):
    """A difference of macro F1 and its interval, in points."""
    return "{:+.1f} points of macro F1 ({:.1f} to {:.1f})".format(
        *(100 * value for value in difference)
    )


def compare(records):
    """Known with strange laboratories, and AnySleep with who stages the same nights."""
    own = [counts_of(record, system.label) for record in records]
    loss = statistics.difference(metrics.macro_f1, *own)
    print("known minus strange:", points(loss))
    if kind == "simulated":
        both = [
            np.stack([counts, counts_of(r, limits.TRUTH.label)], axis=1)
            for counts, r in zip(own, records, strict=True)
        ]
        print(
            "lacking to the true states, strange minus known:",
            points(statistics.difference(lacking, *both[::-1])),
        )
    for name, counts, record in zip(parts, own, records, strict=True):
        print(f"{name}, against")
        for s in systems[2:]:  # without chance
            gain = statistics.paired_difference(
                metrics.macro_f1, counts, counts_of(record, s.label)
            )
            print(f"  {s.label}: {points(gain)}")


compare(list(records.values()))

# %%
figure, axes = plt.subplots(1, 2, figsize=(1.15 * plotting.WIDTH, 3.6))
for axis, name in zip(axes, parts, strict=True):
    counts = pooled[name].confusions(system.label).sum(0)
    plotting.confusion_matrix(counts, axis, f"{name} ({kind})")
plt.show()

# %% [markdown]
# ## More persons
#
# What was staged above, few persons of each cohort and with the `demo` profile only 3 h of each
# night, is what can be made anew with each making of the book. Who these persons are decides a lot:
# their intervals say how much. So the same weights were tested once more, on nights of 6 h, as long as
# those that they learned from, and on more persons of the same twins whom they had never seen. The records
# come with the book; `sleeplib run training_across_cohorts --set persons=18 test_persons=6 hours=6`
# makes them again, in an hour or two.

# %%
committed = {
    name: results.load(path)
    for name in parts
    for path in results.committed_folder().glob(
        f"anysleep-in-{protocol.slug(name)}-*-twins.json"
    )
}
fitting = [
    record
    for record in committed.values()
    if record["parameters"]["sha256"] == card["sha256"]
]
if len(fitting) < len(parts):
    fitting = []
    print("These are other weights; for them there are no such records.")
for name, record in zip(parts, fitting, strict=False):
    persons_there, nights_there = (
        record["data"][key] for key in ("persons", "recordings")
    )
    display(
        Markdown(
            f"**{name.capitalize()}: {persons_there} simulated persons, {nights_there} nights**"
        )
    )
    display(results.table(record, results.HEADLINE))

# %%
if fitting:
    compare(fitting)

# %% [markdown]
# ## What not to read from it
#
# Known and strange cohorts differ in more than being known. Among the thirteen are the very old,
# the very heavy, and children; among the eight, healthy volunteers with clean N3, and nights that
# several experts scored together. So the plain difference says little. Nights that are easier for
# anybody are so for another expert and for the rules on the true states, too: compare what AnySleep
# lacks to them, and what it has over the discriminant, in either group. And a strange laboratory of
# our simulator is strange in channels, rates, noise, patients and scorers that are all drawn from
# one family of settings; real laboratories differ in ways that nobody wrote down.
# On real nights the paper loses 3 to 4 points from known to strange cohorts, with a hundred times
# as many persons, and cannot tell either how much of it is the laboratory.
#
# *Exercise:* train without the two cohorts of Sleep-EDF and test on them. Which is more
# useful for them, persons of their own, or persons of all others? *Hint:* `sites` and
# `hold_out` are lists.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
