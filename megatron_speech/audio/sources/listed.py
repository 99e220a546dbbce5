"""`ListedUtterance`: one utterance as a user's corpus describes it, and the shard key made from its name."""

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
"""Longest key in characters; with an ending it fits into the 100 bytes of a name in a plain tar."""
_PLAIN = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_HASHED = re.compile(r".*--[0-9a-f]{20}|[0-9a-f]{20}")


class RowError(ValueError):
    """Raised for an invalid cell; the message does not name the row."""


@dataclass(frozen=True, kw_only=True)
class ListedUtterance:
    """One utterance as described in a user's corpus, before its recording is read."""

    name: str
    """Id in the corpus."""
    place: str
    """Table and line, or tar and members, for error messages."""
    audio: Path | bytes | None
    text: str | None
    meta: dict[str, Any] = field(default_factory=dict)
    start_s: float = 0.0
    """Start of the utterance in the recording, in seconds."""
    duration_s: float | None = None
    """Length of the utterance in seconds; None means to the end of the recording."""
    channel: int | None = None
    """Channel of the recording, from 0; None lets the setting `channels` decide."""
    side: str | None = None
    """A cell that may name the channel in unknown words; an error only if the recording has several channels."""
    whole_duration_s: float | None = None
    """Stated length of the whole recording in seconds; only compared with the decoded length."""
    part_is_stated: bool = False
    """Whether the layout always states the part, so that an utterance without times is really the whole recording."""
    defect: tuple[str, str] | None = None
    """Reason (a word or two) and explanation if the utterance is known to be unusable."""

    @property
    def key(self) -> str:
        """Key in audio shards, made from `name`."""
        return key_of_name(self.name)


def key_of_name(name: str) -> str:
    """Shard key of a name: unique per name and the same on every machine.

    A name of ASCII letters, digits, ``-`` and ``_`` is its own key. Any other name becomes its readable part and a
    hash (80 bits). A plain name that looks like such a key is hashed too.
    """
    if len(name) <= LONGEST_KEY and _PLAIN.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
    shown = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[: LONGEST_KEY - len(digest) - 2].strip("-")
    return f"{shown}--{digest}" if shown else digest


def require_new(key: str, place: str, places: dict[str, str]) -> None:
    """Add a key to `places`; raises ValueError if it exists already."""
    if key in places:
        raise ValueError(
            f"{place}: id {key!r} already stands at {places[key]}; ids must be unique: rename one, or "
            "map another column to id"
        )
    places[key] = place
