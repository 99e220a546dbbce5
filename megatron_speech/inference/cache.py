"""Keys and values of the rows under way: every row has a slot of its own length, and may be replaced by another.

A cache that grows by concatenation copies everything at every step; one of fixed length is read whole from the first
token. Here a slot's columns are written in place, and memory grows by half when the longest row has no room left.

Shapes: H heads of keys, C columns, W width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GROWTH = 1.5  # of the columns, when they do not suffice: few copies, little unused memory


@dataclass
class SlotCache:
    """One tensor [slots, H, C, W] for each layer; what no row has written is 0: a masked column must never be NaN."""

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(cls, *, layers: int, slots: int, heads: int, width: int, like: Tensor) -> SlotCache:
        """No columns yet; type and device are those of `like`."""
        made = [like.new_empty(slots, heads, 0, width) for _ in range(2 * layers)]
        return cls(made[:layers], made[layers:])

    def hold(self, columns: int) -> None:
        """Make room for so many columns."""
        capacity = self.keys[0].shape[2]
        if columns > capacity:
            capacity = max(columns, int(GROWTH * capacity))
            for states in (self.keys, self.values):
                states[:] = [_widened(one, capacity) for one in states]

    @torch.inference_mode()
    def move(self, sources: Sequence[int], targets: Sequence[int], *, columns: int) -> None:
        """Copy the first columns of some slots to others."""
        for states in (*self.keys, *self.values):
            for source, target in zip(sources, targets, strict=True):
                states[target, :, :columns] = states[source, :, :columns]


def _widened(states: Tensor, capacity: int) -> Tensor:
    slots, heads, columns, width = states.shape
    wide = states.new_zeros(slots, heads, capacity, width)
    wide[:, :, :columns] = states
    return wide
