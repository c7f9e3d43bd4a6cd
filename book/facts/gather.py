"""Facts about real nights, gathered into `real_nights.json`, for the chapter that holds simulated ones against them.

The nights themselves are not part of the project. With their folder (see its README for where each comes from):

    python book/facts/gather.py ../shared

Beside it two pictures are drawn of a real person with sleep apnea: excerpt 3 of the DREAMS apnea database (University
of Mons and ULB; for non-commercial use: the recording itself is not part of the project).

Spectra and traces: Sleep-EDF, 20 nights, Fpz-Cz (Kemp 2000; ODC-BY). Hypnograms: BOAS, the majority of three experts
(OpenNeuro ds005555; CC0), and DOD-H, the consensus of five scorers (Guillot 2020; MIT).
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np

from sleeplib import plotting
from sleeplib.analysis import agreement, architecture, spectra
from sleeplib.readers import read
from sleeplib.recording import Event
from sleeplib.stages import UNSCORED

FILE = Path(__file__).with_name("real_nights.json")
TUNED = 5  # persons: the simulator's spectra were tuned on the first five persons of Sleep-EDF
EXAMPLE = 6  # the night that the traces are from
CHANNELS = ["FP1-A1", "C3-A1", "O1-A1", "EOG1-A1", "EOG2-A1", "EMG1"]  # of the pictures


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


def pictures(shared: Path) -> None:
    """Draw `real_panel.png`, three minutes full of breathing events, and `real_arousal.png`, its first arousal."""
    person = read(shared / "data" / "edf-samples" / "dreams-excerpt3.edf")
    breaths = [Event("hypopnea", *span) for span in _marks(person.channel("event_pneumo")[0])]
    arousals = [Event("arousal", *span) for span in _marks(person.channel("event_neuro")[0])]
    plotting.use_style()
    # The three minutes of S2 (code 2 of DREAMS) with the most arousals.
    light = np.round(person.channel("hypnogram")[0]) == 2
    starts = [s for s in range(0, light.size - 180, 30) if light[s : s + 180].mean() > 0.8]
    start = max(starts, key=lambda s: sum(s + 15 < e.onset < s + 165 for e in arousals))
    first = next(e for e in arousals if e.onset > start + 15)
    for name, onset, seconds, lane in (("panel", start, 180, 150), ("arousal", first.onset - 12, 30, 100)):
        axis = plotting.traces(person, onset, seconds, CHANNELS, lane=lane, events=arousals + breaths)
        axis.set_title("A real person with sleep apnea: DREAMS, excerpt 3")
        axis.figure.savefig(FILE.with_name(f"real_{name}.png"), dpi=160)


def _marks(codes: np.ndarray) -> list[tuple[float, float]]:
    """Onset and duration in seconds of the runs of a 1-Hz channel of event codes; the first second is not one."""
    on = np.round(codes) != 0
    on[0] = False
    edges = np.flatnonzero(np.diff(np.r_[False, on, False]))
    return [(float(a), float(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


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
    pictures(Path(sys.argv[1]))
    print(FILE)
