"""Keyed permutations of 0 .. n-1 that are computed at any position, without tables or state.

`permute` is a Feistel network with cycle walking: a bijection in constant memory. `epoch_rows` gives the order of a
source's rows in one epoch. A free shuffle of a trillion tokens would open a new block for every row. So chunks of
consecutive rows are permuted, and then the rows within each group of `open_chunks` chunks.

Limitation: rows of one chunk are read within `chunk` x `open_chunks` rows of each other, so documents must be shuffled
when they are packed.
"""

from __future__ import annotations

import numpy as np

from megatron_speech.randomness import Ints, Words, splitmix64

ROUNDS = 6
"""Feistel rounds. Four give a pseudo-random permutation in theory; two more cost little."""


def permute(positions: Ints, sizes: Ints | int, keys: Words) -> Ints:
    """Image of each position under the permutation of 0 .. size-1 selected by its key; all arrays [n]."""
    sizes = np.broadcast_to(np.asarray(sizes, np.int64), positions.shape)
    bits = np.frexp((sizes - 1).astype(np.float64))[1]  # bit length of size - 1 (below 2^53)
    half = np.maximum(1, (bits + 1) // 2).astype(np.uint64)
    mask = (np.uint64(1) << half) - np.uint64(1)
    result = positions.astype(np.uint64)
    walking = np.arange(len(result))
    while len(walking):
        shift, low, key = half[walking], mask[walking], keys[walking]
        left, right = result[walking] >> shift, result[walking] & low
        for turn in range(ROUNDS):
            left, right = right, left ^ (splitmix64(key ^ splitmix64(right + np.uint64(turn << 40))) & low)
        result[walking] = (left << shift) | right
        walking = walking[result[walking] >= sizes[walking].astype(np.uint64)]
    return result.astype(np.int64)


def epoch_rows(positions: Ints, rows: int, keys: Words, *, chunk: int, open_chunks: int) -> Ints:
    """Row at each position of an epoch over `rows` rows; every row has exactly one position.

    The rows after the last whole chunk form a short chunk; the key also selects its place among the others.

    Args:
        positions: in 0 .. rows - 1, [n].
        keys: key of each position's epoch (`named_keys`), [n].
        chunk: number of consecutive rows that stay together.
        open_chunks: number of chunks with jointly permuted rows.
    """
    whole, tail = divmod(rows, chunk)
    slots = whole + (tail > 0)
    short = (splitmix64(keys ^ _TAIL) % np.uint64(slots)).astype(np.int64) if tail else np.full_like(positions, slots)

    def first_position(slot: Ints) -> Ints:
        return slot * chunk - (slot > short) * (chunk - tail)

    def slot_at(position: Ints) -> Ints:
        behind = position >= short * chunk + tail
        return np.where(behind, (position - tail) // chunk + bool(tail), position // chunk)

    # Permute the rows within each group of chunks.
    group = slot_at(positions) // open_chunks
    start = first_position(group * open_chunks)
    end = first_position(np.minimum((group + 1) * open_chunks, slots))
    place = start + permute(positions - start, end - start, splitmix64(keys ^ splitmix64(group.astype(np.uint64))))
    slot = slot_at(place)
    # Permute the whole chunks; the short one keeps its slot.
    number = np.where(slot == short, 0, slot - (slot > short))
    chosen = permute(number, max(whole, 1), splitmix64(keys ^ _CHUNKS))
    found: Ints = np.where(slot == short, whole, chosen) * chunk + place - first_position(slot)
    return found


_CHUNKS, _TAIL = np.uint64(0x6368756E6B73), np.uint64(0x7461696C)
"""Constants that separate the keys of an epoch's chunks, of its short chunk and of its groups."""
