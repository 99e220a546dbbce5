"""Tables and tars of recordings, and the sources that are read from them, for tests."""

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
    """The sources of a table, or of `tars`."""
    parts, _ = find_parts(ImportSpeechConfig(output=Path("out"), table=table, **changes))
    return [source for part in parts for source in part.read()]


def written(folder: Path, content: str | bytes | list[dict[str, Any]], name: str = "t.jsonl") -> Path:
    """A file with `content`, or with a line of JSON for each of its rows."""
    if isinstance(content, list):
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_tar(path: Path, members: Iterable[tuple[str, bytes | None]], *, mode: str = "w", **settings: Any) -> Path:
    """A tar of members in order; one without content is a link."""
    with tarfile.open(path, mode, **settings) as tar:  # type: ignore[call-overload]
        for name, data in members:
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, "elsewhere"
            member.size = len(data or b"")
            tar.addfile(member, io.BytesIO(data or b""))
    return path


def write_kaldi(folder: Path, **files: str) -> Path:
    """A Kaldi data folder of these files, where `wav_scp` stands for wav.scp."""
    for name, content in files.items():
        written(folder, content, name.replace("_scp", ".scp"))
    return folder


def part_of(source: ListedUtterance) -> tuple[float, float | None, int | None, float | None]:
    """Which part of its recording a source is, and what the whole is said to last."""
    return source.start_s, source.duration_s, source.channel, source.whole_duration_s
