"""The one forward call of training and evaluation: packed rows in, per-token losses or hidden states out."""

from __future__ import annotations

from torch import Tensor, nn


def forward(model: nn.Module, *, tokens: Tensor, labels: Tensor | None, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
    """Run one model chunk (bare or wrapped for data parallelism) on a packed micro-batch.

    Args:
        tokens: [B, S] int64.
        labels: [B, S] int64, or None for logits.
        cu_seqlens: int32 [documents + 1] over the flattened B*S, 0 first, B*S last.
        max_seqlen: longest document; must be true, not a bound.

    Returns:
        Last stage: losses [B*S] float32, or logits [B*S, V / T] without labels. Other stages: hidden [B*S, 1, D], for
        the schedule to send on.
    """
    raise NotImplementedError
