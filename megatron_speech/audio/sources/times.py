"""Columns that say which part of a recording an utterance is: where their unit is certain, and where it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from megatron_speech.audio.sources.source import RowError

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1000.0),
}
_KINDS = {
    **dict.fromkeys(("offset", "start", "begin", "onset", "from"), "start"),
    **dict.fromkeys(("end", "stop", "to"), "end"),
    **dict.fromkeys(("duration", "dur", "length", "len"), "duration"),
}
_CLEAR = re.compile(
    rf"(?:(?:audio|segment|seg|clip|chunk|utt|utterance)_)?({'|'.join(_KINDS)})(?:_?time)?_({'|'.join(_UNITS)})"
)
_UNCLEAR = re.compile(
    r"(?!source_)(?:\w+_)?(?:offset|start|begin|end|stop|onset)(?:_?(?:time|at|frames?|samples?|pos|position|idx|index"
    rf"|us|ns|{'|'.join(_UNITS)}))*|(?:start|begin|end|stop)_offset|(?:from|to)(?:_\w+)?|time_?(?:from|to)"
    r"|t_?(?:start|end|min|max|beg|0|1)|x(?:min|max)|timestamp|timecode|segment|ch|channel(?:_\w+)?"
)
_LENGTH = re.compile(r"(?:\w+_)?(?:dur|duration|length|len)(?:_\w+)?|(?:n|nr|num|number_of)_?(?:frames|samples)")
_NUMBER = re.compile(r"[-+]?\d[\d:.,]*(?:[eE][-+]?\d+)?")
_LETTERS = {"a": 0, "b": 1, "l": 0, "r": 1, "left": 0, "right": 1}
_SLACK_S = 0.02


def times_of(found: Iterable[str], *, place: str) -> dict[str, tuple[str, float]]:
    """Of "start", "end" and "duration": the column and its units per second, where its name makes that certain.

    These are `offset` and `duration` (seconds), and names that end in the unit, as in `start_s` or `end_ms`.
    ValueError where two columns say the same.
    """
    times: dict[str, tuple[str, float]] = {}
    for column in found:
        match = _CLEAR.fullmatch(_in_words(column))
        if match:
            kind, unit = _KINDS[match[1]], _UNITS[match[2]]
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


def unclear_part(row: Mapping[str, Any], *, open_end: bool) -> str | None:
    """A column of `row` that seems to say which part of the recording it is, or, with `open_end`, how long the part is;
    None where none does."""
    return next((key for key, value in row.items() if _is_suspect(key, open_end) and _is_number(value)), None)


@lru_cache(maxsize=4096)
def _is_suspect(column: str, open_end: bool) -> bool:
    words = _in_words(column)
    return bool(_UNCLEAR.fullmatch(words) or (open_end and _LENGTH.fullmatch(words)))


def seconds(value: Any, per_second: float, name: str) -> float | None:
    """A cell as seconds; None where it is empty, RowError where it is no number."""
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RowError(f"{name}={value!r:.60} must be a number")
    return number / per_second


def part_of(*, start: float | None = None, end: float | None = None, duration: float | None = None) -> dict[str, Any]:
    """The fields of a `Source` that say which part of the recording it is.

    A duration without a start is what the whole recording lasts.
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
    """The channel, from 0, that a letter or a side names; None for anything else."""
    return _LETTERS.get(value.strip().lower()) if isinstance(value, str) else None


def _in_words(column: str) -> str:
    """ "startTime (ms)" as "start_time_ms"."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()).strip("_")


def _is_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_number, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_number, value))
    if isinstance(value, str):
        return bool(_NUMBER.fullmatch(value.strip()))
    return isinstance(value, int | float) and not isinstance(value, bool)
