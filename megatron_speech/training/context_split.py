"""Cuts the micro-batches of a step to this context parallel rank's share (see `parallel.context`).

All micro-batches of a step are padded to one length, because pipeline stages exchange tensors of one shape. Ranks of
the same copy of the model have the same rows, so they compute the same length without communication.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from megatron_speech.data.reading.batch import Batch, HostBatch, take
from megatron_speech.parallel import context, groups


def split_over_context(hosts: Sequence[HostBatch], batches: Sequence[Batch]) -> list[Batch]:
    """This rank's share of every micro-batch: all of it if there is one context parallel rank.

    `hosts` are the micro-batches on the CPU, `batches` the same on the device.
    """
    size = groups.context_parallel_size()
    if size == 1:
        return list(batches)
    tensor_size = groups.tensor_parallel_size()
    length = max(context.padded_length(host.cu_seqlens, size=size, tensor_size=tensor_size) for host in hosts)
    return [_share(host, batch, size=size, length=length) for host, batch in zip(hosts, batches, strict=True)]


def _share(host: HostBatch, batch: Batch, *, size: int, length: int) -> Batch:
    rank, device = groups.context_parallel_rank(), batch.tokens.device
    positions, cu_seqlens = context.share(host.cu_seqlens, size=size, rank=rank, length=length)
    return take(
        batch,
        torch.from_numpy(positions).to(device),
        cu_seqlens=torch.from_numpy(cu_seqlens).to(device),
        max_seqlen=int(np.diff(cu_seqlens).max()),
    )
