"""A manifest in, a list of recordings out. What is peculiar to a data set stands in `data_manifests/*.yaml`."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from sleeplib.errors import SleeplibError
from sleeplib.recording import Subject

_HERE = Path(__file__).parents[1]
# In a checkout the manifests lie beside the package, in a wheel inside it.
MANIFESTS = next(
    (p for p in (_HERE / "data_manifests", _HERE.parent / "data_manifests") if p.is_dir()), _HERE.parent
)


@dataclass(frozen=True)
class Manifest:
    """A cohort: what it is, where its files are, and which channels play which role.

    `montage` maps a role to a channel or to a difference `A - B`; `subject` is a regular expression whose group
    `subject` finds the person in a file's name, so that two nights of one person never end up on both sides of a split.
    """

    name: str
    title: str
    files: str
    subject: str
    montage: dict[str, str]
    epoch_seconds: float | None = 30.0  # None: as the first file has it
    simulated: bool = False
    licence: str = ""
    source: str = ""
    citation: str = ""
    participants: str = ""
    simulation: dict = field(default_factory=dict)


def load(name: str | Path) -> Manifest:
    """The manifest of a cohort by its name (`embedded`) or by the path of a YAML file.

    Raises
    ------
    SleeplibError
        If there is none, or if it lacks a field or has one that is not known.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = MANIFESTS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in MANIFESTS.glob("*.yaml")))
        raise SleeplibError(f"{path}: no such manifest; known cohorts: {known}")
    try:
        return Manifest(**yaml.safe_load(path.read_text()))
    except (TypeError, yaml.YAMLError) as error:
        raise SleeplibError(
            f"{path}: not a valid manifest ({str(error).replace('Manifest.__init__() ', '')})"
        ) from error


def recordings(manifest: Manifest, root: str | Path) -> list[tuple[Path, Subject]]:
    """The cohort's files below `root` in alphabetical order, each with the person it belongs to.

    Raises
    ------
    SleeplibError
        If the folder or the files are missing, or a file's name does not tell the person.
    """
    root = Path(root)
    if not root.is_dir():
        raise SleeplibError(
            f"{root}: no such folder; it should hold the files of cohort {manifest.name!r} ({manifest.files})"
        )
    paths = sorted(root.glob(manifest.files))
    if not paths:
        raise SleeplibError(f"{root}: no file {manifest.files} of cohort {manifest.name!r} here")
    table = _participants(root / manifest.participants) if manifest.participants else {}
    found = []
    for path in paths:
        match = re.search(manifest.subject, path.stem)
        if not match:
            raise SleeplibError(
                f"{path}: the name does not tell the person (expected {manifest.subject}); "
                "for other names write a manifest of your own and pass its path"
            )
        person = match["subject"]
        found.append((path, Subject(person, **table.get(path.stem, table.get(person, {})))))
    return found


def _participants(path: Path) -> dict[str, dict]:
    """Age and sex by person or by recording, from a table with a column `record` or `participant_id`."""
    import pandas as pd

    if not path.is_file():
        return {}
    table = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False)
    people = {}
    for row in table.to_dict("records"):
        age, sex = row.get("age", ""), row.get("sex", "").upper()[:1]
        try:
            known = {"age": float(age) if age not in ("", "n/a") else None}
        except ValueError as error:
            raise SleeplibError(f"{path}: age {age!r} is not a number") from error
        people[row.get("record") or row.get("participant_id", "")] = known | {
            "sex": sex if sex in ("F", "M") else None
        }
    return people


def folds(persons, k: int, n_valid: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Cross-validation by person: `k` disjoint test sets that together are all persons, `n_valid` others for
    validation.

    Parameters
    ----------
    persons : array (R,)
        The person of each recording.

    Returns
    -------
    list of `k` dicts
        `train`, `valid` and `test`: indices into `persons`. A person is in one of the three only.

    Raises
    ------
    SleeplibError
        If there are fewer persons than folds, or none would be left to train on.
    """
    persons = np.asarray(persons)
    people = np.random.default_rng(seed).permutation(np.unique(persons))
    if k > len(people) or k < 2:
        raise SleeplibError(
            f"{k} folds need between 2 and {len(people)} persons; this cohort has {len(people)}"
        )
    parts = np.array_split(people, k)
    result = []
    for i, test in enumerate(parts):
        rest = np.concatenate(
            parts[i + 1 :] + parts[:i]
        )  # rotate, so that validation persons differ between folds
        if n_valid >= len(rest):
            raise SleeplibError(
                f"{n_valid} validation persons leave nobody to train on in fold {i + 1} of {k}"
            )
        sets = {"train": rest[n_valid:], "valid": rest[:n_valid], "test": test}
        result.append({part: np.flatnonzero(np.isin(persons, who)) for part, who in sets.items()})
    return result


def split(persons, n_valid: int, n_test: int, seed: int = 0) -> dict[str, np.ndarray]:
    """One split by person: `n_test` persons to test on, `n_valid` to choose the step by, the others to train on.

    Raises
    ------
    SleeplibError
        If nobody would be left to train on.
    """
    people = np.random.default_rng(seed).permutation(np.unique(persons))
    if min(n_valid, n_test) < 1 or n_valid + n_test >= len(people):
        raise SleeplibError(
            f"{n_valid} validation and {n_test} test persons out of {len(people)}: one of each part is needed at least"
        )
    sets = {
        "train": people[n_valid + n_test :],
        "valid": people[n_test : n_valid + n_test],
        "test": people[:n_test],
    }
    return {part: np.flatnonzero(np.isin(persons, who)) for part, who in sets.items()}
