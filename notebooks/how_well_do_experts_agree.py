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
# # How well do experts agree?
#
# ```{admonition} What you will see
# :class: tip
# Five scorers of the same nights: each against the consensus of the others and against each
# other, where in the night they part, and how good a network can seem that is scored with the
# labels of one of them.
#
# **Data** *simulated* nights like those of DOD-H, read by five simulated scorers; or the five
# real scorers of DOD-H {cite:p}`guillot2020dreem`. No signals, no network. **Question** what is
# the best score that a stager can honestly have? **Needs**
# {doc}`/book/how_well_do_experts_agree`. **Time** is printed at the end.
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
import hashlib
import time
from dataclasses import fields, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from sleeplib import cohorts, plotting, readers, results, simulator
from sleeplib.analysis import agreement, metrics, statistics
from sleeplib.simulator import scorers
from sleeplib.simulator.population import Population
from sleeplib.stages import N2, STAGES, UNSCORED

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
root = ""  # folder with scorer_1 to scorer_5 of DOD-H, one JSON list a night; empty: its twin
persons = 6  # of the twin, or the first real ones; None: all
seed = 0  # of the simulated persons and scorers

# %% [markdown]
# ## The nights
#
# Real hypnograms are read by the package's own reader and cut to the span that all five scored.
# Simulated persons are those of the cohort's twin: as old, as healthy. Five individuals, drawn
# once, read all of their nights, each with habits of their own (`sleeplib.simulator.scorers`).


# %%
def real_night(name):
    """Stages (5, N) of a real night, cut to the span that all scored."""
    folders = [f"scorer_{k}" for k in range(1, 6)]
    files = [Path(root) / folder / f"{name}.json" for folder in folders]
    panel = np.stack([readers.read_hypnogram(file).stages for file in files])
    start, end = manifest.hypnogram["limits"].get(name, (None, None))
    start, end = agreement.common_span(panel, start or 0, end)
    return panel[:, start:end]


def simulated_night(i):
    """What five scorers read (5, N), what their pupils read (5, N), the rules' stages (N,)."""
    draw = np.random.default_rng([seed, i])
    night = simulator.night(
        np.random.SeedSequence([seed, i]),
        site="dodh",
        signals=False,
        **population.draw(draw),
    )
    share = scorers.shares(night.truth)
    doubt = scorers.common(len(share), draw, scorers.Scorer())
    read, pupils = (
        np.stack([scorers.score(share, draw, m, doubt) for m in group])
        for group in (members, without_chance)
    )
    return read, pupils, scorers.rules(night.truth)


# %%
manifest = cohorts.load("dodh")
if root:
    names = sorted(f.stem for f in Path(root).glob("scorer_1/*.json"))[:persons]
    panels = [real_night(name) for name in names]
else:
    settings = manifest.simulation
    known = [f.name for f in fields(Population) if f.name in settings]
    population = Population(**{name: settings[name] for name in known})
    members = scorers.panel(5, np.random.default_rng(seed))
    without_chance = [replace(m, own=0.0, jitter=0.0) for m in members]
    names = [f"person {i + 1}" for i in range(persons or settings["persons"])]
    panels, pupils, truths = zip(
        *map(simulated_night, range(len(names))), strict=True
    )
kind = "real" if root else "simulated"
who = [f"scorer {s + 1}" for s in range(5)]
agreed = [agreement.consensus(panel) for panel in panels]
stages = [night for night, _ in agreed]
sample = (
    f"{len(panels)} {kind} nights, one of each person, "
    f"{sum(map(len, stages)):,} epochs, 5 scorers"
)
print(sample)

# %% [markdown]
# ## Each scorer against the consensus of the others
#
# The four others of a night vote, and where they tie, the best of them decides. A consensus
# that holds the scorer's own vote would flatter. Pooled over epochs, with 95 % intervals
# over persons. The last row is chance: always N2, against the consensus of the four best.

# %%
counts = np.stack([agreement.against_others(p) for p in panels])  # (P, 5, 5, 5)
always = np.stack([agreement.against(c, np.full(len(c), N2)) for c in stages])
lines = {name: counts[:, s] for s, name in enumerate(who)}
lines["all five, pooled"] = counts.sum(1)
chance = {"majority class": always}
rows = [
    {"system": name, "role": "chance" if name in chance else "model"}
    | statistics.score_counts(c)
    for name, c in (lines | chance).items()
]
results.table({"rows": rows})

# %% [markdown]
# F1 of each stage, in per cent:


# %%
def percent(metric, c):
    """A metric of each stage, pooled, with its interval over persons, as cells."""
    found = statistics.bootstrap_by_person(metric, c)
    return [results.interval(*x) for x in zip(*found, strict=True)]


results.frame(
    {n: percent(metrics.f1, c) for n, c in (lines | chance).items()},
    [f"F1 {stage} (%)" for stage in STAGES],
    f"{len(panels)} {kind} nights",
)

# %% [markdown]
# ## Who agrees with whom, and about what
#
# Left, kappa of each pair of scorers, times 100, mean over persons. Right, of the epochs that one
# scorer gives the row's stage, the percentage that another gives the column's, over all ordered
# pairs.

# %%
of_pairs = np.stack([agreement.pairwise_kappa(p) for p in panels])  # (P, 5, 5)
between = agreement.between(panels)
off = 100 * np.where(np.eye(5, dtype=bool), np.nan, of_pairs.mean(0))
figure, axes = plt.subplots(1, 2, figsize=(plotting.WIDTH, 3.6))
plotting.numbers(off, [f"{s + 1}" for s in range(5)], ax=axes[0])
axes[0].set(xlabel="scorer", ylabel="scorer")
axes[0].set_title(f"100 × kappa of pairs ({kind})")
plotting.numbers(100 * between["confusion"], STAGES, ax=axes[1], span=(0, 100))
axes[1].set(xlabel="another scorer's stage", ylabel="one scorer's stage")
axes[1].set_title(f"per cent of the row ({kind})")
plt.show()

upper = np.triu_indices(5, 1)
value, low, high = statistics.mean_of_persons(of_pairs[:, *upper].mean(1))
print(
    f"{sample}: kappa of pairs {value:.2f} ({low:.2f} to {high:.2f} over persons), "
    f"of one pair {off[upper].min() / 100:.2f} to {off[upper].max() / 100:.2f}"
)
least = min(between["stages"], key=between["stages"].get)
print(
    f"lowest for {least} against all other stages: {between['stages'][least]:.2f}"
)

# %% [markdown]
# ## Where in the night
#
# The share of epochs that all five give one stage, by their distance from the nearest transition
# of the consensus: 0 for the two epochs at a border. Bands: 95 % over persons. The dashed line is
# what five scorers would share by chance, who throw dice with their own shares of stages.


# %%
far = 10


def unanimous(panel, consensus):
    """Epochs of one opinion, and all scored ones, by distance from a transition (2, far + 1)."""
    one = np.zeros(len(consensus))
    distance = metrics.distance_to_transition(consensus, one)
    distance = np.minimum(distance, far).astype(int)
    scored = (panel != UNSCORED).all(0)
    agree = scored & (panel == panel[0]).all(0)
    return np.stack(
        [np.bincount(distance[x], None, far + 1) for x in (agree, scored)]
    )


def share(c):
    """The first over the second, NaN where there is none."""
    first, second = c[..., 0, :], c[..., 1, :]
    return first / np.where(second > 0, second, np.nan)


by_distance = np.stack(list(map(unanimous, panels, stages)))  # (P, 2, far + 1)
value, low, high = statistics.bootstrap_by_person(share, by_distance)
together = np.concatenate(panels, axis=1)
by_scorer = np.stack(
    [(together == k).mean(1) for k in range(5)]
)  # (5 stages, S)
by_chance = by_scorer.prod(1).sum()
figure, axis = plt.subplots(figsize=(plotting.WIDTH, 2.8))
axis.fill_between(range(far + 1), 100 * low, 100 * high, alpha=0.2, lw=0)
axis.plot(100 * value, "o-", ms=4, label="of one opinion")
axis.axhline(100 * by_chance, color="#888888", ls="--", lw=1, label="by chance")
axis.set(
    xlabel=f"epochs from the nearest transition ({far}: {far} and more)",
    ylabel="epochs of one opinion (%)",
    ylim=(0, 100),
    xticks=range(far + 1),
)
axis.set_title(sample)
axis.legend(loc="center right")
plt.show()

everywhere = statistics.bootstrap_by_person(
    lambda c: c[..., 0, :].sum(-1) / c[..., 1, :].sum(-1), by_distance
)
split = (by_distance[:, 1] - by_distance[:, 0]).sum(0)
near = by_distance[:, 1, 0].sum() / by_distance[:, 1].sum()
print(
    f"of one opinion: {results.interval(*everywhere)} % of epochs ({kind}); "
    f"{100 * split[0] / split.sum():.0f} % of the others lie at a transition, "
    f"as do {100 * near:.0f} % of all epochs"
)

# %% [markdown]
# ## A night and its votes
#
# Above the consensus, below it how many of the four best are with it, then the five scorers, the
# best first. Where two and two tie, the best one's stage stands.

# %%
panel, (night, ranking) = panels[0], agreed[0]
votes = agreement.votes(panel)
hours = np.arange(len(night) + 1) / 120
figure, axes = plt.subplots(
    3,
    1,
    figsize=(plotting.WIDTH, 4.6),
    height_ratios=(2, 1, 1.6),
    sharex=True,
)
plotting.hypnogram(night, ax=axes[0])
axes[0].set(xlabel="", title=f"Consensus of the four best of five ({kind})")
for n, grey in ((4, "#DDDDDD"), (3, "#888888"), (2, "#222222"), (1, "#222222")):
    axes[1].stairs(np.where(votes == n, n, 0), hours, fill=True, color=grey)
axes[1].set(yticks=[0, 2, 4], ylim=(0, 4.3), ylabel="votes")
palette = [plotting.COLOURS[name] for name in STAGES]
colours = ListedColormap([*palette, plotting.UNSCORED_COLOUR])
shown = np.where(panel == UNSCORED, 5, panel)[ranking]
axes[2].pcolormesh(
    hours,
    np.arange(6),
    shown,
    cmap=colours,
    vmin=-0.5,
    vmax=5.5,
    rasterized=True,
)
axes[2].set(yticks=np.arange(5) + 0.5, yticklabels=[who[s] for s in ranking])
axes[2].set(xlabel="time (h)")
axes[2].invert_yaxis()
plotting.stage_legend(figure)
plt.show()

elected = np.concatenate([agreement.votes(p) for p in panels])
for n in range(4, 0, -1):
    print(f"{n} of 4 votes: {100 * (elected == n).mean():.1f} % of all epochs")
print(
    f"{sum((s == UNSCORED).sum() for s in stages)} epochs come out unscored ({kind})"
)

# %% [markdown]
# ## Ranks
#
# Soft agreement of each scorer in each night, and how often a scorer was ranked first, second, and
# so on. Scorers are ranked anew in each night, so that the one whose vote is left out changes.

# %%
soft = np.stack([agreement.soft_agreement(p) for p in panels])  # (P, 5)
place = np.argsort(np.stack([ranking for _, ranking in agreed]), axis=1)
times = np.stack(
    [(place == r).sum(0) for r in range(5)], axis=1
)  # (scorer, rank)
figure, axes = plt.subplots(
    1, 2, figsize=(plotting.WIDTH, 3.2), width_ratios=(1.5, 1)
)
means, low, high = statistics.mean_of_persons(soft)
axes[0].plot(soft.T, color="#BBBBBB", lw=0.8, marker=".", ms=4)
axes[0].errorbar(
    range(5),
    means,
    [means - low, high - means],
    fmt="o",
    color="#0072B2",
    capsize=3,
)
axes[0].set(xticks=range(5), xticklabels=who, ylabel="soft agreement")
axes[0].set_title(f"{len(panels)} {kind} nights; bars: 95 % over persons")
plotting.numbers(
    times.astype(float),
    [f"{s + 1}" for s in range(5)],
    ax=axes[1],
    xlabel="rank",
    ylabel="scorer",
)
for text in axes[1].texts:
    text.set_text(text.get_text().removesuffix(".0"))
axes[1].set_title("nights at each rank")
plt.show()

# %% [markdown]
# ## How good can a network seem?
#
# A ceiling depends on whose labels are the test. Columns, kappa pooled over epochs, mean over the
# five scorers, 95 % over persons:
#
# - *one scorer*: against the labels of each of the five. For a scorer, each of the other four.
# - *consensus*: against that of the others, without the one who is tested. For a scorer's pupil,
#   without the teacher.
#
# Real nights stop there. In simulated ones the state is known, and labels can be tested against
# *the truth*: the manual's rules applied to the true state. Two more readers exist only here.
# *The rules* are this truth, taken for a network. *A scorer's pupil* has the habits of one scorer
# and none of the chance, neither in the evidence nor at borders: what a perfect network becomes
# that learns from the labels of one person.


# %%
def kappas(c):
    """Kappa, mean over the pairs (..., pairs, 5, 5), and its interval, as a cell."""
    value, low, high = statistics.bootstrap_by_person(
        lambda x: metrics.kappa(x).mean(-1), c
    )
    return f"{value:.2f} ({low:.2f}–{high:.2f})"


def every(labels, said):
    """Confusions (P, k, 5, 5) of the stages that k readers said, night by night."""
    return np.stack(
        [
            [agreement.against(*pair) for pair in zip(*night, strict=True)]
            for night in zip(labels, said, strict=True)
        ]
    )


pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
first, second = np.transpose(pairs)
others = [agreement.of_others(p)[0] for p in panels]
lines = {
    "a scorer": [
        kappas(every([p[first] for p in panels], [p[second] for p in panels])),
        kappas(every(others, panels)),
    ],
    "a scorer, and a consensus with this vote in it": [
        "",
        kappas(every([[c] * 5 for c in stages], panels)),
    ],
    "always N2": [
        kappas(every(panels, [[np.full(len(c), N2)] * 5 for c in stages])),
        kappas(always[:, None]),
    ],
}
columns = ["one scorer", "consensus"]

# %%
if not root:
    columns += ["the truth"]
    rules = [[truth] * 5 for truth in truths]
    lines["a scorer"] += [kappas(every(rules, panels))]
    lines["a scorer, and a consensus with this vote in it"] += [""]
    lines["always N2"] += [
        kappas(
            every(
                [[t] for t in truths], [[np.full(len(t), N2)] for t in truths]
            )
        )
    ]
    lines["a scorer's pupil, and the teacher"] = [
        kappas(every(panels, pupils)),
        "",
        "",
    ]
    lines["a scorer's pupil, and the others"] = [
        kappas(every([p[first] for p in panels], [d[second] for d in pupils])),
        kappas(every(others, pupils)),
        kappas(every(rules, pupils)),
    ]
    lines["the rules on the true state"] = [
        kappas(every(panels, rules)),
        kappas(every([[c] for c in stages], [[t] for t in truths])),
        "1",
    ]
    lines["the consensus of the four best"] = [
        "",
        "",
        kappas(every([[t] for t in truths], [[c] for c in stages])),
    ]
lines["always N2"] = lines.pop("always N2")
results.frame(
    lines, [f"Kappa, {c}" for c in columns], f"{len(panels)} {kind} nights"
)

# %% [markdown]
# ## The record
#
# The rows are those of the first table.

# %%
content = b"".join(np.ascontiguousarray(p, np.int8).tobytes() for p in panels)
path = results.write(
    "how-well-do-experts-agree" + ("" if root else "-twin"),
    title=f"Each of five scorers against the consensus of the others (DOD-H, {kind})",
    simulated=not root,
    parameters={"persons": persons, "seed": seed},
    data={
        "cohort": "dodh",
        "digest": hashlib.sha256(content).hexdigest(),
        "persons": len(panels),
        "recordings": len(panels),
        "epochs": int(sum((s != UNSCORED).sum() for s in stages)),
        "epoch_seconds": 30.0,
    },
    rows=rows,
    seconds=time.perf_counter() - started,
    notes="No signals and no network: the systems are human scorers, or simulated ones.",
)
print(path.name)

# %% [markdown]
# ## What not to read from it
#
# The simulated scorers were made to agree as experts do, so that they agree as experts do is no
# discovery. What can be read is structure: whose labels make whom look good, and what a vote is
# worth where the truth is known. How far a pupil passes the experts depends on how much of
# disagreement is habit and how much is chance, which the simulator assumes and nobody has measured
# for the five of DOD-H. A second reading by the same experts would. And five experts are five:
# another five, of another laboratory, would part elsewhere. An interval over persons does not
# know that.
#
# *Exercise:* rank all five and let all five vote (`consensus(panel, best=5)`). In how many epochs
# does the consensus change, and are those the ones with two votes? *Hint:* {ref}`ex-agree-hand`.

# %%
print(f"{time.perf_counter() - started:.0f} s")
