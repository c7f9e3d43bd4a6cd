"""Stage the simulated persons whose age, sex and sleep apnea the book predicts, and keep their triplets here.

    python book/features/make.py any [--jobs 2]     # AnySleep's demo weights; about half an hour on two cores

As many persons as in the paper (facts A4.6): 116 of ISRUC with 124 nights, 80 of the two Dreem cohorts, whole nights at
14 resolutions. What was counted fits the weights and the simulator that it was made with and no others; after a change
of either, run it again (a test says so). A cohort that is done is kept in the build folder, so an interrupted run goes
on.
"""

import argparse
import shutil
from pathlib import Path

from sleeplib import results, suite
from sleeplib.suite import people

HERE = Path(__file__).parent


def make(name: str, jobs: int) -> Path:
    """The triplets of all persons, staged by the AnySleep of the weights of this name."""
    network = suite.weights_folder(name) / "anysleep-0" / "anysleep.safetensors"
    parts = results.build_folder() / "features" / name
    parts.mkdir(parents=True, exist_ok=True)
    nights = []
    for cohort, persons in people.PERSONS.items():
        part = parts / f"{cohort}-{persons}.npz"
        if not people.fits(part, network):
            store = suite.nights(cohort, persons=persons, jobs=jobs, **suite.sites.ANYSLEEP)
            staged = people.staged(network, [store], jobs=jobs)
            people.write(part, staged, network, {cohort: persons})
            shutil.rmtree(store.folder.parent)  # whole nights of this cohort: some gigabytes
        nights += people.load(part, network)
        print(f"{cohort}: {persons} persons")
    return people.write(HERE / f"{name}.npz", nights, network, people.PERSONS)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("name", help="weights in book/weights: any")
    arguments.add_argument("--jobs", type=int, default=2)
    given = arguments.parse_args()
    print(make(given.name, given.jobs))
