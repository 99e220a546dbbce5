"""Groups consecutive items into lists bounded in number, in size, or in padded size.

>>> list(grouped_by_size([3, 1, 4, 2], size=int, max_size=5))
[[3, 1], [4], [2]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def grouped(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` consecutive items; the last may be shorter. Reads items only as lists are requested."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def grouped_by_size(
    items: Iterable[Item], *, size: Callable[[Item], int], max_size: int, max_items: int | None = None
) -> Iterator[list[Item]]:
    """Yield lists of at most `max_items` consecutive items with a total size of at most `max_size`.

    An item above `max_size` gets a list of its own.
    """
    group: list[Item] = []
    total = 0
    for item in items:
        if group and (len(group) == max_items or total + size(item) > max_size):
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield group


def grouped_by_padded_size(
    items: Iterable[Item], *, length: Callable[[Item], int], max_size: int
) -> Iterator[list[Item]]:
    """Yield lists of consecutive items with number of items x longest length at most `max_size`.

    An item above `max_size` gets a list of its own. Sort items by length first, for little padding.
    """
    group: list[Item] = []
    longest = 0
    for item in items:
        if group and max(longest, length(item)) * (len(group) + 1) > max_size:
            yield group
            group, longest = [], 0
        group.append(item)
        longest = max(longest, length(item))
    if group:
        yield group


def batches_by_length(lengths: Sequence[int], *, max_total: int) -> list[list[int]]:
    """Group indices by length, shortest first; items x longest length is at most `max_total` in each group.

    An item longer than `max_total` gets a group of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    return list(grouped_by_padded_size(order, length=lambda index: lengths[index], max_size=max_total))
