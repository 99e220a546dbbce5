"""The forward call of training and validation: packed rows in, per-token losses or hidden states out.

Under context parallelism a rank passes its share of the tokens (`parallel.context`), but the document boundaries of the
whole padded sequence. Rotary positions and attention compute the share's place from them.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.packed_seq_params import PackedSeqParams
from torch import Tensor, nn

from megatron_speech.parallel import groups


def forward(model: nn.Module, *, tokens: Tensor, labels: Tensor | None, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
    """Run one model chunk (bare or wrapped for data parallelism) on a packed micro-batch.

    Args:
        tokens: [B, S] int64.
        labels: [B, S] int64, or None for logits.
        cu_seqlens: int32 [documents + 1], 0 first, B*S x context parallel size last.
        max_seqlen: exact length of the longest document, not an upper bound (see `model.builder`).

    Returns:
        Last stage: losses [B*S] float32, or logits [B*S, V / tensor size] without labels. Other stages: hidden states
        [B*S, 1, D] for the next stage (B*S is divided by the tensor size under sequence parallelism).
    """
    flat = tokens.reshape(1, -1)
    # Transformer Engine needs the padded boundaries when ranks share documents. Otherwise they would make it wait for
    # the GPU.
    padded = cu_seqlens if groups.context_parallel_size() > 1 else None
    packed = PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=cu_seqlens,
        cu_seqlens_kv=cu_seqlens,
        cu_seqlens_q_padded=padded,
        cu_seqlens_kv_padded=padded,
        max_seqlen_q=max_seqlen,
        max_seqlen_kv=max_seqlen,
    )
    output: Tensor = model(
        input_ids=flat,
        position_ids=torch.zeros_like(flat),
        attention_mask=None,
        labels=None if labels is None else labels.reshape(1, -1),
        packed_seq_params=packed,
    )
    is_hidden = output.dim() == 3 and output.shape[0] != 1
    return output if is_hidden else output[0]


def unwrap(chunk: nn.Module) -> Any:
    """The model inside megatron-core's data parallel wrapper; a chunk without a wrapper as it is."""
    return chunk.module if hasattr(chunk, "ddp_config") else chunk
