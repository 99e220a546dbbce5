"""The arithmetic of a global order without state: which source a sample number falls to, and how far that source is.

Sources are interleaved by a binary tree of Bresenham splits over integer budgets: at every node the left half of the
sources gets floor(g * left / all) of the first g samples, so totals are exact and every prefix is within a few samples
of its share. That pattern is periodic, and ranks read at a fixed stride; so inside windows of a fixed number of samples
it is shuffled by a keyed hash. Only the pattern moves: each source is still read strictly in its own order, wherever a
run stops or its mixture changes. All functions are vectorised. Price: one sample costs a window, and inside a window a
source is ahead of its share, or behind it, by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from megatron_speech.data.plan.permutation import Ints, named_keys

MAX_SAMPLES = 1 << 31
"""Budgets are multiplied by sample numbers in int64."""


def largest_remainder(weights: Sequence[float], total: int) -> list[int]:
    """Integers in proportion to `weights` which add up to `total`; leftovers go to the largest fractions, in order."""
    exact = [Fraction(weight) for weight in weights]
    shares = [total * weight / sum(exact) for weight in exact]
    budgets = [int(share) for share in shares]
    by_fraction = sorted(range(len(shares)), key=lambda index: budgets[index] - shares[index])
    for index in by_fraction[: total - sum(budgets)]:
        budgets[index] += 1
    return budgets


def mix(numbers: Ints, budgets: Sequence[int], *, window: int, seed: int, name: str) -> tuple[Ints, Ints]:
    """Source of each sample number, and how many samples of that source come before it.

    Args:
        numbers: sample numbers in 0 .. sum(budgets) - 1, [n].
        budgets: samples per source.
        window: samples that are shuffled together; the last window may be shorter.
        seed, name: choose the shuffle.
    """
    assert not len(numbers) or (numbers.min() >= 0 and numbers.max() < sum(budgets)), "sample number outside the plan"
    source, before = np.empty_like(numbers), np.empty_like(numbers)
    by_window = np.argsort(numbers // window, kind="stable")
    found, starts = np.unique(numbers[by_window] // window, return_index=True)
    for index, start, end in zip(found.tolist(), starts, [*starts, len(numbers)][1:], strict=True):
        mine = by_window[start:end]
        sources = _window(index, budgets, window=window, seed=seed, name=name)
        within = numbers[mine] - index * window
        source[mine] = sources[within]
        before[mine] = np.array(consumed(index * window, budgets))[source[mine]] + _earlier(sources)[within]
    return source, before


def mixed(first: int, budgets: Sequence[int], *, window: int, seed: int, name: str) -> list[int]:
    """Samples of each source among the first `first` of the order of `mix`."""
    index, rest = divmod(first, window)
    counts = np.array(consumed(index * window, budgets))
    if rest:
        sources = _window(index, budgets, window=window, seed=seed, name=name)
        counts += np.bincount(sources[:rest], minlength=len(budgets))
    return [int(count) for count in counts]


def split(numbers: Ints, budgets: Sequence[int]) -> Ints:
    """Source of each sample number before windows are shuffled."""
    assert sum(budgets) <= MAX_SAMPLES, f"{sum(budgets)} samples; the order is computed in int64"
    source = np.zeros(len(numbers), np.int64)
    _descend(source, numbers.astype(np.int64), np.arange(len(numbers)), budgets, 0)
    return source


def consumed(first: int, budgets: Sequence[int]) -> list[int]:
    """Samples of each source among the first `first` of the order of `split`."""
    if len(budgets) == 1:
        return [first]
    half, total = len(budgets) // 2, sum(budgets)
    left = first * sum(budgets[:half]) // total if total else 0
    return consumed(left, budgets[:half]) + consumed(first - left, budgets[half:])


def _window(index: int, budgets: Sequence[int], *, window: int, seed: int, name: str) -> Ints:
    """Sources of the samples of one window, in order."""
    numbers = np.arange(index * window, min((index + 1) * window, sum(budgets)))
    return split(numbers, budgets)[np.argsort(named_keys(seed, name, numbers), kind="stable")]


def _earlier(values: Ints) -> Ints:
    """How often each value stands before its place."""
    by_value = np.argsort(values, kind="stable")
    counts = np.bincount(values)
    result = np.empty_like(values)
    result[by_value] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    return result


def _descend(source: Ints, number: Ints, which: Ints, budgets: Sequence[int], offset: int) -> None:
    """Settle the samples `which`, whose numbers within this subtree of sources are in `number`."""
    if len(budgets) == 1 or not len(which):
        source[which] = offset
        return
    half, total = len(budgets) // 2, sum(budgets)
    left_total = sum(budgets[:half])
    mine = number[which]
    left = mine * left_total // total
    goes_left = (mine + 1) * left_total // total > left
    number[which] = np.where(goes_left, left, mine - left)
    _descend(source, number, which[goes_left], budgets[:half], offset)
    _descend(source, number, which[~goes_left], budgets[half:], offset + half)
