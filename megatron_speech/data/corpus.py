"""Read text corpora: one document per JSON line, Parquet row or WET record, every defect named by file and line.

    {"id": "en-1", "text": "...", "metadata": {...}}

datatrove's own JsonlReader logs a malformed line and goes on, drops documents without text and gives up a file at its
first byte that is not UTF-8, so a damaged corpus would shrink without a word; hence these lines of our own, which its
pipelines can use (`data.tokenize_steps.CorpusReader`). Files may be compressed. Price: whoever wants duplicates refused
keeps something per id, `read_jsonl` the ids themselves.
"""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from megatron_speech.data.packed_lines import open_lines
from megatron_speech.data.web_text import ENDINGS, read_archive

FILE_KINDS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", *ENDINGS)
"""Endings of files that hold documents."""


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
class BadLine:
    """A line or row that is no document."""

    reason: str
    """What is wrong, in a few words that do not depend on the line: the key it is counted under."""
    message: str
    """The whole truth, with file, line, rule and remedy."""


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
    path: Path, layout: RecordLayout, *, first: int = 0, end: int | None = None
) -> Iterator[tuple[int, TextDocument | BadLine]]:
    """Number (from 1) and content of every line, row or record of one corpus file; ids may repeat.

    Args:
        first: skip so many, which costs their unpacking but not their parsing.
        end: stop before the record that so many stand before; None reads to the end of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of no kind that is read, is damaged as a whole, or lacks a column.
    """
    if not path.is_file():
        raise FileNotFoundError(f"corpus file {path} does not exist; check the path or run the stage which writes it")
    if path.suffix == ".parquet":
        records: Iterator[Any] = islice(_parquet_rows(path, layout), first, end)
    else:
        records = map(_parsed, islice(_raw_records(path), first, end))
    for number, record in enumerate(records, start=first + 1):
        yield number, _document(record, layout, path=path, number=number)


def count_records(path: Path) -> int:
    """Lines, rows or records of a corpus file, documents or not; raises what reading it would."""
    if path.suffix != ".parquet":
        return sum(1 for _ in _raw_records(path))
    rows: int
    with _parquet_file(path) as file:
        rows = file.metadata.num_rows
    return rows


def first_keys(path: Path, *, lines: int) -> list[str]:
    """Keys that stand in any of the first JSON lines at `path`, in the order met; what is no object has none."""
    records = (record for record in map(_parsed, islice(_raw_records(path), lines)) if isinstance(record, dict))
    return list(dict.fromkeys(key for record in records for key in record))


def _raw_records(path: Path) -> Iterator[Any]:
    """Lines as bytes, without a byte order mark, or an archive's records; ValueError where the file is damaged."""
    try:
        if path.name.endswith(ENDINGS):
            yield from read_archive(path)
            return
        with open_lines(path) as lines:
            yield from (line.removeprefix(BOM_UTF8) if not n else line for n, line in enumerate(lines))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); restore the file") from error


def _parsed(record: Any) -> Any:
    """What a line holds; instead of a line that is no JSON, or no text at all, the error that says why."""
    if not isinstance(record, bytes):
        return record
    try:
        return orjson.loads(record)
    except orjson.JSONDecodeError as error:
        try:
            record.decode()
        except UnicodeDecodeError as undecodable:
            return undecodable
        return error


@contextmanager
def _parquet_file(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ValueError(f"{path}: reading Parquet needs pyarrow; pip install 'megatron-speech[corpus]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path}: damaged, or no Parquet file ({error}); restore the file") from error


def _parquet_rows(path: Path, layout: RecordLayout) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries of the columns that are asked for."""
    with _parquet_file(path) as file:
        names = file.schema_arrow.names
        asked = [key for key in (layout.text_key, layout.id_key, *layout.metadata_keys) if key is not None]
        if lacking := [key for key in asked if key not in names]:
            raise ValueError(
                f"{path}: no column {lacking[0]!r} among {', '.join(names)}; set text_key, id_key (null derives "
                "ids) or metadata_keys to columns that it has"
            )
        wanted = [*asked, "metadata"] if "metadata" in names else asked
        for batch in file.iter_batches(batch_size=1024, columns=list(dict.fromkeys(wanted))):
            yield from batch.to_pylist()


def _document(record: Any, layout: RecordLayout, *, path: Path, number: int) -> TextDocument | BadLine:
    """The document in one parsed record, or what is wrong with it."""

    def bad(reason: str, detail: str) -> BadLine:
        return BadLine(reason=reason, message=f"{path}:{number}: {detail}")

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
        elif isinstance(value := record.get(key), str) and value.strip():
            found[kind] = value
        else:
            remedy = "fix or drop the line" + (", or let id_key: null name it by its place" if kind == "id" else "")
            return bad(f"no {kind}", f"{key}={value!r:.60} must be a string that is not blank; {remedy}")
    metadata = record.get("metadata", {})
    if metadata is None:  # as Parquet says of a row that has none
        metadata = {}
    if not isinstance(metadata, dict):
        return bad("metadata", f"metadata={metadata!r:.60} must be an object; fix the line or leave it out")
    kept = {key: record[key] for key in layout.metadata_keys if key in record}
    return TextDocument(id=found["id"], text=found["text"], metadata={**metadata, **kept})
