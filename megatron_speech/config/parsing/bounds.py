"""Range checks on numeric settings, which refuse a bad value by key before it can overflow somewhere else."""

from __future__ import annotations

import re
from pathlib import Path

MAX_SEED = 2**32 - 1
"""Largest seed that every random generator accepts, even multiplied by the million that separates steps."""


def require_bounds(key: str, value: float | None, least: float, most: float, remedy: str) -> None:
    """Raise ValueError unless `value` is None or lies in `least` to `most`; NaN is always refused."""
    if value is not None and not least <= value <= most:
        raise ValueError(f"{key}={value} must lie in {_shown(least)} to {_shown(most)}; {remedy}")


def require_device(key: str, value: str) -> None:
    """Raise ValueError unless `value` names a device: auto, cpu, cuda or cuda:<number>."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError(f"{key}={value!r} is unknown; use auto, cpu, cuda or cuda:<number>")


def require_sound_file(key: str, path: Path | None) -> None:
    """Raise ValueError if `path` is given and ends neither in .wav nor in .flac."""
    if path is not None and path.suffix.lower() not in (".wav", ".flac"):
        raise ValueError(f"{key}={path}: audio is written as .wav or .flac; choose one of these endings")


def _shown(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
