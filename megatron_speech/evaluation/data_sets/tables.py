"""Rows of the tables in a data set: CSV, TSV, JSON lines and Parquet, with the recordings that they hold or name."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from megatron_speech.audio.sources.parquet import parquet_rows
from megatron_speech.audio.sources.tables import read_rows
from megatron_speech.evaluation.data_sets.items import Passage, spoken

TABLES = (".parquet", ".jsonl", ".csv", ".tsv")


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row of a table."""

    table: Path
    place: str
    """Table and line, for error messages."""
    number: int
    """Place of the row in its table, or among all parts of it, from 0."""
    cells: dict[str, Any]

    def cell(self, *names: str) -> Any:
        """The cell of the first of `names` that is a column; None if it is empty. ValueError names the columns."""
        name = next((name for name in names if name in self.cells), None)
        if name is None:
            columns = ", ".join(self.cells)
            raise ValueError(f"{self.place}: no column {' or '.join(names)} among {columns}; correct the layout")
        return self.cells[name]

    def text(self, *names: str) -> str:
        """Like `cell`, for a text that may not be empty."""
        value = self.cell(*names)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{self.place}: {names[0]}={value!r:.60} must be a text; correct the row")
        return value

    def has(self, *names: str) -> bool:
        """Whether one of `names` is a column."""
        return any(name in self.cells for name in names)

    def answers(self, *names: str) -> tuple[str, ...]:
        """Accepted answers of a cell: a list, a list as Python or numpy prints it, or one answer."""
        value = self.cell(*names)
        listed = value if isinstance(value, list) else _printed_list(value) if isinstance(value, str) else [value]
        return tuple(dict.fromkeys(str(each).strip() for each in listed if each is not None and str(each).strip()))

    def passage(self, audio: Sequence[str], text: str | None, *folders: str) -> Passage:
        """Passage of the recording in the first column of `audio`; a path is looked for in `folders` beside the table.

        Recordings are bytes, a path, or an object with one of both.
        """
        cell = self.cell(*audio)
        path, data = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (cell, cell)
        if isinstance(data, bytes):
            return spoken(data, text)
        if path is not None and not isinstance(path, str):
            raise ValueError(f"{self.place}: {audio[0]}={path!r:.60} must be a path or a recording; correct the row")
        places = [self.table.parent / folder / path for folder in folders or [""]] if path else []
        return spoken(next((place for place in places if place.is_file()), None), text)

    def notes(self, *used: str) -> dict[str, Any]:
        """Cells that are neither `used` nor recordings."""
        kept = {name: cell for name, cell in self.cells.items() if name not in used}
        return {name: cell for name, cell in kept.items() if not _has_bytes(cell)}


def table_rows(table: Path) -> Iterator[TableRow]:
    """Rows of the file `table`."""
    if table.suffix == ".parquet":
        rows: Iterator[tuple[str, dict[str, Any]]] = parquet_rows(table)
    else:
        rows = iter(read_rows(table))
    for number, (place, cells) in enumerate(rows):
        yield TableRow(table=table, place=place, number=number, cells=cells)


def numbered_rows(tables: Sequence[Path], folder: Path) -> Iterator[tuple[str, TableRow]]:
    """Name of the table and row of every row, with numbers that run through all parts of a table."""
    rows: Counter[str] = Counter()
    for table in tables:
        name = name_of_table(table, folder)
        for row in table_rows(table):
            yield name, replace(row, number=rows[name])
            rows[name] += 1


def tables_below(folder: Path) -> list[Path]:
    """All tables in `folder` and below it, or `folder` itself if it is a table, by name."""
    if folder.is_file():
        return [folder]
    files = (path for path in folder.rglob("*") if path.suffix in TABLES and not path.name.startswith("."))
    return sorted(path for path in files if path.is_file())


def name_of_table(table: Path, folder: Path) -> str:
    """Name of a table within its data set, without the numbers of its part: ``sd-qa/usa``."""
    inner = table.relative_to(folder).with_suffix("") if folder.is_dir() else Path(table.stem)
    stem = inner.name.split("-0000")[0]
    return str(inner.with_name(stem))


def _printed_list(value: str) -> list[Any]:
    """Entries of a printed list: ``["a", "b"]``, or ``['a' 'b']`` as numpy prints it; other text is one entry."""
    if not (value.startswith("[") and value.rstrip().endswith("]")):
        return [value]
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(value.replace("\n", " ")).readline))
    except (tokenize.TokenError, SyntaxError):
        return [value]
    strings = [token.string for token in tokens if token.type == tokenize.STRING]
    return [ast.literal_eval(each) for each in strings] if strings or not value.strip(" []\n") else [value]


def _has_bytes(cell: Any) -> bool:
    return isinstance(cell, bytes) or (
        isinstance(cell, dict) and any(isinstance(each, bytes) for each in cell.values())
    )
