"""A key-value cache of slots: every row of the batch has its own length, and may be replaced by another request.

transformers' growing cache concatenates at every step, which takes half of generation with a small model on a CPU;
its static cache attends over the whole capacity from the first token, and all its rows have one length. Here row r
holds its tokens in the columns 0, 1, ... of slot r: a step writes one column of each row in place and shows the columns
that any row uses. A newcomer's prompt is written over whoever was there. The model is told positions and masks, so the
cache has no length of its own. Price: columns up to the longest row are read for the shorter ones too.

Shapes: B rows, H heads of keys, C columns, W width of a head, S new tokens of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 1.5  # of the columns, when they do not suffice: few copies, little unused memory


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the next pass of the network writes."""

    rows_B: Tensor
    """Slots, int64; the first B of them where a token is added."""
    columns_B: Tensor | None = None
    """Column of the one new token of each row; None: prompts, from column 0."""
    shown: int
    """Columns in use by any row after this pass."""


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, each [slots, H, C, W]."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.place: Place | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Store what a pass computed (each [B, H, S, W]) and return what its queries may look at."""
        assert self.place is not None, "the cache was not told where to write"
        place = self.place
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._hold(place.shown)
        assert self.keys is not None and self.values is not None
        if place.columns_B is None:  # a prompt looks at itself alone
            self.keys[place.rows_B, :, : key_states.shape[2]] = key_states
            self.values[place.rows_B, :, : value_states.shape[2]] = value_states
            return key_states, value_states
        self.keys[place.rows_B, :, place.columns_B] = key_states[:, :, 0]
        self.values[place.rows_B, :, place.columns_B] = value_states[:, :, 0]
        num_rows = len(place.rows_B)
        return self.keys[:num_rows, :, : place.shown], self.values[:num_rows, :, : place.shown]

    def move(self, sources: list[int], targets: list[int]) -> None:
        """Copy rows to other slots."""
        assert self.keys is not None and self.values is not None, "nothing is cached yet"
        self.keys[targets] = self.keys[sources]
        self.values[targets] = self.values[sources]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take type and shape from the first states."""
        _, heads, _, width = key_states.shape
        self.keys = key_states.new_empty(self.slots, heads, 0, width)
        self.values = value_states.new_empty(self.slots, heads, 0, width)
        self.is_initialized = True

    def get_seq_length(self) -> int:
        """0: rows have their own lengths, and prompts start at position 0."""
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Of prompts, which see themselves; for single tokens the mask is given whole."""
        return query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def _hold(self, columns: int) -> None:
        """Room for so many columns. What no row has written is 0, never NaN: a masked column must weigh nothing."""
        assert self.keys is not None and self.values is not None
        capacity = self.keys.shape[2]
        if columns > capacity:
            capacity = max(columns, int(GROWTH * capacity))
            self.keys, self.values = _widened(self.keys, capacity), _widened(self.values, capacity)


def _widened(states: Tensor, capacity: int) -> Tensor:
    slots, heads, columns, width = states.shape
    wide = states.new_zeros(slots, heads, capacity, width)
    wide[:, :, :columns] = states
    return wide


class SlotCache(Cache):
    """All layers' slots; `layers` are those of the network."""

    def __init__(self, *, num_layers: int, slots: int) -> None:
        self.slot_layers = [SlotLayer(slots) for _ in range(num_layers)]
        super().__init__(layers=list(self.slot_layers))

    def at(self, place: Place) -> SlotCache:
        """This cache, told where the coming pass of the network writes."""
        for layer in self.slot_layers:
            layer.place = place
        return self

    def move(self, sources: list[int], targets: list[int]) -> None:
        """Copy rows to other slots."""
        if sources:
            for layer in self.slot_layers:
                layer.move(sources, targets)
