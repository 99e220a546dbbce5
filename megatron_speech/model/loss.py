"""Losses as sums: weighted for training, and by source and modality for the log. They are divided once, at the end.

The loss of a step is sum(w * loss) / sum(w) over all targets of the global batch. The weight w is the one that the
target's source gives to its modality. A mean of means would count a micro-batch or rank with few targets as much as one
with many. Sums give every target its weight in every layout. They add up over micro-batches, over data and context
parallel ranks, and over steps. A micro-batch without targets adds zeros.

Every target belongs to one cell (source, modality), and all targets of a cell have one weight: `weights`
[num_sources, 2 (TEXT, SPEECH)]. So the sum of weights follows from the target counts of the cells. Limitation: the
weight of a target cannot depend on anything else.

Letters: B rows, S tokens of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TEXT, SPEECH = 0, 1


def training_loss(
    losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, source: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum to differentiate, unweighted sums to log) of one micro-batch.

    Args:
        losses: float32 [B, S] or [B*S], loss of every target.
        loss_mask: 1 for targets, else 0; shape of `losses`.
        speech_targets: bool, whether a target is a speech id; shape of `losses`.
        source: [B], number of the source of each row.
        weights: [num_sources, 2 (TEXT, SPEECH)].

    Returns:
        A scalar, and sums [num_sources, 2 (TEXT, SPEECH), 2 (loss sum, targets)], float64 without a gradient. Add both
        over micro-batches, ranks and steps.
    """
    mask, losses = loss_mask.flatten(), losses.flatten()
    cells = (source.long()[:, None] * 2 + speech_targets.reshape(len(source), -1)).flatten()  # 2 * source + modality
    with torch.no_grad():
        counted = mask.to(torch.float64)
        sums = torch.zeros(weights.numel(), 2, dtype=torch.float64, device=losses.device)
        sums.index_add_(0, cells, torch.stack([losses * counted, counted], dim=1))
    weight = weights.flatten()[cells].to(losses.dtype) * mask
    return (losses * weight).sum(), sums.view(*weights.shape, 2)


def total_weight(sums: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weights of all targets in `sums`: the divisor of the weighted loss sum over the same targets."""
    return (sums[..., 1] * weights).sum()


def trained_targets(sums: Tensor, weights: Sequence[Sequence[float]]) -> tuple[int, int]:
    """Number of (text, speech) targets in `sums` with a weight above 0; targets of weight 0 are only logged."""
    trained = [0, 0]
    for cells, cell_weights in zip(sums.tolist(), weights, strict=True):
        for modality in (TEXT, SPEECH):
            trained[modality] += int(cells[modality][1]) if cell_weights[modality] > 0 else 0
    return trained[TEXT], trained[SPEECH]
