"""The rule on how much of its input a stage may leave out: a small share, counted by reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

LEAST_JUDGED = 1000
"""Minimum number of items before their share left out can stop the work."""


def require_few(reasons: Mapping[str, int], total: int, share: float, *, what: str, first: str, remedy: str) -> None:
    """Raise ValueError if more than one item, and more than `share` of `total` items, are left out.

    Args:
        reasons: numbers of items left out, by reason.
        what: name of the items, for the error.
        first: fault of the first item, for the error.
        remedy: remedy beside a larger share, for the error.
    """
    left_out = sum(reasons.values())
    if left_out > max(1, share * total):
        raise ValueError(
            f"{left_out} of {total} {what} are unusable ({show(reasons)}), more than max_quarantined_share={share:g}; "
            f"the first: {first}; {remedy} or raise the share"
        )


def show(reasons: Mapping[str, int]) -> str:
    """Format counts by reason, such as "silent 3, not audio 1"; "none" without any."""
    ordered = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered) or "none"


def is_companion(name: str) -> bool:
    """Whether the path `name` is a file that macOS adds beside a user's files."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith("._") or part == ".DS_Store" for part in parts)
