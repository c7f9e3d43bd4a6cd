"""The section `download` of a manifest in, the list of its files with their addresses and checksums out."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import quote

from sleeplib.cohorts.manifests import MANIFESTS
from sleeplib.cohorts.record import NAME
from sleeplib.cohorts.transfer import TOKEN, Line
from sleeplib.errors import SleeplibError

NSRR = "https://sleepdata.org/"


@dataclass(frozen=True)
class Download:
    """Where a cohort's files and their checksums are: the section `download` of a manifest.

    Parameters
    ----------
    base : address that the paths of the files are appended to
    checksums : list of `sha256 path` below `data_manifests/`
    sums : such a list published beside the files, path below `base`
    files : the files themselves: `path` (`{1..9}` stands for nine), and where known `sha256` and `url`
    nsrr : slug of a data set at sleepdata.org, which lists its files with their MD5
    folders : what to take of it
    """

    base: str = ""
    checksums: str = ""
    sums: str = ""
    files: tuple = ()
    nsrr: str = ""
    folders: tuple = ("",)

    @classmethod
    def from_manifest(cls, section: Mapping) -> "Download | None":
        """The section as a `Download`; `None` if it names no file. What else stands there is for people."""
        known = {f.name: section[f.name] for f in fields(cls) if f.name in section}
        found = cls(**{k: v if isinstance(v, str) else tuple(v) for k, v in known.items()})
        return found if found.checksums or found.sums or found.files or found.nsrr else None


@dataclass(frozen=True)
class Item:
    """A file: its path below the cohort's folder, its address, and its checksum as `sha256:...` or `md5:...`."""

    path: str
    url: str
    hash: str | None = None


def items(download: Download, base_url: str | None, line: Line, bring: Callable) -> list[Item]:
    """All files, each once.

    Parameters
    ----------
    base_url : a mirror, instead of the archive's own address
    line : for lists that are asked for
    bring : fetches an `Item` and returns its path, for lists that are files

    Raises
    ------
    SleeplibError
        If a list cannot be had or read, or names a file outside of the folder or twice.
    """
    if download.nsrr:
        found = list(_nsrr(download, (base_url or NSRR).rstrip("/"), line))
    else:
        base = (base_url or download.base).rstrip("/") + "/"
        rows = [
            (path, f.get("sha256"), None if base_url else f.get("url"))
            for f in map(dict, download.files)
            for path in _counted(f["path"])
        ]
        if download.checksums:
            rows += _sums(MANIFESTS / download.checksums)
        if download.sums:
            rows += _sums(bring(Item(_safe(download.sums, "the manifest"), base + download.sums)))
        found = [
            Item(_safe(path, "the list of files"), url or base + quote(path), sha and f"sha256:{sha}")
            for path, sha, url in rows
        ]
    by_path = {item.path: item for item in found}
    double = next((i.path for i in found if by_path[i.path] != i), None)
    if double:
        raise SleeplibError(f"{double}: listed twice with different checksums or addresses")
    return list(by_path.values())


def _counted(path: str) -> list[str]:
    """`a/{1..3}.rar` as three paths."""
    match = re.search(r"\{(\d+)\.\.(\d+)\}", path)
    if not match:
        return [path]
    first, last = int(match[1]), int(match[2])
    return [path.replace(match[0], str(number)) for number in range(first, last + 1)]


def _sums(path: Path) -> list[tuple[str, str, None]]:
    """Path and SHA-256 from a list as `sha256sum` writes it."""
    if not path.is_file():
        raise SleeplibError(f"{path}: no such list of checksums")
    rows = []
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*?)\s*", text)
        if match:
            rows.append((match[2], match[1].lower(), None))
        elif text.strip() and not text.startswith("#"):
            raise SleeplibError(f"{path}:{number}: not a line `sha256 path`")
    return rows


def _nsrr(download: Download, host: str, line: Line) -> Iterator[Item]:
    """The files of a data set as sleepdata.org lists them, folder by folder."""
    folders = list(download.folders)
    while folders:
        folder = folders.pop(0)
        url = f"{host}/api/v1/datasets/{download.nsrr}/files.json?path={quote(folder, safe='')}"
        try:
            listing = [
                (str(e["full_path"]), e["is_file"], e.get("file_checksum_md5")) for e in line.json(url)
            ]
        except (TypeError, KeyError, AttributeError):
            raise SleeplibError(
                f"{download.nsrr}/{folder}: the list of files is not as it used to be"
            ) from None
        except SleeplibError as error:
            raise SleeplibError(f"{download.nsrr}/{folder}: no list of files: {error}") from None
        if not listing and folder in download.folders:
            raise SleeplibError(f"{download.nsrr}/{folder}: the list of files is empty")
        for path, is_file, md5 in listing:
            path = _safe(path, f"the list of {download.nsrr}/{folder}")
            if folder and not path.startswith(f"{folder}/"):  # such a list could lead round in circles
                raise SleeplibError(f"{path}: listed in {download.nsrr}/{folder}, where it cannot be")
            if not is_file:
                folders.append(path)
            else:
                address = f"{host}/datasets/{download.nsrr}/files/a/{TOKEN}/m/sleeplib/{quote(path)}"
                yield Item(path, address, f"md5:{md5}" if md5 else None)


def _safe(path: str, where: str) -> str:
    """The path, if it stays inside the folder.

    Raises
    ------
    SleeplibError
        If it is absolute, climbs, or holds what no system takes for a plain name.
    """
    plain = PurePosixPath(path)
    strange = re.search(r"[\x00-\x1f\\]", path) or PureWindowsPath(path).anchor
    if strange or plain.is_absolute() or ".." in plain.parts or not plain.name:
        raise SleeplibError(f"{path!r} in {where}: not a path inside the folder; nothing was fetched")
    if plain.name == NAME or plain.suffix == ".part":
        raise SleeplibError(f"{path!r} in {where}: a name that sleeplib needs itself")
    return str(plain)
