"""Options and settings of examples that compare rows of a table."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml


def rows_option(parser: ArgumentParser, example: str) -> None:
    """Add --rows."""
    parser.add_argument(
        "--rows", default="", metavar="NAMES", help=f'rows of the table, such as "{example}" (default: all)'
    )


def read_rows(table: Path, names: str) -> dict[str, Any]:
    """Rows of the file `table` by name: those in `names`, in that order, or all if it is empty.

    Raises ValueError for an unknown name.
    """
    rows = yaml.safe_load(table.read_text())["rows"]
    for name in names.split():
        if name not in rows:
            raise ValueError(f"{name} is no row of {table.name}; name one of {', '.join(rows)}")
    return {name: rows[name] for name in names.split() or rows}


def reading(folder: Path) -> dict[str, object]:
    """The setting `reading`, which adds a person's commentary to the report; empty if there is none."""
    path = folder / "report" / "reading.md"
    return {"reading": path} if path.is_file() else {}
