"""Works around a bug of megatron-core 0.16.1 that saves optimizer state shifted by the padding of buckets.

The distributed optimizer keeps its state in buckets, each padded to a multiple of 128 values. To save in the
layout-free format, it joins the buckets *without* that padding. Then it cuts parameters out at their offsets *with* it.
So moments and float32 master weights of every parameter behind a padded bucket are saved shifted, silently (only the
last one gives a warning). Layers with sizes that are multiples of 128 are not affected; a norm of 576 is. Delete this
file when megatron-core uses offsets in the joined buffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from megatron.core.optimizer import ChainedOptimizer, MegatronOptimizer
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer
from torch.nn import Parameter


@contextmanager
def without_bucket_padding(optimizer: MegatronOptimizer) -> Iterator[None]:
    """Context manager: inside, the buffers' index maps leave out the padding at the end of earlier buckets.

    Padding between two parameters of one bucket is part of the joined buffer and still counts.
    """
    inner = optimizer.chained_optimizers if isinstance(optimizer, ChainedOptimizer) else [optimizer]
    buffers = [buffer for part in inner if isinstance(part, DistributedOptimizer) for buffer in part.buffers]
    padded = [buffer.param_index_map for buffer in buffers]
    for buffer in buffers:
        buffer.param_index_map = _joined_places(buffer)
    try:
        yield
    finally:
        for buffer, places in zip(buffers, padded, strict=True):
            buffer.param_index_map = places


class _Buffer(Protocol):
    """The attributes used of a buffer of the distributed optimizer; its class is private to megatron-core."""

    buckets: list[Any]
    param_index_map: dict[Parameter, tuple[int, int, int]]


def _joined_places(buffer: _Buffer) -> dict[Parameter, tuple[int, int, int]]:
    """`param_index_map` (parameter: start, end, bucket) minus the padding of all earlier buckets."""
    shift, padding = [], 0
    for bucket in buffer.buckets:
        shift.append(padding)
        padding += bucket.grad_data.numel() - bucket.numel_unpadded
    return {
        parameter: (start - shift[bucket], end - shift[bucket], bucket)
        for parameter, (start, end, bucket) in buffer.param_index_map.items()
    }
