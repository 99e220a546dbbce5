"""The spans of one shard whose speech is made, on disk as each one comes: what makes synthesis restartable by span.

    8c0e5b1d2f3a4957 {"synthesis": {...}}
    f2d1c77a90b3e846 {"key": "doc-17#0:31", "text": "9a1f...", "codes": [511, 12, 12, 1407]}
    03bb8de0f8a1c2d4 {"key": "doc-17#0:88", "text": "77c0...", "codes": null}

One line per span behind the checksum of its bytes: its key, a hash of the text that was spoken, and the codes, or null
where every attempt failed. A kill costs what was in flight. Nothing but what decides the codes is in the first line, so
a change of anything else (the boundary tokens, the noise sample, a document of the corpus) keeps what was synthesised;
a journal of another model, seed or sampling is refused, because it is the dearest file of the whole data. Price: lines
are handed to the system one by one but not forced to the disk, so a power cut may take the last seconds with it, which
the checksums show.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
import xxhash

from megatron_speech.artifacts.plain_json import first_difference

logger = logging.getLogger(__name__)

DIGITS = 16
"""Of a line's checksum, which a space follows."""


@dataclass(frozen=True)
class Spoken:
    """What became of one span."""

    codes: np.ndarray | None
    """int32 [T], or None where synthesis failed."""


class Journal:
    """The journal at `path`, made if there is none; a context, used by one process at a time."""

    def __init__(self, path: Path, *, synthesis: Mapping[str, Any]) -> None:
        """`synthesis` is what decides the codes of a (key, text); ValueError where the file has another."""
        self.path, self._head = path, {"synthesis": orjson.loads(orjson.dumps(synthesis))}
        self.work: Counter[str] = Counter()
        """What synthesis did for the spans that it holds, in all runs."""
        self._found: dict[tuple[str, str], Spoken] = {}
        self._load()
        self._file = path.open("ab", buffering=0)
        if not self._file.tell():
            self._write(self._head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._found)

    def take(self, key: str, text: str) -> Spoken | None:
        """What an earlier run made of a span, handed out once; None if it made nothing."""
        return self._found.pop((key, _digest(text)), None)

    def append(self, key: str, text: str, codes: np.ndarray | None, work: Mapping[str, int] | None = None) -> None:
        """Keep the codes of a span, and what was counted since the last one; with the system when this returns."""
        values = None if codes is None else np.asarray(codes).tolist()
        self._write({"key": key, "text": _digest(text), "codes": values} | ({"work": dict(work)} if work else {}))
        self.work.update(work or {})

    def _write(self, record: Mapping[str, Any]) -> None:
        body = orjson.dumps(record)
        line = b"%s %s\n" % (_checksum(body), body)
        while line:  # a full disk takes a part, and says why at the next attempt
            line = line[self._file.write(line) :]

    def _load(self) -> None:
        """Take in what is whole; cut off a torn tail, the mark of a kill, and name it and every damaged line."""
        if not self.path.exists():
            return
        whole = at = 0
        with self.path.open("rb") as file:
            for line in file:
                record = _record(line)
                if record is None and at == 0 and line[-1:] == b"\n":
                    raise ValueError(f"{self.path}: its first line is damaged; restore the file, or remove it")
                if record is None:
                    logger.warning("%s, byte %d: cut short or damaged; this span is made again", self.path, at)
                else:
                    self._take_in(record)
                at += len(line)
                whole = at if line[-1:] == b"\n" else whole
        if whole < at:
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def _take_in(self, record: dict[str, Any]) -> None:
        if "key" not in record:
            if record != self._head:
                raise ValueError(
                    f"{self.path} was begun with other settings ({first_difference(record, self._head)}); restore "
                    f"them to go on, or remove {self.path.parent} to make everything again"
                )
            return
        self.work.update(record.get("work", {}))
        codes = record["codes"]
        self._found[record["key"], record["text"]] = Spoken(None if codes is None else np.array(codes, np.int32))


def _record(line: bytes) -> dict[str, Any] | None:
    body = line[DIGITS + 1 : -1]
    if line[-1:] != b"\n" or line[: DIGITS + 1] != _checksum(body) + b" ":
        return None
    record: dict[str, Any] = orjson.loads(body)
    return record


def _checksum(body: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(body).encode()


def _digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())
