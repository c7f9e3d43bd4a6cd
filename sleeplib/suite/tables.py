"""The tables of the notebooks: the paper's as printed, and ours by system, by idea and by family."""

import json

import numpy as np

from sleeplib import protocol, results
from sleeplib.analysis import metrics, statistics
from sleeplib.stages import STAGES
from sleeplib.suite.budgets import FAMILIES, IDEAS
from sleeplib.suite.sites import TABLE_1


def published(table: str = "table_ii"):
    """The paper's own numbers, as a `DataFrame`: never in one table with ours.

    Parameters
    ----------
    table : "table_ii" (overall), "sensitivity" or "selectivity" (Table II by stage), or "table_iii"
    """
    import pandas as pd

    facts = json.loads((results.facts_folder() / "published_seqsleepnet.json").read_text())
    if table == "table_iii":
        rows = pd.DataFrame(facts["table_iii"])
        return rows.pivot(index="depth", columns="sequence_length", values="accuracy")
    rows = facts["table_ii"]
    labels = [row["label"] for row in rows]
    if table != "table_ii":
        known = [(label, row[table]) for label, row in zip(labels, rows, strict=True) if row[table]]
        return results.frame(dict(known), facts["stages"])
    heads = {"persons": "Persons"} | {metric: results.ALL_METRICS[metric][0] for metric in metrics.HEADLINE}
    frame = pd.DataFrame(rows, index=pd.Index(labels, name="System"))[[*heads]].rename(columns=heads)
    return frame.astype(object).where(frame.notna(), "")


def published_anysleep(table: str = "table_1"):
    """The numbers of AnySleep's paper, as a `DataFrame`: never in one table with ours.

    Parameters
    ----------
    table : "table_1" (mean and standard deviation of three runs), or "figure_1b" (by the number of EEG channels)
    """
    facts = json.loads((results.facts_folder() / "published_anysleep.json").read_text())
    labels = {system.network: system.label for system in TABLE_1}
    if table == "figure_1b":
        lines = {
            name: ["" if value is None else f"{100 * value:.1f}" for value in values]
            for name, values in facts[table].items()
        }
        return results.frame(lines, [f"{n} EEG" for n in range(7)], "Macro F1 (%)")
    lines = {
        cohort: [row["recordings"], *(f"{row[n][0]:.2f} ({row[n][1]:.3f})" for n in labels)]
        for cohort, row in facts["table_1"].items()
    }
    for name, part in (("Mean, known", "in_distribution"), ("Mean, strange", "hold_out")):
        lines[name] = ["", *(f"{facts['means'][part][n]:.3f}" for n in labels)]
    return results.frame(lines, ["Recordings", *labels.values()], "Macro F1")


def published_curves(figure: str = "figure_2") -> dict[str, dict[str, np.ndarray]]:
    """Curves of AnySleep's paper by resolution (`stages.RESOLUTIONS`): dict of name to `mean` and `sd`, arrays (F,).

    Parameters
    ----------
    figure : "figure_2" (`precision`, `recall`, `f1` of arousals, `wake_share` of their time) or "figure_3" (`age` in
        years; `sex` and `apnea` as macro F1)
    """
    facts = json.loads((results.facts_folder() / "published_anysleep.json").read_text())
    curves = {name: curve for name, curve in facts[figure].items() if name != "note"}
    return {name: {key: np.array(values) for key, values in curve.items()} for name, curve in curves.items()}


def sizes(record: dict):
    """What the networks of a record have and cost: a `DataFrame` of parameters, kept steps and training minutes."""

    def steps(found):
        return f"{min(found):,}" if min(found) == max(found) else f"{min(found):,} to {max(found):,}"

    lines = {
        row["system"]: [f"{row['parameters']:,}", steps(row["steps"]), f"{row['training_seconds'] / 60:.1f}"]
        for row in record["rows"]
        if "parameters" in row
    }
    return results.frame(lines, ["Parameters", "Kept step", "Training (min)"])


def gains(predictions, first: str, second: str) -> dict:
    """What one system has over another on the same epochs: points of accuracy and of each stage's sensitivity.

    Returns
    -------
    dict of "accuracy" and the stages to (difference, low, high), in percent points, 95 % intervals paired by person
    """
    ours, theirs = predictions.confusions(first), predictions.confusions(second)
    found = {"accuracy": statistics.paired_difference(metrics.accuracy, ours, theirs)}
    difference, low, high = statistics.paired_difference(metrics.sensitivity, ours, theirs)
    found |= {stage: (difference[k], low[k], high[k]) for k, stage in enumerate(STAGES)}
    return {key: tuple(100 * np.array(value)) for key, value in found.items()}


def gain_table(found: dict[str, dict]):
    """The results of several `gains` as a `DataFrame`: points with 95 % intervals."""
    lines = {
        name: [
            "" if np.isnan(value) else f"{value:+.1f} ({low:.1f},\u00a0{high:.1f})"
            for value, low, high in gain.values()
        ]
        for name, gain in found.items()
    }
    return results.frame(lines, ["Accuracy", *STAGES], "Points")


def idea_table(predictions: protocol.Predictions):
    """The `gains` of each of the `IDEAS` whose two systems are there."""
    there = predictions.posteriors.keys()
    return gain_table({idea: gains(predictions, *pair) for idea, pair in IDEAS.items() if set(pair) <= there})


def family_table(scored: list[dict]):
    """The families of Table II, best first, each with its best member on these persons, as a `DataFrame`."""
    best = {}
    for family, members in FAMILIES.items():
        if found := [row for row in scored if row["system"].startswith(members)]:
            best[family] = max(found, key=lambda row: row["accuracy"])
    order = sorted(best, key=lambda family: -best[family]["accuracy"])
    lines = {family: [best[family]["system"], f"{100 * best[family]['accuracy']:.1f}"] for family in order}
    return results.frame(lines, ["Best member", "Accuracy (%)"], "Family")


def person_table(predictions: protocol.Predictions, labels=None):
    """How much persons differ: quartiles of their accuracies under each system, as a `DataFrame` in percent."""
    lines = {
        label: np.quantile(100 * metrics.accuracy(predictions.confusions(label)), (0, 0.25, 0.5, 0.75, 1))
        for label in labels or predictions.posteriors
        if label in predictions.posteriors
    }
    heads = ["Lowest", "Lower quarter", "Median", "Upper quarter", "Highest"]
    return results.frame(lines, heads, "Accuracy (%)").round(1)
