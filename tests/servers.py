"""HTTP servers on this machine: one sends shards, one judges answers, both with or without failures."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, TypeVar

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
    with _running(ShardServer(folder, ranges=ranges)) as server:
        yield server


class JudgeServer(ThreadingHTTPServer):
    """An OpenAI-compatible chat endpoint that replies to each request what `reply` says to its messages.

    `moods` come first, one per request: an HTTP status, "cut" closes the connection, any other text is the whole body.
    """

    daemon_threads = True

    def __init__(self, reply: Callable[[list[dict[str, str]]], str]) -> None:
        super().__init__(("127.0.0.1", 0), _JudgeHandler)
        self.reply = reply
        self.moods: list[int | str] = []
        self.asked: list[dict[str, Any]] = []
        """Bodies of all requests."""
        self.keys: list[str | None] = []
        """What their Authorization header says."""
        self.answered_by = "toy-2026-01-01"

    @property
    def url(self) -> str:
        """The setting base_url."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _JudgeHandler(BaseHTTPRequestHandler):
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        self.server.asked.append(body)
        mood = self.server.moods.pop(0) if self.server.moods else None
        if mood == "cut":
            self.close_connection = True
        elif isinstance(mood, int):
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self._send(mood, json.dumps({"error": {"message": f"not now, {key}"}}))
        elif isinstance(mood, str):
            self._send(200, mood)
        elif self.path != "/v1/chat/completions":
            self._send(404, "no such page")
        else:
            message = {"role": "assistant", "content": self.server.reply(body["messages"])}
            self._send(200, json.dumps({"model": self.server.answered_by, "choices": [{"message": message}]}))

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""


@contextmanager
def judging(reply: Callable[[list[dict[str, str]]], str]) -> Iterator[JudgeServer]:
    """A running judge."""
    with _running(JudgeServer(reply)) as server:
        yield server


Server = TypeVar("Server", bound=ThreadingHTTPServer)


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
