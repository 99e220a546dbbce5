"""Where the type checker is told to look away: in the package alone, which it checks, and with a reason."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "# type:" + " ignore"  # in two parts, so that this file has none
WITH_REASON = re.compile(rf"  {MARK}\[[a-z-]+(,[a-z-]+)*\]  # \w+ \w+")


def marked(*folders: str) -> list[str]:
    """Lines of Python files in `folders` that hold the mark."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [f"{path}: {line}" for path in paths for line in path.read_text().splitlines() if MARK in line]


def test_every_ignored_type_has_a_reason() -> None:
    found = marked("megatron_speech")
    assert found and [line for line in found if not WITH_REASON.search(line)] == []


def test_files_that_are_not_checked_ignore_nothing() -> None:
    assert marked("tests", "tools", "examples", "slurm") == []
