"""Convert rows of tables to utterances, and identify large files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from megatron_speech.audio.sources.layouts import find_columns
from megatron_speech.audio.sources.listed import ListedUtterance
from megatron_speech.audio.sources.tables import Row, read_rows
from megatron_speech.config.stages.import_speech import ImportSpeechConfig


def read_tables(tables: Sequence[Path]) -> dict[Path, list[Row]]:
    """Rows of every table; raises ValueError for a table without rows."""
    rows = {table: read_rows(table) for table in tables}
    empty = [table for table in tables if not rows[table]]
    if empty:
        raise ValueError(f"{empty[0]}: holds no row; correct the path, or leave it out")
    return rows


def utterances_of_rows(
    rows: dict[Path, list[Row]], config: ImportSpeechConfig, *, first: int = 0
) -> list[ListedUtterance]:
    """Utterances of all rows; rows without an id are numbered from `first`."""
    found: list[ListedUtterance] = []
    for table in rows:
        columns = find_columns(columns_of({table: rows[table]}), config, table=table)
        for place, row in rows[table]:
            found.append(columns.listed(row, place=place, name=f"{first + len(found):09d}"))
    return found


def glances(paths: Iterable[Path]) -> dict[str, str]:
    """Identities of large files by size and time, because checksums would read terabytes twice."""
    return {str(path): f"{path.stat().st_size} bytes at {path.stat().st_mtime_ns}" for path in paths}


def columns_of(rows: dict[Path, list[Row]]) -> list[str]:
    """Columns of all rows, in order of first occurrence."""
    return list(dict.fromkeys(key for table in rows for _, row in rows[table] for key in row))
