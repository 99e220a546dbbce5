"""The one forward call of training and evaluation: packed rows in, per-token losses or hidden states out.

Under context parallelism a rank gives its share of the tokens (`parallel.context`), but the boundaries of the whole
padded sequence: rotary positions and attention find the share's place in it.
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
        max_seqlen: longest document; must be true, not a bound (see `model.builder`).

    Returns:
        Last stage: losses [B*S] float32, or logits [B*S, V / tensor size] without labels. Other stages: hidden states
        [B*S, 1, D] (divided by the tensor size under sequence parallelism), for the schedule to send on.
    """
    flat = tokens.reshape(1, -1)
    # Transformer Engine wants the padded boundaries by name too when it splits documents; else they cost it a wait.
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
    output = model(
        input_ids=flat,
        position_ids=torch.zeros_like(flat),
        attention_mask=None,
        labels=None if labels is None else labels.reshape(1, -1),
        packed_seq_params=packed,
    )
    is_hidden = output.dim() == 3 and output.shape[0] != 1
    return output if is_hidden else output[0]


def unwrap(chunk: nn.Module) -> Any:
    """The model inside megatron-core's data parallel wrapper, or the chunk itself."""
    return chunk.module if hasattr(chunk, "ddp_config") else chunk
