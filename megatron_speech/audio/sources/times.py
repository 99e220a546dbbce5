"""Columns of start, end and duration that name their unit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from megatron_speech.audio.sources.listed import RowError

UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1000.0),
}
_KINDS = {
    **dict.fromkeys(("offset", "start", "begin", "onset", "from"), "start"),
    **dict.fromkeys(("end", "stop", "to"), "end"),
    **dict.fromkeys(("duration", "dur", "length", "len"), "duration"),
}
_CLEAR = re.compile(
    rf"(?:(?:audio|segment|seg|clip|chunk|utt|utterance)_)?({'|'.join(_KINDS)})(?:_?time)?(?:_in)?_({'|'.join(UNITS)})"
)
_LETTERS = {"a": 0, "b": 1, "l": 0, "r": 1, "left": 0, "right": 1}
_SLACK_S = 0.02


def times_of(found: Iterable[str], *, place: str) -> dict[str, tuple[str, float]]:
    """Column and units per second of "start", "end" and "duration", for columns with a certain unit.

    These are `offset` and `duration` (seconds), and names that end in the unit, such as `start_s` or `end_ms`.
    Raises ValueError if two columns have the same meaning.
    """
    times: dict[str, tuple[str, float]] = {}
    for column in found:
        match = _CLEAR.fullmatch(in_words(column))
        if match:
            kind, unit = _KINDS[match[1]], UNITS[match[2]]
        elif column in ("offset", "duration"):
            kind, unit = _KINDS[column], 1.0
        else:
            continue
        if kind in times:
            raise ValueError(
                f"{place}: columns {times[kind][0]} and {column} both say the {kind}; list one of them under metadata"
            )
        times[kind] = (column, unit)
    return times


def seconds(value: Any, per_second: float, name: str) -> float | None:
    """A cell in seconds; None if it is empty. Raises RowError if it is not a finite number."""
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RowError(f"{name}={str(value)!r:.60} must be a number")
    return number / per_second


def part_of(*, start: float | None = None, end: float | None = None, duration: float | None = None) -> dict[str, Any]:
    """Fields of a `ListedUtterance` that describe its part of the recording.

    A duration without start and end is the length of the whole recording.
    """
    if start is None and end is None:
        return {"whole_duration_s": duration}
    start = start or 0.0
    length = duration if end is None else end - start
    if start < 0 or (length is not None and length <= 0):
        return {"defect": ("segment", f"the part from {start:g} s, {length} s long, cannot be; correct the row")}
    if end is not None and duration is not None and abs(start + duration - end) > _SLACK_S:
        why = f"start {start:g} s, end {end:g} s and duration {duration:g} s disagree; correct the row"
        return {"defect": ("segment", why)}
    return {"start_s": start, "duration_s": length}


def letter_channel(value: Any) -> int | None:
    """Channel (from 0) named by A, B, L, R, left or right; None for anything else."""
    return _LETTERS.get(value.strip().lower()) if isinstance(value, str) else None


def in_words(column: str) -> str:
    """Name of a column in lower-case words: "startTime (ms)" becomes "start_time_ms"."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()).strip("_")
