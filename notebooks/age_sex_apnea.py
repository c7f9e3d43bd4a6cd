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
# # Age, sex, apnea
#
# ```{admonition} What you will see
# :class: tip
# What forests tell of a person from how stages flicker, at resolutions from 30 s down: from the
# *true* states of simulated persons, from a network's stages, and from real hypnograms.
#
# **Data** *simulated* twins of ISRUC and DOD; real 30-s hypnograms, if there are any.
# **Question** is there more of a person in stages shorter than 30 s?
# **Needs** {doc}`/book/from_sequences_to_people`. **Time** is printed at the end.
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
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from sleeplib import (
    cohorts,
    parallel,
    plotting,
    readers,
    results,
    simulator,
    suite,
)
from sleeplib.analysis import resolution, statistics, traits
from sleeplib.simulator.population import Population
from sleeplib.stages import RESOLUTIONS
from sleeplib.suite import across, people

plotting.use_style()
started = time.perf_counter()

# %% tags=["parameters"]
share = 0.1  # of the paper's 116 and 80 persons, simulated without signals
pairs = 6  # persons who sleep two nights
per_epoch = [1, 4, 16]  # stages per 30 s, 1 among them; None: all 14
trees = 20  # of a forest
forests = 2  # settings drawn from the paper's ranges
published = ""  # the authors' json of 50 settings; empty: draw
folds = 4  # of whole persons; None: one for each person
seed = 0  # of what is drawn
jobs = 2  # processes side by side

sites = ["phys", "abc"]  # cohorts the network is trained on; None: all 13
root = ""  # folder with a folder of real nights for each cohort; empty: twins
persons = 3  # of each twin that is trained on
test_persons = 1  # of each of those, who do not train
valid_persons = 1
hours = 1.5  # of each night with signals; None: whole nights
tested = 3  # persons of each of the five twins that are staged; None: all
budget = "smoke"  # how much training: smoke, demo, long or paper
weights = ""  # weights that come with the project; empty: train here
features = ""  # nights that come with the project, counted; empty: stage here
runs = [0]  # seeds of the networks

boas = ""  # folder of BOAS' tables (participants.tsv, *_events.tsv)

# %%
TASKS = {"age": people.ISRUC, "sex": people.ISRUC, "apnea": people.DOD}
UNIT = {"age": "RMSE (years)", "sex": "macro F1", "apnea": "macro F1"}
per_epoch = list(per_epoch or RESOLUTIONS)
chosen = (
    traits.published_forests(published)[:forests]
    if published
    else traits.forests(forests, seed, trees)
)
cells = results.build_folder() / "traits"


def seconds(n):
    """A resolution as text."""
    return f"{30 / n:.3g} s"


# %% [markdown]
# ## The truth
#
# A simulated person's state is known at 128 Hz, arousals included. It is reduced to each
# resolution by majority: a perfect network would say just this. No signal is made, so 116 persons
# cost seconds. Ages, sexes and breathing are drawn as in the twins of the cohorts. There, patients
# of DOD-O and volunteers of DOD-H differ in age as well, and so do real ones.


# %%
def true_stages(name, i, nth, n_hours):
    """Label and true stages, by resolution, of a night of person `i`."""
    of = cohorts.load(name).simulation
    fields = Population.__dataclass_fields__
    population = Population(**{k: of[k] for k in fields if k in of})
    entropy = np.random.SeedSequence
    who = population.draw(
        np.random.default_rng(entropy(of["seed"], spawn_key=(i, 99)))
    )
    night = simulator.night(
        entropy(of["seed"], spawn_key=(i,)),
        **who,
        site=of["site"],
        hours=n_hours,
        nth=nth,
        signals=False,
    )
    stages = {
        n: resolution.at_resolution(night.truth, 128, n) for n in per_epoch
    }
    label = {
        "age": who["age"],
        "sex": float(who["sex"] == "M"),
        "apnea": float(name == people.HEALTHY) if name in people.DOD else None,
        "person": f"{name}/{i}",
        "cohort": name,
    }
    return label, stages


def features_of(stages):
    """Triplets of each resolution, and the statistics of the night."""
    counts = {n: traits.triplets(x, n, stages[1]) for n, x in stages.items()}
    return counts, traits.statistics_of_a_night(stages[1])


def simulated(name, i, nth=0, n_hours=None):
    """Label, triplets and statistics of a night without signals."""
    label, stages = true_stages(name, i, nth, n_hours)
    return label, *features_of(stages)


def sleepers(persons_of, nights=None, n_hours=None):
    """What `simulated` finds for so many persons of each cohort."""
    items = [
        (name, i, nth, n_hours)
        for name, n in persons_of.items()
        for i in range(n)
        for nth in range(
            nights or cohorts.load(name).simulation.get("nights", 1)
        )
    ]
    return list(
        parallel.work(simulated, items, jobs, desc="Nights", progress=False)
    )


truth = sleepers(
    {k: max(4, round(share * n)) for k, n in people.PERSONS.items()}
)


# %%
def of_task(nights, task):
    """Nights of a task: triplets by resolution, statistics, person, label."""
    used = [
        x
        for x in nights
        if x[0]["cohort"] in TASKS[task] and x[0][task] is not None
    ]
    label, person = (
        np.array([x[0][key] for x in used]) for key in (task, "person")
    )
    by = {n: [x[1][n] for x in used] for n in used[0][1]}
    return by, np.stack([x[2] for x in used]), person, label


def study(nights, tasks=tuple(TASKS), **rule):
    """Predictions of each task: of the forests at each resolution, and of what is simple."""
    found = {}
    for task in tasks:
        by, simple, person, label = of_task(nights, task)
        if (
            task != "age"
            and min(np.bincount(label.astype(int), minlength=2)) < 2
        ):
            print(f"{task}: fewer than two persons of a class, left out")
            continue
        rule["folds"] = folds and min(folds, len(set(person)))
        said = traits.grid(
            by,
            person,
            label,
            chosen,
            task,
            cells,
            jobs=jobs,
            progress=False,
            **rule,
        )
        plain = traits.predict_simply(simple, person, label, task, **rule)
        found[task] = {
            "forests": said,
            "simple": plain,
            "of": (label, person, task),
            "blocks": [len(rows) for rows in next(iter(by.values()))],
        }
    return found


from_truth = study(truth)


# %%
def chance(task, label, person):
    """Score of who does not look: the mean age of the others, or coins."""
    if task == "age":
        guess = traits.leave_one_out_mean(label, person)
        return traits.score(guess, label, person, task)
    coins = traits.coin_flips(statistics.by_person(label, person), seed=seed)
    return (coins.mean(), *np.quantile(coins, [0.025, 0.975]))


def scored(found):
    """Rows of a record: each task by each way, with intervals."""
    for task, x in found.items():
        of, metric = x["of"], "rmse" if task == "age" else "macro_f1"
        ways = {
            (f"triplets, {seconds(n)}", "model"): (p, x["blocks"])
            for n, p in x["forests"].items()
        }
        ways["statistics of the night, linear", "baseline"] = x["simple"], None
        ways["chance", "chance"] = None, None
        for (way, role), (said, blocks) in ways.items():
            ends = (
                chance(task, of[0], of[1])
                if said is None
                else traits.score(said, *of, blocks=blocks)
            )
            keys = (metric, f"{metric}_low", f"{metric}_high")
            row = {
                "system": f"{task}: {way}",
                "role": role,
                "n_persons": len(set(of[1])),
                **dict(zip(keys, map(float, ends), strict=True)),
            }
            if said is not None:  # from which the score follows
                row["said"], row["blocks"] = np.asarray(said).tolist(), blocks
                row["target"], row["person"] = (
                    np.asarray(v).tolist() for v in of[:2]
                )
            yield row


def table(rows):
    """The rows of `scored`, a line for each way and a column for each task."""
    lines, tasks = {}, []
    for row in rows:
        task, way = row["system"].split(": ", 1)
        tasks += [task] * (task not in tasks)
        if task == "age":
            ends = [row[k] for k in ("rmse", "rmse_low", "rmse_high")]
            text = "{:.1f} ({:.1f}, {:.1f})".format(*ends)
        else:
            ends = [row[f"macro_f1{k}"] for k in ("", "_low", "_high")]
            text = "{:.2f} ({:.2f}, {:.2f})".format(*ends)
        lines.setdefault(way, {})[task] = text
    heads = [f"{task.capitalize()}, {UNIT[task]}" for task in tasks]
    cells = {
        way: [x.get(task, "") for task in tasks] for way, x in lines.items()
    }
    return results.frame(cells, heads, "From")


def sizes(found):
    """How many persons, as text."""
    n = {len(set(x["of"][1])) for x in found.values()}
    return " and ".join(str(k) for k in sorted(n, reverse=True))


# %% [markdown]
# Scores with 95 % intervals over persons; a score is the mean of the forests' scores. Chance: for age
# the mean of the *other* persons, for classes 100 coin-flip labellings and where 95 % of them lie.

# %%
rows = list(scored(from_truth))
print(
    f"true states of {sizes(from_truth)} simulated persons, {len(chosen)} forests"
)
table(rows)

# %%
COLOURS = ("#0072B2", "#E69F00", "#56B4E9", "#CC3311")


def panels(curves, lines, title):
    """Figure 3: three panels, curves of (resolutions, mean, sd) by label and task."""
    figure, axes = plt.subplots(1, 3, figsize=(1.35 * plotting.WIDTH, 3.1))
    last = max(n[-1] for of in curves.values() for n, _, _ in of.values())
    for axis, task in zip(axes, TASKS, strict=True):
        for (label, of), colour in zip(curves.items(), COLOURS, strict=False):
            if task not in of:
                continue
            n, mean, sd = of[task]
            axis.fill_between(
                n, mean - sd, mean + sd, color=colour, alpha=0.2, lw=0
            )
            axis.plot(n, mean, "o-", ms=3, color=colour, label=label)
        for (label, of), form in zip(lines.items(), ("--", ":"), strict=False):
            if task in of:
                axis.axhline(
                    of[task], color="#555555", ls=form, lw=1, label=label
                )
        axis.set_xscale("log", base=2)
        ticks = [k for k in (1, 4, 16, 64, 256, 3840) if k <= last]
        axis.set(
            xticks=ticks,
            xticklabels=[f"{30 / k:.2g}" for k in ticks],
            xlabel="seconds per stage",
            ylabel=UNIT[task],
            title=task,
        )
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    plt.show()


def curve(found):
    """Mean and standard deviation over forests, of each task."""
    return {
        task: (
            list(x["forests"]),
            *traits.summary(
                np.stack(
                    [
                        traits.scores(p, *x["of"], blocks=x["blocks"])
                        for p in x["forests"].values()
                    ]
                )[None]
            ),
        )
        for task, x in found.items()
    }


def levels(found):
    """The two lines of each task."""
    return {
        "chance": {t: chance(t, *x["of"][:2])[0] for t, x in found.items()},
        "statistics of the night": {
            t: traits.scores(x["simple"], *x["of"]) for t, x in found.items()
        },
    }


panels(
    {"true states": curve(from_truth)},
    levels(from_truth),
    f"Simulated persons ({sizes(from_truth)}), true states; shaded: SD over {len(chosen)} forests",
)

# %% [markdown]
# Is a resolution better than 30 s? Differences with 95 % intervals, paired by person. For age less is
# better, for classes more. The best of several resolutions is chosen on the persons it is scored on,
# and so is a little too good.

# %%


def changes(found, of_nights):
    """What each resolution gains over 30 s, and how many triplets it counts."""
    lines, form = {}, "{:+.2f} ({:+.2f}, {:+.2f})"
    for n in per_epoch[1:]:
        counted = np.concatenate([counts[n] for _, counts, _ in of_nights])
        gained = [
            traits.change(
                x["forests"][n],
                x["forests"][1],
                *x["of"],
                blocks=x["blocks"],
            )
            for x in found.values()
        ]
        lines[f"{seconds(n)} minus 30 s"] = [
            f"{counted.sum(1).mean():.1f}",
            *(form.format(*ends) for ends in gained),
        ]
    heads = [f"{t.capitalize()}, {UNIT[t]}" for t in found]
    return results.frame(lines, ["Triplets in a block", *heads], "Change")


changes(from_truth, truth)

# %% [markdown]
# A triplet is a stage that lasts for *one* step between two others. A bout of three seconds is one
# step at 3 s and four at 0.75 s, where no triplet is counted any more. The truth has no bout shorter
# than three seconds, so its counts fall to nothing at high resolution, and a forest without counts
# says the same of everybody: for classes that is worse than coins. Whatever a *network's* triplets
# tell of a person there is how the network wavers.

# %% [markdown]
# ## A second night
#
# The authors leave one *recording* out. In ISRUC's second subgroup the same person's other night
# stays in training. Here some simulated persons sleep twice; each line is scored on the same
# nights, once with whole persons left out and once with nights.


# %%
def leak(nights, n):
    """Scores over nights, persons or nights left out, and their difference."""
    lines, form = {}, "{:.2f} ({:.2f}, {:.2f})"
    for task in ("age", "sex"):
        by, _, person, label = of_task(nights, task)
        if task == "sex" and min(np.unique(label, return_counts=True)[1]) < 4:
            continue  # of so few persons nothing can be learned
        whole, night = (
            np.stack(list(traits.grid(
                {n: by[n]}, person, label, chosen[:2], task, cells, way, jobs=jobs, progress=False,
            ).values()))[0]
            for way in ("person", "recording")
        )  # fmt: skip
        of = label, person, task, "recording"
        lines[f"{task}, {UNIT[task]}"] = [
            form.format(*traits.score(whole, *of)),
            form.format(*traits.score(night, *of)),
            form.format(*traits.change(night, whole, *of)),
        ]
    heads = ["person left out", "night left out", "difference"]
    return results.frame(lines, heads, "Task")


twice = sleepers({"isruc-sg1": pairs}, nights=2)
print(
    f"{pairs} simulated persons, two nights each, true states at {seconds(per_epoch[1])}"
)
leak(twice, per_epoch[1])

# %% [markdown]
# ## A network's stages
#
# The same forests on what AnySleep says of nights with signals, and on the true states of the very
# same nights: what the second has and the first lacks, the network lost. What the first has and the
# second lacks is not in the true states.

# %%
known = suite.stores(sites or suite.sites.TRAINING, root, persons, hours, jobs)
systems = [
    replace(system, label=f"AnySleep, run {run}")
    for run in runs
    for system in suite.night_systems(budget, run)
    if system.label == "AnySleep"
]
networks = across.night_networks(
    known, systems, weights, test_persons, valid_persons, jobs
)
if features:
    staged = {
        label: people.read(features, network)
        for label, network in networks.items()
    }
else:
    stores = suite.stores(list(people.PERSONS), root, tested, hours, jobs)
    staged = {
        label: people.staged(network, stores, per_epoch, jobs)
        for label, network in networks.items()
    }
nights = next(iter(staged.values()))
kind = "real" if root and not features else "simulated"

# %%
from_networks = {
    label: study(
        [
            (who, {n: counts[n] for n in per_epoch}, numbers)
            for who, counts, numbers in found
        ]
    )
    for label, found in staged.items()
}
first = next(iter(from_networks.values()))
curves = {}
for task in first:
    values = np.stack(
        [
            [
                traits.scores(p, *x[task]["of"], blocks=x[task]["blocks"])
                for p in x[task]["forests"].values()
            ]
            for x in from_networks.values()
        ]
    )  # (runs, resolutions, forests)
    curves[task] = (per_epoch, *traits.summary(values))
shown = {"AnySleep": curves}
if kind == "simulated":
    persons_of = {}
    for who, *_ in nights:
        persons_of.setdefault(who["cohort"], set()).add(who["person"])
    same = sleepers(
        {name: len(who) for name, who in persons_of.items()},
        n_hours=None if features else hours,
    )
    shown["true states of the same nights"] = curve(study(same))
panels(
    shown,
    levels(first),
    f"{sizes(first)} {kind} persons; shaded: SD over {len(runs)} run{'s' * (len(runs) > 1)} and {len(chosen)} forests",
)

# %%
of_network = [
    row | {"system": row["system"].replace("triplets", f"{label}, triplets")}
    for label, found in from_networks.items()
    for row in scored(found)
    if row["role"] == "model"
]
plain = [row for row in scored(first) if row["role"] != "model"]
print(f"{len(nights)} {kind} nights of {sizes(first)} persons")
table([*of_network, *plain])

# %%
changes(first, nights)

# %% [markdown]
# What the network says finer than a second cannot be told from the true states, which count next to nothing
# there. If it tells something of a person all the same, then it is the *network's* doubt that does: where
# the EEG is between two stages, its stages flicker, and the EEG of an old person or of a
# broken night is so elsewhere and at other times. That is a finding about signals, not about the speed
# of sleep.

# %% [markdown]
# ## The published curves
#
# Figure 3 of the paper {cite:p}`grieger2025anysleep`: real nights, full-size networks, one recording
# left out at a time, means and standard deviations over three runs and 50 forests. None of it is ours.

# %%
theirs = suite.published_curves("figure_3")
panels(
    {
        "AnySleep, its authors' numbers": {
            t: (list(RESOLUTIONS), x["mean"], x["sd"])
            for t, x in theirs.items()
        }
    },
    {},
    "Published, real nights: ISRUC, 124 and 126 recordings; DOD, 80",
)

# %% [markdown]
# ## Real hypnograms
#
# BOAS {cite:p}`boas2025` has what experts voted for in epochs of 30 s, and the age and sex of each
# person. Some persons came twice. Nothing below 30 s is known of these nights.


# %%
def boas_nights(folder):
    """Label, triplets at 30 s and statistics of each night; the mean age of a person's visits."""
    lines = (folder / "participants.tsv").read_text().splitlines()
    known = [
        dict(zip(lines[0].split("\t"), x.split("\t"), strict=True))
        for x in lines[1:]
    ]
    by_name = {x["participant_id"]: x for x in known}
    for path in sorted(folder.glob("*_events.tsv")):
        who = by_name.get(path.name.split("_")[0], {})
        age, sex = who.get("age", ""), who.get("sex", "")
        if not age.replace(".", "").isdigit() or sex not in ("F", "M"):
            print(f"{path.name}: no age or sex, left out")
            continue
        stages = readers.read_hypnogram(path).stages
        label = {
            "age": float(age),
            "sex": float(sex == "M"),
            "person": who["pid"],
            "cohort": "isruc-sg1",  # any cohort of these two tasks
        }
        yield label, *features_of({1: stages})


real_rows = []
if boas and Path(boas).exists():
    real = list(boas_nights(Path(boas)))
    from_real = study(real, ("age", "sex"))
    real_rows = list(scored(from_real))
    print(f"{len(real)} real nights of {sizes(from_real)} persons, BOAS")
    display(table(real_rows), leak(real, 1))
else:
    print("no folder of BOAS is given: the record that comes with the project")
    committed = results.committed_folder() / "age-sex-boas.json"
    display(results.table(results.load(committed)))

# %% [markdown]
# ## The records

# %%


def record(name, title, rows, simulated, cohort, nights):
    """Write what was found, and show it."""
    told = repr([(x[0], x[2].round(6).tolist()) for x in nights])
    results.write(
        name,
        title=title,
        simulated=simulated,
        parameters={
            "share": share, "per_epoch": per_epoch, "trees": trees, "forests": forests, "folds": folds, "seed": seed,
            "tested": tested, "features": features, "hours": hours, "budget": budget, "weights": weights, "runs": runs,
        },
        data={
            "cohort": cohort,
            "digest": hashlib.sha256(told.encode()).hexdigest(),
            "persons": len({x[0]["person"] for x in nights}),
            "recordings": len(nights),
            "epochs": round(sum(120 * x[2][0] for x in nights)),  # asleep
            "epoch_seconds": 30.0,
            "scored": "Over persons",
        },
        rows=rows,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


record(
    "age-sex-apnea-true-states",
    "Age, sex, apnea: from the triplets of true states",
    rows,
    True,
    ", ".join(people.PERSONS),
    truth,
)
record(
    f"age-sex-apnea{'-twins' if kind == 'simulated' else ''}",
    "Age, sex, apnea: from the triplets of a network's stages",
    [*of_network, *plain],
    kind == "simulated",
    ", ".join(people.PERSONS),
    nights,
)
if real_rows:
    record(
        "age-sex-boas",
        "Age and sex: from real hypnograms of 30 s",
        real_rows,
        False,
        "boas",
        real,
    )

# %% [markdown]
# ## What not to read from it
#
# What forests find in simulated persons is what was put in. There, sleep apnea wakes for seconds, which
# triplets count. Age takes slow-wave sleep and lengthens awakenings; no triplet counts either, and the
# statistics of a night say more about it. Sex hardly acts on the states. Real persons differ in more.
#
# *Apnea* is membership of DOD-O or DOD-H, so that age, laboratory and recorder may answer in its place.
# The band over forests is no interval over persons, and the best of many resolutions was chosen by the
# persons on whom it is reported.
#
# *Exercise:* which of the published curves could be told from resolutions at which the truth counts
# nothing? *Hint:* {ref}`ex-people-one-step`.

# %%
print(f"{time.perf_counter() - started:.0f} s on {jobs} processes")
