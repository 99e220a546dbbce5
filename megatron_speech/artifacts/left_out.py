"""The one rule for what a stage may leave out of its input: a small share, counted by reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

LEAST_JUDGED = 1000
"""Items that are read before the share of those left out can stop the work."""


def require_few(reasons: Mapping[str, int], total: int, share: float, *, what: str, first: str, remedy: str) -> None:
    """ValueError where more than `share` of `total` items (and more than one) are left out.

    Args:
        reasons: numbers of items left out, by reason.
        what: name of the items.
        first: what is wrong with the first.
        remedy: what to do about them, beside raising the share.
    """
    left_out = sum(reasons.values())
    if left_out > max(1, share * total):
        raise ValueError(
            f"{left_out} of {total} {what} are unusable ({show(reasons)}), more than max_quarantined_share={share:g}; "
            f"the first: {first}; {remedy} or raise the share"
        )


def show(reasons: Mapping[str, int]) -> str:
    """ "silent 3, not audio 1", or "none"."""
    ordered = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered) or "none"


def is_companion(name: str) -> bool:
    """Whether the file called `name`, with its folders, is one that macOS writes beside a user's files."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith("._") or part == ".DS_Store" for part in parts)
