"""Facts about real nights, gathered into `real_nights.json`, for the chapter that holds simulated ones against them.

The nights themselves are not part of the project. With their folder (see its README for where each comes from):

    python book/facts/gather.py ../shared

Spectra and traces: Sleep-EDF, 20 nights, Fpz-Cz (Kemp 2000; ODC-BY). Hypnograms: BOAS, the majority of three experts
(OpenNeuro ds005555; CC0), and DOD-H, the consensus of five scorers (Guillot 2020; MIT).
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np

from sleeplib.analysis import agreement, architecture, spectra
from sleeplib.stages import UNSCORED

FILE = Path(__file__).with_name("real_nights.json")
TUNED = 5  # persons: the simulator's spectra were tuned on the first five persons of Sleep-EDF
EXAMPLE = 6  # the night that the traces are from


def facts(shared: Path) -> dict:
    """Everything the chapter quotes, as plain numbers."""
    boas, (dodh, five) = _boas(shared), _dodh(shared)
    return {
        "BOAS": _hypnograms(boas, "three experts' majority") | {"scorers": 3},
        "DOD-H": _hypnograms(dodh, "consensus of the four best of five scorers")
        | {"scorers": 5, "agreement": agreement.between(five)},
        "Sleep-EDF": _signals(shared),
    }


def _hypnograms(nights: list[dict], scoring: str) -> dict:
    stages = [night.pop("stages") for night in nights]
    return {
        "scoring": scoring,
        "nights": [n | {"hours": len(s) / 120} for n, s in zip(nights, stages, strict=True)],
        "statistics": architecture.summary(stages),
        "transitions": architecture.transition_matrix(stages),
        "example": "".join(map(str, stages[architecture.typical(stages)])),
    }


def _boas(shared: Path) -> list[dict]:
    folder = shared / "data" / "hypnograms" / "boas"
    people = {
        row["participant_id"]: row
        for row in csv.DictReader((folder / "participants.tsv").open(), delimiter="\t")
    }
    nights = []
    for path in sorted(folder.glob("*_events.tsv")):
        person = people[path.name.split("_")[0]]
        codes = [int(row["stage_hum"]) for row in csv.DictReader(path.open(), delimiter="\t")]
        stages = np.array([code if 0 <= code <= 4 else UNSCORED for code in codes], np.int8)
        nights.append({"age": float(person["age"]), "sex": person["sex"], "stages": stages})
    return nights


def _dodh(shared: Path) -> tuple[list[dict], list[np.ndarray]]:
    with np.load(shared / "reference" / "vectors" / "dodh_consensus.npz") as file:
        edges, five, consensus = file["dodh_offsets"][1:-1], file["dodh_scorers"], file["dodh_consensus"]
    five, consensus = (np.where(x < 0, UNSCORED, x).astype(np.int8) for x in (five, consensus))
    nights = [{"age": None, "sex": None, "stages": stages} for stages in np.split(consensus, edges)]
    return nights, np.split(five, edges, axis=1)


def _signals(shared: Path) -> dict:
    nights = [np.load(path) for path in sorted((shared / "data" / "sleep-edf-20-5s").glob("SC4*.npz"))]
    rate = float(nights[0]["fs"])
    epochs, stages = [night["x"][:, :, 0] for night in nights], [night["y"] for night in nights]
    power = [spectra.decibels(spectra.spectra(x, rate)[1]) for x in epochs]
    bands = [spectra.bands(x, rate) for x in epochs]
    parts = {"persons 0-4": slice(2 * TUNED), "persons 5-9": slice(2 * TUNED, None), "all": slice(None)}
    return {
        "rate": rate,
        "hertz": spectra.spectra(epochs[0][:1], rate)[0],
        "spectra": {name: spectra.by_stage(power[part], stages[part]) for name, part in parts.items()},
        "bands": {name: spectra.by_stage(bands[part], stages[part]) for name, part in parts.items()},
        "traces": spectra.typical(epochs[EXAMPLE], stages[EXAMPLE], rate),
    }


def _plain(value):
    """The same in JSON's types, numbers to four digits after the point."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    return round(float(value), 4) if isinstance(value, float | np.floating) else value


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "data").is_dir():
        sys.exit("usage: python book/facts/gather.py FOLDER   (the one that holds data/ and reference/)")
    FILE.write_text(json.dumps(_plain(facts(Path(sys.argv[1])))) + "\n")
    print(FILE)
