"""The arithmetic of a global order without state: which source a sample number falls to, and which row that is.

Sources are interleaved by a binary tree of Bresenham splits over integer budgets: at every node the left half of the
sources gets floor(g * left / all) of the first g samples, so totals are exact and every prefix is within a few samples
of its share. Rows of an epoch are permuted by a Feistel network with cycle walking: a bijection of 0 .. n-1 in constant
memory, computed for any position at once. The hash is written out here because NumPy does not promise its random
streams across versions. All functions are vectorised. Price: rows are visited in no spatial order.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import xxhash
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

ROUNDS = 6
"""Feistel rounds; four make a pseudo-random permutation in theory, two more cost little."""
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


def split(numbers: Ints, budgets: Sequence[int]) -> tuple[Ints, Ints]:
    """Source of each sample number, and how many samples of that source come before it.

    Args:
        numbers: sample numbers in 0 .. sum(budgets) - 1, any shape [n].
        budgets: samples per source.
    """
    assert sum(budgets) <= MAX_SAMPLES, f"{sum(budgets)} samples; the order is computed in int64"
    assert not len(numbers) or (numbers.min() >= 0 and numbers.max() < sum(budgets)), "sample number outside the plan"
    source = np.zeros(len(numbers), np.int64)
    before = numbers.astype(np.int64)
    _descend(source, before, np.arange(len(numbers)), budgets, 0)
    return source, before


def consumed(first: int, budgets: Sequence[int]) -> list[int]:
    """Samples of each source among the first `first` of the order."""
    if len(budgets) == 1:
        return [first]
    half, total = len(budgets) // 2, sum(budgets)
    left = first * sum(budgets[:half]) // total if total else 0
    return consumed(left, budgets[:half]) + consumed(first - left, budgets[half:])


def permute(positions: Ints, size: int, keys: Words) -> Ints:
    """Image of each position under a permutation of 0 .. size-1 which its key chooses; all arrays [n]."""
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    result = positions.astype(np.uint64)
    walking = np.arange(len(result))
    while len(walking):
        left, right = result[walking] >> half, result[walking] & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (splitmix64(keys[walking] ^ splitmix64(right + np.uint64(turn << 40))) & mask)
        result[walking] = (left << half) | right
        walking = walking[result[walking] >= size]
    return result.astype(np.int64)


def epoch_keys(seed: int, name: str, epochs: Ints) -> Words:
    """One permutation key per epoch of the source `name`."""
    base = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}/{name}".encode()))
    return splitmix64(epochs.astype(np.uint64) ^ base)


def splitmix64(values: Words) -> Words:
    """A well-mixed 64-bit hash of each value (finaliser of the SplitMix64 generator)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _descend(source: Ints, before: Ints, which: Ints, budgets: Sequence[int], offset: int) -> None:
    """Settle the samples `which`, whose numbers within this subtree of sources are in `before`."""
    if len(budgets) == 1 or not len(which):
        source[which] = offset
        return
    half, total = len(budgets) // 2, sum(budgets)
    left_total = sum(budgets[:half])
    number = before[which]
    left = number * left_total // total
    goes_left = (number + 1) * left_total // total > left
    before[which] = np.where(goes_left, left, number - left)
    _descend(source, before, which[goes_left], budgets[:half], offset)
    _descend(source, before, which[~goes_left], budgets[half:], offset + half)
