"""Range checks on numeric settings, which refuse a bad value by key before it can overflow somewhere else."""

from __future__ import annotations

MAX_SEED = 2**32 - 1
"""Largest seed that every random generator accepts, even multiplied by the million that separates steps."""


def require_bounds(key: str, value: float | None, least: float, most: float, remedy: str) -> None:
    """Raise ValueError unless `value` is None or lies in `least` to `most`; NaN is always refused."""
    if value is not None and not least <= value <= most:
        raise ValueError(f"{key}={value} must lie in {_shown(least)} to {_shown(most)}; {remedy}")


def _shown(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
