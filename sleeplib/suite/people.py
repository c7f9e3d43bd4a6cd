"""Persons, and the stage triplets of their nights at many resolutions.

To stage a hundred nights takes longer than to learn from them, so what was counted can be kept in a file. A night is a
tuple: a dict that says who slept (`person`, `cohort`, `age` in years, `sex` and `apnea` as 0 or 1, None where it is not
known), a dict of stages per epoch to triplets `(blocks, 80)`, and `traits.statistics_of_a_night` of its 30-s stages.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sleeplib import protocol, results
from sleeplib.analysis import traits
from sleeplib.errors import SleeplibError
from sleeplib.stages import RESOLUTIONS
from sleeplib.store import Store
from sleeplib.suite import across, resolutions

# Persons of figure 3: those of ISRUC whose age is known (eight of them sleep two nights), and the Dreem cohorts.
ISRUC, DOD = {"isruc-sg1": 98, "isruc-sg2": 8, "isruc-sg3": 10}, {"dodo": 55, "dodh": 25}
PERSONS = ISRUC | DOD
# What the Dreem cohorts have in common, so that the channels do not tell who is ill (section 2.3).
SHARED = ("C3-M2", "F3-F4", "F3-M2", "F4-O2", "F3-O1", "EOG1", "EOG2")
HEALTHY = "dodh"  # who sleeps in this one of the Dreem cohorts has no sleep apnea: class 1, as in the paper


def count(
    network, store: Store, i: int, wanted: Sequence[int] = RESOLUTIONS
) -> tuple[dict, dict, np.ndarray]:
    """Who slept a night of a store, its triplets at each resolution, and its statistics, from a network's stages."""
    names = store.names(i)
    if store.cohort in DOD and (missing := sorted(set(SHARED) - set(names))):
        raise SleeplibError(f"{store.ids[i]} of {store.cohort}: no channel {', '.join(missing)}")
    rows = [names.index(name) for name in SHARED] if store.cohort in DOD else None
    by = resolutions.stages(network, store, i, sorted({1, *wanted}), rows)
    subject = store.recordings[i]["subject"]
    who = {
        "person": f"{store.cohort}/{store.groups[i]}",
        "cohort": store.cohort,
        "age": subject["age"],
        "sex": {"F": 0.0, "M": 1.0}.get(subject["sex"]),
        "apnea": float(store.cohort == HEALTHY) if store.cohort in DOD else None,
    }
    return who, {n: traits.triplets(by[n], n, by[1]) for n in wanted}, traits.statistics_of_a_night(by[1])


def staged(
    network: Path, stores: list[Store], wanted: Sequence[int] = RESOLUTIONS, jobs: int = 1
) -> list[tuple]:
    """`count` of all nights of some stores, by the network of a file of weights."""
    found = across.each_night(
        count, {"any": network}, stores, [range(len(s)) for s in stores], jobs, wanted=wanted
    )
    return [night for *_, night in found]


def write(path: str | Path, nights: list[tuple], network: Path, persons: dict[str, int]) -> Path:
    """Keep nights of simulated persons in an .npz, with what they were made of: weights, cohorts, simulator."""
    wanted = list(nights[0][1])
    origin = _origin(network, list(persons)) | {"persons": persons, "resolutions": wanted}
    arrays = {
        "origin": np.array(json.dumps(origin)),
        "who": np.array(json.dumps([who for who, *_ in nights])),
        "statistics": np.stack([numbers for *_, numbers in nights]),
        "blocks": np.array([len(counts[wanted[0]]) for _, counts, _ in nights]),
        "counts": np.stack([np.concatenate([counts[n] for _, counts, _ in nights]) for n in wanted]).astype(
            np.uint32
        ),
    }
    part = Path(path).with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return part.replace(path)


def read(name: str, network: Path) -> list[tuple]:
    """The nights that come with the project under a name (`book/features/<name>.npz`), if these weights staged them.

    Raises
    ------
    SleeplibError
        If there is no such file, or other weights or another version of the simulator made it.
    """
    path = results.committed_folder().parent / "features" / f"{name}.npz"
    if not fits(path, network):
        raise SleeplibError(
            f"{path}: not there, or made with other weights or another simulator; give features='' to stage nights "
            f"here, or make it with {path.parent}/make.py"
        )
    return load(path, network)


def fits(path: str | Path, network: Path) -> bool:
    """Whether a file of nights is whole, and made by these weights and this version of the simulator."""
    try:
        load(path, network)
    except (OSError, ValueError, KeyError, BadZipFile):
        return False
    return True


def load(path: str | Path, network: Path) -> list[tuple]:
    """The nights that `write` kept.

    Raises
    ------
    OSError, ValueError, KeyError, zipfile.BadZipFile
        If the file is not whole, or other weights or another version of the simulator made it.
    """
    with np.load(path, allow_pickle=False) as arrays:
        origin, who = (json.loads(str(arrays[key])) for key in ("origin", "who"))
        ends, by = np.cumsum(arrays["blocks"])[:-1], arrays["counts"].astype(np.int64)
        statistics = arrays["statistics"]
    now = _origin(network, list(origin["persons"]))
    if now != {key: origin[key] for key in now}:
        raise ValueError(f"{path}: made with other weights or another simulator")
    counts = [np.split(rows, ends) for rows in by]  # of each resolution, of each night
    each = [dict(zip(origin["resolutions"], night, strict=True)) for night in zip(*counts, strict=True)]
    return list(zip(who, each, statistics, strict=True))


def _origin(network: Path, cohorts: list[str]) -> dict:
    return {
        "weights": hashlib.sha256(Path(network).read_bytes()).hexdigest(),
        "simulator": {name: protocol.simulator_digest(name) for name in cohorts},
    }
