"""What has been verified in a folder of downloads, so that nothing finished is fetched or hashed twice."""

import json
import threading
from pathlib import Path

import pooch

from sleeplib.errors import SleeplibError

try:
    import fcntl
except ImportError:  # Windows; two runs at once are the user's matter there
    fcntl = None

NAME = ".sleeplib-fetch.jsonl"


class Record:
    """One line of JSON per verified file: path, size, time of change, SHA-256, and the checksum it was verified by.

    Lines are only ever appended, each in one write, so threads cannot mix them, and of a run that is killed in the act
    the last line alone is lost. The last line about a file counts. While it is open, other runs are kept out.

    Raises
    ------
    SleeplibError
        If another run works in the folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.entries: dict[str, dict] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Record":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self.folder / NAME, "ab", buffering=0)
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise SleeplibError(f"{self.folder}: another `sleeplib fetch` is at work here") from None
        except OSError:  # a file system without locks
            pass
        for line in (self.folder / NAME).read_bytes().splitlines():
            try:
                entry = json.loads(line)
                self.entries[entry["path"]] = {
                    k: entry[k] for k in ("size", "mtime_ns", "sha256", "verified", "fetched")
                }
            except (ValueError, TypeError, KeyError):  # torn, or not ours
                continue
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def unchanged(self, path: str) -> bool:
        """Whether the file is there with the size and the time that were recorded."""
        entry, file = self.entries.get(path), self.folder / path
        if not entry or not file.is_file():
            return False
        state = file.stat()
        return (state.st_size, state.st_mtime_ns) == (entry["size"], entry["mtime_ns"])

    def add(self, path: str, verified: str | None, fetched: bool) -> None:
        """Record a file that is complete: `verified` by a checksum, or by none; `fetched` by us or found."""
        file = self.folder / path
        kind, _, digest = (verified or "").partition(":")
        entry = {
            "size": file.stat().st_size,
            "mtime_ns": file.stat().st_mtime_ns,
            "sha256": digest if kind == "sha256" else pooch.file_hash(file),
            "verified": verified,
            "fetched": fetched,
        }
        with self._lock:
            self.entries[path] = entry
            # The line break comes first: it also ends a line that an earlier run has left torn.
            self._file.write(("\n" + json.dumps({"path": path} | entry)).encode())
