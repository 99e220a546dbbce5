"""Convert rows of a table to listed utterances, according to the meaning of its columns.

A table is refused if a column may tell which part of the recording a row is, but is not understood. If it were treated
as metadata, the whole recording would get the words of a part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megatron_speech.audio.sources.listed import ListedUtterance, RowError
from megatron_speech.audio.sources.suspects import require_clear, side_of
from megatron_speech.audio.sources.times import letter_channel, part_of, seconds

WRITTEN = ("id", "text", "duration_s", "source_id")
"""Metadata keys that the writer of audio shards sets; a column of such a name is kept as ``original_<name>``."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Meaning of the columns of one table."""

    audio: str
    text: str | None = None
    id: str | None = None
    speaker: str | None = None
    times: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Column and its units per second for each of "start", "end" and "duration" that the table has."""
    channel: str | None = None
    folder: Path = Path()
    """Folder of relative paths."""
    metadata: tuple[str, ...] = ()
    """Columns to treat as metadata, whatever their names."""

    def listed(self, row: Mapping[str, Any], *, place: str, name: str) -> ListedUtterance:
        """The utterance of a row at `place`; `name` is used if it has no id. Raises ValueError for an invalid cell."""
        try:
            return self._listed(row, place, name, None)
        except RowError as error:
            raise ValueError(f"{place}: {error}; correct the line") from error

    def streamed(self, row: Mapping[str, Any], *, place: str, name: str, audio: bytes | None = None) -> ListedUtterance:
        """Like `listed`, for rows that are read during the import: an invalid cell becomes the utterance's `defect`.

        `audio` is the recording, for rows that do not contain or name it.
        """
        try:
            return self._listed(row, place, name, audio)
        except RowError as error:
            defect = ("metadata", f"{error}; correct it")
            return ListedUtterance(name=name, place=place, audio=audio, text=None, defect=defect)

    def _listed(self, row: Mapping[str, Any], place: str, name: str, audio: bytes | None) -> ListedUtterance:
        recording, shown = (audio, row.get(self.audio)) if audio is not None else self._recording(row)
        known = {self.text, self.id, self.audio, self.channel, *(column for column, _ in self.times.values())}
        rest = {key: value for key, value in row.items() if key not in known | {*self.metadata}}
        self._require_clear(rest, row, place)
        times = {kind: seconds(row.get(column), per, column) for kind, (column, per) in self.times.items()}
        part, meta = part_of(**times), self._meta(row, shown)
        if part.get("start_s") is not None:
            meta["source_start_s"] = part["start_s"]
        return ListedUtterance(
            name=self._name(row, shown) or name,
            place=place,
            audio=recording,
            text=self._text(row),
            meta=meta,
            channel=self._channel(row),
            side=side_of(rest),
            **part,
        )

    def _require_clear(self, rest: Mapping[str, Any], row: Mapping[str, Any], place: str) -> None:
        """Raise ValueError if a column of `rest`, or a key of an object with the recording, may tell the part."""
        cell = row.get(self.audio)
        if isinstance(cell, dict) and self.audio not in self.metadata:
            known = ("path", "bytes", "array", "sampling_rate")
            rest = {**rest, self.audio: {key: value for key, value in cell.items() if key not in known}}
        open_end = "start" in self.times and self.times.keys().isdisjoint(("end", "duration"))
        try:
            require_clear(
                {k: v for k, v in rest.items() if letter_channel(v) is None or k != "channel"}, open_end=open_end
            )
        except RowError as error:
            raise ValueError(f"{place}: {error}") from error

    def _recording(self, row: Mapping[str, Any]) -> tuple[Path | bytes, str | None]:
        """Path or bytes of the recording, and its path for the metadata."""
        cell = row.get(self.audio)
        path, content = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (cell, None)
        content = cell if isinstance(cell, bytes) else content
        if isinstance(content, bytes):
            return content, path if isinstance(path, str) else None
        if not isinstance(path, str) or not path:
            raise RowError(f"must be a row with the path {self.audio!r}")
        if re.match(r"[a-z0-9]+://", path):
            raise RowError(f"{self.audio}={path!r:.80} is an address, which is not fetched")
        return self.folder / path, path

    def _name(self, row: Mapping[str, Any], path: str | None) -> str | None:
        if self.id == self.audio:
            return re.sub(r"\.[^./]*$", "", path) if path else None
        value = row.get(self.id) if self.id else None
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise RowError(f"{self.id}={value!r:.60} must be a string or a whole number")
        return None if value is None or value == "" else str(value)

    def _text(self, row: Mapping[str, Any]) -> str | None:
        value = row.get(self.text) if self.text else None
        if value is not None and not isinstance(value, str):
            raise RowError(f"{self.text}={value!r:.60} must be a string")
        return value

    def _meta(self, row: Mapping[str, Any], path: str | None) -> dict[str, Any]:
        """Metadata: the remaining cells, without times, which would be wrong for the cut utterance."""
        used = {self.text, self.audio, self.id, self.channel, *(column for column, _ in self.times.values())}
        meta = {key: value for key, value in row.items() if key not in used}
        if path is not None:
            meta[self.audio] = path
        speaker = row.get(self.speaker) if self.speaker is not None and self.speaker != "speaker" else None
        taken = WRITTEN if speaker is None else (*WRITTEN, "speaker")
        meta = {f"original_{key}" if key in taken else key: value for key, value in meta.items()}
        return meta if speaker is None else {**meta, "speaker": str(speaker)}

    def _channel(self, row: Mapping[str, Any]) -> int | None:
        if self.channel is None:
            return letter_channel(row.get("channel")) if "channel" not in self.metadata else None
        value = row.get(self.channel)
        if value is None or value == "":
            return None
        number = letter_channel(value)
        if number is None and not isinstance(value, bool) and re.fullmatch(r"\d+", str(value)):
            number = int(value)
        if number is None:
            raise RowError(f"{self.channel}={value!r:.60} is no channel (a number from 0, or A and B)")
        return number
