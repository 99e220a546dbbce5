"""Keys and values of the rows under way: every row has a slot of its own length, and may be replaced by another.

A cache that grows by concatenation copies everything at every step; one of fixed length is read whole from the first
token. Here a slot's columns are written in place, and memory grows by half when the longest row has no room left.

Shapes: G heads of keys, C columns, W width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 1.5  # of the columns, when they do not suffice: few copies, little unused memory


@dataclass
class SlotCache:
    """One tensor [slots, 2 G, C, W] for each layer, keys before values; what no row has written is 0, never NaN."""

    states: list[Tensor]

    @classmethod
    def empty(cls, *, layers: int, slots: int, groups: int, width: int, like: Tensor) -> SlotCache:
        """No columns yet; type and device are those of `like`."""
        return cls([like.new_empty(slots, 2 * groups, 0, width) for _ in range(layers)])

    def hold(self, columns: int) -> None:
        """Make room for so many columns."""
        capacity = self.states[0].shape[2]
        if columns > capacity:
            capacity = max(columns, int(GROWTH * capacity))
            self.states[:] = [_widened(states, capacity) for states in self.states]

    @torch.inference_mode()
    def move(self, sources: Sequence[int], targets: Sequence[int], *, columns: int) -> None:
        """Copy the first columns of some slots to others."""
        for states in self.states:
            for source, target in zip(sources, targets, strict=True):
                states[target, :, :columns] = states[source, :, :columns]


def _widened(states: Tensor, capacity: int) -> Tensor:
    slots, heads, columns, width = states.shape
    wide = states.new_zeros(slots, heads, capacity, width)
    wide[:, :, :columns] = states
    return wide
