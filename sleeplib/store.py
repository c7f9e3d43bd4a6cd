"""Prepared nights on disk: one int16 memory-mapped array `(C, T)` per recording and one index.

`<id>.npy` holds the samples; `<id>.json` beside it the channels with the scale of each (physical = sample * scale +
offset), the stages, the events and where it all came from. The sidecar is written last, so a night that has one is
complete, and an interrupted preparation goes on where it stopped. `index.json` lists the nights with the digest of the
whole store, `index.npz` holds their stages and scales end to end, so that 20,000 nights open in a second.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.preparation import Preparation, log_power_images, move, night, stages_at
from sleeplib.recording import Event, Recording, Subject
from sleeplib.signals import quantise
from sleeplib.stages import check

SCHEMA = 2
TYPES = ("EEG", "EOG", "EMG", "other")
HEADER = 128  # bytes before the samples of an .npy file; numpy pads the header so that it does not grow with the shape
ROBUST = 20.0  # signals of the scaling "robust" lie within +-20 inter-quartile ranges


def write_night(
    folder: str | Path, id: str, x: Sequence[np.ndarray], stages: np.ndarray, channels: Sequence[str],
    types: Sequence[str], preparation: Preparation, *, subject: Subject | None = None, group: str = "",
    events: Iterable[Event] = (), scorings: Iterable[np.ndarray] = (), quality: dict | None = None, source: str = "",
) -> dict:  # fmt: skip
    """Write one prepared night; returns its sidecar.

    Parameters
    ----------
    x : array (C, T), or C arrays (T,)
        Whole epochs at the preparation's rate, `T = N * rate * epoch_seconds`; in microvolts, or in inter-quartile
        ranges within +-20 if the scaling is "robust".
    stages : array (N,)
    channels : names of the rows
    types : "EEG", "EOG", "EMG" or "other" for each row
    group : what a split keeps together, such as a family; by default the person
    events : with their onsets in seconds from the first sample of `x`
    scorings : stages `(N,)` of each scorer, where there are several
    quality : anything that is worth knowing about the signals
    source : what the night was made of, to recognise it

    Raises
    ------
    SleeplibError
        If shapes, types or values do not fit; the store is left as it was.
    """
    stages, scorings = check(stages, id), [check(s, id) for s in scorings]
    _fits(id, x, stages, channels, types, preparation, scorings)
    samples, scale, offset = quantise(x, ROBUST if preparation.scaling == "robust" else None)
    subject = subject or Subject(id)
    sidecar = {
        "schema": SCHEMA, "id": id, "subject": asdict(subject), "group": group or subject.id, "source": source,
        "preparation": asdict(preparation), "n_epochs": len(stages), "stages": _text(stages),
        "channels": list(channels), "types": list(types), "scale": scale.tolist(), "offset": offset.tolist(),
        "events": [[e.kind, e.onset, e.duration] for e in events], "scorings": [_text(s) for s in scorings],
        "quality": quality or {}, "digest": _digest(samples, stages), "probe": _probe(samples),
    }  # fmt: skip
    path = Path(folder) / f"{id}.npy"
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.save(file, samples)
    path.with_suffix(".json").unlink(missing_ok=True)  # an old one must not speak of these samples
    part.replace(path)
    _write_json(path.with_suffix(".json"), sidecar)
    return sidecar


def _fits(id, x, stages, channels, types, preparation, scorings) -> None:
    """Refuse a night whose parts do not belong together."""
    size = round(preparation.rate * preparation.epoch_seconds)
    lengths = sorted({np.shape(row)[-1] if np.ndim(row) == 1 else -1 for row in x})
    wrong = [
        (not lengths or lengths[0] < 0, "the signals are no rows of samples"),
        (lengths != [len(stages) * size], f"{len(stages)} stages do not fit {lengths} samples"),
        (not len(channels) == len(types) == len(x), f"{len(x)} signals, {len(channels)} names, {len(types)} types"),
        (len(set(channels)) < len(channels), f"two channels of one name in {', '.join(channels)}"),
        (not set(types) <= set(TYPES), f"channel types {sorted(set(types))}; known are {', '.join(TYPES)}"),
        (any(len(s) != len(stages) for s in scorings), f"scorers disagree on the number of epochs, {len(stages)}"),
    ]  # fmt: skip
    for is_wrong, what in wrong:
        if is_wrong:
            raise SleeplibError(f"{id}: {what}")
    limit = ROBUST if preparation.scaling == "robust" else np.finfo(np.float32).max
    # In this form it refuses NaN, too.
    if not all(-limit <= row.min() and row.max() <= limit for row in map(np.asarray, x)):
        raise SleeplibError(f"{id}: samples that are no numbers or beyond +-{limit:g}")


def stands(folder: str | Path, sidecar: dict) -> bool:
    """Whether the file of samples is there whole, and is the one that a sidecar speaks of.

    A few stretches are compared; sidecars of before there were such probes have the digest of the whole alone.
    """
    path, how = Path(folder) / f"{sidecar['id']}.npy", sidecar["preparation"]
    shape = len(sidecar["channels"]), sidecar["n_epochs"] * round(how["rate"] * how["epoch_seconds"])
    with path.open("rb") as file:
        if file.read(HEADER) != _header(shape) or path.stat().st_size != HEADER + 2 * shape[0] * shape[1]:
            return False
    samples = np.load(path, mmap_mode="r")
    if "probe" in sidecar:
        return _probe(samples) == sidecar["probe"]
    return _digest(samples, _codes(sidecar["stages"])) == sidecar["digest"]


@lru_cache(4096)
def _header(shape: tuple[int, int]) -> bytes:
    """The first bytes of a file of samples."""
    header, content = io.BytesIO(), {"descr": "<i2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, content)
    return header.getvalue()


def _probe(samples: np.ndarray) -> str:
    """Digest of 16 stretches of the samples, which costs nothing where they are on disk."""
    flat = samples.reshape(-1)
    return _digest(*(flat[i : i + 2048] for i in np.linspace(0, max(flat.size - 2048, 0), 16).astype(int)))


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _text(stages: np.ndarray) -> str:
    return "".join(map(str, stages))


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(np.int8) - ord("0")


def add(recording: Recording, folder: str | Path, preparation: Preparation, source: str = "") -> dict:
    """Prepare one night and write it into the store; returns its sidecar.

    Raises
    ------
    SleeplibError
        If a channel is missing or the stages do not fit the signal; the store is left as it was.
    """
    rows, starts, stages = night(recording, preparation)
    roles = list(preparation.montage)
    return write_night(
        folder, recording.id, rows, stages, roles,
        [role[:3] if role[:3] in TYPES else "other" for role in roles], preparation,
        subject=recording.subject or Subject(recording.id), source=source,
        events=move(recording.events, starts, preparation, recording.hypnogram.epoch_seconds),
        scorings=[stages_at(h, starts, preparation) for h in recording.scorings],
    )  # fmt: skip


def write_index(
    folder: str | Path, nights: Iterable[dict], preparation: Preparation, *, cohort: str, title: str,
    simulated: bool = False, failures: Iterable[str] = (), excluded: dict[str, str] | None = None,
    notes: Iterable[str] = (),
) -> None:  # fmt: skip
    """Write the two files of the index.

    Parameters
    ----------
    nights : the sidecars, as `write_night` returned them
    failures : one line for each recording that could not be used
    excluded : id and reason of each recording that was left out on purpose
    notes : what is worth knowing about the cohort as a whole
    """
    entries, montages, stages, scale, offset = [], {}, [], [], []
    for sidecar in nights:
        channels = tuple(zip(sidecar["channels"], sidecar["types"], strict=True))
        kept = {key: sidecar[key] for key in ("id", "subject", "group", "n_epochs", "digest")}
        entries.append(kept | {"montage": montages.setdefault(channels, len(montages))})
        stages.append(_codes(sidecar["stages"]))
        scale += sidecar["scale"]
        offset += sidecar["offset"]
    if not entries:
        raise SleeplibError(f"{folder}: no night to write an index of")
    arrays = Path(folder) / "index.npz"
    part = arrays.with_name("index.npz.part")
    with part.open("wb") as file:
        np.savez(file, stages=np.concatenate(stages), scale=np.float32(scale), offset=np.float32(offset))
    part.replace(arrays)
    index = {
        "schema": SCHEMA, "cohort": cohort, "title": title, "simulated": simulated,
        "preparation": asdict(preparation), "recordings": entries, "montages": list(montages),
        "failures": list(failures), "excluded": excluded or {}, "notes": list(notes), "arrays": _sha256(arrays),
        "digest": hashlib.sha256("".join(e["digest"] for e in entries).encode()).hexdigest(),
    }  # fmt: skip
    _write_json(Path(folder) / "index.json", index)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, content: dict) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)


def _damaged(path: Path, why) -> SleeplibError:
    if path.stem == "index":
        return SleeplibError(f"{path}: damaged index ({why}); run `sleeplib prepare` again")
    remedy = f"delete {path.stem}.json and run `sleeplib prepare` again"
    return SleeplibError(f"{path}: damaged or missing ({why}); {remedy}")


class Store:
    """A folder of prepared nights, opened for reading.

    Attributes
    ----------
    ids : list of recording names
    persons, groups : arrays of names, one for each recording; a split keeps a group together
    lengths : array of the recordings' numbers of epochs
    channels : names in the order of the array's rows; where nights differ, all names that occur (see `names`)
    montages : list of the distinct lists of (name, type)
    montage : array of the number in `montages`, one for each recording
    rate, epoch_seconds, epoch_size : samples per second, seconds, samples of an epoch
    simulated : whether the nights are simulated
    excluded : dict of the recordings left out on purpose to the reason
    notes : list of what is worth knowing about the cohort as a whole
    digest : SHA-256 over all samples and stages

    Raises
    ------
    SleeplibError
        If there is no index, it is damaged, or an older version wrote it.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        index, path = self._index(), self.folder / "index.json"
        try:
            self.preparation = Preparation(**index["preparation"])
            self.cohort, self.title, self.simulated = index["cohort"], index["title"], index["simulated"]
            self.recordings, self.excluded = index["recordings"], index["excluded"]
            self.notes, self.digest = index["notes"], index["digest"]
            self.montages = [[tuple(channel) for channel in montage] for montage in index["montages"]]
            self.ids = [entry["id"] for entry in self.recordings]
            self.persons = np.array([entry["subject"]["id"] for entry in self.recordings])
            self.groups = np.array([entry["group"] for entry in self.recordings])
            self.lengths = np.array([entry["n_epochs"] for entry in self.recordings])
            self.montage = np.array([entry["montage"] for entry in self.recordings])
            self._stages, self._scale, self._offset = self._arrays(index["arrays"])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from error
        self.channels = list(dict.fromkeys(name for montage in self.montages for name, _ in montage))
        self.rate, self.epoch_seconds = self.preparation.rate, self.preparation.epoch_seconds
        self.epoch_size = round(self.rate * self.epoch_seconds)
        widths = np.array([len(montage) for montage in self.montages])[self.montage]
        self._first_epoch, self._first_channel = (np.cumsum(n) - n for n in (self.lengths, widths))

    def __reduce__(self):
        """Other processes open it themselves, once: its index may be large, and each piece of work comes with it."""
        return _opened, (self.folder.absolute(), self.digest)

    def _index(self) -> dict:
        """What `index.json` says, if this version wrote it."""
        path = self.folder / "index.json"
        if not path.is_file():
            told = "not a store of prepared nights (no index.json)"
            raise SleeplibError(f"{self.folder}: {told}; make one with `sleeplib prepare`")
        try:
            index = json.loads(path.read_text())
            schema = index.get("schema")
        except (ValueError, AttributeError) as error:
            raise _damaged(path, error) from error
        if schema != SCHEMA:
            told = f"written by another version (schema {schema}, this one reads {SCHEMA})"
            raise SleeplibError(f"{path}: {told}; run `sleeplib prepare` again")
        return index

    def _arrays(self, digest: str) -> list[np.ndarray]:
        """Stages, scales and offsets of all nights end to end, if they belong to `index.json`."""
        path = self.folder / "index.npz"
        if not path.is_file() or _sha256(path) != digest:
            raise _damaged(path, "it does not belong to index.json")
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[key] for key in ("stages", "scale", "offset")]

    def __len__(self) -> int:
        return len(self.ids)

    def _path(self, i: int) -> Path:
        return self.folder / f"{self.ids[i]}.npy"

    def _shape(self, i: int) -> tuple[int, int]:
        return len(self.montages[self.montage[i]]), int(self.lengths[i]) * self.epoch_size

    def _sidecar(self, i: int, key: str):
        path = self._path(i).with_suffix(".json")
        try:
            return json.loads(path.read_text())[key]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, error) from error

    def names(self, i: int) -> list[str]:
        """Channel names of night `i`, in the order of its rows."""
        return [name for name, _ in self.montages[self.montage[i]]]

    def types(self, i: int) -> list[str]:
        """Channel types of night `i`: "EEG", "EOG", "EMG" or "other"."""
        return [kind for _, kind in self.montages[self.montage[i]]]

    def scale(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Scale and offset `(C,)` float32 of night `i`: physical = sample * scale + offset."""
        rows = slice(self._first_channel[i], self._first_channel[i] + self._shape(i)[0])
        return self._scale[rows], self._offset[rows]

    def stages(self, i: int, first: int = 0, n: int | None = None) -> np.ndarray:
        """Stages `(n,)` int8 of night `i` from epoch `first` on; by default all `N`."""
        n = self.lengths[i] - first if n is None else n
        start = self._first_epoch[i] + first
        return self._stages[start : start + n].copy()

    def events(self, i: int) -> list[Event]:
        """Events of night `i`, onsets in seconds from its first sample."""
        return [Event(*event) for event in self._sidecar(i, "events")]

    def scorings(self, i: int) -> np.ndarray:
        """Stages `(S, N)` int8 of each of the S scorers of night `i`; S is 0 where there was only one."""
        texts = self._sidecar(i, "scorings")
        return np.array([_codes(text) for text in texts], np.int8).reshape(len(texts), self.lengths[i])

    def quality(self, i: int) -> dict:
        """What the preparation noted about the signals of night `i`."""
        return self._sidecar(i, "quality")

    def samples(self, i: int) -> np.ndarray:
        """Raw samples `(C, T)` int16 of night `i`, memory-mapped."""
        path = self._path(i)
        try:
            samples = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(path, error) from error
        if samples.shape != self._shape(i) or samples.dtype != np.int16:
            told = f"{samples.dtype} {samples.shape}"
            raise _damaged(path, f"{told} is not what the index says, {self._shape(i)}")
        return samples

    def read(self, i: int, channels: Sequence[int], first: int, out: np.ndarray) -> None:
        """Copy channels of night `i` from epoch `first` on into the rows of `out` `(n, T)` int16.

        The bytes go from the page cache to `out` without a detour, and other threads run meanwhile. To open the file
        each time costs 10 microseconds, a fraction of the copy; there is nothing to keep, share or close.

        Raises
        ------
        SleeplibError
            If the night is shorter than that, or its file is missing or damaged.
        """
        width, length = self._shape(i)
        if first < 0 or first * self.epoch_size + out.shape[1] > length:
            told = f"has {self.lengths[i]} epochs, too few from epoch {first} on"
            raise SleeplibError(f"{self._path(i)}: {told}")
        try:
            with open(self._path(i), "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != HEADER + 2 * width * length:
                    raise ValueError("its size is not what the index says")
                if file.read(HEADER) != _header((width, length)):
                    raise ValueError("its header is not what the index says")
                for row, channel in zip(out, channels, strict=True):
                    file.seek(HEADER + 2 * (int(channel) * length + int(first) * self.epoch_size))
                    if file.readinto(row) != row.nbytes:
                        raise ValueError("it ends too early")
        except (OSError, ValueError) as error:
            raise _damaged(self._path(i), error) from error

    def epochs(self, i: int) -> np.ndarray:
        """Signals of night `i` cut into epochs, `(N, C, S)` float32 in physical units."""
        scale, offset = self.scale(i)
        x = self.samples(i) * scale[:, None] + offset[:, None]
        return x.reshape(len(x), self.lengths[i], -1).swapaxes(0, 1)

    def images(self, i: int) -> np.ndarray:
        """Log-power images of night `i`, `(N, C, T, F)` float32: in dB, or standardised as the preparation says."""
        return log_power_images(self.epochs(i), self.preparation)


@lru_cache(32)
def _opened(folder: Path, digest: str) -> Store:
    """The store in a folder, if it still holds the same nights."""
    store = Store(folder)
    if store.digest != digest:
        raise SleeplibError(f"{folder}: was prepared anew meanwhile; start again")
    return store
