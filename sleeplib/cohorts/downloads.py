"""A cohort's name in, its verified files on this disk out: what `sleeplib fetch` does.

A file counts when its checksum has been verified, and only then gets its name; until then it is a `.part`, which a
later run goes on with. What was verified stands in a record beside the files, so that it is neither fetched nor hashed
again. How bytes travel is the matter of `transfer`.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pooch
import yaml

from sleeplib.cohorts import listings
from sleeplib.cohorts.listings import NSRR, Download, Item
from sleeplib.cohorts.manifests import MANIFESTS
from sleeplib.cohorts.record import Record
from sleeplib.cohorts.transfer import Line, Stop, hidden
from sleeplib.errors import SleeplibError
from sleeplib.parallel import bar, work

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Report:
    """What became of each file; `unverified` are those of `fetched` and `already` that no checksum is published for.

    `found` are those of `unverified` that somebody else put there, of which nobody knows whether they are whole;
    `missing` are files of a restricted cohort that have not been put in place; `note` says what is left to do.
    """

    out: Path
    fetched: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    note: str = ""

    def __str__(self) -> str:
        if not (self.fetched or self.already or self.failed or self.missing):
            return self.note
        parts = [f"{len(self.fetched)} files fetched", f"{len(self.already)} there already"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{len(self.missing)} missing"] if self.missing else []
        text = f"{', '.join(parts)}; in {self.out}"
        fetched = len(self.unverified) - len(self.found)
        if fetched:
            text += (
                f"\n{fetched} of them unverified, as no checksum is published; "
                "they came completely, and a later change would be noticed"
            )
        if self.found:
            text += (
                f"\n{len(self.found)} of them found here and not verified: no checksum is published, so that they may "
                "be anything; delete those that sleeplib shall fetch, and run again"
            )
        return "\n".join([text, *([self.note] if self.note else [])])

    def problems(self) -> list[str]:
        """One line per kind of failure."""
        paths_by_reason: dict[str, list[str]] = {}
        for path, reason in self.failed.items():
            paths_by_reason.setdefault(reason, []).append(path)
        return [
            f"{paths[0]}{f' and {len(paths) - 1} others' if paths[1:] else ''}: {reason}"
            for reason, paths in paths_by_reason.items()
        ]


def fetch(
    name: str, access: Mapping, download: Download | None, out: str | Path, base_url: str | None = None,
    jobs: int = 4, only: str | None = None, limit: int | None = None, verify: bool = False, force: bool = False,
    progress: bool = True, timeout: float = 30.0, retries: int = 5, backoff: float = 1.0,
) -> Report:  # fmt: skip
    """Bring the files of a cohort into the folder `out`, or verify those that lie there.

    Finished files are neither fetched nor hashed again; broken ones go on where they ended; a file that fails does not
    keep the others. A file that was not fetched by us and has another checksum is left alone and reported.

    Parameters
    ----------
    name : of the cohort, for messages
    access : section of the manifest: `kind` (open, token, agreement or simulated), `page` and `how`
    download : `None` if there is nothing that could be fetched or verified
    base_url : a mirror, instead of the archive's own address
    jobs : files side by side
    only : pattern of paths, in which `*` stands for slashes too
    limit : the first so many of them
    verify : hash what is there again, whatever the record says
    force : replace files that are not as published
    timeout : seconds without a byte
    retries, backoff : how often to try again without progress, and seconds before the first time

    Returns
    -------
    Report

    Raises
    ------
    SleeplibError
        If the cohort is simulated, the list of files cannot be had or leads out of `out`, the token is missing, or
        another run works in `out`.
    """
    kind, out = access.get("kind", "open"), Path(out)
    if kind == "simulated":
        raise SleeplibError(f"{name} is simulated: there is nothing to fetch; run: sleeplib simulate {name}")
    token = os.environ.get("NSRR_TOKEN", "").strip() if download and download.nsrr else ""
    closed = kind == "agreement" or bool(download and download.nsrr and not token)
    note = _explanation(name, access, out) if closed else access.get("how", "")
    if download is None or (kind == "agreement" and not download.checksums):
        return Report(out, note=note or f"{name}: there is no list of its files")
    if closed and download.nsrr and not (out.is_dir() and any(out.iterdir())):
        raise SleeplibError(note)
    with (
        hidden(token),
        Record(out) as record,
        bar(progress=progress, unit="B", unit_scale=True, desc="bytes", position=1, leave=False) as told,
    ):
        line = Line(timeout, retries, backoff, token, told.update)
        items = listings.items(download, base_url, line, partial(_bring_list, out, record, line))
        items = [i for i in items if only is None or fnmatchcase(i.path, only)][:limit]
        if not items:
            raise SleeplibError(f"{name}: no file matches {only or 'the list'}")
        one = _Fetcher(out, items, record, line, verify, force, closed)
        try:
            states = list(work(one, [(i,) for i in items], jobs, "threading", name, "file", progress))
        finally:
            line.stop("interrupted; run again to go on")
    return _report(out, items, states, note, record)


def _report(out: Path, items: list[Item], states: list[tuple[str, str]], note: str, record: Record) -> Report:
    """The states, sorted."""
    by_state = {
        state: [i.path for i, (s, _) in zip(items, states, strict=True) if s == state]
        for state in ("fetched", "already", "missing")
    }
    failed = {i.path: reason for i, (s, reason) in zip(items, states, strict=True) if s == "failed"}
    good = {*by_state["fetched"], *by_state["already"]}
    unverified = [i.path for i in items if i.path in good and not i.hash]
    found = [path for path in unverified if not record.entries[path]["fetched"]]
    return Report(out, **by_state, failed=failed, unverified=unverified, found=found, note=note)


def _bring_list(out: Path, record: Record, line: Line, item: Item) -> Path:
    """A list of checksums that lies beside the files."""
    state, reason = _Fetcher(out, [item], record, line)(item)
    if state == "failed":
        raise SleeplibError(f"{item.path}, the list of files: {reason}")
    return out / item.path


class _Fetcher:
    """What is done with one file; the files share the record, the line and pooch's registry."""

    def __init__(self, out, items, record, line, verify=False, force=False, closed=False):
        self.out, self.record, self.line = out, record, line
        self.verify, self.force, self.closed = verify, force, closed
        pooch.get_logger().setLevel("WARNING")  # the bar tells what goes on
        self.pooch = pooch.create(out, base_url="", urls={i.path: i.url for i in items})

    def __call__(self, item: Item) -> tuple[str, str]:
        """`fetched`, `already`, `missing` or `failed`, and why."""
        try:
            self.line.check()
            return self._bring(item), ""
        except Stop as stop:
            self.line.stop(str(stop))
            return "failed", str(stop)
        except SleeplibError as error:
            return "failed", str(error)
        except OSError as error:
            if error.errno in FULL:
                self.line.stop(f"no space left for {self.out}; what has come is kept, run again to go on")
                return "failed", self.line.stopped
            return "failed", error.strerror or type(error).__name__

    def _bring(self, item: Item) -> str:
        path, entry = self.out / item.path, self.record.entries.get(item.path, {})
        ours = self.record.unchanged(item.path)
        expected = item.hash or (f"sha256:{entry['sha256']}" if entry else None)
        if path.exists():
            if ours and not self.verify and expected in (entry["verified"], f"sha256:{entry['sha256']}"):
                return "already"
            if path.is_file() and pooch.hashes.hash_matches(path, expected):
                # Without a published checksum the one that fits is that of what was fetched or found before.
                same = ours or (entry and not item.hash)
                self.record.add(item.path, item.hash, fetched=bool(same and entry["fetched"]))
                return "already"
            if not path.is_file() or self.closed or not (self.force or (ours and entry["fetched"])):
                raise SleeplibError(
                    f"stands there with other content than {'published' if item.hash else 'recorded'}; "
                    f"move it away{'' if self.closed else ', or have it replaced by --force'}"
                )
        elif self.closed:
            return "missing"
        elif self.force:
            expected = item.hash
        self._fetch(item, expected)
        return "fetched"

    def _fetch(self, item: Item, expected: str | None) -> None:
        """Through pooch, which lets a file have its name only when the checksum is right; once more if it is not."""
        path = self.out / item.path
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)  # pooch's own way fails when threads meet
        self.pooch.registry[item.path] = expected
        for again in (True, False):
            try:
                self.pooch.fetch(item.path, downloader=self._downloader(part, bool(expected)))
                break
            except SleeplibError:
                raise
            except ValueError:  # pooch's word for a wrong checksum
                _forget(part)
                if not again:
                    whose = (
                        "published"
                        if item.hash
                        else "recorded at first (delete it and use --force to forget)"
                    )
                    raise SleeplibError(
                        f"came twice with another checksum than {whose}; nothing of it was kept"
                    ) from None
        _forget(part)
        self.record.add(item.path, item.hash, fetched=True)

    def _downloader(self, part: Path, checked: bool):
        """What pooch calls to get a file: it goes on with the part of an earlier run."""

        def resume(url: str, output: str, _) -> None:
            """Bring the part of `url` up to its end, and link it as `output`."""
            Path(output).unlink()  # an interrupted run shall leave nothing but parts
            if part.exists() and part.stat().st_nlink > 1:  # interrupted during the check
                _unlink_copies(part)
            self.line.download(url, part, checked)
            try:
                os.link(part, output)  # the part outlives an interruption of the check, too
            except OSError:
                os.replace(part, output)

        return resume


def _unlink_copies(part: Path) -> None:
    """Remove the second name that pooch had given to a whole part."""
    for other in part.parent.glob("tmp*"):
        with suppress(FileNotFoundError):  # that of a neighbour
            if other.samefile(part):
                other.unlink()


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _explanation(name: str, access: Mapping, out: Path) -> str:
    """What a person has to do to get a restricted cohort."""
    how, page = access.get("how", "").strip(), access.get("page", "its archive")
    if access.get("kind") == "token":
        return (
            f"{name}: the token is missing. Ask for access at {page}, copy your token from {NSRR}token, "
            "set it with `export NSRR_TOKEN=...` (it is neither shown nor stored), and run this command again"
        )
    return (
        f"{name} is given to those who ask for it, so sleeplib cannot fetch it.\n"
        f"  1. Ask for access at {page}: {how or 'it says how'}\n"
        f"  2. Put the files into {out}, named as the archive names them.\n"
        "  3. Run this command again: it verifies them."
    )


def fetch_split(name: str, out: str | Path, base_url: str | None = None, **options) -> Path:
    """Bring a published split or list of folds into `out`; `options` are those of `fetch`.

    Parameters
    ----------
    name : `usleep` (read it by `splits.read_usleep_split`) or `seqsleepnet` (`splits.read_seqsleepnet_folds`)

    Returns
    -------
    Path of the verified file

    Raises
    ------
    SleeplibError
        If there is no such split, or it cannot be had.
    """
    known = yaml.safe_load((MANIFESTS / "published/splits.yaml").read_text())
    if name not in known:
        raise SleeplibError(f"no published split {name!r}; known: {', '.join(known)}")
    one = Download(files=({key: known[name][key] for key in ("path", "url", "sha256")},))
    report = fetch(f"split {name}", {"kind": "open"}, one, out, base_url, **{"progress": False} | options)
    if report.failed:
        raise SleeplibError(f"{Path(out) / known[name]['path']}: {report.problems()[0].partition(': ')[2]}")
    return Path(out) / known[name]["path"]
