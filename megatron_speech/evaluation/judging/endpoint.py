"""Asks a language model behind an OpenAI-compatible address, and keeps every reply.

A reply lies in the cache under the hash of its address, request and number. So a killed command goes on, and the same
question is never paid for twice. Requests that fail are sent again after growing pauses, which the log shows. The key
is sent to `base_url` alone: a redirect is refused.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.judge import EndpointConfig, JudgeConfig
from megatron_speech.progress import Progress
from megatron_speech.storage.retry import Retry

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
REFUSED = (400, 413, 422)
"""Statuses that blame one request: it is too long, or its content is not allowed."""
REMEDY = "start it, or correct base_url, model or key; replies so far are kept, the same command goes on"
_SHOWN = 200
"""Characters of a server's message that are shown."""


@dataclass(frozen=True, kw_only=True)
class Reply(Record):
    """What a judge said to one request."""

    text: str
    model: str
    """The model as the reply names it: mostly a dated version."""
    refused: str = ""
    """Why the server did not take this request; such a reply is not kept."""


class HttpError(Exception):
    """An answer of the server that is no reply."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class Endpoint:
    """One judge with its cache."""

    def __init__(self, name: str, config: EndpointConfig, settings: JudgeConfig) -> None:
        self.name, self.config, self.settings = name, config, settings
        self.url = f"{config.base_url.rstrip('/')}/chat/completions"
        self._key = _key(name, config.key_variable)
        self._stopped = threading.Event()
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._what = f"judges.{name} at {self.url}"
        self._retry = Retry(
            settings.attempts,
            remedy=REMEDY,
            outcome="no reply",
            sleep=self._stopped.wait,
            first_pause_s=FIRST_PAUSE_S,
            longest_pause_s=LONGEST_PAUSE_S,
        )

    def ask(self, chats: Sequence[Sequence[dict[str, str]]]) -> list[list[Reply]]:
        """`n` replies to each of `chats`, in order; equal requests are sent once.

        Raises ConnectionError if the server gives no reply.
        """
        bodies = [self._body(chat) for chat in chats]
        asked = [[(self._place(body, number), body) for number in range(self.settings.n)] for body in bodies]
        places = {place: body for each in asked for place, body in each}
        known = {place: Reply.from_json(read_json(place), str(place)) for place in places if place.is_file()}
        missing = {place: body for place, body in places.items() if place not in known}
        about = f"judge {self.name}"
        with Progress(about, unit="requests", total=len(places), done=len(known)) as progress:
            known |= self._fetched(missing, progress)
        return [[known[place] for place, _ in each] for each in asked]

    def _body(self, chat: Sequence[dict[str, str]]) -> dict[str, Any]:
        heat = {} if self.settings.temperature is None else {"temperature": self.settings.temperature}
        return {"model": self.config.model, "messages": list(chat), **heat, **self.config.options}

    def _place(self, body: dict[str, Any], number: int) -> Path:
        request = json.dumps([self.url, body, number], sort_keys=True)
        name = sha256(request.encode()).hexdigest()
        return self.settings.cache / name[:2] / f"{name}.json"

    def _fetched(self, missing: dict[Path, dict[str, Any]], progress: Progress) -> dict[Path, Reply]:
        """Replies to all requests; the first alone, so that a server that is down is told once."""
        found = {}
        for places in (list(missing)[:1], list(missing)[1:]):
            with self._pool() as pool:
                waiting = {pool.submit(self._fetch, place, missing[place]): place for place in places}
                for done in as_completed(waiting):
                    found[waiting[done]] = done.result()
                    progress.add(1)
        return found

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that give up waiting if the context ends early."""
        with ThreadPoolExecutor(self.settings.at_once) as pool:
            try:
                yield pool
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch(self, place: Path, body: dict[str, Any]) -> Reply:
        reply = self._retry(lambda: self._sent(body), what=self._what)
        if not reply.refused:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(place, to_json({"url": self.url, "request": body, **reply.to_json()}) + "\n")
        return reply

    def _sent(self, body: dict[str, Any]) -> Reply:
        """One attempt. Raises HttpError, or whatever the network raises."""
        if self._stopped.is_set():
            raise InterruptedError("another request has failed")
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")
        try:
            with self._opener.open(request, timeout=self.settings.timeout_s) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            said = self._without_key(_message(error))
            if error.code in REFUSED:
                return Reply(text="", model="", refused=said)
            raise HttpError(error.code, said) from None
        except http.client.HTTPException as error:  # cut short, or no HTTP at all
            raise ConnectionError(str(error) or type(error).__name__) from error
        return _reply(content)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: the key is for one host."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        return None


def _key(name: str, variable: str | None) -> str:
    """The key; ValueError if the variable is not set, or holds what no header can."""
    key = os.environ.get(variable, "") if variable else ""
    if variable and not (key and key.isascii() and key.isprintable()):
        raise ValueError(
            f"judges.{name}.key_variable={variable}: the environment has no key of this name; export {variable}=..."
        )
    return key


def _message(error: urllib.error.HTTPError) -> str:
    """What an error of the server says, on one line."""
    try:
        content = error.read(100_000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        content = ""
    try:
        found = json.loads(content)["error"]
        content = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(f"{error.reason}: {content}".split())[:_SHOWN]


def _reply(content: bytes) -> Reply:
    """Read a chat completion. Raises HttpError for JSON without one, and ConnectionError for what is no JSON."""
    try:
        answer = json.loads(content)
    except ValueError:
        # The address serves something else, as if there were nothing.
        raise HttpError(404, f"no JSON, but {content[:40].decode(errors='replace')!r}") from None
    try:
        text = answer["choices"][0]["message"]["content"]
        return Reply(text=text if isinstance(text, str) else "", model=str(answer.get("model") or ""))
    except (KeyError, IndexError, TypeError, AttributeError):
        said = json.dumps(answer)[:_SHOWN]
        raise HttpError(500, f"a reply without choices[0].message.content: {said}") from None
