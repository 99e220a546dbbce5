"""Finds document ids that repeat among billions of documents, in bounded memory.

A task logs 24 bytes per document, sorted: a 128-bit hash of the id, and the id's place. Joining compares the logs of
all tasks, one range of hashes at a time. Limitation: a repeated id is found only after the tasks, not while reading.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

FILE = "ids.npy"
LINE_BITS = 40
"""Low bits of a place that hold the line number; the file's index is above them."""
Place = tuple[int, int, int]
"""(folder number, file index, line)."""
RANGE_IDS = 1 << 24
"""Number of ids compared at once: 400 MB."""


class IdLog:
    """Collects the ids of one task."""

    def __init__(self) -> None:
        self._rows = array("Q")

    def add(self, key: str, *, file: int, line: int) -> None:
        """Add an id and its place."""
        value = xxhash.xxh3_128_intdigest(key.encode())
        self._rows.extend((value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF, file << LINE_BITS | line))

    @property
    def count(self) -> int:
        """Number of ids."""
        return len(self._rows) // 3

    def save(self, folder: Path) -> None:
        """Write the ids, sorted by hash and place."""
        rows = np.frombuffer(self._rows, np.uint64).reshape(-1, 3)
        np.save(folder / FILE, rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))], allow_pickle=False)


def require_distinct(folders: Sequence[Path], place: Callable[[int, int, int], str]) -> None:
    """Raise ValueError for the first id that repeats within or between the logs of `folders`.

    Args:
        place: describes (folder number, file index, line) in words.
    """
    for first, second in repeated(folders):
        raise ValueError(
            f"{place(*second)}: its id already stands at {place(*first)}; ids must be unique, they seed the order"
        )


def repeated(folders: Sequence[Path]) -> Iterator[tuple[Place, Place]]:
    """Yield (first place, later place) of every repeated id: by ranges of hashes, in reading order within a range."""
    logs = [np.load(folder / FILE, mmap_mode="r", allow_pickle=False) for folder in folders]
    parts = max(1, -(-sum(len(rows) for rows in logs) // RANGE_IDS))
    edges = [(1 << 64) * part // parts for part in range(1, parts)]
    starts = [[0, *(int(np.searchsorted(rows[:, 0], np.uint64(edge))) for edge in edges), len(rows)] for rows in logs]
    for part in range(parts):
        slices = [rows[start[part] : start[part + 1]] for rows, start in zip(logs, starts, strict=True)]
        rows = np.concatenate([np.insert(rows, 3, number, axis=1) for number, rows in enumerate(slices)])
        yield from ((_place(first), _place(second)) for first, second in _repeats(rows))


def _repeats(rows: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
    """Pairs of rows [2, 4] with the same id, ordered by the place of the later one."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 3], rows[:, 1], rows[:, 0]))]
    equal = np.flatnonzero((rows[1:, :2] == rows[:-1, :2]).all(axis=1)).tolist()
    equal.sort(key=lambda row: (int(rows[row + 1, 3]), int(rows[row + 1, 2])))
    return [rows[row : row + 2] for row in equal]


def _place(row: NDArray[np.uint64]) -> Place:
    """Folder, file and line of a row."""
    _, _, place, folder = row.tolist()
    return folder, place >> LINE_BITS, place & ((1 << LINE_BITS) - 1)
