"""The ranks that hold one copy of the model: the first rank reads the rows and sends them to the others.

All ranks of a copy need the same rows: boundaries on every stage, tokens on the first, labels on the last. With one
reader, storage gets one request per row, and all ranks train on the same bytes even if a read was damaged. Rows are
sent from CPU to CPU, through gloo, before they are copied to the device.

Cost: one collective per step (not per micro-batch), a few milliseconds for tens of megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import Coordinates, ParallelLayout


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One copy of the model, seen from this rank."""

    first: int
    """Global rank that reads."""
    group: dist.ProcessGroup | None
    """All ranks of the copy; None if the copy has one rank."""

    @classmethod
    def of(cls, layout: ParallelLayout) -> Replica:
        """The copy that this rank belongs to. Collective over the world; call once per run."""
        own = layout.coordinates(groups.rank()).data
        members: dict[int, list[int]] = {}
        for rank in range(layout.world_size):
            members.setdefault(layout.coordinates(rank).data, []).append(rank)
        group = None
        if layout.model_parallel_size > 1:
            for data, ranks in members.items():  # `new_group` must be called by every rank for every group
                made = dist.new_group(ranks, backend="gloo")
                group = made if data == own else group
        return cls(first=layout.rank(Coordinates(data=own, pipeline=0, context=0, tensor=0)), group=group)

    @property
    def reads(self) -> bool:
        """Whether this rank reads for its copy."""
        return groups.rank() == self.first

    def share(self, words: NDArray[np.int32] | None) -> NDArray[np.int32]:
        """Send `words` of the reading rank to all ranks of the copy and return them. Collective; others pass None."""
        assert (words is not None) == self.reads
        if self.group is None:
            assert words is not None
            return words
        size = torch.tensor([0 if words is None else len(words)])
        dist.broadcast(size, src=self.first, group=self.group)
        payload = torch.empty(int(size), dtype=torch.int32) if words is None else torch.from_numpy(words)
        dist.broadcast(payload, src=self.first, group=self.group)
        return payload.numpy()
