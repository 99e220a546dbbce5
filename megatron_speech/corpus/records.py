"""Read text corpora: one document per JSON line, Parquet row or WET record; every defect is named by file and line.

    {"id": "en-1", "text": "...", "metadata": {...}}

datatrove's JsonlReader skips malformed lines and documents without text, and drops the rest of a file at the first
byte that is not UTF-8. A damaged corpus would silently shrink. So this module reads files itself;
`tokenize_text.steps.CorpusReader` makes it usable in datatrove pipelines. Files may be compressed.

Cost: refusing repeated ids needs memory for every id; `read_jsonl` keeps the ids themselves.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from megatron_speech.corpus.files import remedy_of_missing
from megatron_speech.corpus.interface import BadLine, CorpusFile, RawRecord, RecordKeys
from megatron_speech.corpus.table import reader_of

DEEPEST = 200
"""Deepest nesting of lists and objects in a line; orjson, which writes the metadata, fails soon after."""


@dataclass(frozen=True, kw_only=True)
class TextDocument:
    """One document of a text corpus."""

    id: str
    """Unique within the file."""
    text: str
    """Never blank."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """The record's `metadata` and the columns of `metadata_keys`."""


@dataclass(frozen=True, kw_only=True)
class RecordLayout:
    """Keys of a record that hold text, id and metadata."""

    text_key: str = "text"
    """Key of the text."""
    id_key: str | None = "id"
    """Key of the id; None derives it from `derived_ids` and the line number, joined by a colon."""
    derived_ids: str = ""
    """Name of the file in derived ids."""
    metadata_keys: Sequence[str] = ()
    """Further keys to keep in `metadata`."""


def read_jsonl(path: Path) -> Iterator[TextDocument]:
    """Documents of the JSON lines at `path` in file order.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: a line is not a JSON object with id and text, or an id repeats (names file and line).
    """
    first_line: dict[str, int] = {}
    for number, document in read_records(path, RecordLayout()):
        if isinstance(document, BadLine):
            raise ValueError(document.message)
        seen = first_line.setdefault(document.id, number)
        if seen != number:
            raise ValueError(f"{path}:{number}: id {document.id!r} already stands in line {seen}; ids must be unique")
        yield document
    if not first_line:
        raise ValueError(f"{path}: the corpus holds no document; check what wrote it")


def read_records(
    path: CorpusFile, layout: RecordLayout, *, first: int = 0, end: int | None = None
) -> Iterator[tuple[int, TextDocument | BadLine]]:
    """Number (from 1) and document, or `BadLine`, of every line, row or record of one corpus file; ids may repeat.

    Args:
        first: index (from 0) of the first record to read; earlier ones are decompressed but not parsed.
        end: index after the last record to read; None reads to the end of the file.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: the file as a whole is damaged, lacks a column, or needs a package that is not installed.
    """
    if isinstance(path, Path) and not path.is_file():
        raise FileNotFoundError(f"corpus file {path} does not exist; {remedy_of_missing(path)}")
    kept = [key for key in (layout.text_key, layout.id_key, "metadata", *layout.metadata_keys) if key is not None]
    watched = {key: orjson.dumps(key) for key in kept}
    records = (_parsed(record, watched) for record in islice(_raw_records(path, layout), first, end))
    for number, record in enumerate(records, start=first + 1):
        yield number, _document(record, layout, path=path, number=number)


def count_records(path: CorpusFile) -> int:
    """Number of lines, rows or records of a corpus file, including bad ones; raises like `read_records`."""
    count = reader_of(path).count
    return count(path) if count else sum(1 for _ in _raw_records(path, RecordLayout()))


def first_keys(path: CorpusFile, *, lines: int) -> list[str]:
    """Keys that occur in the first `lines` JSON lines at `path`, in order of first occurrence."""
    parsed = (_parsed(record, {}) for record in islice(_raw_records(path, RecordLayout()), lines))
    records = (record for record in parsed if isinstance(record, dict))
    return list(dict.fromkeys(key for record in records for key in record))


def _raw_records(path: CorpusFile, keys: RecordKeys) -> Iterator[RawRecord]:
    """Unparsed records at `path`; ValueError if the file is damaged."""
    try:
        yield from reader_of(path).records(path, keys)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); restore the file") from error


def _parsed(record: Any, watched: Mapping[str, bytes]) -> Any:
    """Parse one line; return an error or a `BadLine` if it is not JSON or ambiguous. Other records pass through.

    Args:
        watched: keys that are read, each with its JSON spelling; they may not repeat, and their integers must fit
            into 64 bits.
    """
    if not isinstance(record, bytes):
        return record
    try:
        found = orjson.loads(record)
    except orjson.JSONDecodeError as error:
        try:
            record.decode()
        except UnicodeDecodeError as undecodable:
            return undecodable
        return error
    if record.count(b"{") + record.count(b"[") > DEEPEST and _depth(found) > DEEPEST:
        return BadLine(reason="nested", message=f"more than {DEEPEST} brackets within brackets; flatten the metadata")
    if any(record.count(key) > 1 for key in watched.values()) and (twice := _repeated_key(record)):
        return BadLine(reason="repeated key", message=f"key {twice!r} stands twice in the object; keep one")
    huge = [key for key in watched if _numbers_beyond(found.get(key), float)] if isinstance(found, dict) else []
    exact = json.loads(record) if huge else {}  # orjson turns an integer beyond 64 bits into a float
    if numbers := [number for key in huge for number in _numbers_beyond(exact[key], int)]:
        return BadLine(reason="number", message=f"{numbers[0]} takes more than 64 bits; write it as text")
    return found


def _numbers_beyond(value: Any, kind: type) -> list[Any]:
    """Numbers of type `kind` in `value` that are outside the range of 64-bit integers."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in _numbers_beyond(part, kind)]
    is_one = isinstance(value, int | float) and type(value) is kind
    return [value] if is_one and not -(1 << 63) <= value < 1 << 64 else []


def _depth(value: Any) -> int:
    """Nesting depth of lists and objects."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return depth


def _repeated_key(record: bytes) -> str | None:
    """A key that occurs twice in the outermost object, or None."""
    outermost: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [key for key, _ in pairs]  # the outermost object is parsed last

    json.loads(record, object_pairs_hook=keep)
    return next((key for index, key in enumerate(outermost) if key in outermost[:index]), None)


def _document(record: Any, layout: RecordLayout, *, path: CorpusFile, number: int) -> TextDocument | BadLine:
    """The document of one parsed record, or the `BadLine` that describes its defect."""

    def bad(reason: str, detail: str) -> BadLine:
        return BadLine(reason=reason, message=f"{path}:{number}: {detail}")

    # Records that are not an object.
    if isinstance(record, BadLine):
        return bad(record.reason, record.message)
    if isinstance(record, orjson.JSONDecodeError):
        return bad("not JSON", f"not JSON ({record}); a corpus file holds one JSON object per line")
    if isinstance(record, UnicodeDecodeError):
        return bad("not UTF-8", f"not UTF-8 ({record}); convert the file, or drop the record")
    if isinstance(record, ValueError):
        return bad("not text", str(record))
    if not isinstance(record, dict):
        return bad("no object", f'a JSON {type(record).__name__}, not an object; write {{"id": ..., "text": ...}}')
    # Id and text.
    found = {}
    for kind, key in (("id", layout.id_key), ("text", layout.text_key)):
        if key is None:
            found[kind] = f"{layout.derived_ids}:{number}"
            continue
        value = record.get(key)
        if kind == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not (isinstance(value, str) and value.strip()):
            rule = "a string that is not blank" + (", or an integer" if kind == "id" else "")
            remedy = "fix or drop the line" + (", or let id_key: null name it by its place" if kind == "id" else "")
            if key not in record:
                remedy = f"its keys are {', '.join(map(str, record))[:200] or 'none'}; set {kind}_key, or {remedy}"
            return bad(f"no {kind}", f"{key}={value!r:.60} must be {rule}; {remedy}")
        found[kind] = value
    # Metadata.
    metadata = record.get("metadata", {})
    if metadata is None:  # a Parquet row without metadata
        metadata = {}
    if not isinstance(metadata, dict):
        return bad("metadata", f"metadata={metadata!r:.60} must be an object; fix the line or leave it out")
    kept = {key: record[key] for key in layout.metadata_keys if key in record}
    return TextDocument(id=found["id"], text=found["text"], metadata={**metadata, **kept})
