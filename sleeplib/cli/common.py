"""What the commands share: their look, options that several have, and values as they are typed."""

import argparse
import dataclasses
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from sleeplib.errors import SleeplibError


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not where there is none or the text tells it already."""

    def _get_help_string(self, action):
        told = action.default in (None, []) or "(default" in action.help
        return action.help if told else super()._get_help_string(action)


def add_command(commands, name: str, function: Callable, help: str) -> argparse.ArgumentParser:
    """A command whose description is the docstring of its function."""
    command = commands.add_parser(name, help=help, description=function.__doc__, formatter_class=_Help)
    command.set_defaults(command=function)
    return command


def add_jobs(command) -> None:
    """The option `--jobs`."""
    command.add_argument("--jobs", type=positive, default=os.cpu_count(), help="processes side by side")


def add_backend(command) -> None:
    """The option `--backend`."""
    command.add_argument(
        "--backend",
        choices=("loky", "ray"),
        default="loky",
        help="ray: on a Ray cluster, that of RAY_ADDRESS or one on this machine (needs the extra `cluster`)",
    )


def add_set(command, help: str) -> None:
    """The option `--set`, whose uses add up; `values` reads it."""
    command.add_argument("--set", nargs="+", action="extend", metavar="NAME=VALUE", default=[], help=help)


def number(kind: type, low: float, high: float = math.inf) -> Callable[[str], float]:
    """A type of argument: whole (`int`) or real (`float`) numbers within these limits."""

    def read(text: str):
        """The number, if it is one and within the limits."""
        try:
            value = kind(text)
        except ValueError:
            value = math.nan  # which lies within no limits
        if not low <= value <= high:
            span = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
            raise argparse.ArgumentTypeError(f"{text} is not a {'whole ' * (kind is int)}number {span}")
        return value

    return read


positive, seed = number(int, 1), number(int, 0, 2**32 - 1)


def record_of(path: Path, force: bool) -> Path:
    """Where a result record may be written, asked before the work; its predictions lie beside it.

    Raises
    ------
    SleeplibError
        If the name does not end in .json, the folder cannot be written, or one of the two files is there.
    """
    from sleeplib.export.writing import may_fill, may_write

    if path.suffix != ".json":
        raise SleeplibError(f"{path}: a result record ends in .json")
    may_fill(path.parent)
    for each in (path, path.with_suffix(".npz")):
        may_write(each, force)
    return path


def pairs(items: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE ...` as a dictionary.

    Raises
    ------
    SleeplibError
        If a name or a value is empty, or a name stands there twice.
    """
    found = [item.partition("=")[::2] for item in items]
    names = [name for name, _ in found]
    if not all(name and value for name, value in found):
        raise SleeplibError(f"{option} takes NAME=VALUE, not {' '.join(items)}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SleeplibError(f"{option} has {twice} more than once: {' '.join(items)}")
    return dict(found)


def values(items: list[str], option: str = "--set") -> dict:
    """The pairs of an option such as `--set`, whose values are YAML: numbers, lists, truths, or texts.

    `1e-3` is a number, too, which YAML takes for a text.

    Raises
    ------
    SleeplibError
        As `pairs`, or if a value is not YAML.
    """
    import yaml

    given = pairs(items, option)
    try:
        return {name: _number_or(yaml.safe_load(value)) for name, value in given.items()}
    except (yaml.YAMLError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise SleeplibError(f"{option} {' '.join(items)}: a value is not YAML ({told})") from error


def _number_or(value):
    """A text such as 1e-3 as a number; everything else as it is."""
    return (
        float(value)
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value)
        else value
    )


def check_names(settings: dict, table: type, option: str) -> None:
    """Refuse names that are not fields of a dataclass.

    Raises
    ------
    SleeplibError
        With the names that there are.
    """
    known = [field.name for field in dataclasses.fields(table)]
    if unknown := sorted(settings.keys() - set(known)):
        raise SleeplibError(f"{option} knows no {', '.join(unknown)}; there are {', '.join(known)}")
