"""Read rows of JSON lines, and of CSV or TSV with a header; errors name file and line."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JSON_LINES = (".jsonl", ".json")
SEPARATED = (".csv", ".tsv")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

Row = tuple[str, dict[str, Any]]
"""Place of a row (``<table>:<line>``), and its cells by column."""


def kind_of(table: Path) -> str:
    """Ending of a table's name in lower case, ignoring ``.gz``."""
    return Path(table.name.lower().removesuffix(".gz")).suffix


def read_rows(table: Path) -> list[Row]:
    """Rows of a table; raises ValueError (names file and line) for a row that cannot be read."""
    return _separated(table) if kind_of(table) in SEPARATED else list(_json_lines(table))


def read_lines(table: Path) -> Iterator[tuple[str, str]]:
    """Place and text of every line, without its line end; raises ValueError for a line that is not UTF-8."""
    opened = gzip.open if table.suffix.lower() == ".gz" else open
    try:
        with opened(table, "rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1 and (line.startswith(_UTF_16) or b"\0" in line):
                    raise ValueError(f"{table}: is UTF-16, or no text; save it as UTF-8")
                text = _decoded(line, f"{table}:{number}").rstrip("\r\n")
                yield f"{table}:{number}", text.removeprefix("\ufeff") if number == 1 else text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{table}: damaged gzip ({error}); copy it again") from error


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}: no UTF-8 (byte 0x{line[error.start]:02x} at {error.start + 1}); save the table as UTF-8 (it may "
            "be Latin-1)"
        ) from error


def _json_lines(table: Path) -> Iterator[Row]:
    for place, line in read_lines(table):
        if not line.strip():
            continue
        if line.startswith("[") and place.endswith(":1"):
            raise ValueError(f"{place}: is a JSON array; write an object per line")
        try:
            row = json.loads(line, object_pairs_hook=_object, parse_constant=_refuse_constant)
            if "\\ud" in line.lower():
                json.dumps(row, ensure_ascii=False).encode()  # fails for half a surrogate pair
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}: no JSON ({error}); correct the line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{place}: must be an object, not {row!r:.60}; correct the line")
        yield place, row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _separated(table: Path) -> list[Row]:
    lines = list(read_lines(table))
    if not lines:
        return []
    delimiter = "\t" if kind_of(table) == ".tsv" else _delimiter(lines[0][1])
    records = _quoted(lines, delimiter) if delimiter != "\t" else _tabbed([pair for pair in lines if pair[1].strip()])
    if not records:
        return []
    place, header = records[0][0], [name.strip() for name in records[0][1]]
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise ValueError(f"{place}: the column {repeated[0]!r} stands twice in the header; rename one")
    for place, record in records[1:]:
        if len(record) != len(header):
            raise ValueError(f"{place}: {len(record)} fields, the header has {len(header)}; correct the line")
    rows = ((place, zip(header, record, strict=True)) for place, record in records[1:])
    return [(place, {name: cell for name, cell in row if name or cell}) for place, row in rows]


def _delimiter(header: str) -> str:
    return next((sign for sign in (",", ";", "\t") if sign in header), ",")


def _tabbed(lines: list[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Fields of tab-separated lines; quotes belong to the text unless all lines parse as quoted fields.

    Raises ValueError if a line has a stray quote and other lines are clearly quoted by a CSV writer.
    """
    records, strays = [], []
    for place, line in lines:
        try:
            records.append((place, next(csv.reader([line], delimiter="\t", strict=True))))
        except csv.Error:
            strays.append(place)
    if strays and any(_is_written_as_csv(line) for _, line in lines):
        raise ValueError(
            f"{strays[0]}: a stray quote, where other lines are quoted as CSV is; double it and quote the field"
        )
    return [(place, line.split("\t")) for place, line in lines] if strays else records


def _is_written_as_csv(line: str) -> bool:
    """Whether a line is quoted as by a CSV writer: every field, or every field with a quote or a tab."""
    try:
        fields = next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        return False
    quoted = ['"' + field.replace('"', '""') + '"' for field in fields]
    where_needed = [one if {'"', "\t"} & {*field} else field for one, field in zip(quoted, fields, strict=True)]
    return '"' in line and line in ("\t".join(quoted), "\t".join(where_needed))


def _quoted(lines: list[tuple[str, str]], delimiter: str) -> list[tuple[str, list[str]]]:
    """Fields of lines separated by `delimiter`; quoted fields may contain line ends."""
    reader = csv.reader((f"{line}\n" for _, line in lines), delimiter=delimiter, strict=True)
    records, at = [], 0
    try:
        for record in reader:
            if record:
                records.append((lines[at][0], record))
            at = reader.line_num
    except csv.Error as error:
        what = "close its quotes, or shorten the field" if "field larger" in str(error) else "correct the quotes"
        raise ValueError(f"{lines[at][0]}: {error} in the record that begins here; {what}") from error
    return records
