"""The manifest of a cohort: everything peculiar to a data set, read from `data_manifests/*.yaml` and checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jsonschema
import yaml

from sleeplib.errors import SleeplibError

_HERE = Path(__file__).parents[1]
# In a checkout the manifests lie beside the package, in a wheel inside it.
MANIFESTS = next(
    (p for p in (_HERE / "data_manifests", _HERE.parent / "data_manifests") if p.is_dir()), _HERE.parent
)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, seven times as fast
_FIELD = re.compile(r"\{([^\W\d]\w*)\}")


@dataclass(frozen=True)
class Manifest:
    """A cohort: what it is, how to get it, where its files are, and what stands in them.

    The sections are those of `schema.yaml`, which says what each of them may hold. `files` has templates with fields
    in braces, `channels` the harmonised derivations and the labels they are made of, `montage` the derivation for each
    role of SeqSleepNet's, `simulation` the settings of a simulated cohort or of a cohort's twin.
    """

    name: str
    title: str
    files: dict
    about: str = ""
    citation: str = ""
    doi: str = ""
    licence: str = ""
    simulated: bool = False
    persons: int | None = None
    recordings: int | None = None
    access: dict = field(default_factory=dict)
    download: dict = field(default_factory=dict)
    exclude: dict = field(default_factory=dict)
    channels: dict = field(default_factory=dict)
    montage: dict = field(default_factory=dict)
    hypnogram: dict = field(default_factory=dict)
    events: dict = field(default_factory=dict)
    subjects: list = field(default_factory=list)
    split: dict = field(default_factory=dict)
    quirks: list = field(default_factory=list)
    simulation: dict = field(default_factory=dict)

    @property
    def epoch_seconds(self) -> float | None:
        """Length of the scored epochs; `None`: as the files have it."""
        return self.hypnogram.get("epoch_seconds", 30.0)


def names() -> list[str]:
    """The cohorts that come with a manifest."""
    return sorted(path.stem for path in MANIFESTS.glob("*.yaml"))


def load(name: str | Path) -> Manifest:
    """The manifest of a cohort by its name (`embedded`) or by the path of a YAML file.

    Raises
    ------
    SleeplibError
        If there is none, or if something in it is unknown, missing or of the wrong kind, with file and line.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = MANIFESTS / f"{name}.yaml"
    if not path.is_file():
        raise SleeplibError(f"{path}: no such manifest; known cohorts: {', '.join(names())}")
    tree, content = _parse(path)
    errors = sorted(
        _validator().iter_errors(content), key=lambda e: (len(e.absolute_path), str(e.absolute_path))
    )
    if errors:
        error = jsonschema.exceptions.best_match(errors)
        where = ".".join(map(str, error.absolute_path))
        raise SleeplibError(f"{path}:{_line(tree, error)}: {where + ': ' if where else ''}{_told(error)}")
    _check(path, tree, content)
    return Manifest(**content)


def _parse(path: Path):
    """The YAML's node tree, which knows lines, and its content."""
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=_LOADER), yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else 1
        raise SleeplibError(f"{path}:{line}: not YAML ({getattr(error, 'problem', error)})") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SleeplibError(f"{path}: not a readable manifest ({error})") from error


@cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = yaml.safe_load(Path(__file__).with_name("schema.yaml").read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker(["regex"]))


def _line(tree, error) -> int:
    """Line of the node that an error is about; of the offending key where one too many stands."""
    node = _node(tree, error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(node, yaml.MappingNode):
        known = error.schema.get("properties", {})
        node = next((key for key, _ in node.value if key.value not in known), node)
    return node.start_mark.line + 1 if node else 1


def _node(tree, steps):
    """The node at the end of a path of keys and numbers, or the last of those on the way that is there."""
    node = tree
    for step in steps:
        node = _child(node, step) or node
    return node


def _child(node, step):
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    return node.value[step] if isinstance(node, yaml.SequenceNode) else None


def _told(error) -> str:
    """The error in words; alternatives are told by what is expected, not by each that failed."""
    if error.validator == "additionalProperties":
        return f"{error.message}; known here: {', '.join(sorted(error.schema.get('properties', {})))}"
    meant = error.schema.get("description")
    return f"{error.message} ({meant})" if meant else error.message


def fields_of(template: str) -> set[str]:
    """The names in braces."""
    return set(_FIELD.findall(template))


def _check(path: Path, tree, content: dict) -> None:
    """Refuse what a schema cannot see: fields that nothing fills in, a list of checksums that is not there."""
    for steps, problem in _problems(content, ours=path.resolve().parent == MANIFESTS.resolve()):
        line = _node(tree, steps).start_mark.line + 1
        raise SleeplibError(f"{path}:{line}: {'.'.join(map(str, steps))}: {problem}")


def _problems(content: dict, ours: bool) -> Iterator[tuple[tuple, str]]:
    """Where something is wrong, and what."""
    files, sums = content["files"], content.get("download", {}).get("checksums")
    for steps, template in _paths(files):
        known = {*files["fields"], "scorer"} if "scoring" in steps else set(files["fields"])
        yield from _wrong(steps, template, known, "no regular expression of {} among the fields")
    told = [fields_of(template) for steps, template in _paths(files) if "signals" in steps]
    for steps, template, known in _names(content, set.intersection(*told)):
        yield from _wrong(steps, template, known, "{} does not stand in every name of files.signals")
    yield from _wrong(
        ("files", "group"), files.get("group", ""), set.union(*told), "{} stands in no name of files.signals"
    )
    if any(told) and not fields_of(files.get("id", "{person}")):
        yield ("files", "id"), f"{files['id']!r} names all recordings alike; it needs a field in braces"
    if sums and ours and not (MANIFESTS / sums).is_file():
        yield ("download", "checksums"), f"{MANIFESTS / sums}: no such list"


def _wrong(steps: tuple, template: str, known: set[str], unknown: str) -> Iterator[tuple[tuple, str]]:
    if {"{", "}"} & set(_FIELD.sub("", template)):
        yield steps, f"{template!r}: a brace that does not enclose the name of a field"
    for name in sorted(fields_of(template) - known):
        yield steps, unknown.format(f"{{{name}}}")


def _paths(files: dict) -> Iterator[tuple[tuple, str]]:
    """The templates of paths, and where they stand."""
    for key in ("signals", "scoring", "events"):
        value = files.get(key, [])
        if isinstance(value, str):
            yield ("files", key), value
        else:
            yield from ((("files", key, i), template) for i, template in enumerate(value))


def _names(content: dict, known: set[str]) -> Iterator[tuple[tuple, str, set[str]]]:
    """The templates that the fields of a recording's path fill in, where they stand, and what they may use."""
    files = content["files"]
    for key in ("id", "person"):
        if key in files:
            yield ("files", key), files[key], known
    if "person" not in files:
        yield ("files", "signals"), "{person}", known
    for i, table in enumerate(content.get("subjects", [])):
        for column, template in table["row"].items():
            yield ("subjects", i, "row", column), template, known | {"id", *table.get("when", {})}
