"""Read text corpora: one document per JSON line, Parquet row or WET record, every defect named by file and line.

    {"id": "en-1", "text": "...", "metadata": {...}}

datatrove's own JsonlReader logs a malformed line and goes on, drops documents without text and gives up a file at its
first byte that is not UTF-8, so a damaged corpus would shrink without a word; hence these lines of our own, which its
pipelines can use (`tokenize_text.steps.CorpusReader`). Files may be compressed. Price: whoever wants duplicates refused
keeps something per id, `read_jsonl` the ids themselves.
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
"""Brackets within brackets that a line may have; orjson, which writes what the metadata say, stops soon after."""


@dataclass(frozen=True, kw_only=True)
class TextDocument:
    """One document of a text corpus."""

    id: str
    """Unique within the file."""
    text: str
    """Never blank."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Anything else the corpus says."""


@dataclass(frozen=True, kw_only=True)
class RecordLayout:
    """Where a record keeps what."""

    text_key: str = "text"
    """Key of the text."""
    id_key: str | None = "id"
    """Key of the id; None: `derived_ids` and the line's number, joined by a colon."""
    derived_ids: str = ""
    """Name of the file in derived ids."""
    metadata_keys: Sequence[str] = ()
    """Further keys that are kept in `metadata`."""


def read_jsonl(path: Path) -> Iterator[TextDocument]:
    """Documents of the JSON lines at `path` in file order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON object of this layout, a text is blank, or an id repeats (file and line named).
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
        raise ValueError(f"{path}: the corpus holds no document; check the stage which wrote it")


def read_records(
    path: CorpusFile, layout: RecordLayout, *, first: int = 0, end: int | None = None
) -> Iterator[tuple[int, TextDocument | BadLine]]:
    """Number (from 1) and content of every line, row or record of one corpus file; ids may repeat.

    Args:
        first: skip so many, which costs their decompression but not their parsing.
        end: stop before the record that so many stand before; None reads to the end of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of no kind that is read, is damaged as a whole, or lacks a column.
    """
    if isinstance(path, Path) and not path.is_file():
        raise FileNotFoundError(f"corpus file {path} does not exist; {remedy_of_missing(path)}")
    kept = [key for key in (layout.text_key, layout.id_key, "metadata", *layout.metadata_keys) if key is not None]
    watched = {key: orjson.dumps(key) for key in kept}
    records = (_parsed(record, watched) for record in islice(_raw_records(path, layout), first, end))
    for number, record in enumerate(records, start=first + 1):
        yield number, _document(record, layout, path=path, number=number)


def count_records(path: CorpusFile) -> int:
    """Lines, rows or records of a corpus file, documents or not; raises what reading it would."""
    count = reader_of(path).count
    return count(path) if count else sum(1 for _ in _raw_records(path, RecordLayout()))


def first_keys(path: CorpusFile, *, lines: int) -> list[str]:
    """Keys that stand in any of the first JSON lines at `path`, in the order met; what is no object has none."""
    parsed = (_parsed(record, {}) for record in islice(_raw_records(path, RecordLayout()), lines))
    records = (record for record in parsed if isinstance(record, dict))
    return list(dict.fromkeys(key for record in records for key in record))


def _raw_records(path: CorpusFile, keys: RecordKeys) -> Iterator[RawRecord]:
    """The records at `path`, not parsed yet; ValueError where the file is damaged."""
    try:
        yield from reader_of(path).records(path, keys)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); restore the file") from error


def _parsed(record: Any, watched: Mapping[str, bytes]) -> Any:
    """What a line holds; instead of a line that is no JSON, or has two meanings, what is wrong with it.

    Args:
        watched: keys that are read, as JSON writes them: each may stand once, and JSON must hold what it says.
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
    exact = json.loads(record) if huge else {}  # orjson makes a float of an integer that 64 bits do not hold
    if numbers := [number for key in huge for number in _numbers_beyond(exact[key], int)]:
        return BadLine(reason="number", message=f"{numbers[0]} takes more than 64 bits; write it as text")
    return found


def _numbers_beyond(value: Any, kind: type) -> list[Any]:
    """Numbers of a type in `value` that 64 bits do not hold as integers."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in _numbers_beyond(part, kind)]
    is_one = isinstance(value, int | float) and type(value) is kind
    return [value] if is_one and not -(1 << 63) <= value < 1 << 64 else []


def _depth(value: Any) -> int:
    """Lists and objects within each other."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return depth


def _repeated_key(record: bytes) -> str | None:
    """A key that stands twice in the outermost object."""
    outermost: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [key for key, _ in pairs]  # the last one to be read is the outermost

    json.loads(record, object_pairs_hook=keep)
    return next((key for index, key in enumerate(outermost) if key in outermost[:index]), None)


def _document(record: Any, layout: RecordLayout, *, path: CorpusFile, number: int) -> TextDocument | BadLine:
    """The document in one parsed record, or what is wrong with it."""

    def bad(reason: str, detail: str) -> BadLine:
        return BadLine(reason=reason, message=f"{path}:{number}: {detail}")

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
    metadata = record.get("metadata", {})
    if metadata is None:  # as Parquet says of a row that has none
        metadata = {}
    if not isinstance(metadata, dict):
        return bad("metadata", f"metadata={metadata!r:.60} must be an object; fix the line or leave it out")
    kept = {key: record[key] for key in layout.metadata_keys if key in record}
    return TextDocument(id=found["id"], text=found["text"], metadata={**metadata, **kept})
