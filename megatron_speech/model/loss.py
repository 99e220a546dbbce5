"""Losses as sums: weighted for training, and by source and modality for the log. Divided once, by global token counts.

A mean of means weighs a micro-batch, a rank or a step with few targets as much as one with many; sums over everything,
divided at the end, weigh every token the same, in every layout.

Letters: B rows, S tokens of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

TEXT, SPEECH = 0, 1


def training_loss(
    losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, speech_loss_weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, token count): what megatron's schedule takes; the count is unweighted, int32.

    All arguments flatten to [B*S]: losses float32, loss_mask 0 or 1, speech_targets bool.
    """
    mask = loss_mask.flatten().to(losses.dtype)
    weight = mask
    if speech_loss_weight != 1.0:
        weight = torch.where(speech_targets.flatten(), mask * speech_loss_weight, mask)
    return (losses.flatten() * weight).sum(), mask.sum().to(torch.int32)


@torch.no_grad()
def loss_sums(losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, source: Tensor, num_sources: int) -> Tensor:
    """Sums [num_sources, 2 (TEXT, SPEECH), 2 (loss sum, token count)] float64; add them over ranks and steps.

    losses, loss_mask and speech_targets are [B, S] or flattened; source [B] gives each row's source number.
    """
    num_rows = source.numel()
    mask = loss_mask.reshape(num_rows, -1).to(torch.float64)
    cell = source.long()[:, None] * 2 + speech_targets.reshape(num_rows, -1).long()
    sums = torch.zeros(num_sources * 2, 2, dtype=torch.float64, device=losses.device)
    sums[:, 0].index_add_(0, cell.flatten(), (losses.detach().reshape(num_rows, -1) * mask).flatten())
    sums[:, 1].index_add_(0, cell.flatten(), mask.flatten())
    return sums.view(num_sources, 2, 2)
