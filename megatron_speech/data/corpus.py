"""Read a text corpus: one JSON object per line, in datatrove's layout, every defect named by file and line.

    {"id": "en-1", "text": "...", "metadata": {...}}

datatrove's own JsonlReader logs a malformed line and goes on (and drops documents without text), so a damaged corpus
would shrink without a word; hence these lines of our own. Price: ids are kept in memory to refuse duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, kw_only=True)
class TextDocument:
    """One document of a text corpus."""

    id: str
    """Unique within the file."""
    text: str
    """Never blank."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Anything else the corpus says."""


def read_jsonl(path: Path) -> Iterator[TextDocument]:
    """Documents of `path` in file order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON object of this layout, a text is blank, or an id repeats (file and line named).
    """
    if not path.is_file():
        raise FileNotFoundError(f"corpus file {path} does not exist; check the path or run the stage which writes it")
    first_line: dict[str, int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            document = _parse(line, where=f"{path}:{number}")
            seen = first_line.setdefault(document.id, number)
            if seen != number:
                raise ValueError(
                    f"{path}:{number}: id {document.id!r} already stands in line {seen}; ids must be unique"
                )
            yield document
    if not first_line:
        raise ValueError(f"{path}: the corpus holds no document; check the stage which wrote it")


def _parse(line: bytes, *, where: str) -> TextDocument:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error}); a corpus file holds one JSON object per line") from error
    if not isinstance(record, dict):
        raise ValueError(f'{where}: a JSON {type(record).__name__}, not an object; write {{"id": ..., "text": ...}}')
    for key in ("id", "text"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise ValueError(
                f"{where}: {key}={record.get(key)!r:.60} must be a string that is not blank; fix or drop the line"
            )
    metadata = record.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError(f"{where}: metadata={metadata!r:.60} must be an object; fix the line or leave it out")
    return TextDocument(id=record["id"], text=record["text"], metadata=metadata)
