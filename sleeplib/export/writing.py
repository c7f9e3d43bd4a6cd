"""Files that are written whole or not at all, and never over others unless asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from sleeplib.errors import SleeplibError


def may_write(path: str | Path, force: bool = False) -> Path:
    """The path, if nothing is there that would be lost.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or it is a folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise SleeplibError(f"{path} is a folder; choose another name")
        if path.exists() and not force:
            raise SleeplibError(f"{path} exists; choose another name or pass --force")
    except OSError as error:  # a name that is too long, a folder that must not be looked into
        raise _refused(path, error) from error
    return path


def may_fill(folder: str | Path) -> Path:
    """The folder, made where it is missing, if files can be written to it: asked before hours of work, not after.

    Raises
    ------
    SleeplibError
        If they cannot.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise _refused(folder, error) from error


@contextmanager
def writing(*paths: str | Path, force: bool = False) -> Iterator[list[Path]]:
    """`.part` files to write to; they take the places of `paths`, one by one, once all are complete.

    Raises
    ------
    SleeplibError
        As `may_write`, or if the folder or a file cannot be written. No part is left then.
    """
    paths = [may_write(path, force) for path in paths]
    parts = [path.with_name(path.name + ".part") for path in paths]
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        yield parts
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    except OSError as error:
        raise _refused(paths[0], error) from error
    finally:
        _remove(parts)


def _remove(parts: list[Path]) -> None:
    for part in parts:
        try:
            part.unlink(missing_ok=True)
        except OSError:  # the folder is none, or cannot be written: there is no part then
            continue


def _refused(path: Path, error: OSError) -> SleeplibError:
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return SleeplibError(
        f"{path}: cannot be written ({reason}); choose another folder or name, or free space"
    )
