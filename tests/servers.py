"""HTTP servers on this machine that send shards, with or without failures."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

Mood = Literal["503", "cut", "slow"]


class ShardServer(ThreadingHTTPServer):
    """Serves a folder. Each answer for a file name that ends with `moody` takes the next of `moods`, while any is left.

    Moods: "503" is an error status, "cut" closes the connection after half the body, "slow" waits `slow_s` seconds.
    """

    daemon_threads = True

    def __init__(self, folder: Path, *, ranges: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.ranges = folder, ranges
        self.moods: list[Mood] = []
        self.moody = ".tar"
        self.requests: list[str] = []
        """Path and range of every GET."""
        self.slow_s = 5.0

    @property
    def url(self) -> str:
        """Address of the folder."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: ShardServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.path} {self.headers.get('Range', 'whole')}")
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        mood = self.server.moods.pop(0) if self.server.moods and path.name.endswith(self.server.moody) else None
        if mood == "503":
            self.send_error(503)
            return
        if mood == "slow":
            time.sleep(self.server.slow_s)
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        partial = asked is not None and self.server.ranges
        if asked is not None and partial:
            content = content[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if mood == "cut" else content)
        if mood == "cut":
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""


@contextmanager
def serving(folder: Path, *, ranges: bool = True) -> Iterator[ShardServer]:
    """A running server of `folder`."""
    with ShardServer(folder, ranges=ranges) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
