"""A recording as its user wrote it down, and the key that its name becomes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUDIO_KINDS = (
    "flac",
    "wav",
    "mp3",
    "ogg",
    "opus",
    "oga",
    "m4a",
    "mp4",
    "aac",
    "aif",
    "aiff",
    "au",
    "caf",
    "sph",
    "w64",
)
"""Endings of recordings, in lower case."""
LONGEST_KEY = 90
"""Characters: with an ending it fits into the 100 bytes of a plain tar member's name."""
_PLAIN = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_HASHED = re.compile(r".*--[0-9a-f]{20}|[0-9a-f]{20}")


class RowError(ValueError):
    """A cell of a row that cannot be; the message does not say of which row."""


@dataclass(frozen=True, kw_only=True)
class ListedUtterance:
    """A recording as its user wrote it down."""

    name: str
    """Its id in the corpus."""
    place: str
    """For errors: the table and line, or the tar and members."""
    audio: Path | bytes | None
    text: str | None
    meta: dict[str, Any] = field(default_factory=dict)
    start_s: float = 0.0
    """Where the utterance begins in the recording, in seconds."""
    duration_s: float | None = None
    """Length of the utterance in seconds; null: to the end of the recording."""
    channel: int | None = None
    """Channel of the recording, from 0; null: as the setting `channels` says."""
    side: str | None = None
    """A cell that may name one of several channels in words that are not known; harmless where there is one channel."""
    whole_duration_s: float | None = None
    """What the corpus says the whole recording lasts, in seconds; only compared with what is decoded."""
    part_is_stated: bool = False
    """Whether its layout always says which part it is, so that a whole recording is what it says."""
    defect: tuple[str, str] | None = None
    """Why it cannot be used, where the corpus itself shows that: the reason in a word or two, and a sentence."""

    @property
    def key(self) -> str:
        """The name as a key of audio shards."""
        return key_of_name(self.name)


def key_of_name(name: str) -> str:
    """The key of a name: distinct names have distinct keys, the same on every machine.

    A name of ASCII letters, digits, ``-`` and ``_`` is its own key. Any other is hashed (80 bits), behind what a file
    name can show of it. A plain name that ends as a hashed one does is hashed too.
    """
    if len(name) <= LONGEST_KEY and _PLAIN.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    shown = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[: LONGEST_KEY - len(digest) - 2].strip("-")
    return f"{shown}--{digest}" if shown else digest


def require_new(key: str, place: str, places: dict[str, str]) -> None:
    """Add a key to `places`; ValueError where it is there."""
    if key in places:
        raise ValueError(
            f"{place}: id {key!r} already stands at {places[key]}; ids must be unique: rename one, or "
            "map another column to id"
        )
    places[key] = place
