"""Key-value cache for generation: each active row of the batch has a slot, which later rows reuse.

A cache that grows by concatenation is copied at every step. A cache of fixed length reserves the longest length from
the first token. Here columns are written in place, and capacity grows by half when the longest row needs more.

Shapes: G heads of keys, C columns, W width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 1.5  # factor by which the number of columns grows: few copies, little unused memory


@dataclass
class SlotCache:
    """One tensor [slots, 2 G, C, W] per layer, keys before values. Unwritten entries are 0, never NaN."""

    states: list[Tensor]

    @classmethod
    def empty(cls, *, layers: int, slots: int, groups: int, width: int, like: Tensor) -> SlotCache:
        """Create a cache of 0 columns with the dtype and device of `like`."""
        return cls([like.new_empty(slots, 2 * groups, 0, width) for _ in range(layers)])

    def hold(self, columns: int) -> None:
        """Grow to at least `columns` columns."""
        capacity = self.states[0].shape[2]
        if columns > capacity:
            capacity = max(columns, int(GROWTH * capacity))
            self.states[:] = [_widened(states, capacity) for states in self.states]

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
