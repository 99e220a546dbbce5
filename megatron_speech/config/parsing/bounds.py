"""Numbers within bounds: what no run can mean is refused by key, value and rule, and not where it overflows."""

from __future__ import annotations

MAX_SEED = 2**32 - 1
"""What every generator takes, also times the million by which steps are told apart."""


def require_bounds(key: str, value: float | None, least: float, most: float, remedy: str) -> None:
    """ValueError unless `value` is None or lies in `least` to `most`; NaN lies nowhere."""
    if value is not None and not least <= value <= most:
        raise ValueError(f"{key}={value} must lie in {_shown(least)} to {_shown(most)}; {remedy}")


def _shown(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
