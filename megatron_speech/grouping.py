"""Consecutive items in groups that are bounded in number, in size, or in padded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def grouped(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of `size` items, the last one shorter; no item is read before its list is asked for."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def grouped_by_size(
    items: Iterable[Item], *, size: Callable[[Item], int], max_size: int, max_items: int | None = None
) -> Iterator[list[Item]]:
    """Consecutive lists of at most `max_items` items whose sizes sum to at most `max_size`.

    An item above `max_size` stands alone.
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
    """Consecutive lists whose number of items times their longest length is at most `max_size`.

    An item above `max_size` stands alone. Sort the items by length first, so that little is padding.
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
