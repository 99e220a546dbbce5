"""Refuses a table whose rows name the same whole recording with different texts.

Such rows are parts of the recording in truth: a column that the reader does not understand tells where each part is.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import xxhash

from megatron_speech.audio.sources.listed import ListedUtterance
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

_PATHS = ("audio", "path", "audio_filepath", "audio_file", "file_name", "")
"""Columns that name the recording."""


class Whole(NamedTuple):
    """A row that names a whole recording; JSON types only, so that receipts can hold it."""

    recording: str
    """Path of the recording, or a hash of its bytes, and the channel."""
    text: str
    """Hash of the text."""
    place: str
    columns: dict[str, str]
    """Hash of each cell that is not known to be metadata."""


def whole_of(listed: ListedUtterance, config: ImportSpeechConfig) -> Whole | None:
    """`Whole` of `listed`; None if it is a part or unusable."""
    text = " ".join((listed.text or "").split())
    unusable = listed.audio is None or listed.defect is not None or (config.transcripts and not text)
    if unusable or listed.part_is_stated or listed.start_s > 0 or listed.duration_s is not None:
        return None
    audio = listed.audio
    recording = xxhash.xxh3_128_hexdigest(audio) if isinstance(audio, bytes) else os.path.abspath(str(audio))  # noqa: PTH100 (of any string)
    metadata = {*config.metadata, *_PATHS, config.columns.get("audio")}
    return Whole(
        recording=recording if listed.channel is None else f"{recording}, channel {listed.channel}",
        text=_digest(text),
        place=listed.place,
        columns={key: _digest(value) for key, value in listed.meta.items() if key not in metadata},
    )


def require_one_text(row: Whole, seen: dict[str, Whole], config: ImportSpeechConfig) -> None:
    """Add a row to `seen`; ValueError if an earlier row names the same recording and the texts differ or are empty.

    Rows with the same text are allowed. So are different texts if all differing columns are listed as metadata.
    """
    other = seen.setdefault(row.recording, row)
    if other is row or (other.text == row.text != _digest("")):
        return
    names = [name for name in row.columns if row.columns[name] != other.columns.get(name)]
    if names or not config.metadata:
        shown = ", ".join(names[:8]) or "text"
        which = f"the part or the channel may be in {shown}" if names else "no other column says the part"
        raise ValueError(
            f"{row.place}: names the same whole recording as {other.place}, with other words or none, and {which}; map "
            "columns to start, end, duration or channel (Kaldi: write segments), or, where both are of the whole, list "
            f"{shown} under metadata"
        )


def _digest(value: Any) -> str:
    return xxhash.xxh3_64_hexdigest(repr(value).encode("utf-8", "surrogatepass"))
