"""Core attention of the CPU's layers: causal inside each packed document, also when ranks share the documents.

Each document is one call of `scaled_dot_product_attention`, so no document can influence another. Time is proportional
to the sum of squared document lengths. With context parallelism a rank holds two chunks of every document
(`parallel.context`). Keys and values are gathered from all ranks; the backward pass reduce-scatters their gradients.
Each chunk attends to its document up to the chunk's end.

Cost: a rank holds all keys and values of one layer at a time. Transformer Engine's ring attention, used on a GPU, does
not.

Letters: T tokens (of this rank), C context parallel ranks, H query heads and G key-value heads of this rank, K width of
a head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.process_groups_config import ProcessGroupCollection
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region, get_cuda_rng_tracker
from megatron.core.transformer import TransformerConfig
from torch import Tensor, nn

from megatron_speech.parallel.context import Ints, document_order


class PackedAttention(nn.Module):
    """Causal core attention with grouped queries, over packed documents or (no `packed_seq_params`) a plain batch.

    megatron-core passes the constructor's arguments to every core attention.
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        softmax_scale: float | None = None,
        pg_collection: ProcessGroupCollection | None = None,
        **_: Any,
    ) -> None:
        super().__init__()
        self.scale = softmax_scale or 1.0 / math.sqrt(config.kv_channels)
        self.dropout = config.attention_dropout
        self.sequence_parallel = config.sequence_parallel
        self.context_group: Any = pg_collection.cp if pg_collection and config.context_parallel_size > 1 else None

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        *,
        packed_seq_params: PackedSeqParams | None = None,
        **_: Any,
    ) -> Tensor:
        """Attention output of every query.

        Args:
            query: [T, H, K], or [S, B, H, K] without `packed_seq_params`.
            key: [T, G, K], or [S, B, G, K].
            value: like `key`.
            attention_mask: unused; attention is causal inside each document.
            packed_seq_params: `cu_seqlens_q` gives the document boundaries in the sequence of all ranks, C*T positions.

        Returns:
            [T, H, K], or [S, B, H*K] without `packed_seq_params`.
        """
        # A plain batch is one call.
        if packed_seq_params is None:
            assert self.context_group is None, "context parallelism needs packed documents"
            q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))
            return self._attend(q, k, v).permute(2, 0, 1, 3).flatten(2)

        # Packed documents are one call per document, or per chunk where ranks share documents.
        cu_seqlens = packed_seq_params.cu_seqlens_q
        pieces = self._documents if self.context_group is None else self._chunks
        contexts = [
            self._attend(*(x.transpose(0, 1)[None] for x in piece))
            for piece in pieces(query, key, value, cu_seqlens.numpy())
        ]
        return torch.cat(contexts, dim=2)[0].transpose(0, 1)

    def _documents(self, query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Ints) -> Iterator[Sequence[Tensor]]:
        """(queries, keys, values) of each document."""
        lengths = np.diff(cu_seqlens).tolist()
        return zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)

    def _chunks(self, query: Tensor, key: Tensor, value: Tensor, cu_seqlens: Ints) -> Iterator[Sequence[Tensor]]:
        """(queries, keys, values) of each of this rank's chunks.

        Keys and values run from the start of the document to the end of the chunk.
        """
        size, rank = self.context_group.size(), self.context_group.rank()
        shares = gather_from_sequence_parallel_region(torch.stack([key, value], dim=1), group=self.context_group)
        order = torch.from_numpy(document_order(cu_seqlens, size=size))
        keys, values = shares.index_select(0, order).unbind(1)  # [C*T, G, K]
        first = 0
        for start, length in zip(cu_seqlens[:-1].tolist(), np.diff(cu_seqlens).tolist(), strict=True):
            chunk = length // (2 * size)
            for number in (rank, 2 * size - 1 - rank):
                past = slice(start, start + (number + 1) * chunk)
                yield query[first : first + chunk], keys[past], values[past]
                first += chunk

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, H, Q, K] x [B, G, S, K] -> [B, H, Q, K], causal; the Q queries are the last of S positions."""
        queries, positions = q.shape[2], k.shape[2]
        is_whole = queries == positions  # then is_causal replaces a mask tensor
        mask = None if is_whole else q.new_ones(queries, positions, dtype=torch.bool).tril(positions - queries)
        dropout = self.dropout if self.training else 0.0
        # Heads are split over tensor parallel ranks, which must drop different weights, so each draws from its own
        # generator. Under sequence parallelism megatron-core has already switched to it for the whole block.
        switch = dropout > 0 and not self.sequence_parallel
        with get_cuda_rng_tracker().fork() if switch else nullcontext():
            return F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=is_whole,
                scale=self.scale,
                enable_gqa=q.shape[1] != k.shape[1],
            )
