"""Who trains, who validates, who tests: published splits, and the papers' rule where none is published."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from sleeplib.errors import SleeplibError

PARTS = ("train", "valid", "test")


def read_usleep_split(path: str | Path) -> dict[str, dict[str, list[str]]]:
    """AnySleep's published split: for each part and data set the ids of its recordings.

    Raises
    ------
    SleeplibError
        If the file cannot be read, is not of this form, or names a recording twice.
    """
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        split = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SleeplibError(f"{path}: not a readable split ({str(error).splitlines()[0]})") from error
    if not isinstance(split, dict) or set(split) != set(PARTS):
        raise SleeplibError(f"{path}: a split has the parts {', '.join(PARTS)} and no others")
    seen: dict[tuple[str, str], str] = {}
    for part in PARTS:
        if not isinstance(split[part], dict):
            raise SleeplibError(f"{path}: {part}: not data sets with lists of recordings")
        for cohort, ids in split[part].items():
            _check_ids(path, part, cohort, ids)
            for one in ids:
                if (cohort, one) in seen:
                    raise SleeplibError(f"{path}: {cohort} {one} is in {seen[cohort, one]} and in {part}")
                seen[cohort, one] = part
    return split


def _check_ids(path, part: str, cohort: str, ids) -> None:
    if not isinstance(ids, list):
        raise SleeplibError(f"{path}: {part}: {cohort}: {ids!r} is not a list of recordings")
    for one in ids:
        if not isinstance(one, str):
            raise SleeplibError(
                f"{path}: {part}: {cohort}: {one!r} is not an id; quote it, so that it stays a text"
            )


def read_seqsleepnet_folds(path: str | Path) -> list[dict[str, np.ndarray]]:
    """SeqSleepNet's 20 published folds.

    Returns
    -------
    list of dicts
        `train`, `valid` and `test`: 0-based indices into the alphabetical list of the recordings.

    Raises
    ------
    SleeplibError
        If the file cannot be read, or its folds do not each hold every recording in one part, or are not each tested
        on others.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        columns = [content[f"{name}_sub"].ravel() for name in ("train", "eval", "test")]
        folds = [
            {part: fold.ravel().astype(int) - 1 for part, fold in zip(PARTS, parts, strict=True)}
            for parts in zip(*columns, strict=True)
        ]
    except Exception as error:  # a file that is none makes loadmat fail in many ways
        raise SleeplibError(f"{path}: not the folds of SeqSleepNet ({error})") from error
    tested = np.sort(np.concatenate([fold["test"] for fold in folds] or [np.empty(0)]))
    everyone = np.arange(len(tested))
    whole = all(np.array_equal(np.sort(np.concatenate(list(fold.values()))), everyone) for fold in folds)
    if not folds or not whole or not np.array_equal(tested, everyone):
        raise SleeplibError(f"{path}: the folds do not divide the recordings")
    return folds


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
            f"{k} folds of {len(people)} persons: there are 2 folds at least, and one for each person at most"
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
            f"{n_valid} validation and {n_test} test persons out of {len(people)}: one is needed of each at least, and "
            "one to train on"
        )
    sets = {
        "train": people[n_valid + n_test :],
        "valid": people[n_test : n_valid + n_test],
        "test": people[:n_test],
    }
    return {part: np.flatnonzero(np.isin(persons, who)) for part, who in sets.items()}


def protocol(
    groups, seed: int = 0, valid: tuple[float, int] = (0.10, 50), test: tuple[float, int] = (0.15, 100)
) -> dict[str, np.ndarray]:
    """A split under U-Sleep's and AnySleep's rule: a share of the persons, at most so many, for each of two parts.

    Shares are rounded up; with the defaults all numbers of persons in the published split come out.

    Parameters
    ----------
    groups : array (R,)
        What must not be torn apart for each recording: its person, or the family.
    valid, test : (share of the persons, largest number of them)

    Returns
    -------
    dict
        `train`, `valid` and `test`: indices into `groups`.

    Raises
    ------
    SleeplibError
        If nobody would be left to train on.
    """
    people = len(np.unique(groups))
    # 0.07 * 100 must not become 8 by the last bit of a float.
    n_valid, n_test = (min(math.ceil(round(share * people, 9)), most) for share, most in (valid, test))
    return split(groups, n_valid, n_test, seed)


def check_disjoint(parts: Mapping[str, np.ndarray], persons) -> None:
    """Make sure that nobody is in two parts.

    Parameters
    ----------
    parts : indices into `persons` by name of the part
    persons : array (R,), the person (or family) of each recording

    Raises
    ------
    SleeplibError
        If somebody is, with the names.
    """
    persons = np.asarray(persons)
    part_of: dict = {}
    torn: dict[str, str] = {}
    for part, indices in parts.items():
        for person in np.unique(persons[np.asarray(indices, int)]).tolist():
            if part_of.setdefault(person, part) != part:
                torn[str(person)] = f"{person} ({part_of[person]} and {part})"
    if torn:
        some = ", ".join(list(torn.values())[:5]) + (f" and {len(torn) - 5} others" if len(torn) > 5 else "")
        raise SleeplibError(f"a person may be in one part of a split only: {some}")


def assign(
    parts: Mapping[str, Sequence[str]], ids: Sequence[str], groups, where: str = "split"
) -> dict[str, np.ndarray]:
    """A published split, given as ids by part, as indices of the recordings at hand.

    Parameters
    ----------
    ids : of the recordings at hand; those in no part are left out, as are those of the split that are not here
    groups : array (R,), the person or family of each

    Raises
    ------
    SleeplibError
        If no recording at hand is in the split, or a recording or somebody is in two parts.
    """
    part_of: dict[str, str] = {}
    for part, names in parts.items():
        for one in names:
            if part_of.setdefault(one, part) != part:
                raise SleeplibError(f"{where}: {one} is in {part_of[one]} and in {part}")
    found = {
        part: np.array([i for i, one in enumerate(ids) if part_of.get(one) == part], int) for part in parts
    }
    if not any(map(len, found.values())):
        raise SleeplibError(
            f"{where}: none of the {len(ids)} recordings at hand is in it, such as {', '.join(ids[:3])}"
        )
    check_disjoint(found, groups)
    return found


def assign_folds(
    folds: Sequence[Mapping[str, np.ndarray]], ids: Sequence[str], groups
) -> list[dict[str, np.ndarray]]:
    """SeqSleepNet's folds as indices of the recordings at hand, which must be all 200 of MASS.

    Raises
    ------
    SleeplibError
        If they are not, or somebody is in two parts of a fold.
    """
    n = sum(len(fold["test"]) for fold in folds)
    if len(ids) != n:
        raise SleeplibError(f"the published folds are of {n} recordings; {len(ids)} are at hand")
    order = np.argsort(np.asarray(ids, str), kind="stable")  # the authors' list is alphabetical
    assigned = [{part: order[fold[part]] for part in PARTS} for fold in folds]
    for fold in assigned:
        check_disjoint(fold, groups)
    return assigned


def as_text(parts: Mapping[str, np.ndarray], ids: Sequence[str], cohort: str) -> str:
    """A split as JSON, which `read_split` reads: the cohort, and the ids of its recordings by part."""
    names = {name: [ids[i] for i in which] for name, which in parts.items()}
    return json.dumps({"cohort": cohort, **names}, indent=1) + "\n"


def read_split(
    path: str | Path, ids: Sequence[str], groups, cohort: str | None = None
) -> dict[str, np.ndarray]:
    """Read a file with a split as `as_text` gives it, as indices of the recordings at hand.

    Parameters
    ----------
    cohort : that of the recordings at hand; a file that names no cohort is taken for any

    Raises
    ------
    SleeplibError
        If the file is missing or not of this form, is of another cohort, fits none of the recordings, or somebody is
        in two parts.
    """
    try:
        parts = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SleeplibError(f"{path}: not a readable split ({error})") from error
    meant = parts.pop("cohort", cohort) if isinstance(parts, dict) else None
    if (
        not isinstance(parts, dict)
        or set(parts) != set(PARTS)
        or not all(isinstance(p, list) and all(isinstance(one, str) for one in p) for p in parts.values())
    ):
        raise SleeplibError(f"{path}: a split has lists of recordings for {', '.join(PARTS)}")
    if cohort and meant != cohort:
        raise SleeplibError(f"{path}: a split of cohort {meant}; the recordings at hand are of {cohort}")
    found = assign(parts, ids, groups, str(path))
    empty = [part for part in ("train", "valid") if not len(found[part])]
    if empty:
        raise SleeplibError(f"{path}: no recording at hand is in {' and '.join(empty)}")
    return found
