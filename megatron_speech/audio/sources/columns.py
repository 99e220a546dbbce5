"""The `ListedUtterance` of a table's row, by which column means what.

A column that says which part of a recording a row is must be understood or the table is refused: taken for metadata,
it would pair the whole recording with a part of its words.
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
"""Metadata that the writer of audio shards sets; a table's own of such a name is kept as ``original_<name>``."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column of one table means what."""

    audio: str
    text: str | None = None
    id: str | None = None
    speaker: str | None = None
    times: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Of "start", "end" and "duration": the column and its units per second."""
    channel: str | None = None
    folder: Path = Path()
    """Where relative paths start."""
    metadata: tuple[str, ...] = ()
    """Columns that are metadata, whatever their names."""

    def listed(self, row: Mapping[str, Any], *, place: str, name: str) -> ListedUtterance:
        """The utterance of a row at `place`, called `name` where it has no id; ValueError names a bad cell."""
        try:
            return self._listed(row, place, name, None)
        except RowError as error:
            raise ValueError(f"{place}: {error}; correct the line") from error

    def streamed(self, row: Mapping[str, Any], *, place: str, name: str, audio: bytes | None = None) -> ListedUtterance:
        """As `listed`, for rows that are read as the work goes on: a cell that cannot be is the utterance's defect.

        `audio` is the recording, where the row does not hold or name it.
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
        """ValueError where a column of `rest`, or a key of an object that holds the recording, may say which part."""
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
        """The recording, and its path for the metadata."""
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
        """The rest of the row, without its times: of the utterance alone they would not be true."""
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
