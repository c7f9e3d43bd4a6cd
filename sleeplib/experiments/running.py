"""Which notebooks to run, with which parameters, on which data, and whether that has been done already."""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from sleeplib.errors import SleeplibError
from sleeplib.experiments import notebooks as files
from sleeplib.experiments.side_by_side import run_all
from sleeplib.provenance import versions
from sleeplib.results import build_folder, committed_folder, data_folder, local_folder

PROFILES = ("smoke", "demo", "paper")


@dataclass(frozen=True)
class Data:
    """Something that a notebook reads: files in folders, and the command that gets them."""

    name: str
    what: str
    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    get: str
    made: bool = False  # the notebook makes them itself where they are missing
    optional: bool = False  # the notebook runs without them
    written: bool = False  # by other notebooks
    in_turn: bool = False  # notebooks that read them do not run together

    @property
    def blocks(self) -> bool:
        """Whether the notebook cannot run, because these are missing; a folder that is not named is not needed."""
        return bool(self.folders) and not (self.files or self.made or self.optional)

    def __str__(self) -> str:
        if self.files:
            return f"{self.what}: there, {len(self.files)} files"
        where = f"missing in {', '.join(map(str, self.folders))}" if self.folders else "not given"
        if self.made:
            return f"{self.what}: {where}; the notebook makes it, or `{self.get}`"
        return f"{self.what}: {where}{'' if self.blocks else ', runs without'}; get it with `{self.get}`"


@dataclass(frozen=True)
class Run:
    """One notebook with its final parameters and the defaults that stand in it."""

    name: str
    title: str
    source: Path
    profile: str
    parameters: dict
    defaults: dict
    data: tuple[Data, ...]
    minutes: float | None
    digest: str
    output: Path
    alone: bool = False  # measures times: nothing runs beside it

    @property
    def in_turn(self) -> set[str]:
        """Data that the first notebook to read them makes."""
        return {data.name for data in self.data if data.in_turn}

    @property
    def last(self) -> bool:
        """Whether it reads what other notebooks write."""
        return any(data.written for data in self.data)

    @property
    def state(self) -> Path:
        """The file that says which run made `output`; it is written last."""
        return self.output.with_suffix(".json")

    @property
    def done(self) -> bool:
        """Whether `output` was made from the same notebook, parameters, package and data."""
        if not (self.state.exists() and self.output.exists()):
            return False
        return self.digest in self.state.read_text()


def plan(profile: str = "demo", names=None, overrides: dict | None = None, notebooks=None) -> list[Run]:
    """What `run` would do, in order, without doing it.

    Parameters
    ----------
    profile : "smoke" (the notebooks' own values), "demo" or "paper".
    names : notebooks without suffix; all of `profiles.yaml` by default.
    overrides : values that win over the profile's, for each chosen notebook with a parameter of that name.

    Raises
    ------
    SleeplibError
        If a profile, a notebook or a parameter is unknown, listing the known ones.
    """
    folder, overrides = files.folder(notebooks), overrides or {}
    settings = _settings(folder)
    names = list(dict.fromkeys(names or settings["notebooks"]))
    _insist_known("profile", [profile], PROFILES)
    _insist_known("notebook", names, settings["notebooks"])
    known = {name: files.parameters(folder / f"{name}.py") for name in names}
    _insist_known("parameter", overrides, {key for parameters in known.values() for key in parameters})
    return [_plan(folder, settings, name, profile, known[name], overrides) for name in names]


def run(
    profile: str = "demo",
    names=None,
    overrides=None,
    force=False,
    notebooks=None,
    report=print,
    jobs: int = 1,
) -> list[Run]:
    """Run the notebooks of a profile into `notebooks` of the build folder; what was done already is skipped.

    A notebook that fails leaves `<name>.partial.ipynb` with everything up to the failing cell, and the output
    of an earlier run stays. With several `jobs` notebooks run side by side. Returns the runs.

    Raises
    ------
    SleeplibError
        As `plan`; if data are missing, saying how to get them; if a cell fails, naming it.
    """
    runs = plan(profile, names, overrides, notebooks)
    label = f"[{{}}/{len(runs)}] {{}} ({profile})".format

    def start(number: int, planned: Run) -> Run | None:
        """The run, planned again as an earlier one may have written what it reads; None if it has been done."""
        todo = plan(profile, [planned.name], _of(planned, overrides), notebooks)[0]
        if todo.done and not force:
            report(f"{label(number, todo.name)}: nothing changed, skipped")
            return None
        if missing := [str(data) for data in todo.data if data.blocks]:
            raise SleeplibError(f"notebook {todo.name} needs {' and '.join(missing)}")
        report(f"{label(number, todo.name)}: running, {_minutes(todo.minutes)}")
        return todo

    def done(number: int, run: Run, seconds: float) -> None:
        """Tell that a run has ended."""
        report(f"{label(number, run.name)}: done in {seconds:.0f} s")

    files.pair(files.folder(notebooks))
    if jobs > 1:
        run_all(runs, jobs, start, _execute, done)
        return runs
    for number, planned in enumerate(runs, start=1):
        if todo := start(number, planned):
            done(number, todo, _execute(todo))
    return runs


def describe(runs: list[Run]) -> str:
    """The plan as text: per notebook its parameters, its data and how to get them, and the expected time."""
    lines = []
    for run in runs:
        lines += [
            f"{run.name}: {run.title}",
            f"  {'done already, skipped' if run.done else _minutes(run.minutes)}",
        ]
        for key, value in run.parameters.items():
            own = run.defaults[key]
            lines.append(f"  {key} = {value!r}" + ("" if value == own else f"  (in the notebook: {own!r})"))
        lines += [f"  reads {data}" for data in run.data] or ["  reads no files"]
    return "\n".join(lines)


def _settings(folder: Path) -> dict:
    """`profiles.yaml`, checked for notebooks and parameters that do not exist."""
    import yaml

    path = folder / "profiles.yaml"
    settings = yaml.safe_load(path.read_text())
    for name, entry in settings["notebooks"].items():
        if not (folder / f"{name}.py").exists():
            raise SleeplibError(f"{path}: there is no notebook {name}.py")
        for profile in PROFILES[1:]:
            given = entry.get(profile) or {}
            _insist_known("parameter", given, files.parameters(folder / f"{name}.py"), f"{path}: {name}: ")
    return settings


def _insist_known(kind: str, names, known, where: str = "") -> None:
    for name in names:
        if name not in known:
            raise SleeplibError(f"{where}unknown {kind} {name!r}; known: {', '.join(sorted(known))}")


def _plan(folder, settings, name, profile, defaults, overrides) -> Run:
    entry = settings["notebooks"][name]
    chosen = {key: value for key, value in overrides.items() if key in defaults}
    parameters = defaults | (entry.get(profile) or {}) | chosen
    data = tuple(_data(need, settings["data"][need], parameters) for need in entry.get("needs", []))
    source = folder / f"{name}.py"
    return Run(
        name=name,
        title=entry["title"],
        source=source,
        profile=profile,
        parameters=parameters,
        defaults=defaults,
        data=data,
        minutes=_expected(entry, profile, data),
        digest=_digest(source, parameters, data),
        output=build_folder() / "notebooks" / f"{name}.ipynb",
        alone=entry.get("alone", False),
    )


def _expected(entry: dict, profile: str, data) -> float | None:
    """Minutes of a run: `minutes_with` tells how much longer it takes where data are there that it can do without."""
    minutes = entry["minutes"].get(profile)
    more = sum(entry.get("minutes_with", {}).get(d.name, 0) for d in data if d.files)
    return None if minutes is None else minutes + more


def _of(run: Run, overrides: dict | None) -> dict:
    return {key: value for key, value in (overrides or {}).items() if key in run.parameters}


def _data(name: str, entry: dict, parameters: dict) -> Data:
    """An entry of `data` in `profiles.yaml` for these parameters: its folders may name them in braces."""
    places = {"data": data_folder(), "committed": committed_folder(), "local": local_folder()} | parameters
    folders = tuple(Path(text) for template in entry["folders"] if (text := template.format(**places)))
    found = tuple(sorted(path for folder in folders for path in folder.glob(entry["files"])))
    return Data(
        name,
        entry["what"],
        folders,
        found,
        entry["get"],
        *(entry.get(key, False) for key in ("made", "optional", "written", "in_turn")),
    )


def _digest(source: Path, parameters: dict, data: tuple[Data, ...]) -> str:
    """A digest of all that decides a notebook's output; data count by name, size and time of change."""
    package = Path(__file__).resolve().parents[1]
    settings = json.dumps([parameters, versions()], sort_keys=True, default=str)
    parts = [files.stamped(source).encode(), settings.encode()]
    for path in sorted([*package.rglob("*.py"), *package.parent.glob("data_manifests/*.yaml")]):
        if path.parent.name not in ("cli", "experiments"):  # notebooks do not import these
            parts += [str(path.relative_to(package.parent)).encode(), path.read_bytes()]
    for path in (path for entry in data if not entry.made for path in entry.files):
        parts.append(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _minutes(minutes: float | None) -> str:
    if minutes is None:
        return "time not known"
    return f"about {60 * minutes:.0f} s" if minutes < 1 else f"about {minutes:.0f} min"


def _execute(run: Run) -> float:
    """Run one notebook; seconds. Only a run that went through replaces the output of an earlier one."""
    from papermill import PapermillExecutionError

    partial = run.output.with_suffix(".partial.ipynb")
    partial.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    os.environ["SLEEPLIB_NOTEBOOK"] = run.name  # the kernel inherits it, and result records quote it
    try:
        _papermill(run, partial)
    except PapermillExecutionError as error:
        first = (error.source.strip().splitlines() or [""])[0]
        raise SleeplibError(
            f"notebook {run.name} failed in cell {error.exec_count} ({first}): {error.ename}: "
            f"{error.evalue.splitlines()[0] if error.evalue else ''}; everything up to there is in {partial}"
        ) from None
    finally:
        del os.environ["SLEEPLIB_NOTEBOOK"]
    seconds = time.monotonic() - begun
    run.state.unlink(missing_ok=True)
    partial.replace(run.output)
    state = {
        "digest": run.digest,
        "profile": run.profile,
        "parameters": run.parameters,
        "seconds": round(seconds, 1),
    }
    run.state.write_text(json.dumps(state, indent=1, default=str))
    return seconds


def _papermill(run: Run, output: Path) -> None:
    """Execute the paired `.ipynb` in a kernel of this environment, in the current folder."""
    import papermill
    from traitlets.config import Config

    # ipykernel >= 7.3 warns about unencrypted TCP unless the transport is said to be a choice.
    config = Config({"KernelManager": {"transport_encryption": "auto"}})
    twin = run.source.with_suffix(".ipynb")
    given = {key: value for key, value in run.parameters.items() if value != run.defaults[key]}
    for last in (False, True):
        try:
            papermill.execute_notebook(twin, output, given, progress_bar=False, config=config)
            return
        except papermill.PapermillExecutionError:
            raise
        except Exception as error:  # two kernels that started together may have picked the same port
            if last or "Address already in use" not in str(error):
                raise
