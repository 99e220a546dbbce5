"""Appends to logs of JSON lines, and cuts them back when a run resumes.

Damage in a log must not stop a run. An incomplete last line, which a kill leaves, is removed without a warning. Other
lines that are not records are damaged: they move to ``<name>.damaged.jsonl``, and one warning lists their numbers.
Records after them stay.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.plain_json import to_json

logger = logging.getLogger(__name__)

Record = dict[str, Any]
_NAMED = 9
"""Maximum number of line numbers in a warning."""


def append_records(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Append one line per record; ValueError, before any is written, if a number is not finite."""
    lines = [to_json(record) + "\n" for record in records]
    with path.open("a") as file:
        file.writelines(lines)


def cut_log(
    path: Path,
    *,
    is_record: Callable[[Record], bool],
    stays: Callable[[Record], bool],
    rising: str | None = None,
) -> list[Record]:
    """Keep the records of a log that `stays` accepts, move damaged lines away, and return the kept records.

    A line that repeats the one before it is removed without a warning. A missing file gives [].

    Args:
        is_record: whether a JSON object is a record of this log.
        rising: key of a number that grows from line to line. A line out of this order counts as damaged.

    Raises:
        ValueError: `path` is neither a file nor free.
    """
    if not path.is_file():
        _require_free(path)
        return []
    # Find the records.
    content = path.read_bytes()
    lines = content.split(b"\n")
    found = {number: record for number, line in enumerate(lines) if (record := _parsed(line)) and is_record(record)}
    repeated = {number for number in found if rising and number and lines[number] == lines[number - 1]}
    found = {number: record for number, record in found.items() if number not in repeated}
    for number in _misplaced({number: record[rising] for number, record in found.items()} if rising else {}):
        del found[number]
    # Move damaged lines away, except what a kill leaves.
    last = len(lines) - 1
    damaged = [number for number in range(len(lines)) if number not in found and number not in repeated]
    if last in damaged and _is_cut_short(lines[last]):
        damaged.pop()
    if damaged:
        _set_aside(path, [(number + 1, lines[number]) for number in damaged])
    # Rewrite the log with the records that stay.
    kept = {number: record for number, record in found.items() if stays(record)}
    rewritten = b"".join(lines[number] + b"\n" for number in kept)
    if rewritten != content:
        write_atomic(path, rewritten.decode())
    return list(kept.values())


def _require_free(path: Path) -> None:
    if path.is_symlink():
        raise ValueError(f"{path} is a link to {path.readlink()}, where no file is; mend the link, or remove it")
    if path.exists():
        raise ValueError(f"{path} is no file, and this log is written there; move it away")


def _misplaced(values: Mapping[int, float]) -> list[int]:
    """Keys of values outside the interval between their neighbours, if the neighbours are in order."""
    found, before = [], -math.inf
    for (key, value), (_, behind) in pairwise([*values.items(), (0, math.inf)]):
        if before < behind and not before < value < behind:
            found.append(key)
        else:
            before = value
    return found


def _parsed(line: bytes) -> Record | None:
    """The JSON object of a line; None for anything else."""
    try:
        value = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _is_cut_short(line: bytes) -> bool:
    """Whether an unterminated last line looks cut by a kill: empty, or the printable beginning of an object."""
    return not line or (line.startswith(b"{") and line.isascii() and line.decode().isprintable())


def _set_aside(path: Path, damaged: Sequence[tuple[int, bytes]]) -> None:
    beside = path.with_name(f"{path.stem}.damaged{path.suffix}")
    with beside.open("ab") as file:
        file.writelines(line + b"\n" for _, line in damaged)
        file.flush()
        os.fsync(file.fileno())
    numbers = [str(number) for number, _ in damaged]
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    logger.warning(
        "%s: %s %s%s no record of this log: moved to %s, the others are kept",
        path,
        "line" if len(numbers) == 1 else "lines",
        ", ".join(numbers[:_NAMED]),
        more + (" is" if len(numbers) == 1 else " are"),
        beside.name,
    )
