"""Splits documents over context parallel ranks, in the same way for the CPU's attention and for Transformer Engine's.

Each document is cut into 2*C equal chunks (C ranks), and rank r holds chunks r and 2*C-1-r. A late chunk attends to
many tokens and an early one to few, so all ranks have equal work. Transformer Engine splits packed documents in this
way, and megatron-core's rotary positions assume it.

Each document is padded at its end to a multiple of 2*C, with positions that are not targets. Attention is causal, so no
token of the document attends to the padding. The padded lengths can therefore be used as document lengths everywhere.

Cost: up to 2*C-1 more positions per document. The length of a micro-batch changes from step to step.

Letters: T positions of a padded micro-batch, N documents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]

# Each rank's share is a multiple of it: FP8 matrix products need token counts that 16 divides.
ALIGNMENT = 16


def pad_documents(cu_seqlens: Ints, *, size: int) -> NDArray[np.int32]:
    """Boundaries [N+1] of the documents after padding each so that `size` ranks can share it."""
    unit = 2 * size
    padded = -(-np.diff(cu_seqlens) // unit) * unit
    return np.concatenate([[0], np.cumsum(padded)]).astype(np.int32)


def padded_length(cu_seqlens: Ints, *, size: int, tensor_size: int = 1) -> int:
    """Smallest T for the padded documents that gives every rank an aligned share, also under sequence parallelism."""
    unit = ALIGNMENT * size * tensor_size
    return -(-int(pad_documents(cu_seqlens, size=size)[-1]) // unit) * unit


def positions_of_rank(cu_seqlens: Ints, *, size: int, rank: int) -> NDArray[np.int64]:
    """Positions [T / size] of the padded sequence that `rank` holds, ascending."""
    lengths = np.diff(cu_seqlens)
    offset = np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths)
    chunk = offset // np.repeat(lengths // (2 * size), lengths)
    return np.flatnonzero((chunk == rank) | (chunk == 2 * size - 1 - rank))


def document_order(cu_seqlens: Ints, *, size: int) -> NDArray[np.int64]:
    """Index [T] of each position of the padded sequence in the concatenated shares of all ranks."""
    shares = [positions_of_rank(cu_seqlens, size=size, rank=rank) for rank in range(size)]
    return np.argsort(np.concatenate(shares))


def share(cu_seqlens: Ints, *, size: int, rank: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Share of `rank` in a micro-batch that is padded to `length` positions.

    Args:
        cu_seqlens: document boundaries [N+1] before padding.
        size: number of context parallel ranks.
        rank: context parallel rank.
        length: T; at least `padded_length` and a multiple of the same unit.

    Returns:
        Positions before padding [T / size], with -1 for padding.
        Boundaries of the padded documents [N+1], or [N+2] if a last document of padding fills up to `length`.
    """
    padded = pad_documents(cu_seqlens, size=size)
    if padded[-1] < length:
        padded = np.append(padded, np.int32(length))
        cu_seqlens = np.append(cu_seqlens, cu_seqlens[-1])
    offset = np.arange(length) - np.repeat(padded[:-1], np.diff(padded))
    real = offset < np.repeat(np.diff(cu_seqlens), np.diff(padded))
    source = np.where(real, np.repeat(cu_seqlens[:-1], np.diff(padded)) + offset, -1)
    return source[positions_of_rank(padded, size=size, rank=rank)], padded
