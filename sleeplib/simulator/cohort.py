"""A manifest's `simulation` settings in, a folder of EDF+ files and a `participants.tsv` out.

Each person's seed is a child of the cohort's, so a night does not depend on how many others are made, in what order, or
by how many workers. Files appear whole or not at all; a run that was interrupted goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from sleeplib import stages
from sleeplib.errors import SleeplibError
from sleeplib.readers.edf import read_edf_subject
from sleeplib.simulator import files
from sleeplib.simulator.macrostructure import RATE
from sleeplib.simulator.nights import night, settings
from sleeplib.simulator.people import check_number
from sleeplib.simulator.population import Population
from sleeplib.simulator.scorers import SECONDS, Scorer
from sleeplib.simulator.sites import Site

_INDEX = "simulation.json"
_SHARES = ("sweat", "dropouts", "flips", "jitter", "misses")
_NAMES = (*stages.STAGES, "unscored")


@dataclass(frozen=True)
class Simulation(Population):
    """A cohort to simulate: its population, its room, its scorers and what they write down."""

    seed: int = 1
    persons: int = 24
    nights: int = 1  # of each person
    hours: float | None = None  # of each night; None: about eight, drawn for each
    site: dict = field(default_factory=dict)  # settings of sites.Site
    scorer: dict = field(default_factory=dict)  # settings of scorers.Scorer
    scorers: int = 1  # who read each night; the hypnogram is the majority's
    scoring: str = "aasm"  # 30-s epochs; or "rk": Rechtschaffen & Kales, 20-s epochs
    arousals: bool = True  # whether the experts marked them ...
    events: bool = True  # ... and apneas and hypopneas
    dialect: dict = field(default_factory=dict)  # texts of W, N1, N2, N3, REM, unscored, where not EDF+'s
    bouts: bool = True  # one annotation for each bout of a stage; false: for each epoch

    def __post_init__(self):
        super().__post_init__()
        _check_style("site", Site, self.site), _check_style("scorer", Scorer, self.scorer)
        for name, low, high in (
            ("persons", 1, 999),
            ("nights", 1, 9),
            ("scorers", 1, 20),
            ("seed", 0, 2**64),
        ):
            check_number(f"simulation: {name}", getattr(self, name), low, high)
            if getattr(self, name) % 1:
                raise SleeplibError(f"simulation: {name} {getattr(self, name)!r}: expected a whole number")
        if self.hours is not None:
            check_number("simulation: hours", self.hours, 0.5, 14)
        if self.scoring not in SECONDS:
            raise SleeplibError(f"simulation: scoring {self.scoring!r}: expected one of {', '.join(SECONDS)}")
        for name in ("arousals", "events", "bouts"):
            if not isinstance(getattr(self, name), bool):
                raise SleeplibError(f"simulation: {name} {getattr(self, name)!r}: expected true or false")
        _check_dialect(self.dialect)


def simulate(manifest, out, name=None, persons=None, hours=None, jobs=1, progress=True) -> list[Path]:
    """Simulate a cohort: `<out>/<name>-001.edf` and so on, their truth, and `participants.tsv`.

    Where persons sleep several nights the files are `<name>-001-1.edf`, `<name>-001-2.edf` and so on.

    Parameters
    ----------
    manifest : mapping
        A cohort's manifest (its `name` and its `simulation`), or the settings of `Simulation` alone.
    persons, hours : int, float
        Instead of the manifest's, for quick trials.
    jobs : int
        Worker processes; the files are the same, byte by byte, for any number.

    Returns
    -------
    list of Path
        The EDF files of the persons asked for, finished ones from earlier runs included.

    Raises
    ------
    SleeplibError
        If there is nothing to simulate, a setting is unknown or out of range, or `out` holds files of another origin
        under these names.
    """
    cohort = _read(manifest, {"persons": persons, "hours": hours})
    name, out = name or str(manifest.get("name", "simulated")), Path(out)
    paths = {out / f"{_stem(cohort, name, i, nth)}.edf": (i, nth) for i, nth in _nights(cohort)}
    _claim(cohort, name, list(paths), out)
    todo = [path for path in paths if not files.finished(path, cohort.scorers)]
    work = Parallel(n_jobs=min(jobs, len(todo)) or 1, backend="loky", return_as="generator_unordered")(
        delayed(_write)(cohort, *paths[path], f"{name}-{paths[path][0] + 1:03d}", path) for path in todo
    )
    hidden = not progress or not todo
    for _ in tqdm(work, total=len(todo), desc=f"Simulating {name}", unit="night", disable=hidden):
        pass
    _participants(name, out)
    return list(paths)


def _read(manifest, changes) -> Simulation:
    """The settings of a manifest, with `changes` that are not None."""
    if not isinstance(manifest, Mapping):
        raise SleeplibError(f"simulation settings: expected a mapping, got {type(manifest).__name__}")
    whole = "name" in manifest or "simulation" in manifest
    given = manifest.get("simulation") if whole else manifest
    if whole and not given:
        raise SleeplibError(f"{manifest.get('name', 'manifest')}: no `simulation` in it, nothing to simulate")
    if not isinstance(given, Mapping):
        raise SleeplibError(f"simulation settings: expected a mapping, got {type(given).__name__}")
    return settings(Simulation, {**given, **{k: v for k, v in changes.items() if v is not None}})


def _check_style(key: str, kind, given) -> None:
    """Check the settings of a site or of scorers: numbers where numbers stand by default, as many of them."""
    if given is not None and not isinstance(given, Mapping):
        raise SleeplibError(f"simulation: {key} {given!r}: expected settings, {key}: {{name: value}}")
    _check_labels((given or {}).get("channels", {}))
    for name, value in vars(settings(kind, given)).items():
        default, what = vars(kind())[name], f"simulation: {key}: {name}"
        if isinstance(default, int | float):
            check_number(what, value, 0, 1 if name in _SHARES else 1024)
        elif isinstance(default, tuple):
            _check_numbers(what, value, default)


def _check_numbers(what: str, value, default: tuple) -> None:
    shape = np.shape(default)
    try:
        like, numbers = np.shape(value) == shape, np.asarray(value, float)
    except (TypeError, ValueError):
        like = False
    if not like or not np.isfinite(numbers).all():
        raise SleeplibError(f"{what} {value!r}: expected {' x '.join(map(str, shape))} numbers")
    if what.endswith("_band") and not 0 < numbers[0] < min(numbers[1], RATE / 2):
        raise SleeplibError(
            f"{what} {value!r}: expected the lower corner, below {RATE // 2} Hz, and the upper one"
        )
    if what.endswith("awake") and numbers.min() < 0:
        raise SleeplibError(f"{what} {value!r}: expected minutes before and after the night")


def _check_labels(channels) -> None:
    texts = [*channels, *channels.values()] if isinstance(channels, Mapping) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise SleeplibError(f"simulation: site: channels {channels!r}: expected label: derivation")
    for label in channels:
        if not (label.isascii() and label.isprintable() and 0 < len(label) <= 16):
            raise SleeplibError(
                f"simulation: site: channels: {label!r}: EDF labels have 1 to 16 plain characters"
            )


def _check_dialect(dialect) -> None:
    if not isinstance(dialect, Mapping) or not set(dialect) <= set(_NAMES):
        raise SleeplibError(f"simulation: dialect {dialect!r}: expected texts of {', '.join(_NAMES)}")
    for code, text in _spelling(dialect).items():
        if not isinstance(text, str) or not stages.is_stage(text) or stages.parse(text) != code:
            name = _NAMES[min(code, len(stages.STAGES))]
            raise SleeplibError(f"simulation: dialect: {name}: {text!r} would not be read back as {name}")


def _spelling(dialect) -> dict[int, str]:
    """Texts by stage code."""
    return {(*range(5), stages.UNSCORED)[_NAMES.index(name)]: text for name, text in dialect.items()}


def _nights(cohort: Simulation) -> list[tuple[int, int]]:
    """Person and night, both from 0."""
    return [(i, nth) for i in range(cohort.persons) for nth in range(cohort.nights)]


def _stem(cohort: Simulation, name: str, i: int, nth: int) -> str:
    return f"{name}-{i + 1:03d}" + (f"-{nth + 1}" if cohort.nights > 1 else "")


def _write(cohort: Simulation, i: int, nth: int, person: str, path: Path) -> None:
    """Simulate and write night `nth` of person `i`."""
    seed = np.random.SeedSequence(cohort.seed, spawn_key=(i,))
    who = cohort.draw(np.random.default_rng(np.random.SeedSequence(cohort.seed, spawn_key=(i, 99))))
    recording = night(
        seed, **who, site=cohort.site, hours=cohort.hours, scorer=cohort.scorer, id=path.stem, nth=nth,
        scorers=cohort.scorers, scoring=cohort.scoring,
    )  # fmt: skip
    recording.subject = replace(recording.subject, id=person)
    marked = {True: cohort.arousals, False: cohort.events}
    recording.events = [event for event in recording.events if marked[event.kind == "arousal"]]
    files.write(recording, path, _spelling(cohort.dialect), cohort.bouts)


@cache
def version() -> str:
    """Digest of the simulator's source: nights of another version are made anew."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _claim(cohort: Simulation, name: str, paths: list[Path], out: Path) -> None:
    """Make `out` ours: refuse files of another origin, remove our own of another version of the simulator."""
    described = {key: value for key, value in vars(cohort).items() if key != "persons"} | {"name": name}
    index = {"settings": json.loads(json.dumps(described, default=list)), "version": version()}
    nights = {*paths, *_standing(name, out)}  # those that were not asked for now are of the same origin, too
    found = [file for path in sorted(nights) for file in files.all_of(path, cohort.scorers) if file.exists()]
    marker = out / _INDEX
    try:
        old = json.loads(marker.read_text())
    except (OSError, ValueError):
        old = {}
    if found and old.get("settings") != index["settings"]:
        other = "made with other settings" if old else "of unknown origin"
        raise SleeplibError(
            f"{found[0]}: exists and is {other}; choose another folder or remove the files there"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if old != index:
            for path in found:
                path.unlink()
            files.replace(marker, json.dumps(index, indent=1) + "\n")
    except OSError as error:
        raise SleeplibError(f"{out}: cannot be written ({error.strerror})") from error


def _standing(name: str, out: Path) -> list[Path]:
    """The EDF files of all nights in the folder."""
    return sorted(out.glob(f"{name}-[0-9][0-9][0-9]*.edf"))


def _participants(name: str, out: Path) -> None:
    """`participants.tsv` in the manner of BIDS, of everybody whose nights stand in the folder."""
    rows = {}
    for path in _standing(name, out):
        with suppress(SleeplibError):  # a damaged night that was not asked for
            person = read_edf_subject(path)
            rows[person.id] = f"{person.id}\t{person.age:.1f}\t{person.sex}\t{person.ahi:.1f}"
    files.replace(
        out / "participants.tsv", "\n".join(["participant_id\tage\tsex\tahi", *rows.values()]) + "\n"
    )
