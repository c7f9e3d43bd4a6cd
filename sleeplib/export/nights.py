"""A staged night in, the files that other tools read it from out: EDF+, BIDS, tables, arrays, YASA's hypnograms."""

import json
from importlib import metadata
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.export.hypnograms import DECIMALS, PROBABILITIES, UNKNOWN, epochs, to_csv, to_edf
from sleeplib.export.writing import writing
from sleeplib.recording import Event
from sleeplib.staged import Staged
from sleeplib.stages import EPOCH_SECONDS, STAGES, UNSCORED, edf_text

AROUSAL = "EEG arousal"  # as the EDF+ standard writes it
_YASA_UNSCORED = -2
_TITLES = ("wake", "N1 sleep", "N2 sleep", "N3 sleep", "REM sleep")


def _arousals(night: Staged) -> list[Event]:
    """Arousals in seconds from the start of the recording."""
    pairs = [] if night.arousals is None else np.asarray(night.arousals, float).reshape(-1, 2)
    return [Event(AROUSAL, float(night.onset + begin), float(end - begin)) for begin, end in pairs]


def edf(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write an EDF+ file of annotations: stages of 30 s by bouts, and arousals, on the time axis of the recording.

    Without a start, and for its limits, see `to_edf`.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or it cannot be written.
    """
    return to_edf(night.hypnogram, path, night.start, force, events=_arousals(night), subject=night.subject)


def csv(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write a line for each 30-s epoch: onset and duration in seconds, stage, five probabilities; errors as `edf`."""
    return to_csv(night.hypnogram, path, night.posteriors, force)


def fine_csv(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write the same lines at the resolution that was asked for; errors as `edf`.

    At 128 Hz a night has 3.7 million lines, 220 MB in half a minute; `arrays` holds the same in a second.
    """
    return to_csv(night.fine_hypnogram, path, night.posteriors if night.fine is None else night.fine, force)


def bids(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write BIDS events (`*_events.tsv`) and, beside them, the `.json` that describes their columns.

    A row for each epoch, with its stage and probabilities, and one for each arousal, where these are "n/a". Onsets
    count from the first sample of the recording. `trial_type` has the texts of EDF+, so that MNE-BIDS makes the same
    annotations of it.

    Raises
    ------
    SleeplibError
        If the path does not end in `.tsv`, a file exists and `force` is not given, or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".tsv":
        raise SleeplibError(f"{path}: BIDS events are a .tsv file; choose a name such as *_events.tsv")
    table, sidecar = (
        _bids_table(night),
        json.dumps(_sidecar(night), indent=2, ensure_ascii=False, default=str),
    )
    with writing(path.with_suffix(".json"), path, force=force) as (description, part):
        description.write_text(sidecar + "\n", encoding="utf-8")
        table.to_csv(part, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    return path


def _bids_table(night: Staged):
    import pandas as pd

    table = epochs(night.hypnogram, night.posteriors)
    texts = [edf_text(code) for code in night.hypnogram.stages.tolist()]
    table.insert(2, "trial_type", texts)
    arousals = [
        {"onset": round(e.onset, 9), "duration": round(e.duration, 9), "trial_type": e.kind}
        for e in _arousals(night)
    ]
    if arousals:
        table = pd.concat([table, pd.DataFrame(arousals)])
    return table.sort_values("onset", kind="stable")


def _sidecar(night: Staged) -> dict:
    """What the columns mean, and what staged the night."""
    levels = {edf_text(k): f"30-s epoch of {title}" for k, title in enumerate(_TITLES)}
    unscored = "30-s epoch without a stage"
    columns = {
        "onset": {
            "Description": "Start of the epoch or arousal from the start of the recording",
            "Units": "s",
        },
        "duration": {"Description": f"Length of the epoch ({EPOCH_SECONDS:g} s) or arousal", "Units": "s"},
        "trial_type": {
            "LongName": "Event category",
            "Description": "Stage of an epoch, or arousal, in the texts of the EDF+ standard",
            "Levels": levels | {edf_text(UNSCORED): unscored, AROUSAL: "Arousal of the EEG"},
        },
        "stage": {
            "LongName": "Sleep stage",
            "Description": "The most probable stage of the epoch, after the AASM manual; n/a for arousals",
            "Levels": dict(zip(STAGES, _TITLES, strict=True)) | {UNKNOWN: unscored},
        },
    }
    for column, title in zip(PROBABILITIES, _TITLES, strict=True):
        said = f"Probability of {title} that the network gives to the epoch, 0 to 1"
        columns[column] = {"Description": f"{said}; {DECIMALS} decimals; n/a for arousals", "Units": "1"}
    return columns | {"GeneratedBy": [_origin(night)]}


def _origin(night: Staged) -> dict:
    """What staged the night: package and version, network and weights, channels."""
    return {
        "Name": "sleeplib",
        "Version": metadata.version("sleeplib"),
        "Network": night.network,
        "Channels": list(night.channels),
        "ChannelsLeftOut": dict(night.left_out),
        "ArousalsDetected": night.arousals is not None,
    }


def arrays(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write NumPy arrays into one `.npz`, none of which needs pickle.

    `stages` (N,) int8, 0 W to 4 REM and 9 unscored; `posteriors` (N, 5); `fine` (N * per_epoch, 5); `per_epoch`;
    `onset` of the first epoch in s from the start of the recording; `epoch_seconds`; `arousals` (n, 2) in s from the
    first epoch, not there if nobody looked for them; `channels`, `stage_names` and `id`, texts; `start`, ISO 8601 or
    empty; `generated_by`, JSON.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or it cannot be written.
    """
    content = {
        "stages": night.hypnogram.stages,
        "posteriors": np.asarray(night.posteriors, np.float32),
        "fine": np.asarray(night.posteriors if night.fine is None else night.fine, np.float32),
        "per_epoch": 1 if night.fine is None else night.per_epoch,
        "onset": float(night.onset),
        "epoch_seconds": EPOCH_SECONDS,
        "channels": np.array(night.channels, str),
        "stage_names": np.array(STAGES),
        "id": np.array(night.id),
        "start": np.array(night.start.isoformat() if night.start else ""),
        "generated_by": np.array(json.dumps(_origin(night), default=str)),
    }
    if night.arousals is not None:
        content["arousals"] = np.asarray(night.arousals, float).reshape(-1, 2)
    with writing(path, force=force) as (part,), part.open("wb") as file:
        np.savez_compressed(file, **content)
    return Path(path)


def _yasa_codes(night: Staged) -> np.ndarray:
    stages = night.hypnogram.stages
    return np.where(stages == UNSCORED, _YASA_UNSCORED, stages)


def yasa(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write what YASA reads with `Hypnogram.from_integers(np.loadtxt(path, int, ndmin=1))`: a code per line and epoch.

    0 W, 1 N1, 2 N2, 3 N3, 4 REM, -2 unscored. The first line is the first epoch that was staged: if that is not the
    start of the recording, crop the data to it, or use `yasa_json`, which YASA places by the clock.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or it cannot be written.
    """
    with writing(path, force=force) as (part,):
        np.savetxt(part, _yasa_codes(night), fmt="%d")
    return Path(path)


def yasa_json(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write what YASA reads with `Hypnogram.from_json(path)`: stages, clock time of the first epoch, probabilities.

    Probabilities that do not sum to 1 in each epoch are left out, since YASA refuses them; errors as `yasa`.
    """
    names = {**dict(enumerate(("WAKE", *STAGES[1:]))), _YASA_UNSCORED: "UNS"}
    content = {
        "values": [names[code] for code in _yasa_codes(night).tolist()],
        "n_stages": len(STAGES),
        "freq": f"{EPOCH_SECONDS:g}s",
        "start": night.begins.isoformat() if night.begins else None,
        "scorer": night.network["name"],
        "proba": None,
    }
    shares = np.round(np.asarray(night.posteriors, float), 6)
    if np.allclose(shares.sum(axis=1), 1):
        content["proba"] = {
            name: column.tolist() for name, column in zip(names.values(), shares.T, strict=False)
        }
    with writing(path, force=force) as (part,):
        part.write_text(json.dumps(content), encoding="utf-8")
    return Path(path)
