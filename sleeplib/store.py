"""Prepared nights on disk: one int16 memory-mapped array `(C, T)` per recording and one index.

`<id>.npy` holds the samples, `<id>.json` beside it the scale of each channel (physical = sample * scale + offset), the
stages and where it came from; `index.json` lists the nights with the digest of the whole store. The sidecar is written
last, so a night that has one is complete, and an interrupted preparation goes on where it stopped.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from sleeplib import cohorts, readers
from sleeplib.errors import SleeplibError
from sleeplib.preparation import Preparation, align, log_power_images, prepared_signals
from sleeplib.recording import Recording, Subject

SCHEMA = 1


def add(recording: Recording, folder: str | Path, preparation: Preparation, source: str = "") -> dict:
    """Prepare one night and write it into the store; returns its sidecar.

    Raises
    ------
    SleeplibError
        If a channel is missing or the stages do not fit the signal; the store is left as it was.
    """
    folder = Path(folder)
    x, stages = align(recording, prepared_signals(recording, preparation), preparation)
    offset = np.median(x, axis=1, keepdims=True)
    scale = np.maximum(np.abs(x - offset).max(axis=1, keepdims=True) / 32767, 1e-12)
    samples = np.round((x - offset) / scale).astype(np.int16)
    subject = recording.subject or Subject(recording.id)
    sidecar = {
        "schema": SCHEMA, "id": recording.id, "subject": asdict(subject), "source": source,
        "preparation": asdict(preparation), "n_epochs": len(stages), "stages": "".join(map(str, stages)),
        "scale": scale.ravel().tolist(), "offset": offset.ravel().tolist(),
        "digest": hashlib.sha256(samples.tobytes() + stages.tobytes()).hexdigest(),
    }  # fmt: skip
    part = folder / f"{recording.id}.npy.part"
    with part.open("wb") as file:
        np.save(file, samples)
    part.replace(folder / f"{recording.id}.npy")
    _write_json(folder / f"{recording.id}.json", sidecar)
    return sidecar


def _write_json(path: Path, content: dict) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)


def _stamp(path: Path) -> str:
    return f"{path.resolve()}:{path.stat().st_size}:{path.stat().st_mtime_ns}"


def _prepare_one(path, subject, folder, preparation) -> str | None:
    """Prepare one file unless it is done; returns what was wrong with it, if anything."""
    sidecar = folder / f"{path.stem}.json"
    if sidecar.is_file():
        done = json.loads(sidecar.read_text())
        if done["source"] == _stamp(path) and done["preparation"] == asdict(preparation):
            return None
    try:
        recording = readers.read(path)
        # The table of participants knows the person; the file itself may know age and sex.
        own = recording.subject or subject
        recording.subject = Subject(
            subject.id, subject.age or own.age, subject.sex or own.sex, subject.ahi or own.ahi
        )
        add(recording, folder, preparation, _stamp(path))
    except SleeplibError as error:
        return str(error) if str(path) in str(error) else f"{path}: {error}"
    return None


def prepare(
    manifest: cohorts.Manifest,
    root: str | Path,
    folder: str | Path,
    jobs: int = 1,
    progress: bool = True,
    limit: int | None = None,
    **changes,
) -> tuple["Store", list[str]]:
    """Prepare a cohort: read every night, form the montage, resample, and write the store and its index.

    Parameters
    ----------
    manifest : Manifest
    root : folder of the cohort's files
    folder : folder of the store; nights that are already there, from the same file and settings, are kept
    jobs : processes
    limit : take only the first recordings
    changes : settings of `Preparation` that differ from the manifest's

    Returns
    -------
    store : Store
    failures : list of one line for each recording that could not be used; the others are complete
    """
    folder = Path(folder)
    found = cohorts.recordings(manifest, root)[:limit]
    seconds = manifest.epoch_seconds or readers.read_hypnogram(found[0][0]).epoch_seconds
    preparation = Preparation(**{"montage": manifest.montage, "epoch_seconds": seconds} | changes)
    folder.mkdir(parents=True, exist_ok=True)
    work = (delayed(_prepare_one)(path, subject, folder, preparation) for path, subject in found)
    results = Parallel(n_jobs=jobs, return_as="generator")(work)
    bar = tqdm(
        results, total=len(found), desc=f"preparing {manifest.name}", unit="night", disable=not progress
    )
    failures = [failure for failure in bar if failure]
    good = [path.stem for path, _ in found if not any(str(path) in failure for failure in failures)]
    if not good:
        raise SleeplibError(
            f"{root}: none of the {len(found)} recordings could be prepared; the first: {failures[0]}"
        )
    nights = [json.loads((folder / f"{name}.json").read_text()) for name in good]
    entries = [{key: night[key] for key in ("id", "subject", "n_epochs", "digest")} for night in nights]
    _write_json(
        folder / "index.json",
        {
            "schema": SCHEMA, "cohort": manifest.name, "title": manifest.title, "simulated": manifest.simulated,
            "preparation": asdict(preparation), "recordings": entries, "failures": failures,
            "digest": hashlib.sha256("".join(e["digest"] for e in entries).encode()).hexdigest(),
        },
    )  # fmt: skip
    return Store(folder), failures


class Store:
    """A folder of prepared nights, opened for reading.

    Attributes
    ----------
    ids : list of recording names
    persons : array of person names, one for each recording
    channels : roles in the order of the array's rows
    rate, epoch_seconds : samples per second, seconds
    simulated : whether the nights are simulated
    digest : SHA-256 over all samples and stages
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        path = self.folder / "index.json"
        if not path.is_file():
            raise SleeplibError(
                f"{self.folder}: not a store of prepared nights (no index.json); make one with `sleeplib prepare`"
            )
        try:
            index = json.loads(path.read_text())
            self.preparation = Preparation(**index["preparation"])
            self.cohort, self.title, self.simulated = index["cohort"], index["title"], index["simulated"]
            self.recordings, self.digest = index["recordings"], index["digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise SleeplibError(f"{path}: damaged index ({error}); run `sleeplib prepare` again") from error
        self.ids = [entry["id"] for entry in self.recordings]
        self.persons = np.array([entry["subject"]["id"] for entry in self.recordings])
        self.channels = list(self.preparation.montage)
        self.rate, self.epoch_seconds = self.preparation.rate, self.preparation.epoch_seconds

    def __len__(self) -> int:
        return len(self.ids)

    def _sidecar(self, i: int) -> dict:
        return json.loads((self.folder / f"{self.ids[i]}.json").read_text())

    def stages(self, i: int) -> np.ndarray:
        """Stages `(N,)` int8 of night `i`."""
        return np.frombuffer(self._sidecar(i)["stages"].encode(), np.uint8).astype(np.int8) - ord("0")

    def samples(self, i: int) -> np.ndarray:
        """Raw samples `(C, T)` int16 of night `i`, memory-mapped."""
        return np.load(self.folder / f"{self.ids[i]}.npy", mmap_mode="r")

    def epochs(self, i: int) -> np.ndarray:
        """Signals of night `i` cut into epochs, `(N, C, S)` float32 in physical units."""
        sidecar, samples = self._sidecar(i), self.samples(i)
        scale, offset = (np.asarray(sidecar[key], np.float32)[:, None] for key in ("scale", "offset"))
        x = samples * scale + offset
        return x.reshape(len(self.channels), sidecar["n_epochs"], -1).swapaxes(0, 1)

    def images(self, i: int) -> np.ndarray:
        """Log-power images of night `i`, `(N, C, T, F)` float32: in dB, or standardised as the preparation says."""
        return log_power_images(self.epochs(i), self.preparation)
