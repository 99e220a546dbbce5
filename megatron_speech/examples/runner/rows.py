"""Options and settings of examples that compare rows of a table."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import yaml

from megatron_speech.config.parsing.config_files import EXAMPLES


def rows_option(parser: ArgumentParser, example: str) -> None:
    """Add --rows."""
    parser.add_argument(
        "--rows", default="", metavar="NAMES", help=f'rows of the table, such as "{example}" (default: all)'
    )


def read_rows(table: str, names: str) -> dict[str, Any]:
    """Rows of the example file `table` by name: those in `names`, in that order, or all if it is empty.

    Raises ValueError for an unknown name.
    """
    path = EXAMPLES / f"{table}.yaml"
    rows = yaml.safe_load(path.read_text())["rows"]
    for name in names.split():
        if name not in rows:
            raise ValueError(f"{name} is no row of {path.name}; name one of {', '.join(rows)}")
    return {name: rows[name] for name in names.split() or rows}


def reading(example: str) -> dict[str, object]:
    """The setting `reading`, which adds a person's commentary to the report; empty if there is none."""
    path = EXAMPLES / example / "report" / "reading.md"
    return {"reading": path} if path.is_file() else {}
