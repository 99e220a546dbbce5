"""Key-value cache for generation: each active row of the batch has a slot, which later rows reuse.

A cache that grows by concatenation is copied at every step. A cache of fixed length reserves the longest length from
the first token. Here columns are written in place, and capacity grows by half when the longest row needs more.

Shapes: G heads of keys, C columns, W width of a head.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 1.5  # factor by which the number of columns grows: few copies, little unused memory


@dataclass
class SlotCache:
    """One tensor [slots, 2 G, C, W] per layer, keys before values. Unwritten entries are 0, never NaN."""

    states: list[Tensor]
    limit: int = sys.maxsize
    """Most columns; the cache never grows beyond them."""

    @classmethod
    def empty(cls, *, layers: int, slots: int, groups: int, width: int, limit: int, like: Tensor) -> SlotCache:
        """Create a cache of 0 columns with the dtype and device of `like`."""
        return cls([like.new_empty(slots, 2 * groups, 0, width) for _ in range(layers)], limit)

    def hold(self, columns: int) -> None:
        """Grow to at least `columns` columns."""
        assert columns <= self.limit, f"{columns} columns, but the cache is limited to {self.limit}"
        capacity = self.states[-1].shape[2]  # of the last layer, which is the last to grow where memory is short
        if columns > capacity:
            capacity = min(max(columns, int(GROWTH * capacity)), self.limit)
            for number, states in enumerate(self.states):  # one by one: only one layer exists twice
                if states.shape[2] < capacity:
                    self.states[number] = _widened(states, capacity)

    @property
    def most_bytes(self) -> int:
        """Memory of the cache when it has all its columns."""
        slots, heads, _, width = self.states[0].shape
        return len(self.states) * slots * heads * self.limit * width * self.states[0].element_size()

    @torch.inference_mode()
    def move(self, sources: Sequence[int], targets: Sequence[int], *, columns: int) -> None:
        """Copy the first `columns` columns of each slot in `sources` to the slot in `targets`."""
        for states in self.states:
            for source, target in zip(sources, targets, strict=True):
                states[target, :, :columns] = states[source, :, :columns]


def _widened(states: Tensor, capacity: int) -> Tensor:
    slots, heads, columns, width = states.shape
    wide = states.new_zeros(slots, heads, capacity, width)
    wide[:, :, :columns] = states
    return wide
