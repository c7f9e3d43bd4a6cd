"""The numbers that the chapter on many cohorts prints, computed again."""

import re

import numpy as np
import pytest

from sleeplib import suite
from sleeplib.provenance import root
from sleeplib.sampling.channels import probabilities_of_numbers
from sleeplib.sampling.windows import probabilities_of_sets
from sleeplib.simulator import night

LENGTH, WINDOWS = 35, 443 * 64  # epochs of a window, windows of a training epoch


@pytest.fixture(scope="module")
def rows():
    """The rows of all tables of the chapter, without markup."""
    lines = (root() / "book/many_cohorts.md").read_text().splitlines()
    return [
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")
    ]


def numbers(row):
    return [float(x) for cell in row for x in re.findall(r"-?\d+\.?\d*", cell.replace(",", ""))]


def test_the_shares_of_cohorts(rows):
    table = {row[0]: numbers(row[1:]) for row in rows if row[0] in suite.sites.TRAINING}
    counts = np.array([printed[0] for printed in table.values()])
    assert counts.sum() == 18_038 and len(counts) == 13
    p, alike = probabilities_of_sets(counts), counts / counts.sum()
    expected = np.transpose(
        [counts, 100 * alike, np.full(13, 100 / 13), 100 * p, p / alike, WINDOWS * p / counts]
    )
    assert np.array(list(table.values())) == pytest.approx(np.round(expected, 1), abs=0.0501)


def test_the_numbers_of_channels(rows):
    (law,) = (numbers(row[1:]) for row in rows if row[0] == "$P(n)$")
    p = 100 * probabilities_of_numbers(10)
    assert law == pytest.approx([*p, p @ np.arange(1, 11) / 100], abs=0.051)


def shares(nights):
    """Stages of the nights, and of windows drawn for each stage by the authors' rule, over all that can be drawn."""
    natural = np.bincount(np.concatenate(nights), minlength=10)[:5]
    around = np.zeros((5, 5))
    for stage in range(5):
        having = [stages for stages in nights if (stages == stage).any()]
        for stages in having:
            own, last = np.flatnonzero(stages == stage), len(stages) - LENGTH
            for epoch in own:
                starts = range(max(epoch - LENGTH + 1, 0), min(epoch, last) + 1)
                for start in starts:
                    found = np.bincount(stages[start : start + LENGTH], minlength=10)[:5]
                    around[stage] += found / LENGTH / len(starts) / len(own) / len(having)
    return 100 * natural / natural.sum(), 100 * around.mean(0) / around.mean(0).sum()


def printed_shares(rows, which):
    """The two rows of shares and that of their ratios, of simulated nights or those of DOD-H."""
    first = next(k for k, row in enumerate(rows) if row[0] == which)
    of_nights = rows[first]
    of_windows, ratio = [row for row in rows[first:] if row[1].startswith(("of all 35", "the last against"))][
        :2
    ]
    return [np.array(numbers(row[2:])) for row in (of_nights, of_windows, ratio)]


def test_the_shares_of_stages_in_windows_of_simulated_nights(rows):
    natural, seen = shares([night(seed, signals=False).hypnogram.stages for seed in range(40)])
    printed = printed_shares(rows, "simulated")
    assert printed[0] == pytest.approx(natural, abs=0.051) and printed[1] == pytest.approx(seen, abs=0.051)
    assert printed[2] == pytest.approx(seen / natural, abs=0.0051)


def test_the_shares_of_stages_in_windows_of_real_nights(rows, shared):
    vectors = np.load(shared / "reference/vectors/dodh_consensus.npz")
    stages = np.where(vectors["dodh_consensus"] < 0, 9, vectors["dodh_consensus"]).astype(int)
    natural, seen = shares(np.split(stages, vectors["dodh_offsets"][1:-1]))
    printed = printed_shares(rows, "DOD-H")
    assert printed[0] == pytest.approx(natural, abs=0.051) and printed[1] == pytest.approx(seen, abs=0.051)
    assert printed[2] == pytest.approx(seen / natural, abs=0.0051)
