"""Writes tables, tars and Kaldi folders of recordings for tests, and lists their utterances."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from megatron_speech.audio.sources.listed import ListedUtterance
from megatron_speech.audio.sources.parts import find_parts
from megatron_speech.config.stages.import_speech import ImportSpeechConfig


def read_sources(table: Path | None = None, **changes: Any) -> list[ListedUtterance]:
    """The utterances listed in a table, or in what the settings `changes` name."""
    parts, _ = find_parts(ImportSpeechConfig(output=Path("out"), table=table, **changes))
    return [source for part in parts for source in part.read()]


def written(folder: Path, content: str | bytes | list[dict[str, Any]], name: str = "t.jsonl") -> Path:
    """Write a file with `content`; a list is written as JSON lines."""
    if isinstance(content, list):
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_tar(path: Path, members: Iterable[tuple[str, bytes | None]], *, mode: str = "w", **settings: Any) -> Path:
    """Write a tar with (name, content) members, in order; a member with content None becomes a symbolic link."""
    with tarfile.open(path, mode, **settings) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, "elsewhere"
            member.size = len(data or b"")
            tar.addfile(member, io.BytesIO(data or b""))
    return path


def write_kaldi(folder: Path, **files: str) -> Path:
    """Write a Kaldi data folder; the keyword `wav_scp` gives the content of wav.scp."""
    for name, content in files.items():
        written(folder, content, name.replace("_scp", ".scp"))
    return folder


def part_of(source: ListedUtterance) -> tuple[float, float | None, int | None, float | None]:
    """Part of its recording (start, duration, channel), and the listed duration of the recording."""
    return source.start_s, source.duration_s, source.channel, source.whole_duration_s
