"""Finds what a mistyped path may have meant: the nearest name beside the first part that does not exist."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

_MOST_NAMES = 10_000
"""Names of a folder that are compared; more would take seconds."""


def did_you_mean(path: Path, *, folder: bool = False) -> str:
    """Advice about a path where nothing is, or nothing of use: the nearest one where something is, or to correct it."""
    near = None if os.path.lexists(path) else _nearest(path, folder)
    return f"did you mean '{near}'?" if near else "correct the path"


def _nearest(path: Path, folder: bool) -> Path | None:
    """The path with its first missing part replaced by the most similar name there; None if nothing is similar."""
    parent = next(each for each in (*path.parents, Path()) if each.is_dir())
    missing, *rest = path.relative_to(parent).parts or [""]
    with os.scandir(parent) as entries:
        names = [each.name for each in islice(entries, _MOST_NAMES) if not (folder or rest) or Path(each.path).is_dir()]
    near = _similar(missing, names)
    found = parent.joinpath(*near, *rest)
    return found if near and found.exists() else None


def _similar(name: str, names: Sequence[str]) -> list[str]:
    """The most similar of `names`, or none. Of names with another ending, those alone that else are the same."""
    stem, dot, ending = name.partition(".")
    parts = {each: each.partition(".") for each in names}
    same = {part[0]: each for each, part in parts.items() if part[1:] == (dot, ending)}
    near = [same[each] for each in difflib.get_close_matches(stem, same, n=1)]
    return near or difflib.get_close_matches(name, [each for each in names if parts[each][0] == stem], n=1, cutoff=0)
