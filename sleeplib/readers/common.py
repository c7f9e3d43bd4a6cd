"""What the readers share: damage told in one way, texts of bounded size, files that never stand half-written."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sleeplib.errors import SleeplibError
from sleeplib.stages import EPOCH_SECONDS, LONGEST

# Bytes; the longest night's scoring has less than 2 MB, and XML takes 40 times its size in memory.
LARGEST_TEXT = 8 << 20
LATEST = LONGEST * EPOCH_SECONDS  # s; a time beyond it is damage


@contextmanager
def damage(path, kind: str) -> Iterator[None]:
    """Whatever a library raises or warns about while it reads a damaged file becomes one error that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SleeplibError:
        raise
    except FileNotFoundError as error:
        raise SleeplibError(f"{path}: no such file") from error
    except Exception as error:  # the libraries raise many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SleeplibError(
            f"{path}: not a readable {kind} file ({reason}); fetch or copy it again"
        ) from error


@contextmanager
def whole(path) -> Iterator[Path]:
    """A `.part` file to write to, which takes the place of `path` once it is complete."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_bytes(path, kind: str, largest: int = LARGEST_TEXT) -> bytes:
    """The bytes of a file that has between 1 and `largest`.

    Raises
    ------
    SleeplibError
        If it cannot be opened, is empty, or larger.
    """
    with damage(path, kind):
        size = Path(path).stat().st_size
        if not 0 < size <= largest:
            raise SleeplibError(f"{path}: {size:,} bytes; a {kind} file has 1 to {largest:,}; fetch it again")
        return Path(path).read_bytes()


def read_text(path, kind: str) -> str:
    """The text of a file in UTF-8 or else Latin-1; errors as `read_bytes`."""
    raw = read_bytes(path, kind)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def number(text, what: str, low: float = -LATEST, high: float = LATEST) -> float:
    """A number between `low` and `high` from a text.

    Raises
    ------
    SleeplibError
        With the message `what` and the text, if it is none.
    """
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = np.nan
    if not low <= value <= high:
        raise SleeplibError(f"{what} {text!r}; expected a number from {low:g} to {high:g}")
    return value


def chosen(path, available: Sequence[str], channels: Sequence[str] | None) -> list[int]:
    """Places of the wanted `channels` among the `available` ones of a file; all of them where none are given.

    Raises
    ------
    SleeplibError
        If a channel is missing, naming those that are there.
    """
    if channels is None:
        return list(range(len(available)))
    missing = [name for name in channels if name not in available]
    if missing:
        raise SleeplibError(f"{path}: no channel {', '.join(missing)}; it has {', '.join(available)}")
    return [available.index(name) for name in channels]
