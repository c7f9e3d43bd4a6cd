"""A manifest's `simulation` settings in, a folder of files as the cohort's archive would serve them out.

Each person's seed is a child of the cohort's, so a night does not depend on how many others are made, in what order, or
by how many workers. Files appear whole or not at all; a run that was interrupted goes on where it stopped.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from sleeplib import parallel, stages
from sleeplib.cohorts import Entry, Manifest
from sleeplib.cohorts.files import compiled
from sleeplib.errors import SleeplibError
from sleeplib.recording import APNEAS, Subject
from sleeplib.simulator import files, people, twins
from sleeplib.simulator.macrostructure import RATE
from sleeplib.simulator.nights import night, settings, streams
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
    # The fields of the file names: a text with {i} and {nth} (person and night, from 1), or a list that goes round.
    names: dict = field(default_factory=dict)
    variants: list = field(
        default_factory=list
    )  # other settings, `when` fields are so; those that fit go round
    others: dict = field(
        default_factory=dict
    )  # rates of channels that nobody stages by, by label; they hold noise
    onset: list | None = None  # s, from and to: how long after the signals the first scored epoch begins
    short: int = 0  # epochs without label at the end
    filled_to: float = 0.0  # s up to which the hypnogram is filled with unscored time, beyond the signals
    margins: list | None = None  # most epochs before and after the signals in the scorers' lists
    stage4: float = 0.0  # share of N3 that is written as stage 4
    unscored: float = 0.0  # share of epochs

    def __post_init__(self):
        super().__post_init__()
        _check_style("site", Site, self.site), _check_style("scorer", Scorer, self.scorer)
        for name, low, high in (
            ("persons", 1, 999),
            ("nights", 1, 9),
            ("scorers", 1, 20),
            ("seed", 0, 2**64),
            ("short", 0, 100),
        ):
            check_number(f"simulation: {name}", getattr(self, name), low, high)
            if getattr(self, name) % 1:
                raise SleeplibError(f"simulation: {name} {getattr(self, name)!r}: expected a whole number")
        for name, high in (("stage4", 1), ("unscored", 1), ("filled_to", 1e6)):
            check_number(f"simulation: {name}", getattr(self, name), 0, high)
        if self.hours is not None:
            check_number("simulation: hours", self.hours, 0.5, 14)
        if self.scoring not in SECONDS:
            raise SleeplibError(f"simulation: scoring {self.scoring!r}: expected one of {', '.join(SECONDS)}")
        for name in ("arousals", "events", "bouts"):
            if not isinstance(getattr(self, name), bool):
                raise SleeplibError(f"simulation: {name} {getattr(self, name)!r}: expected true or false")
        for name in ("onset", "margins"):
            if getattr(self, name) is not None:
                _check_numbers(f"simulation: {name}", getattr(self, name), (0, 0))
        _check_dialect(self.dialect)

    def variant(self, fields: dict, k: int) -> "Simulation":
        """The settings of the recording number `k` with these fields in its name."""
        fitting = [v for v in self.variants if v.get("when", {}).items() <= fields.items()]
        if not fitting:
            return self
        chosen = {key: value for key, value in fitting[k % len(fitting)].items() if key != "when"}
        if "site" in chosen:
            chosen["site"] = {**self.site, **chosen["site"]}
        strange = sorted(set(chosen) - set(vars(self)))
        if strange:
            raise SleeplibError(f"simulation: variants: unknown setting {', '.join(strange)}")
        return replace(self, **chosen)


def simulate(
    manifest, out, name=None, persons=None, hours=None, jobs=1, progress=True, backend="loky"
) -> list[Path]:
    """Simulate a cohort: the files of its archive, the truth of each night, and the tables of its participants.

    Where the manifest has no `files`, they are `<name>-001.edf` and so on with `participants.tsv`, or, where persons
    sleep several nights, `<name>-001-1.edf`, `<name>-001-2.edf` and so on.

    Parameters
    ----------
    manifest : Manifest or mapping
        A cohort's manifest (its `name` and its `simulation`), or the settings of `Simulation` alone.
    name : str
        Of the files, instead of the manifest's.
    persons, hours : int, float
        Instead of the manifest's, for quick trials.
    jobs : int
        Worker processes; the files are the same, byte by byte, for any number.

    Returns
    -------
    list of Path
        The files of signals of the persons asked for, finished ones from earlier runs included; without the
        recordings that the manifest excludes.

    Raises
    ------
    SleeplibError
        If there is nothing to simulate, a setting is unknown or out of range, the file names cannot hold so many
        persons, or `out` holds another simulated cohort, or files of another origin under these names.
    """
    given = vars(manifest) if isinstance(manifest, Manifest) else manifest
    cohort = _read(given, {"persons": persons, "hours": hours})
    manifest, out = _layout(given, cohort, name), Path(out)
    _check_names(manifest, cohort, out)
    wanted = {entry.signals: (entry, i, nth) for entry, i, nth in nights(manifest, cohort, out)}
    _claim(cohort, manifest, out)
    todo = [found for found in wanted.values() if not files.finished(manifest, found[0], out)]
    work = [(manifest, cohort, i, nth, out) for _, i, nth in todo]
    desc = f"Simulating {manifest.name}"
    for _ in parallel.work(_write, work, jobs, backend, desc, progress=progress):
        pass
    _tables(manifest, cohort, out)
    return list(wanted)


def nights(manifest: Manifest, cohort: Simulation, out: Path) -> Iterator[tuple[Entry, int, int]]:
    """The files of each night that the manifest does not exclude, with the number of the person and of the night,
    from 0."""
    for i in range(cohort.persons):
        for nth in range(cohort.nights):
            entry = files.entry(manifest, _fields(cohort, i, nth), cohort.scorers, out)
            if entry.id not in manifest.exclude:
                yield entry, i, nth


def _check_names(manifest: Manifest, cohort: Simulation, out: Path) -> None:
    """Make sure that every night would be found again under its name."""
    template = manifest.files["signals"]
    template = template if isinstance(template, str) else template[0]
    pattern = compiled(template, manifest.files["fields"])
    for entry, i, _ in nights(manifest, cohort, out):
        name = entry.signals.relative_to(out).as_posix()
        if not pattern.fullmatch(name):
            most = f"; its file names hold {i} persons at most" if i else ""
            raise SleeplibError(f"{name!r} is no file name of {manifest.name} ({template}){most}")


def _fields(cohort: Simulation, i: int, nth: int) -> dict[str, str]:
    """What stands in the names of a night's files."""
    k = i * cohort.nights + nth
    return {
        name: str(value[k % len(value)])
        if isinstance(value, list)
        else str(value).format(i=i + 1, nth=nth + 1)
        for name, value in cohort.names.items()
    }


def _layout(given: Mapping, cohort: Simulation, name: str | None) -> Manifest:
    """The manifest by which the files are named: the one given, or that of plain EDF+ files."""
    if given.get("files") and cohort.names and not name:
        return Manifest(**{key: given[key] for key in given if key in Manifest.__dataclass_fields__})
    name = name or str(given.get("name", "simulated"))
    several, stem = cohort.scorers > 1, "{person}" + ("-{night}" if cohort.nights > 1 else "")
    cohort.names.update(person=name + "-{i:03d}", night="{nth}")
    return Manifest(
        name,
        name,
        {
            "fields": {"person": re.escape(name) + r"-\d{3}", "night": r"\d", "scorer": r"\d+"},
            "signals": f"{stem}.edf",
            "id": stem,
            **({"scoring": f"scorer_{{scorer}}/{stem}.json"} if several else {}),
        },
        simulated=True,
        hypnogram={"format": "dreem" if several else "edf", "scorers": cohort.scorers},
        subjects=[PARTICIPANTS],
        simulation=dict(vars(cohort)),
    )


PARTICIPANTS = {
    "table": "participants.tsv", "row": {"participant_id": "{person}"}, "age": "age", "sex": {"column": "sex"},
    "ahi": "ahi",
}  # fmt: skip
"""The table of a simulated cohort's participants, in the manner of BIDS."""


def _read(given, changes) -> Simulation:
    """The settings of a manifest, with `changes` that are not None."""
    if not isinstance(given, Mapping):
        raise SleeplibError(f"simulation settings: expected a mapping, got {type(given).__name__}")
    whole = "name" in given or "simulation" in given
    found = given.get("simulation") if whole else given
    if whole and not found:
        raise SleeplibError(f"{given.get('name', 'manifest')}: no `simulation` in it, nothing to simulate")
    if not isinstance(found, Mapping):
        raise SleeplibError(f"simulation settings: expected a mapping, got {type(found).__name__}")
    merged = {**found, **{k: v for k, v in changes.items() if v is not None}}
    return settings(Simulation, {**merged, "names": dict(merged.get("names") or {})})


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
    for name, text in dialect.items():
        code = (*range(5), stages.UNSCORED)[_NAMES.index(name)]
        if not isinstance(text, str) or not stages.is_stage(text) or stages.parse(text) != code:
            raise SleeplibError(f"simulation: dialect: {name}: {text!r} would not be read back as {name}")


def _write(manifest: Manifest, cohort: Simulation, i: int, nth: int, out: Path) -> None:
    """Simulate and write night `nth` of person `i`."""
    entry = files.entry(manifest, _fields(cohort, i, nth), cohort.scorers, out)
    recording, chosen, rng = simulated(manifest, cohort, i, nth)
    files.write_truth(recording, files.truth(out, entry.id))
    twins.write(recording, manifest, chosen, entry, rng)


def simulated(manifest: Manifest, cohort: Simulation, i: int, nth: int = 0):
    """Night `nth` of person `i` as the archive's files will tell it.

    Returns
    -------
    recording : Recording
        With every channel of its file; events under the names of `sleeplib.recording.EVENTS`.
    cohort : the settings of this night
    rng : for what is still to be drawn when the files are written
    """
    fields = _fields(cohort, i, nth)
    cohort = cohort.variant(fields, i * cohort.nights + nth)
    who = cohort.draw(np.random.default_rng(np.random.SeedSequence(cohort.seed, spawn_key=(i, 99))))
    recording = night(
        np.random.SeedSequence(cohort.seed, spawn_key=(i,)), **who, site=cohort.site, hours=cohort.hours,
        scorer=cohort.scorer, id=manifest.files["id"].format(**fields), nth=nth, scorers=cohort.scorers,
        scoring=cohort.scoring,
    )  # fmt: skip
    recording.subject = replace(
        recording.subject, id=manifest.files.get("person", "{person}").format(**fields)
    )
    rng = np.random.default_rng(np.random.SeedSequence(cohort.seed, spawn_key=(i, 98, nth)))
    recording = twins.dress(recording, cohort, rng)
    if manifest.events.get(APNEAS[0]):  # the archive has a word for obstructive apneas, which these are
        named = {"apnea": APNEAS[0]}
        recording.events = [replace(e, kind=named.get(e.kind, e.kind)) for e in recording.events]
    if manifest.events.get("format") == "respevt":  # whole seconds
        recording.events = [
            replace(e, onset=round(e.onset), duration=round(e.duration)) for e in recording.events
        ]
    return recording, cohort, rng


@cache
def version() -> str:
    """Digest of the simulator's source: nights of another version are made anew."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _claim(cohort: Simulation, manifest: Manifest, out: Path) -> None:
    """Make `out` ours: refuse files of another origin, remove our own of another version of the simulator."""
    described = {key: value for key, value in vars(cohort).items() if key != "persons"} | {
        "name": manifest.name
    }
    index = {"settings": json.loads(json.dumps(described, default=list)), "version": version()}
    # Those that were not asked for now are of the same origin, too.
    nights = {path: files.all_of(entry, out) for path, (entry, _) in _standing(manifest, cohort, out).items()}
    found = [file for path in nights for file in nights[path] if file.exists()]
    marker = out / _INDEX
    try:
        old = json.loads(marker.read_text())
    except (OSError, ValueError):
        old = {}
    there = old.get("settings", {}).get("name", manifest.name)
    if there != manifest.name:
        raise SleeplibError(
            f"{out}: holds the simulated cohort {there}; choose another folder for {manifest.name}"
        )
    # Another version of the simulator may have had fewer settings.
    both = index["settings"].keys() & old.get("settings", {}).keys()
    if found and (not both or any(old["settings"][key] != index["settings"][key] for key in both)):
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


def is_simulated(folder: str | Path) -> bool:
    """Whether the files in a folder were made by `simulate`."""
    return (Path(folder) / _INDEX).is_file()


def _standing(manifest: Manifest, cohort: Simulation, out: Path) -> dict[Path, tuple[Entry, Subject]]:
    """The nights in the folder that have any file, with who slept there."""
    found = {}
    for entry, i, nth in nights(manifest, replace(cohort, persons=999), out):
        if any(path.exists() for path in files.all_of(entry, out)):
            found[entry.signals] = entry, _person(cohort, _fields(cohort, i, nth), i, nth, entry.subject.id)
    return found


def _person(cohort: Simulation, fields: dict, i: int, nth: int, name: str) -> Subject:
    """Age, sex and AHI of a person, as `night` draws them."""
    seed = np.random.SeedSequence(cohort.seed, spawn_key=(i,))
    who = cohort.draw(np.random.default_rng(np.random.SeedSequence(cohort.seed, spawn_key=(i, 99))))
    person = people.draw(streams(seed, nth)[0], **who)
    return Subject(name, round(person.age, 1), person.sex, round(person.ahi, 1))


def _tables(manifest: Manifest, cohort: Simulation, out: Path) -> None:
    """The tables of participants, of everybody whose nights stand in the folder."""
    standing = [found for found in _standing(manifest, cohort, out).values() if found[0].signals.exists()]
    for table in manifest.subjects:
        files.write_people(table, [(e.fields, e.id, subject) for e, subject in standing], out)
