"""The head: where the electrodes of the 10-20 system sit, how activity spreads between them, and montages.

Signals are made as potentials at electrodes and recorded as differences of them, as in life: the references carry brain
activity too, bipolar derivations cancel what their electrodes share, and derivations of one recording fit together.
"""

import re

import numpy as np

from sleeplib.errors import SleeplibError

# Degrees from the vertex, and degrees from the nose (positive: to the right). 10-20 system, mastoids and eyes.
PLACES = {
    "Fpz": (90, 0), "Fp1": (90, -18), "Fp2": (90, 18), "F7": (90, -54), "F8": (90, 54), "F3": (60, -39), "F4": (60, 39),
    "Fz": (45, 0), "T3": (90, -90), "T4": (90, 90), "C3": (45, -90), "C4": (45, 90), "Cz": (0, 0), "T5": (90, -126),
    "T6": (90, 126), "P3": (60, -141), "P4": (60, 141), "Pz": (45, 180), "O1": (90, -162), "O2": (90, 162),
    "Oz": (90, 180), "M1": (118, -110), "M2": (118, 110), "E1": (112, -34), "E2": (104, 34),
}  # fmt: skip
SCALP = tuple(name for name in PLACES if name[0] not in "ME")
_ALIASES = {"A1": "M1", "A2": "M2", "T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6", "LOC": "E1", "ROC": "E2"}
CHIN = "Chin"  # a bipolar EMG, not a place on the head


def sphere(degrees) -> np.ndarray:
    """Unit vectors (..., 3) of places (..., 2) in degrees from the vertex and from the nose; x right, y front, z up."""
    polar, azimuth = np.moveaxis(np.deg2rad(np.asarray(degrees, float)), -1, 0)
    return np.stack(
        [np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth), np.cos(polar)], axis=-1
    )


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles in degrees (n, m) between unit vectors (n, 3) and (m, 3)."""
    return np.rad2deg(np.arccos(np.clip(a @ b.T, -1, 1)))


def positions(electrodes) -> np.ndarray:
    """Unit vectors (E, 3) of electrodes by name.

    Raises
    ------
    SleeplibError
        If one is not of the 10-20 system.
    """
    return sphere(np.array([PLACES[_known(name)] for name in electrodes], float).reshape(-1, 2))


def _known(name: str) -> str:
    """The name that `PLACES` has for an electrode."""
    electrode = _ALIASES.get(name, name)
    if electrode not in PLACES:
        raise SleeplibError(
            f"no electrode {name!r}; known: {', '.join(PLACES)}, and as references mastoids and average"
        )
    return electrode


def spread(electrodes, centre: np.ndarray, width: float, floor: float = 0.0) -> np.ndarray:
    """Amplitude (n, E) at the electrodes of sources below `centre` (n, 3): a bell `width` degrees wide."""
    return floor + (1 - floor) * np.exp(-0.5 * (angles(centre, positions(electrodes)) / width) ** 2)


def around(rng: np.random.Generator, place, n: int, scatter: float) -> np.ndarray:
    """`n` unit vectors scattered by `scatter` degrees about a place in degrees."""
    centre = sphere(place) + np.deg2rad(scatter) * rng.standard_normal((n, 3))
    return centre / np.linalg.norm(centre, axis=1, keepdims=True)


def _weights(derivation: str) -> dict[str, float]:
    """Electrodes of a derivation with their weights: `Fpz - Cz`, `C4 - mastoids`, `Pz - average`, `Cz`."""
    means = {"mastoids": ("M1", "M2"), "average": SCALP}
    total: dict[str, float] = {}
    for name, sign in zip(re.split(r"\s+-\s+", derivation.strip()), (1.0, -1.0), strict=False):
        try:
            members = means[name] if name in means else (_known(name),)
        except SleeplibError as error:
            raise SleeplibError(f"derivation {derivation!r}: {error}") from error
        for member in members:
            total[member] = total.get(member, 0.0) + sign / len(members)
    return total


def montage(derivations) -> tuple[list[str], np.ndarray]:
    """The electrodes that derivations need, and the matrix (C, E) that takes their potentials to the derivations.

    Raises
    ------
    SleeplibError
        If a derivation names an electrode that is not of the 10-20 system.
    """
    weights = [_weights(d) for d in derivations]
    electrodes = [name for name in PLACES if any(name in w for w in weights)]
    matrix = [[w.get(e, 0.0) for e in electrodes] for w in weights]
    return electrodes, np.array(matrix, np.float32).reshape(len(weights), len(electrodes))
