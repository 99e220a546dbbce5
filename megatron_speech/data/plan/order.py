"""Computes which source a sample number belongs to, and how many samples of it come before, without state.

A binary tree of Bresenham splits over integer budgets interleaves the sources. At every node, the left half of the
sources gets floor(g * left / all) of the first g samples. So totals are exact, and every prefix is within a few samples
of its share. This pattern is periodic and ranks read with a fixed stride, so a keyed hash shuffles it within windows of
fixed size. Only the pattern is shuffled: each source is still read strictly in its own order, even when a run stops or
changes its mixture. All functions are vectorized.

Cost: locating one sample computes its whole window. Within a window a source may be ahead of its share or behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from megatron_speech.randomness import Ints, named_keys

MAX_SAMPLES = 1 << 31
"""Limit on samples, because budgets are multiplied by sample numbers in int64."""


def largest_remainder(weights: Sequence[float], total: int) -> list[int]:
    """Integers proportional to `weights` that add up to `total`; the largest fractions get the leftovers."""
    exact = [Fraction(weight) for weight in weights]
    shares = [total * weight / sum(exact) for weight in exact]
    budgets = [int(share) for share in shares]
    by_fraction = sorted(range(len(shares)), key=lambda index: budgets[index] - shares[index])
    for index in by_fraction[: total - sum(budgets)]:
        budgets[index] += 1
    return budgets


def mix(numbers: Ints, budgets: Sequence[int], *, window: int, seed: int, name: str) -> tuple[Ints, Ints]:
    """Source of each sample number, and number of samples of that source before it, both [n].

    Args:
        numbers: sample numbers in 0 .. sum(budgets) - 1, [n].
        budgets: samples per source.
        window: samples that are shuffled together; the last window may be shorter.
        seed, name: select the shuffle.
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
    """Samples of each source among the first `first` samples in the order of `mix`."""
    index, rest = divmod(first, window)
    counts = np.array(consumed(index * window, budgets))
    if rest:
        sources = _window(index, budgets, window=window, seed=seed, name=name)
        counts += np.bincount(sources[:rest], minlength=len(budgets))
    return [int(count) for count in counts]


def split(numbers: Ints, budgets: Sequence[int]) -> Ints:
    """Source of each sample number [n] in the periodic pattern, before windows are shuffled."""
    assert sum(budgets) <= MAX_SAMPLES, f"{sum(budgets)} samples; the order is computed in int64"
    source = np.zeros(len(numbers), np.int64)
    _descend(source, numbers.astype(np.int64), np.arange(len(numbers)), budgets, 0)
    return source


def consumed(first: int, budgets: Sequence[int]) -> list[int]:
    """Samples of each source among the first `first` samples in the order of `split`."""
    if len(budgets) == 1:
        return [first]
    half, total = len(budgets) // 2, sum(budgets)
    left = first * sum(budgets[:half]) // total if total else 0
    return consumed(left, budgets[:half]) + consumed(first - left, budgets[half:])


def _window(index: int, budgets: Sequence[int], *, window: int, seed: int, name: str) -> Ints:
    """Sources of one window's samples, in shuffled order."""
    numbers = np.arange(index * window, min((index + 1) * window, sum(budgets)))
    return split(numbers, budgets)[np.argsort(named_keys(seed, name, numbers), kind="stable")]


def _earlier(values: Ints) -> Ints:
    """Number of earlier occurrences of each value, [n]."""
    by_value = np.argsort(values, kind="stable")
    counts = np.bincount(values)
    result = np.empty_like(values)
    result[by_value] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    return result


def _descend(source: Ints, number: Ints, which: Ints, budgets: Sequence[int], offset: int) -> None:
    """Assign sources to the samples `which` in place; `number` holds their numbers within this subtree."""
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
