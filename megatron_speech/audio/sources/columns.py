"""Which column of a table means what, and the `Source` of a row.

A column that says which part of a recording a row is must be understood or the table is refused: taken for metadata,
it would pair the whole recording with a part of its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from megatron_speech.audio.sources.source import Source
from megatron_speech.audio.sources.times import letter_channel, part_of, seconds, times_of, unclear_part
from megatron_speech.config.import_speech import ImportSpeechConfig

TEXTS = ("text", "sentence", "transcript", "transcription", "normalized_text")
"""Columns that hold a transcript."""
WRITTEN = ("id", "text", "duration_s", "source_id")
"""Metadata that the writer of audio shards sets; a source's own of such a name is kept as ``original_<name>``."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The column names of a kind of table."""

    audio: tuple[str, ...]
    """Any of these holds the recording."""
    text: tuple[str, ...] = TEXTS
    id: str = "id"
    speaker: str | None = None
    clips: str | None = None
    """Folder beside the table in which its recordings may lie."""


LAYOUTS = {
    "plain": Layout(audio=("audio",)),
    "common_voice": Layout(audio=("path",), text=("sentence",), id="path", speaker="client_id", clips="clips"),
    "nemo": Layout(audio=("audio_filepath", "audio_file"), text=("text",)),
    "audio_folder": Layout(audio=("file_name",)),
}
"""Tables with a row per utterance. `common_voice` is told by all its columns, the others by the recording's."""


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

    def source(self, row: Mapping[str, Any], *, place: str, name: str, audio: bytes | None = None) -> Source:
        """The source of a row at `place`, called `name` where the row has no id.

        `audio` is the recording, where the row does not hold or name it. ValueError names the place and a value that
        cannot be.
        """
        recording, shown = (audio, row.get(self.audio)) if audio is not None else self._recording(row, place)
        known = {self.text, self.id, self.audio, self.channel, *(column for column, _ in self.times.values())}
        rest = {key: value for key, value in row.items() if key not in known | {*self.metadata}}
        _require_clear(
            rest, place, open_end="start" in self.times and self.times.keys().isdisjoint(("end", "duration"))
        )
        times = {
            kind: seconds(row.get(column), per, f"{place}: {column}") for kind, (column, per) in self.times.items()
        }
        part, channel = part_of(**times), self._channel(row, place)
        meta = self._meta(row, shown)
        if part.get("start_s") is not None:
            meta["source_start_s"] = part["start_s"]
        return Source(
            name=self._name(row, place) or name,
            place=place,
            audio=recording,
            text=_text(row.get(self.text) if self.text else None, f"{place}: {self.text}"),
            meta=meta,
            channel=channel,
            **part,
        )

    def _recording(self, row: Mapping[str, Any], place: str) -> tuple[Path | bytes, str | None]:
        """The recording, and its path for the metadata."""
        cell = row.get(self.audio)
        path, content = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (cell, None)
        if isinstance(content, bytes):
            return content, path if isinstance(path, str) else None
        if not isinstance(path, str) or not path:
            raise ValueError(f"{place}: must be a row with the path {self.audio!r}; correct the line")
        if re.match(r"[a-z0-9]+://", path):
            raise ValueError(f"{place}: {self.audio}={path!r:.80} is an address; fetch it and name the file")
        return self.folder / path, path

    def _name(self, row: Mapping[str, Any], place: str) -> str | None:
        value = row.get(self.id) if self.id else None
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise ValueError(f"{place}: {self.id}={value!r:.60} must be a string or a whole number; put it in quotes")
        if value and self.id == self.audio:
            return str(PurePath(str(value)).with_suffix(""))
        return None if value is None or value == "" else str(value)

    def _meta(self, row: Mapping[str, Any], path: str | None) -> dict[str, Any]:
        """The rest of the row, without its times: of the utterance alone they would not be true."""
        used = {self.text, self.audio, self.id, self.channel, *(column for column, _ in self.times.values())}
        meta = {key: value for key, value in row.items() if key not in used}
        if path is not None:
            meta[self.audio] = path
        if self.speaker is not None and self.speaker != "speaker" and row.get(self.speaker) is not None:
            meta = {**meta, "speaker": str(row[self.speaker])}
        return {f"original_{key}" if key in WRITTEN else key: value for key, value in meta.items()}

    def _channel(self, row: Mapping[str, Any], place: str) -> int | None:
        if self.channel is None:
            return letter_channel(row.get("channel")) if "channel" not in self.metadata else None
        value = row.get(self.channel)
        if value is None or value == "":
            return None
        number = letter_channel(value)
        if number is None and not isinstance(value, bool) and re.fullmatch(r"\d+", str(value)):
            number = int(value)
        if number is None:
            raise ValueError(f"{place}: {self.channel}={value!r:.60} is no channel; count from 0, or write A and B")
        return number


def find_columns(found: Iterable[str], config: ImportSpeechConfig, *, table: Path) -> Columns:
    """Which of the columns `found` in `table` means what, by the settings and the layout.

    ValueError names the columns where that is not certain.
    """
    found = list(dict.fromkeys(found))
    mapped = dict(config.columns)
    absent = [f"{name}: {column}" for name, column in mapped.items() if column not in found]
    if absent:
        raise ValueError(f"{table}: columns={{{absent[0]}}}, but its columns are {_list(found)}; name one of those")
    layout = LAYOUTS["plain"] if "audio" in mapped else _layout(found, config.layout, table)
    return Columns(
        audio=mapped.get("audio") or next(column for column in layout.audio if column in found),
        text=mapped.get("text") or text_column(found, layout.text, place=str(table), needed=config.transcripts),
        id=mapped.get("id", layout.id),
        speaker=mapped.get("speaker", layout.speaker),
        times=find_times(found, config, place=str(table)),
        channel=mapped.get("channel"),
        folder=config.root or _folder(table, layout),
        metadata=config.metadata,
    )


def _require_clear(row: Mapping[str, Any], place: str, *, open_end: bool) -> None:
    column = unclear_part(row, open_end=open_end)
    if column:
        raise ValueError(
            f"{place}: {column}={row[column]!r:.60} may say which part of the recording this is, but its unit is not "
            f"certain; map it, as in columns: {{start: {column}}} for seconds (or end, duration, start_ms, end_ms, "
            "duration_ms, channel from 0), or list it under metadata"
        )


def find_times(found: Iterable[str], config: ImportSpeechConfig, *, place: str) -> dict[str, tuple[str, float]]:
    """Of "start", "end" and "duration": the column and its units per second, by the settings or by its name."""
    settled = {*config.columns.values(), *config.metadata}
    times = times_of([column for column in found if column not in settled], place=place)
    for kind in ("start", "end", "duration"):
        for name, per_second in ((kind, 1.0), (f"{kind}_ms", 1000.0)):
            if name in config.columns:
                times[kind] = (config.columns[name], per_second)
    if "end" in times and "start" not in times:
        raise ValueError(f"{place}: {times['end'][0]} is where a part ends; map the column where it starts too")
    return times


def text_column(found: Iterable[str], names: Sequence[str], *, place: str, needed: bool) -> str | None:
    """The one column with a transcript; ValueError where there are several, or where one is `needed` and absent."""
    found = list(found)
    texts = [name for name in names if name in found]
    if "text" in texts or len(texts) == 1:
        return "text" if "text" in texts else texts[0]
    if texts or needed:
        which = f"{_list(texts)} may all be" if texts else f"none of {_list(found)} is"
        raise ValueError(f"{place}: {which} the transcript; name it, as in columns: {{text: ...}}")
    return None


def _layout(found: Sequence[str], wanted: str, table: Path) -> Layout:
    fits = [
        name
        for name, layout in LAYOUTS.items()
        if any(column in found for column in layout.audio)
        and (name != "common_voice" or ("sentence" in found and "audio" not in found))
    ]
    if wanted != "auto":
        layout = LAYOUTS.get(wanted)
        fits = [wanted] if layout is not None and any(column in found for column in layout.audio) else []
    if len(fits) == 1:
        return LAYOUTS[fits[0]]
    known = "; ".join(f"{name} ({' or '.join(layout.audio)})" for name, layout in LAYOUTS.items())
    raise ValueError(
        f"{table}: its columns {_list(found)} fit {' and '.join(fits) or 'no'} layout={wanted} (known, with the column "
        f"of the recording: {known}); map them, as in columns: {{audio: ..., text: ...}}"
    )


def _folder(table: Path, layout: Layout) -> Path:
    clips = table.parent / layout.clips if layout.clips else table.parent
    return clips if clips.is_dir() else table.parent


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name}={value!r:.60} must be a string; put it in quotes")
    return value
