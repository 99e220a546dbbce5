"""A correction of megatron-core 0.16.1: parameters are looked up where they lie once bucket padding is taken out.

The distributed optimizer keeps its state in buckets, each padded to a multiple of 128 values. When it saves in the
layout-free format it first joins the buckets *without* that padding, then cuts parameters out of the result at their
places *with* it. Every parameter behind a padded bucket is saved shifted: moments and float32 master weights, silently
(only the last one gives a warning). Layers whose sizes are multiples of 128 never see it; a norm of 576 does. Delete
this file when the library looks places up in the joined buffer.
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
    """Inside, the index maps of a distributed optimizer's buffers count no padding of earlier buckets.

    Padding between two parameters of one bucket is part of the joined buffer and stays.
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
    """What is read of a buffer of the distributed optimizer, whose class is private to megatron-core."""

    buckets: list[Any]
    param_index_map: dict[Parameter, tuple[int, int, int]]


def _joined_places(buffer: _Buffer) -> dict[Parameter, tuple[int, int, int]]:
    """`param_index_map` (parameter -> start, end, bucket) less the padding of all buckets before."""
    shift, padding = [], 0
    for bucket in buffer.buckets:
        shift.append(padding)
        padding += bucket.grad_data.numel() - bucket.numel_unpadded
    return {
        parameter: (start - shift[bucket], end - shift[bucket], bucket)
        for parameter, (start, end, bucket) in buffer.param_index_map.items()
    }
