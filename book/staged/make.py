"""Stage the simulated nights of the book's notebooks with the weights that come with the project, and keep the results.

    python book/staged/make.py any [--jobs 2]       # where to fuse, channel robustness; a quarter of an hour
    python book/staged/make.py any-long             # training across cohorts, what the channel attention chooses

Notebooks whose parameter `kept` names the file take from it what fits weights, simulator and night, and compute the
rest; so after a change of one of them or of a notebook's `demo` profile, run it again (a test says so).
"""

import argparse
from pathlib import Path

from sleeplib import experiments, provenance, suite
from sleeplib.suite import across, channels, kept

HERE = Path(__file__).parent


def make(name: str, jobs: int) -> Path:
    """Everything that notebooks with `kept: name` stage in the demo profile."""
    arrays, weights, cohorts = {}, {}, set()
    for run in experiments.plan("demo"):
        if run.parameters.get("kept") != name:
            continue
        for function, networks, stores, tests, options in asked(run.name, run.parameters, jobs):
            found = list(across.each_night(function, networks, stores, tests, jobs, **options))
            keys = kept.keys(function, networks, stores, [place for *place, _ in found], options)
            arrays |= {key: array for key, (*_, array) in zip(keys, found, strict=True)}
            weights |= {label: str(path.relative_to(HERE.parent)) for label, path in networks.items()}
            cohorts |= {store.cohort for store in stores}
        print(f"{run.name}: {len(arrays)} results", flush=True)
    about = kept.made_of(weights, sorted(cohorts)) | {
        "versions": provenance.versions(), "commit": provenance.commit(), "device": provenance.device(),
    }  # fmt: skip
    return kept.write(HERE / f"{name}.npz", arrays, about)


def asked(notebook: str, p: dict, jobs: int) -> list[tuple]:
    """What a notebook asks `across.each_night` of networks: functions, networks, stores, nights, options."""
    known = suite.stores(p["sites"] or suite.sites.TRAINING, p["root"], p["persons"], p["hours"], jobs)
    strange = suite.stores(
        p["hold_out"] or suite.sites.HOLD_OUT, p["root"], p["test_persons"], p["hours"], jobs
    )
    stores = [*known, *strange]
    labels = {
        "channel_robustness": ("AnySleep", "U-Sleep"),
        "where_to_fuse": [system.label for system in suite.TABLE_1],
    }.get(notebook, ["AnySleep"])
    systems = [s for s in suite.night_systems(p["budget"], 0) if s.label in labels]
    networks = across.night_networks(known, systems, p["weights"], p["test_persons"], p["valid_persons"])
    tests = across.test_nights(networks.values(), known, strange)

    if notebook == "training_across_cohorts":
        return [(across.stages, networks, stores, tests, {})]

    def few(fit=lambda store, which: which) -> list:
        """The first nights that fit."""
        return [across.first_nights(s, fit(s, w), p["few"]) for s, w in zip(stores, tests, strict=True)]

    def of_places(places) -> list:
        """The first nights that have a channel at each of the places."""
        return few(lambda store, which: channels.nights_with(store, which, places))

    if notebook == "where_to_fuse":
        return [(across.stages, networks, stores, few(), {})]
    if notebook == "what_channel_attention_chooses":
        which = of_places(channels.LEFT)
        return [(f, networks, stores, which, {}) for f in (channels.weights, channels.without_each)]
    full = few(lambda store, which: [i for i in which if store.types(i).count("EEG") >= 6])
    numbers = {"most": 6, "draws": p["draws"], "seed": p["seed"]}
    return [
        (channels.pairs, networks, stores, of_places(p["places"]), {"places": p["places"]}),
        (channels.numbers, networks, stores, full, numbers),
    ]


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("name", choices=("any", "any-long"), help="weights in book/weights")
    arguments.add_argument("--jobs", type=int, default=2)
    given = arguments.parse_args()
    print(make(given.name, given.jobs))
