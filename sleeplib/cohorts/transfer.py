"""An address in, a complete file out, however often the line breaks: the transfer behind `downloads`."""

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import responses as phrases
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from sleeplib.errors import SleeplibError

CHUNK = 1 << 14  # bytes; those of the last chunk are lost when a line breaks
PROGRESS = 1 << 20  # bytes after which a broken line counts as a good one again
LONGEST_WAIT = 300.0  # seconds, whatever a server asks for
TOKEN = "$NSRR_TOKEN"  # stands for the token in every address that is shown, logged or stored


class Stop(SleeplibError):
    """What ends all transfers, not one: a full disk, a token that is refused, Ctrl-C."""


class _Again(Exception):
    """A fault that may pass; `wait` is what the server asked for, in seconds."""

    def __init__(self, told: str, wait: float = 0.0, unreachable: bool = False):
        super().__init__(told)
        self.wait, self.unreachable = wait, unreachable


@dataclass
class Line:
    """How to ask servers, and what all transfers of one run share.

    Parameters
    ----------
    timeout : seconds without an answer, or without a byte, after which a connection is given up
    retries : how many times in a row without progress
    backoff : seconds before the first retry; doubled for each further one, with jitter
    token : takes the place of `TOKEN` in addresses; is never shown
    count : called with the number of bytes that came
    """

    timeout: float = 30.0
    retries: int = 5
    backoff: float = 1.0
    token: str = field(default="", repr=False)
    count: Callable[[int], object] = lambda n: None
    stopped: str = ""
    dead: dict[str, str] = field(default_factory=dict)  # hosts that are not tried again, and why
    _stop: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False)

    def stop(self, reason: str) -> None:
        """End all transfers; what has come stays for resumption."""
        self.stopped = self.stopped or reason
        self._stop.set()

    def check(self, wait: float = 0.0) -> None:
        """Wait, and raise `Stop` if the run has been stopped."""
        if self._stop.wait(wait) if wait else self._stop.is_set():
            raise Stop(self.stopped)

    def json(self, url: str) -> object:
        """The content of a JSON answer.

        Raises
        ------
        SleeplibError
            If there is none, after all retries.
        """

        def ask():
            with self._get(url, {}) as response:
                _judge(response)
                with _faults(self.timeout):
                    return response.json()

        return self._persist(url, ask, lambda: 0)

    def download(self, url: str, part: Path, checked: bool) -> None:
        """Bring `url` into the file `part`, going on where an earlier transfer ended.

        Parameters
        ----------
        checked : whether a published checksum decides in the end; without one, a part is continued only if the server
            says that the file is still the same, and a file counts only if the server told its length

        Raises
        ------
        SleeplibError
            If it cannot be had; `Stop` if no other file can be either. What has come stays.
        """
        self._persist(url, lambda: self._attempt(url, part, checked), lambda: _size(part))

    def _persist(self, url: str, attempt: Callable, size: Callable[[], int]):
        """The result of `attempt`, tried again with growing pauses as long as the fault may pass."""
        host, failures = urlsplit(url).netloc, 0
        while True:
            self.check()
            if host in self.dead:
                raise SleeplibError(self.dead[host])
            before = size()
            try:
                return attempt()
            except _Again as fault:
                failures = 0 if size() - before >= PROGRESS else failures + 1
                if failures > self.retries:
                    told = f"{fault}, {failures} times in a row; run again later to go on"
                    if fault.unreachable:  # the thousands of other files need not find out each for itself
                        self.dead[host] = told
                    raise SleeplibError(told) from None
                pause = self.backoff * 2 ** max(failures - 1, 0) * random.uniform(0.5, 1)
                self.check(min(max(pause, fault.wait), LONGEST_WAIT))

    def _get(self, url: str, headers: dict) -> requests.Response:
        """An answer whose body has not been read yet."""
        if not hasattr(self._local, "session"):  # sessions must not be shared by threads
            self._local.session = requests.Session()
        # Compressed answers can neither be counted nor continued.
        headers = {"Accept-Encoding": "identity", "User-Agent": "sleeplib"} | headers
        with _faults(self.timeout):
            return self._local.session.get(
                url.replace(TOKEN, quote(self.token, safe="")),
                headers=headers,
                stream=True,
                timeout=self.timeout,
            )

    def _attempt(self, url: str, part: Path, checked: bool) -> None:
        tag = part.with_name(part.name + ".tag")
        known = tag.read_text(encoding="utf-8") if tag.is_file() else ""
        if not (checked or known):
            part.unlink(missing_ok=True)
        start = _size(part)
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and known:
            headers["If-Range"] = known
        with self._get(url, headers) as response:
            if (
                response.status_code == 416
                and checked
                and _told(response, "Content-Range") == f"bytes */{start}"
            ):
                return  # everything had come before
            if not _continues(response, start, known):
                part.unlink(missing_ok=True)
                raise _Again("the server did not go on from the part that had come")
            _judge(response, guarded=TOKEN in url, page=not url.endswith((".html", ".htm")))
            total = _total(response)
            if total is None and not checked:
                raise SleeplibError(
                    "the server tells no length and no checksum is published: cannot be verified"
                )
            if response.status_code == 200:
                part.unlink(missing_ok=True)
                tag.write_text(_validator(response), encoding="utf-8")
            self._append(response, part)
        if total is not None and _size(part) != total:
            raise _Again(f"the connection ended at {_size(part)} of {total} bytes")

    def _append(self, response: requests.Response, part: Path) -> None:
        with open(part, "ab", buffering=0) as file, _faults(self.timeout):
            for chunk in response.iter_content(CHUNK):
                self.check()
                file.write(chunk)
                self.count(len(chunk))


@contextmanager
def hidden(secret: str) -> Iterator[None]:
    """Inside, not even a log at level DEBUG shows `secret`: urllib3 would write whole addresses."""

    def replace(record: logging.LogRecord) -> bool:
        told = record.getMessage().replace(quote(secret, safe=""), TOKEN).replace(secret, TOKEN)
        record.msg, record.args = told, ()
        return True

    log = logging.getLogger("urllib3.connectionpool")
    if secret:
        log.addFilter(replace)
    try:
        yield
    finally:
        log.removeFilter(replace)


@contextmanager
def _faults(timeout: float) -> Iterator[None]:
    """Turn what `requests` raises into words of ours: its own hold the address, and so the token."""
    try:
        yield
    except requests.RequestException as error:
        cause = error.args[0] if error.args else None
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise Stop("the server's certificate is not trusted on this machine") from None
        if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError)) or isinstance(
            getattr(cause, "reason", None), NewConnectionError
        ):
            raise _Again("the server cannot be reached", unreachable=True) from None
        if isinstance(error, requests.Timeout) or isinstance(cause, ReadTimeoutError):
            raise _Again(f"no byte came for {timeout:g} s") from None
        if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            raise _Again("the connection broke") from None
        raise SleeplibError(f"not a usable address or answer ({type(error).__name__})") from None


def _judge(response: requests.Response, guarded: bool = False, page: bool = False) -> None:
    """Raise unless this is what was asked for; `page`: a web page is not."""
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        raise _Again(f"the server answered {_named(status)}", _seconds(_told(response, "Retry-After")))
    web = "html" in _told(response, "Content-Type") and not _told(response, "Content-Disposition")
    if guarded and (status in (401, 403) or (page and web)):
        raise Stop(
            "the token in NSRR_TOKEN was refused, or its account has no access to this data set: "
            "see both at https://sleepdata.org/token and on the data set's page"
        )
    if status not in (200, 206):
        raise SleeplibError(f"the server answered {_named(status)}")
    if page and web:
        raise SleeplibError("the server sent a web page instead of the file")


def _continues(response: requests.Response, start: int, known: str) -> bool:
    """Whether a part of `start` bytes may be kept: not if the server sends other bytes, or those of another file."""
    if response.status_code == 206:
        return _told(response, "Content-Range").startswith(f"bytes {start}-") and (
            not known or _validator(response) in ("", known)
        )
    return response.status_code != 416


def _total(response: requests.Response) -> int | None:
    """Bytes of the whole file, if the server tells."""
    if response.status_code == 206:
        told = _told(response, "Content-Range").rpartition("/")[2]
    else:
        told = "" if _told(response, "Content-Encoding") else _told(response, "Content-Length")
    return int(told) if re.fullmatch("[0-9]+", told) else None


def _validator(response: requests.Response) -> str:
    """What tells that a file has not changed in between; weak tags do not."""
    tag = _told(response, "ETag")
    return tag if tag.startswith('"') else _told(response, "Last-Modified")


def _seconds(text: str) -> float:
    """Seconds of a Retry-After header, which holds a number or a date."""
    if re.fullmatch("[0-9]+", text):
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0


def _told(response: requests.Response, header: str) -> str:
    return response.headers.get(header, "").strip()


def _named(status: int) -> str:
    return f"{status} {phrases.get(status, '')}".strip()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
