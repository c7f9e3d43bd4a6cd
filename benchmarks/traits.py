"""Time of triplets and of forests: `python benchmarks/traits.py [--persons 116] [--jobs 2] [--forests 1]`.

Prints the seconds that the triplets of a night of 9 h take at all 14 resolutions on one core, for ordinary stages, for
flickering ones and for stages drawn at random; those that the true state of such a night takes to be reduced to them;
and those of one forest setting of the age task, leave-one-person-out, 200 trees.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported: one core for each process

import numpy as np

from sleeplib import simulator
from sleeplib.analysis import resolution, traits
from sleeplib.stages import RESOLUTIONS

HOURS, RATE = 9, 128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=116)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--forests", type=int, default=1, help="settings to time; the first is the deepest")
    arguments = parser.parse_args()
    state = simulator.night(0, hours=HOURS, signals=False).truth
    start = time.perf_counter()
    nights = [(resolution.at_resolution(state, RATE, n), n) for n in RESOLUTIONS]
    print(f"true states of {HOURS} h at {len(RESOLUTIONS)} resolutions: {time.perf_counter() - start:.2f} s")
    for flicker in (0.0, 0.1, 1.0):
        seconds = min(one_night(nights, flicker, seed) for seed in range(3))
        print(
            f"triplets of {HOURS} h at {len(RESOLUTIONS)} resolutions, {flicker:.0%} drawn anew: {seconds:.2f} s"
        )
    features, person, age = cohort(arguments.persons)
    # Depth 7 and small leaves are the dearest of the published ranges.
    chosen = [traits.Forest(7, 2, 2, "sqrt"), *traits.forests(arguments.forests - 1)]
    traits.predict(features[:8], person[:8], age[:8], chosen[0], "age", jobs=arguments.jobs)  # start workers
    for forest in chosen:
        start = time.perf_counter()
        traits.predict(features, person, age, forest, "age", jobs=arguments.jobs)
        seconds = time.perf_counter() - start
        alone = arguments.persons / arguments.jobs * one_fold(forest, features, age)
        print(
            f"age of {arguments.persons} persons, each left out, {sum(map(len, features))} blocks, "
            f"{arguments.jobs} jobs: {seconds:.1f} s for {forest}; "
            f"{alone:.1f} s by the processor's time of one fold, if nothing else runs"
        )


def one_night(nights: list, flicker: float, seed: int) -> float:
    """Seconds for a night's stages, a list of (stages, per_epoch), with this share of them drawn anew."""
    rng, drawn = np.random.default_rng(seed), []
    for stages, per_epoch in nights:
        anew = np.where(rng.random(stages.size) < flicker, rng.integers(0, 5, stages.size), stages)
        drawn.append((anew.astype(np.int8), per_epoch))
    start = time.perf_counter()
    for stages, per_epoch in drawn:
        traits.triplets(stages, per_epoch, drawn[0][0])
    return time.perf_counter() - start


def one_fold(forest: traits.Forest, features: list, age) -> float:
    """Processor's seconds to train a forest on all blocks and to predict those of one person."""
    rows, labels = np.concatenate(features).astype(np.float32), np.repeat(age, [len(x) for x in features])
    start = time.process_time()
    forest.build("age", 0).fit(rows, labels).predict(rows[:5])
    return time.process_time() - start


def cohort(persons: int):
    """Counts of five blocks of each person, which depend a little on age."""
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 85, persons)
    rates = np.exp(rng.normal(1, 1, 80) + 0.01 * (age[:, None] - 50) * rng.standard_normal(80))
    return [rng.poisson(rate, (5, 80)) for rate in rates], np.arange(persons), age


if __name__ == "__main__":
    main()
