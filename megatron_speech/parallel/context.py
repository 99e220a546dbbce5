"""How context parallel ranks share documents: one split, for the CPU's attention and for Transformer Engine's.

Each document is cut into 2*C equal chunks (C ranks) and rank r holds chunks r and 2*C-1-r: a late chunk attends to
much, an early one to little, so that all ranks have the same work. This is Transformer Engine's split of packed
documents and the one that megatron-core's rotary positions assume. It asks for lengths that 2*C divides; documents have
any length, so each is padded at its end with positions that are no targets. Attention is causal, so no token of the
document sees them, and the padded lengths can be handed on as if they were the true ones.

Price: up to 2*C-1 positions more per document, and a length of the micro-batch that changes from step to step.

T positions of a padded micro-batch, N documents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]

# Every rank's share is a multiple of it: FP8 matrix products want token counts that 16 divides.
ALIGNMENT = 16


def pad_documents(cu_seqlens: Ints, *, size: int) -> NDArray[np.int32]:
    """Starts of the documents and the end [N+1], once each is padded so that `size` ranks can share it."""
    unit = 2 * size
    padded = -(-np.diff(cu_seqlens) // unit) * unit
    return np.concatenate([[0], np.cumsum(padded)]).astype(np.int32)


def padded_length(cu_seqlens: Ints, *, size: int, tensor_size: int = 1) -> int:
    """Least T that holds the padded documents and gives every rank an aligned share, also under sequence parallel."""
    unit = ALIGNMENT * size * tensor_size
    return -(-int(pad_documents(cu_seqlens, size=size)[-1]) // unit) * unit


def positions_of_rank(cu_seqlens: Ints, *, size: int, rank: int) -> NDArray[np.int64]:
    """Where the share of `rank` lies in the padded sequence: [T / size], ascending."""
    lengths = np.diff(cu_seqlens)
    offset = np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths)
    chunk = offset // np.repeat(lengths // (2 * size), lengths)
    return np.flatnonzero((chunk == rank) | (chunk == 2 * size - 1 - rank))


def document_order(cu_seqlens: Ints, *, size: int) -> NDArray[np.int64]:
    """Where each position of the padded sequence [T] lies when the shares of all ranks are put one behind the other."""
    shares = [positions_of_rank(cu_seqlens, size=size, rank=rank) for rank in range(size)]
    return np.argsort(np.concatenate(shares))


def share(cu_seqlens: Ints, *, size: int, rank: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """What `rank` holds of a micro-batch whose documents are padded to `length` positions in all.

    Args:
        cu_seqlens: [N+1], before padding. length: a multiple of `padded_length`'s unit, at least its value.

    Returns:
        Positions before padding [T / size], -1 where there is none; starts of the padded documents and the end
        [N+1], or [N+2] where a last document of padding alone fills up to `length`.
    """
    padded = pad_documents(cu_seqlens, size=size)
    if padded[-1] < length:
        padded = np.append(padded, np.int32(length))
        cu_seqlens = np.append(cu_seqlens, cu_seqlens[-1])
    offset = np.arange(length) - np.repeat(padded[:-1], np.diff(padded))
    real = offset < np.repeat(np.diff(cu_seqlens), np.diff(padded))
    source = np.where(real, np.repeat(cu_seqlens[:-1], np.diff(padded)) + offset, -1)
    return source[positions_of_rank(padded, size=size, rank=rank)], padded
