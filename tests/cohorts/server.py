"""A loopback server that misbehaves as told: each path has a script of acts, one per request; then it behaves."""

import socket
import struct
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import unquote

PAGE = b"<html>please sign in</html>"
STALL = 3.0  # s, longer than the timeout that the tests set


@dataclass
class Request:
    """What was asked for, and what was sent; `sent` counts the bytes of the body."""

    path: str
    start: int
    condition: str
    status: int = 0
    sent: int = 0


class Handler(BaseHTTPRequestHandler):
    """Acts: ok, truncate, half-then-stall, stall, reset, slow, wrong, no-range, no-length, other-part,
    short-part, page, to-page, or a status, as in `429 1` with a Retry-After."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, start = unquote(self.path), self.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
        self.told = Request(path, int(start or 0), self.headers.get("If-Range", ""))
        with self.server.lock:
            self.server.log.append(self.told)
            script = self.server.acts.get(path)
        act = "page" if path == "/sign-in" else script.pop(0) if script else "ok"
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):
            self.play(act, self.server.files.get(path))

    def play(self, act: str, body: bytes | None):
        status, _, wait = act.partition(" ")
        if status.isdigit():
            self.answer(int(status), b"", {"Retry-After": wait})
        elif act == "to-page":
            self.answer(302, b"", {"Location": "/sign-in"})
        elif act == "page":
            self.answer(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif act == "stall":
            time.sleep(STALL)
        elif act == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif body is None:
            self.answer(404, b"")
        else:
            self.serve(act, bytes([body[0] ^ 1]) + body[1:] if act == "wrong" else body)

    def serve(self, act: str, body: bytes):
        tag, start = f'"{sha256(body).hexdigest()[:8]}"', self.told.start
        headers = {"ETag": tag} if self.server.tags else {}
        if not start or act == "no-range" or self.told.condition not in ("", tag):
            self.answer(200, body, headers, act)
        elif start >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            start -= act == "other-part"
            stop = start + 1000 if act == "short-part" else len(body)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
            self.answer(206, body[start:stop], headers, act)

    def answer(self, status: int, body: bytes, headers: dict | None = None, act: str = "ok"):
        self.told.status = status
        self.send_response(status)
        usual = {"Content-Type": "application/octet-stream", "Connection": "close"}
        length = {} if act == "no-length" else {"Content-Length": str(len(body))}
        for name, value in (usual | length | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if act in ("truncate", "half-then-stall"):
            body = body[: len(body) // 2]
        for start in range(0, len(body), 1 << 16):
            piece = body[start : start + (1 << 16)]
            self.wfile.write(piece)
            self.told.sent += len(piece)
            time.sleep(0.02 if act == "slow" else 0)
        time.sleep(STALL if act == "half-then-stall" else 0)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """`files`: bodies by path, with query; `acts`: scripts by path; `tags`: whether files have an ETag."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{path}": body for path, body in files.items()}
        self.acts: dict[str, list[str]] = {}
        self.log: list[Request] = []
        self.lock, self.tags = Lock(), True
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def asked(self, path: str) -> list[Request]:
        """The requests for a path so far."""
        return [request for request in self.log if request.path == f"/{path}"]


@contextmanager
def serving(files: dict[str, bytes]):
    """A running server."""
    server = Server(files)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
