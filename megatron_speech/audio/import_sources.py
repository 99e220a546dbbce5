"""Recordings as people keep them: rows of a table that name files, or members of WebDataset tars."""

from __future__ import annotations

import csv
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from megatron_speech.audio.shards import members_by_key

AUDIO_KINDS = ("flac", "wav", "mp3", "ogg", "opus")
"""Endings of a tar's recordings."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A recording as its user wrote it down."""

    name: str
    """Its id in the source."""
    place: str
    """For errors: the table and line, or the tar."""
    audio: Path | bytes | None
    text: str | None
    meta: dict[str, Any] = field(default_factory=dict)
    start_s: float = 0.0
    """Where the utterance begins in the recording, in seconds."""
    duration_s: float | None = None
    """Length of the utterance in seconds; null: to the end of the recording."""
    channel: int | None = None
    """Channel of the recording, from 0; null: as the setting `channels` says."""
    whole_duration_s: float | None = None
    """What the source says the whole recording lasts, in seconds; only compared with what is decoded."""

    @property
    def key(self) -> str:
        """The id as a file name."""
        return re.sub(r"[^A-Za-z0-9_-]+", "-", self.name).strip("-") or "utterance"


def require_new(key: str, place: str, places: dict[str, str]) -> None:
    """Add a key to `places`; ValueError where it is there."""
    if key in places:
        raise ValueError(f"{place}: id {key!r} already stands at {places[key]}; ids must be unique, rename one")
    places[key] = place


def read_table(table: Path) -> list[Source]:
    """The rows of a .jsonl or .tsv file; ValueError names a line that is no row, or an id that repeats."""
    places: dict[str, str] = {}
    rows: list[Source] = []
    with table.open(encoding="utf-8", newline="") as file:
        lines: Iterator[Any] = iter(file)
        if table.suffix == ".tsv":
            lines = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for number, line in enumerate(lines, start=1 if table.suffix == ".jsonl" else 2):
            place = f"{table}:{number}"
            try:
                row = orjson.loads(line) if isinstance(line, str) else dict(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{place}: no JSON ({error}); correct the line") from error
            if not isinstance(row, dict) or not isinstance(row.get("audio"), str) or None in row:
                raise ValueError(f"{place}: must be a row with the path 'audio'; correct the line")
            text, name = row.pop("text", None), row.pop("id", None)
            for key, value in (("text", text), ("id", name)):
                if value is not None and not isinstance(value, str):
                    raise ValueError(f"{place}: {key}={value!r:.60} must be a string; put it in quotes")
            audio = table.parent / row["audio"]
            rows.append(Source(name=name or f"{len(rows):09d}", place=place, audio=audio, text=text, meta=row))
            require_new(rows[-1].key, place, places)
    return rows


def read_tar(path: Path) -> Iterator[Source]:
    """The recordings of a WebDataset tar; ValueError names one that is damaged."""
    try:
        with path.open("rb") as file:
            for members in members_by_key(file):
                audio = next((members[kind] for kind in AUDIO_KINDS if kind in members), None)
                yield _of_members(path, members, audio)
    except tarfile.TarError as error:
        raise ValueError(f"{path}: damaged, or no tar ({error}); copy it again") from error


def _of_members(path: Path, members: dict[str, bytes], audio: bytes | None) -> Source:
    name, place = members["key"].decode().removeprefix("./"), str(path)
    try:
        meta = json.loads(members.get("json", b"{}"))
        text = members["txt"].decode() if "txt" in members else None
        if not isinstance(meta, dict):
            raise ValueError(f"{meta!r:.60} is no object")
    except ValueError as error:
        raise ValueError(f"{path} ({name}): its .txt is not UTF-8 or its .json no object ({error}); mend it") from error
    if text is None and isinstance(meta.get("text"), str):
        text = meta["text"]
    return Source(name=name, place=place, audio=audio, text=text, meta=meta)
