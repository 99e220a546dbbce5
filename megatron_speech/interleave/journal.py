"""Writes the codes of each finished span of a shard to a journal, so that a restart does not synthesise the span again.

    8c0e5b1d2f3a4957 {"synthesis": {...}}
    f2d1c77a90b3e846 {"key": "doc-17#0:31", "text": "9a1f...", "codes": [511, 12, 12, 1407], "work": {...}}
    03bb8de0f8a1c2d4 {"key": "doc-17#0:88", "text": "77c0...", "codes": null}

Every line begins with a checksum of its rest. The first line holds the settings that the codes depend on. Every other
line holds a span: its key (document#rendering:first unit), a hash of its reading, and its codes, or null if every
attempt failed. It also holds what the synthesis engine counted since the line before.

A journal of another model, seed or sampling is refused and not replaced, since synthesis is expensive. Settings that
codes do not depend on, such as boundary tokens or how many spans are read back to measure noise, may change. A kill
loses the unfinished spans only. Limitation: lines are not forced to the disk, so a power failure may lose the last
seconds; the checksums reveal damaged lines.
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

from megatron_speech.artifacts.facts.interleaved import JournalHead, JournalRow
from megatron_speech.artifacts.plain_json import first_difference

logger = logging.getLogger(__name__)

DIGITS = 16
"""Length of a line's checksum, which is followed by a space."""


@dataclass(frozen=True)
class Spoken:
    """Result of one span."""

    codes: np.ndarray | None
    """Codes int32 [T], or None if synthesis failed."""


class Journal:
    """A journal file; a context manager, for one process at a time."""

    def __init__(self, path: Path, *, synthesis: Mapping[str, Any]) -> None:
        """Open the journal `path`, or create it; `synthesis` holds the settings that codes depend on.

        Raises ValueError if the file has other settings, or a damaged first line.
        """
        self.path, self._head = path, JournalHead(synthesis=orjson.loads(orjson.dumps(synthesis)))
        self.work: Counter[str] = Counter()
        """Counts of the synthesis engine, added up over all lines, those of earlier runs included."""
        self._found: dict[tuple[str, str], Spoken] = {}
        """Results of earlier runs that are not taken yet, by key and hash of the reading."""
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
        """Take out what an earlier run made for the span `key` with the reading `text`; None if there is nothing."""
        return self._found.pop((key, _digest(text)), None)

    def append(self, key: str, text: str, codes: np.ndarray | None, work: Mapping[str, int] | None = None) -> None:
        """Write a line: codes of the span `key` with the reading `text`, and the engine's counts for it."""
        values = None if codes is None else tuple(np.asarray(codes).tolist())
        self._write(JournalRow(key=key, text=_digest(text), codes=values, work=dict(work) if work else None))
        self.work.update(work or {})

    def _write(self, record: JournalHead | JournalRow) -> None:
        body = orjson.dumps(record.to_json())
        line = b"%s %s\n" % (_checksum(body), body)
        while line:  # on a full disk, write() may store a part of the line; the next write() raises
            line = line[self._file.write(line) :]

    def _load(self) -> None:
        """Read the valid lines, warn of each damaged one, and remove an incomplete last line, which a kill leaves."""
        if not self.path.exists():
            return
        at = 0  # byte after the lines read so far
        whole = 0  # byte after the last of them with a line break
        with self.path.open("rb") as file:
            for line in file:
                record = _record(line)
                if record is None and at == 0 and line[-1:] == b"\n":
                    raise ValueError(f"{self.path}: its first line is damaged; restore the file, or remove it")
                if record is None:
                    logger.warning("%s, byte %d: cut short or damaged; this span is made again", self.path, at)
                else:
                    self._add(record)
                at += len(line)
                whole = at if line[-1:] == b"\n" else whole
        if whole < at:
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def _add(self, record: JournalHead | JournalRow) -> None:
        if isinstance(record, JournalRow):
            self.work.update(record.work or {})
            codes = None if record.codes is None else np.array(record.codes, np.int32)
            self._found[record.key, record.text] = Spoken(codes)
        elif record != self._head:
            differing = first_difference(record.to_json(), self._head.to_json())
            raise ValueError(
                f"{self.path} was begun with other settings ({differing}); restore them to go on, or remove "
                f"{self.path.parent} to make everything again"
            )


def _record(line: bytes) -> JournalHead | JournalRow | None:
    """The record of a line; None for a damaged or unfinished one."""
    body = line[DIGITS + 1 : -1]
    if line[-1:] != b"\n" or line[: DIGITS + 1] != _checksum(body) + b" ":
        return None
    values = orjson.loads(body)
    return JournalRow.from_json(values) if "key" in values else JournalHead.from_json(values)


def _checksum(body: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(body).encode()


def _digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())
