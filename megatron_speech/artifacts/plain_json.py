"""Writes strict JSON: NaN and infinities are refused, with the key of the value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, **options: Any) -> str:
    """`json.dumps` with its `options`; ValueError names the first number that is not finite."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError as error:
        if not str(error).startswith("Out of range"):
            raise
        place = not_finite(value, "")
        raise ValueError(f"{place}, which is no finite number and no JSON; nothing was written") from error


def not_finite(value: Any, key: str = "") -> str | None:
    """First number that is not finite, as ``key=value``, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{key or 'value'}={value}"
    entries: Any = ()
    if isinstance(value, Mapping):
        entries = ((f"{key}.{name}" if key else str(name), each) for name, each in value.items())
    elif isinstance(value, list | tuple):
        entries = ((f"{key}[{index}]", each) for index, each in enumerate(value))
    return next((found for name, each in entries if (found := not_finite(each, name))), None)


def first_difference(old: Any, new: Any, key: str = "") -> str:
    """First difference of two unequal JSON values, as ``key: old -> new``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                return first_difference(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    return f"{key or 'value'}: {str(old)[:60]} -> {str(new)[:60]}"
