"""Examples that compare rows of a table: which rows, and what was read out of them."""

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
    """The named rows of the table, in the order of the names; all rows where none is named."""
    rows = yaml.safe_load(table.read_text())["rows"]
    for name in names.split():
        if name not in rows:
            raise ValueError(f"{name} is no row of {table.name}; name one of {', '.join(rows)}")
    return {name: rows[name] for name in names.split() or rows}


def reading(folder: Path) -> dict[str, object]:
    """The setting that adds to the report what a person read out of it, where there is such a text."""
    path = folder / "report" / "reading.md"
    return {"reading": path} if path.is_file() else {}
