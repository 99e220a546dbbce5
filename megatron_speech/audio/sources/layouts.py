"""Find the meaning of a table's columns, by known layouts and by the settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.audio.sources.columns import Columns
from megatron_speech.audio.sources.times import times_of
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

TEXTS = ("text", "sentence", "transcript", "transcription", "normalized_text")
"""Names of columns that may hold the transcript."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Column names of a known kind of table."""

    audio: tuple[str, ...]
    """Possible names of the column with the recording."""
    text: tuple[str, ...] = TEXTS
    id: str = "id"
    speaker: str | None = None
    clips: str | None = None
    """Folder next to the table that may hold the recordings."""
    needed: tuple[str, ...] = ()
    """Columns that a table of this layout must have."""
    unknown: tuple[str, ...] = ()
    """Columns that a table of this layout must not have."""


LAYOUTS = {
    "plain": Layout(audio=("audio",)),
    "common_voice": Layout(
        audio=("path",),
        text=("sentence",),
        id="path",
        speaker="client_id",
        clips="clips",
        needed=("sentence",),
        unknown=("audio",),
    ),
    "nemo": Layout(audio=("audio_filepath", "audio_file"), text=("text",)),
    "audio_folder": Layout(audio=("file_name",)),
}
"""Layouts of tables with one row per utterance, recognised by their columns. A new layout is one entry here."""


def find_columns(found: Iterable[str], config: ImportSpeechConfig, *, table: Path) -> Columns:
    """Meaning of the columns `found` in `table`, by the settings and the layout.

    Raises ValueError (with the columns) if the meaning is not certain.
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


def find_times(found: Iterable[str], config: ImportSpeechConfig, *, place: str) -> dict[str, tuple[str, float]]:
    """Column and units per second of "start", "end" and "duration", by the settings or by the column's name."""
    settled = {*config.columns.values(), *config.metadata}
    times = times_of([column for column in found if column not in settled], place=place)
    for kind in ("start", "end", "duration"):
        for name, per_second in ((kind, 1.0), (f"{kind}_ms", 1000.0)):
            if name in config.columns:
                times[kind] = (config.columns[name], per_second)
    if "end" in times and "start" not in times:
        raise ValueError(f"{place}: {times['end'][0]} is the end of a part; map the column of its start too")
    return times


def text_column(found: Iterable[str], names: Sequence[str], *, place: str, needed: bool) -> str | None:
    """The column of the transcript, or None; ValueError if several may be it, or if it is `needed` and missing."""
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
        and {*layout.needed} <= {*found}
        and {*layout.unknown}.isdisjoint(found)
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
    shown = [name if name.isprintable() and name else repr(name) for name in names[:20]]
    return ", ".join(f"{name:.60}" for name in shown) + (", ..." if len(names) > 20 else "") or "none"
