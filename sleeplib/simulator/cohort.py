"""A manifest's `simulation` settings in, a folder of EDF+ files and a `participants.tsv` out.

Each person's seed is a child of the cohort's, so a night does not depend on how many others are made, in what order, or
by how many workers. Files appear whole or not at all; a run that was interrupted goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from sleeplib.errors import SleeplibError
from sleeplib.readers import read_hypnogram
from sleeplib.readers.edf import write_edf
from sleeplib.simulator import people
from sleeplib.simulator.microstructure import Site
from sleeplib.simulator.nights import night, settings, streams
from sleeplib.simulator.scorers import Scorer

_INDEX = "simulation.json"


@dataclass(frozen=True)
class Simulation:
    """A cohort to simulate: its population, its room and its scorer."""

    seed: int = 1
    persons: int = 24
    hours: float | None = None  # of each night; None: about eight, drawn for each
    ages: tuple[float, float] = (20, 75)  # years, drawn evenly
    share_female: float = 0.5
    ahi: float | None = None  # events per hour; None: drawn for each person by age and sex
    site: dict = field(default_factory=dict)  # settings of microstructure.Site
    scorer: dict = field(default_factory=dict)  # settings of scorers.Scorer


def simulate(manifest, out, name=None, persons=None, hours=None, jobs=1, progress=True) -> list[Path]:
    """Simulate a cohort: `<out>/<name>-001.edf` and so on, and `participants.tsv`.

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
        The files of the persons asked for, finished ones from earlier runs included.

    Raises
    ------
    SleeplibError
        If a setting is unknown or out of range, or `out` holds files of another origin under these names.
    """
    name = name or str(manifest.get("name", "simulated"))
    given = manifest.get("simulation", {}) if "simulation" in manifest or "name" in manifest else manifest
    changes = {"persons": persons, "hours": hours}
    cohort = _checked(given, {k: v for k, v in changes.items() if v is not None})
    out = Path(out)
    paths = [out / f"{name}-{i + 1:03d}.edf" for i in range(cohort.persons)]
    _claim(cohort, name, paths, out)
    todo = [i for i, path in enumerate(paths) if not _finished(path)]
    work = Parallel(n_jobs=min(jobs, len(todo)) or 1, backend="loky", return_as="generator_unordered")(
        delayed(_write)(cohort, i, paths[i]) for i in todo
    )
    for _ in tqdm(
        work, total=len(todo), desc=f"Simulating {name}", unit="night", disable=not progress or not todo
    ):
        pass
    _participants(cohort, name, out)
    return paths


def _checked(given, changes) -> Simulation:
    if not isinstance(given, Mapping):
        raise SleeplibError(f"simulation settings: expected a mapping, got {type(given).__name__}")
    cohort = settings(Simulation, {**given, **changes})
    settings(Site, cohort.site), settings(Scorer, cohort.scorer)
    check = people.check_number
    check("simulation: persons", cohort.persons, 1, 999)
    check("simulation: share_female", cohort.share_female, 0, 1)
    if not isinstance(cohort.seed, int) or cohort.seed < 0:
        raise SleeplibError(f"simulation: seed {cohort.seed!r}; expected a whole number, 0 or more")
    if not isinstance(cohort.ages, list | tuple) or len(cohort.ages) != 2 or cohort.ages[0] > cohort.ages[1]:
        raise SleeplibError(f"simulation: ages {cohort.ages!r}; expected the youngest and the oldest")
    for age in cohort.ages:
        check("simulation: ages", age, 5, 100)
    if cohort.hours is not None:
        check("simulation: hours", cohort.hours, 0.5, 14)
    if cohort.ahi is not None:
        check("simulation: ahi", cohort.ahi, 0, 120)
    return cohort


def _who(cohort: Simulation, i: int) -> dict:
    """Seed, age, sex and AHI of person `i`, as `night` takes them."""
    seed = np.random.SeedSequence(cohort.seed, spawn_key=(i,))
    rng = np.random.default_rng(np.random.SeedSequence(cohort.seed, spawn_key=(i, 99)))
    age = round(float(rng.uniform(*cohort.ages)), 1)
    return {
        "seed": seed,
        "age": age,
        "sex": "F" if rng.random() < cohort.share_female else "M",
        "ahi": cohort.ahi,
    }


def _write(cohort: Simulation, i: int, path: Path) -> None:
    write_edf(
        night(**_who(cohort, i), site=cohort.site, hours=cohort.hours, scorer=cohort.scorer, id=path.stem),
        path,
    )


@cache
def version() -> str:
    """Digest of the simulator's source: nights of another version are made anew."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _claim(cohort: Simulation, name: str, paths: list[Path], out: Path) -> None:
    """Make `out` ours: refuse files of another origin, remove our own of another version of the simulator."""
    described = {key: value for key, value in vars(cohort).items() if key != "persons"} | {"name": name}
    index = {"settings": json.loads(json.dumps(described, default=list)), "version": version()}
    found, marker = [path for path in paths if path.exists()], out / _INDEX
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
            _replace(marker, json.dumps(index, indent=1) + "\n")
    except OSError as error:
        raise SleeplibError(f"{out}: cannot be written ({error.strerror})") from error


def _finished(path: Path) -> bool:
    try:
        return len(read_hypnogram(path)) > 0
    except SleeplibError:  # missing, or cut short by a full disk or an interrupted copy
        return False


def _participants(cohort: Simulation, name: str, out: Path) -> None:
    """`participants.tsv` in the manner of BIDS, of every night that stands in the folder."""
    rows = ["participant_id\tage\tsex\tahi"]
    for path in sorted(out.glob(f"{name}-[0-9][0-9][0-9].edf")):
        who = _who(cohort, int(path.stem[-3:]) - 1)
        person = people.draw(streams(who.pop("seed"))[0], **who)
        rows.append(f"{path.stem}\t{person.age:.1f}\t{person.sex}\t{person.ahi:.1f}")
    _replace(out / "participants.tsv", "\n".join(rows) + "\n")


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
