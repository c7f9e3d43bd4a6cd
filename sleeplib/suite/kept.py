"""What networks made of simulated nights when their weights were made, so that the book need not wait for it.

`book/staged/<name>.npz` holds an array for each function, network and night, under a key that knows the weights, the
simulator and the night. What is not there is computed, and so is one night of each network that is there, the one with
the fewest channels: if it comes out otherwise, nothing of the file is used.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sleeplib import protocol, results
from sleeplib.store import Store

# Of an array's absolute sum. Another processor adds up in another order, and a few epochs in a thousand get another
# stage; another network differs by ten times as much.
SAME = 0.02


def path(name: str) -> Path:
    """The file of this name that comes with the project."""
    return results.committed_folder().parent / "staged" / f"{name}.npz"


def read(name: str) -> dict[str, np.ndarray]:
    """Arrays by key; none where there is no such file, or it is not whole."""
    try:
        with np.load(path(name), allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key != "origin"}
    except (OSError, ValueError, BadZipFile):
        return {}


def origin(name: str) -> dict:
    """What a file was made of: `made_of`, and versions, commit and device."""
    with np.load(path(name), allow_pickle=False) as file:
        return json.loads(str(file["origin"]))


def made_of(weights: dict[str, str], cohorts: list[str]) -> dict:
    """Hashes of weights, files under `book` by label, and of what simulates the nights of some cohorts."""
    book = results.committed_folder().parent
    shas = {
        label: [file, hashlib.sha256((book / file).read_bytes()).hexdigest()]
        for label, file in weights.items()
    }
    return {"weights": shas, "simulator": {name: protocol.simulator_digest(name) for name in cohorts}}


def write(file: Path, arrays: dict[str, np.ndarray], about: dict) -> Path:
    """Keep arrays by key, and what they were made of."""
    part = file.with_suffix(".part")
    with part.open("wb") as out:
        np.savez_compressed(out, origin=np.array(json.dumps(about)), **dict(sorted(arrays.items())))
    return part.replace(file)


def keys(function: Callable, by: dict, stores: list[Store], places: list[tuple], options: dict) -> list:
    """The key of what a function finds at each place; None for models without a file of weights, and for real nights.

    Parameters
    ----------
    by : dict of label to a file of weights or a fitted model
    places : tuples of label, number of the store, number of the night
    """
    what = f"{function.__module__}.{function.__name__}"
    weights = {
        label: hashlib.sha256(model.read_bytes()).hexdigest()
        for label, model in by.items()
        if isinstance(model, Path)
    }
    makers = [
        [s.cohort, protocol.simulator_digest(s.cohort), asdict(s.preparation)] if s.simulated else None
        for s in stores
    ]

    def key(label: str, k: int, i: int) -> str | None:
        if label not in weights or not makers[k]:
            return None
        # Nights of one name may be of other lengths: the expert's stages count, too.
        night = [stores[k].ids[i], hashlib.sha256(stores[k].stages(i).tobytes()).hexdigest()]
        of = json.dumps([what, options, weights[label], makers[k], night])
        return hashlib.sha256(of.encode()).hexdigest()[:20]

    return [key(*place) for place in places]


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """How much two arrays differ, as a share of the first's absolute sum; 1 if in shape or in what is missing."""
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return 1.0
    apart = np.nansum(np.abs(one.astype(float) - other))
    return float(apart / max(np.nansum(np.abs(one.astype(float))), 1e-12))


def completed(
    name: str,
    places: list[tuple],
    keys: list[str | None],
    costs: list[int],
    compute: Callable[[list], Iterator],
) -> Iterator:
    """What is kept under a name for each place, or computed.

    Parameters
    ----------
    places : tuples that begin with the label of a network
    keys : of each place; None for what is never kept
    costs : of computing it; the cheapest place of each network is computed again
    compute : a function of some places that returns what is found there, in their order
    """
    there = read(name) if name else {}
    found = {place: there[key] for place, key in zip(places, keys, strict=True) if key in there}
    by_cost, again = dict(zip(places, costs, strict=True)), {}
    for place in sorted(found, key=by_cost.get):
        again.setdefault(place[0], place)
    again = list(again.values())
    apart = [difference(found[place], x) for place, x in zip(again, compute(again), strict=True)]
    if apart and max(apart) > SAME:
        print(
            f"{path(name)}: does not come out again here ({100 * max(apart):.1f} % off); all is computed anew"
        )
        found = {}
    elif apart:
        print(
            f"{len(found)} of {len(keys) - keys.count(None)} results come with the project; {len(again)} of them "
            f"computed again here: {100 * max(apart):.2g} % off at most"
        )
    missing = compute([place for place in places if place not in found])
    for place in places:
        yield found[place] if place in found else next(missing)
