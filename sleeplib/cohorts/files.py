"""The files of a cohort below a folder: which belong to one recording, and whose it is."""

import os
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from sleeplib.cohorts.manifests import Manifest, fields_of
from sleeplib.errors import SleeplibError
from sleeplib.readers.tables import column_names, read_table
from sleeplib.recording import Subject


@dataclass(frozen=True)
class Entry:
    """A recording of a cohort: its files, its person, and the `group` that a split must not tear apart (the person,
    or the family). Without `scoring` the hypnogram is in the file of the signals. `fields` are what its name told,
    `notes` what could not be understood."""

    id: str
    subject: Subject
    group: str
    signals: Path
    scoring: tuple[Path, ...] = ()
    events: tuple[Path, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files of the recording, that of the signals first."""
        samples = [self.signals.with_suffix(".mat")] if self.signals.suffix.lower() == ".hea" else []
        return [self.signals, *samples, *self.scoring, *self.events]


def recordings(manifest: Manifest, root: str | Path) -> list[Entry]:
    """The recordings of a cohort below `root` in the order of their ids; `root` may be any folder above the archive's.

    Recordings that the manifest excludes are left out; those without a hypnogram are not, so that they can be named.

    Raises
    ------
    SleeplibError
        If the folder is missing, no file has a name of this cohort, or two files claim to be the same recording.
    """
    root, files = Path(root), manifest.files
    if not root.is_dir():
        raise SleeplibError(f"{root}: no such folder; it should hold the files of cohort {manifest.name!r}")
    below = list(_walk(root))
    beside = {key: _Beside(_list(files.get(key)), files["fields"], below) for key in ("scoring", "events")}
    people, found = _People(manifest, root, below), {}
    for template in _list(files["signals"]):
        pattern = compiled(template, files["fields"])
        for match in filter(None, map(pattern.fullmatch, below)):
            known = _told(match, files["fields"])
            name = files.get("id", Path(match[0]).stem).format(**known)
            if name in found and found[name].signals != root / match[0]:
                raise SleeplibError(f"{root / match[0]}: the recording {name} is {found[name].signals}, too")
            own = {key: tuple(root / path for path in part.of(known)) for key, part in beside.items()}
            subject, group, notes = people.of(known, name)
            found[name] = Entry(name, subject, group, root / match[0], **own, fields=known, notes=notes)
    if not found:
        expected = " or ".join(_list(files["signals"]))
        raise SleeplibError(
            f"{root}: none of its {len(below)} files is a recording of cohort {manifest.name!r} ({expected}); "
            "for other names write a manifest of your own and pass its path"
        )
    kept = [found[name] for name in sorted(found, key=natural) if name not in manifest.exclude]
    if not kept:
        raise SleeplibError(
            f"{root}: the manifest of {manifest.name} excludes all {len(found)} recordings here"
        )
    return kept


def tables_missing(manifest: Manifest, root: str | Path, entries: list[Entry]) -> list[str]:
    """What is not below `root` of the tables of participants that the manifest names for one of these recordings: one
    line for each table, and for each column that a table lacks."""
    below, missing = list(_walk(Path(root))), []
    for table in manifest.subjects:
        if any(table.get("when", {}).items() <= entry.fields.items() for entry in entries):
            paths = _fitting(below, table["table"])
            if paths:
                path = Path(root) / max(paths, key=natural)
                columns = _columns(table, column_names(path, table.get("header_row")))
                lacking = [name for name, column in columns.items() if not column]
                missing += [f"no column {name} in {path.name}: it is unknown of all" for name in lacking]
            else:
                missing.append(f"no table {table['table']} here: ages and sexes may be unknown")
    return missing


def compiled(template: str, fields: dict) -> re.Pattern:
    """A template as a regular expression of a path, in whatever folder (`prefix`) the archive stands."""
    pattern, seen = r"(?P<prefix>(?:.*/)?)", set()
    for literal, name, _, _ in string.Formatter().parse(template):
        pattern += re.escape(literal)
        if name:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{fields.get(name, '[^/]+')})"
            seen.add(name)
    return re.compile(pattern, re.IGNORECASE)  # archives that were copied by Windows shout


def _told(match: re.Match, fields: dict) -> dict[str, str]:
    """The fields of a path, in the case of the manifest's own expressions: ids, visits and splits are written in it."""
    told = match.groupdict(default="")
    for name, text in told.items():
        cases = (text, text.lower(), text.upper())
        told[name] = next((case for case in cases if re.fullmatch(fields.get(name, ".*"), case)), text)
    return told


def natural(text: str) -> list:
    """A key to sort by in which 10 comes after 9."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part
    ]


def _list(value) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _walk(root: Path) -> Iterator[str]:
    """All files below a folder, relative to it; links are followed, but not in circles."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        here = Path(folder).relative_to(root).as_posix()
        yield from (name if here == "." else f"{here}/{name}" for name in sorted(names) if name[0] != ".")


class _Beside:
    """Files that belong to a recording, found by the fields that they share with it."""

    def __init__(self, templates: list[str], fields: dict, below: list[str]):
        self.tables = []
        for template in templates:
            pattern, names = compiled(template, fields), sorted(fields_of(template))
            matches = [match for match in map(pattern.fullmatch, below) if match]
            self.tables.append((names, [(_told(match, fields), match[0]) for match in matches], {}))

    def of(self, known: dict) -> list[str]:
        """The paths of the first template that has any, in the order of their names."""
        for names, found, index in self.tables:
            shared = [name for name in (*names, "prefix") if name in known]
            if tuple(shared) not in index:
                index[tuple(shared)] = table = {}
                for fields, path in found:
                    table.setdefault(tuple(fields[name] for name in shared), []).append(path)
            paths = index[tuple(shared)].get(tuple(known[name] for name in shared))
            if paths:
                return sorted(paths, key=natural)
        return []


def _fitting(below: list[str], pattern: str) -> list[str]:
    """The paths that are a table's, wherever the archive stands."""
    return [path for path in below if fnmatch(f"/{path}".casefold(), f"*/{pattern}".casefold())]


class _People:
    """Age, sex, AHI and family of the persons, from the cohort's tables where they are there."""

    def __init__(self, manifest: Manifest, root: Path, below: list[str]):
        self.manifest, self.tables = manifest, []
        for table in manifest.subjects:
            paths = _fitting(below, table["table"])
            if paths:  # later versions of a table have higher numbers in their names
                self.tables.append((table, _Rows(root / max(paths, key=natural), table)))

    def of(self, known: dict, name: str) -> tuple[Subject, str, tuple[str, ...]]:
        """The person of a recording, what must not be torn apart with it, and what was not understood."""
        person = self.manifest.files.get("person", "{person}").format(**known)
        about, family, notes = {}, "", []
        for table, rows in self.tables:
            if all(known.get(field) == value for field, value in table.get("when", {}).items()):
                row = rows.of([value.format(**known, id=name) for value in table["row"].values()])
                told = {key: rows.read(key, row, notes) for key in ("age", "sex", "ahi")}
                about = {key: about.get(key) or value for key, value in told.items()}
                family = family or row.get(table.get("group", ""), "")
        return Subject(person, **about), self._group(known, person, family), tuple(notes)

    def _group(self, known: dict, person: str, family: str) -> str:
        """The person, or the family where a cohort has some: of the file's name, or else of the table."""
        files, tables = self.manifest.files, [table for table in self.manifest.subjects if "group" in table]
        own = (
            files["group"].format(**{key: known.get(key, "") for key in files["fields"]})
            if "group" in files
            else ""
        )
        if own or family:
            return f"family {own or family}"
        if tables:
            raise SleeplibError(
                f"{self.manifest.name}: the family of {person} stands neither in the file's name nor in "
                f"{tables[0]['table']}; put that table beside the files, or a split would tear families apart"
            )
        return person


class _Rows:
    """The rows of one table by the columns that name the recording."""

    def __init__(self, path: Path, table: dict):
        self.path, self.table = path, table
        keys, header = list(table["row"]), table.get("header_row")
        columns = _columns(table, column_names(path, header))
        # A table may leave out what it does not know, but not the persons.
        wanted = {name: column or name for name, column in columns.items() if column or name in keys}
        self.rows = {}
        for row in read_table(path, header, columns=set(wanted.values())):
            named = {name: row[column] for name, column in wanted.items()}
            self.rows.setdefault(tuple(_plain(named[key]) for key in keys), named)

    def of(self, values: list[str]) -> dict:
        return self.rows.get(tuple(map(_plain, values)), {})

    def read(self, key: str, row: dict, notes: list[str]):
        """Age in years, AHI per hour, or sex of a row; `None` where it is not told, or not understood (see `notes`)."""
        spec = self.table.get(key)
        if key == "sex":
            return _sex(spec, row)
        text = row.get(spec or "", "").strip()
        if text.casefold() in ("", "n/a", "na", "nan", ".", "-", "?"):
            return None
        try:
            return float(text)
        except ValueError:
            notes.append(f"{self.path.name}: {spec} {text!r} is not a number")
            return None


def _columns(table: dict, here: list[str]) -> dict[str, str | None]:
    """The columns that a manifest names, as a table has them, or `None`; "Sex" may be "Sex (M/F)" there."""
    names = [*table["row"], *(table[key] for key in ("age", "ahi", "group") if key in table)]
    names += [table["sex"]["column"]] if isinstance(table.get("sex"), dict) else []
    found = {}
    for name in names:
        longer = [column for column in here if re.match(rf"{re.escape(name)}\b", column)]
        found[name] = name if name in here else longer[0] if len(longer) == 1 else None
    return found


def _sex(spec, row: dict) -> str | None:
    if spec is None or isinstance(spec, str):
        return spec
    text = row.get(spec["column"], "").strip()
    for sex in ("F", "M"):
        if sex in spec and _plain(text) == _plain(spec[sex]):
            return sex
    first = text[:1].upper()
    return first if first in ("F", "M") and not {"F", "M"} & set(spec) else None


def _plain(text: str) -> str:
    """A name as tables and files agree on it: neither case nor leading zeros matter."""
    text = text.strip().casefold()
    return text.lstrip("0") or text[-1:]
