"""Detect columns that may tell the part or the channel of a recording, but have no certain meaning or unit.

No list of names can be complete, so the patterns are wide; after a false alarm the user lists the column under
`metadata`. `wholes` finds what names do not show, by comparing the recordings of rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from megatron_speech.audio.sources.listed import RowError
from megatron_speech.audio.sources.times import UNITS, in_words, letter_channel

_EDGES = {
    *(
        "start",
        "starts",
        "begin",
        "begins",
        "beginning",
        "beg",
        "onset",
        "onsets",
        "offset",
        "offsets",
        "stop",
        "stops",
    ),
    *("end", "ends", "ending", "tbeg", "tend", "tstart", "tmin", "tmax", "xmin", "xmax", "starttime", "endtime"),
    *("startat", "endat", "début", "debut", "fin", "inicio", "início", "fim", "inizio", "fine", "anfang", "ende"),
    *("начало", "конец", "开始", "结束", "開始", "終了", "結束"),
}
"""Words in a column's name that mean a start or an end (an edge)."""
_OF_OTHER_THINGS = {
    *(
        "date",
        "day",
        "month",
        "year",
        "reason",
        "punct",
        "punctuation",
        "token",
        "tokens",
        "char",
        "chars",
        "character",
    ),
    *(
        "age",
        "pitch",
        "freq",
        "frequency",
        "hz",
        "db",
        "lang",
        "language",
        "page",
        "line",
        "id",
        "ids",
        "name",
        "source",
        "words",
        "symbol",
    ),
}
"""Words that show that a name means the edge of something else."""
_FIRSTS = {
    *("in", "first", "from", "st", "stime", "s", "lo", "low", "lower", "left", "pos", "position", "seek", "skip"),
    *("t1", "ts1", "min", "t", "time", "at"),
}
_SECONDS = {
    *("out", "last", "to", "et", "ed", "etime", "e", "hi", "high", "upper", "right", "len", "length", "dur", "take"),
    *("t2", "ts2", "max", "until", "till"),
}
"""Words that mean an edge only in a pair of columns, with one of _FIRSTS and one of _SECONDS."""
_NEUTRAL = {
    *("time", "times", "ts", "timestamp", "point", "pos", "position", "idx", "index", "in", "at", "us", "ns", *UNITS),
    *("sample", "samples", "frame", "frames", "audio", "clip", "cut", "seg", "segment", "utt", "utterance", "chunk"),
    *(
        "t",
        "cue",
        "mark",
        "marker",
        "subtitle",
        "speech",
        "vad",
        "part",
        "slice",
        "window",
        "region",
        "file",
        "wav",
        "recording",
    ),
}
"""Words that names of such a pair may contain besides."""
_ALONE = re.compile(
    r"(?:from|to)(?:_\w+)?|time_?(?:from|to)|t_?(?:beg|0|1)|timestamp|timecode|segment"
    r"|(?:start|begin|end|stop)(?:pos|ts|sample|frame|idx|index|ms|secs?|seconds?|point|mark)s?"
)
_RANGE = re.compile(
    r"(?:\w+_)?(?:times?|timestamps?|timecodes?|timings?|timespans?|intervals?|ranges?|spans?|segments?|segs?|bounds?"
    r"|boundary|boundaries|slices?|windows?|regions?|parts?|clips?|cuts?|chunks?|edges?|limits?)(?:_\w{1,7})?"
)
_LENGTH = re.compile(r"(?:\w+_)?(?:dur|duration|length|len)(?:_\w+)?|(?:n|nr|num|number_of)_?(?:frames|samples)")
_CHANNEL = re.compile(
    r"(?:audio_|speaker_|rec_|recording_|mic_)?(?:ch|chan|channel|side|track)"
    r"(?:_?(?:id|no|nr|num|number|idx|index|selector|name|label))?|channel_\w+|mic|microphone"
)
_SIDE = re.compile(
    r"[a-z]|(?:ch|chan|channel|spk|speaker|track|mic|side|c)?[ _-]?\d+(?:[ ,;/+_-]+\d+)*|agent|customer|client|caller"
    r"|callee|operator|advisor|user|rep|representative|inbound|outbound|incoming|outgoing|in|out|rx|tx|near|far|local"
    r"|remote|both|all|doctor|patient|host|guest|interviewer|interviewee|left|right|front|rear|center|centre|mid|top"
    r"|bottom|first|second|upper|lower|human|bot|assistant|system|teacher|student|self|other"
)
_TIME = (
    r"[-+]?\d[\d:.,]*(?:[eE][-+]?\d+)?\s*(?:[µun]?s|ms|secs?|seconds?|msecs?|milliseconds?|m|min|h|samples?|frames?)?"
)
_NUMBER = re.compile(rf"{_TIME}|P(?:\d+D)?T[\d.,HMS]+|1970-01-01[ T].*")
_TWO_TIMES = re.compile(rf"[\[(]?\s*{_TIME}\s*(?:-->|->|–|—|\.\.+|to|[-,;/|_~ ])\s*{_TIME}\s*[\])]?")


def require_clear(row: Mapping[str, Any], *, open_end: bool) -> None:
    """Raise RowError if a column of `row` may tell the part or the channel.

    Args:
        open_end: the start of the part is known but not its end, so a column may also tell its length.
    """
    flat = list(_flat(row))
    numbers = {name: column for column, name, value in flat if _is_time(value)}
    for column, name, value in flat:
        if _CHANNEL.fullmatch(name):
            if _is_side(value) and not (name.endswith("_id") and isinstance(value, str) and len(value) > 2):
                raise _unclear(
                    "which channel", column, row, f"columns: {{channel: {column}}} (a number from 0, or A and B)"
                )
        elif (
            (_is_edge(name) and _holds_time(value))
            or (name in numbers and (_in_a_pair(name, numbers) or (open_end and _LENGTH.fullmatch(name))))
            or (_is_range_name(name) and _is_range(value))
        ):
            raise _unclear("which part of the recording", column, row, _mapping(column, row[column]))


def side_of(row: Mapping[str, Any]) -> str | None:
    """First cell (as ``column=value``) of a channel column that does not name a known channel, or None."""
    cells = (
        cell for cell in _flat(row) if _CHANNEL.fullmatch(cell[1]) and isinstance(cell[2], str) and cell[2].strip()
    )
    return next((f"{column}={value!r:.60}" for column, _, value in cells if letter_channel(value) is None), None)


def _unclear(what: str, column: str, row: Mapping[str, Any], remedy: str) -> RowError:
    return RowError(
        f"{column}={row[column]!r:.60} may say {what} this is, but its unit is not certain; map it, as in {remedy}, "
        "or list it under metadata if it means something else or the recording is already cut"
    )


def _mapping(column: str, value: Any) -> str:
    if isinstance(value, int | float):
        return f"columns: {{start: {column}}} for seconds (or end, duration, start_ms, end_ms, duration_ms)"
    return "columns of numbers called start_s and end_s (or start_ms and end_ms)"


def _flat(row: Mapping[str, Any], column: str = "", prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Column, name in words and value of each cell, and of each key in cells that are objects."""
    for key, value in row.items():
        name = f"{prefix}_{in_words(key)}".strip("_")
        yield column or key, name, value
        if isinstance(value, dict):
            yield from _flat({str(inner): item for inner, item in value.items()}, column or key, name)


@lru_cache(maxsize=4096)
def _is_edge(name: str) -> bool:
    words = set(name.split("_"))
    return bool(_ALONE.fullmatch(name) or (words & _EDGES and not words & _OF_OTHER_THINGS))


@lru_cache(maxsize=4096)
def _is_range_name(name: str) -> bool:
    return bool(_RANGE.fullmatch(name)) and not {*name.split("_")} & _OF_OTHER_THINGS


def _in_a_pair(name: str, numbers: Mapping[str, str]) -> bool:
    words = name.split("_")
    for place, word in enumerate(words):
        others = _SECONDS if word in _FIRSTS else ()
        rest = words[:place] + words[place + 1 :]
        if all(one in _NEUTRAL for one in rest) and any(
            "_".join([*words[:place], other, *words[place + 1 :]]) in numbers for other in others
        ):
            return True
    return False


def _is_side(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_side, value))
    return bool(_SIDE.fullmatch(value.strip().lower())) if isinstance(value, str) else _is_time(value)


def _is_time(value: Any) -> bool:
    """Whether a cell is a number or the text of a time."""
    if isinstance(value, str):
        return bool(_NUMBER.fullmatch(value.strip()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _holds_time(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_time, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_time, value))
    return _is_time(value) or _is_range(value)


def _is_range(value: Any) -> bool:
    """Whether a cell holds two times, as a list, an object or text."""
    if isinstance(value, dict):
        return sum(map(_holds_time, value.values())) > 1
    if isinstance(value, list | tuple):
        return sum(map(_is_time, value)) > 1 or any(map(_is_range, value))
    return isinstance(value, str) and bool(_TWO_TIMES.fullmatch(value.strip(" []()")))
