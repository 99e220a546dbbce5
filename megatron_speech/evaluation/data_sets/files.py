"""Files of a data set on disk."""

from __future__ import annotations

from pathlib import Path


def visible_files(folder: Path, pattern: str) -> list[Path]:
    """What matches `pattern` below `folder`, by name; not the hidden twins of files that archives of a Mac bring."""
    return sorted(path for path in folder.rglob(pattern) if not path.name.startswith("."))
