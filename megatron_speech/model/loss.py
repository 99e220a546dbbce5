"""Losses as sums: weighted for training, and by source and modality for the log. Divided once, by global sums.

The loss of a run is sum(w * loss) / sum(w) over all targets of the global batch, w the weight that the target's source
gives to its modality. A mean of means weighs a micro-batch, a rank or a step with few targets as much as one with many;
sums over everything, divided at the end, weigh every target as the settings say, in every layout. Sums are additive:
over micro-batches, over data and context parallel ranks, over steps. A micro-batch without targets adds zeros.

Every target belongs to one cell (source, modality), and the weights [num_sources, 2 (TEXT, SPEECH)] are constant over a
cell; so the sum of weights is the targets of each cell times its weight, and needs no sum of its own. Price: the weight
of a target cannot depend on anything else.

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
    """(weighted loss sum, sums): what is differentiated, and what is measured, of one micro-batch.

    losses float32, loss_mask 0 or 1 and speech_targets bool are [B, S] or flattened; source [B] numbers the rows of
    `weights` [num_sources, 2]. The sums [num_sources, 2 (TEXT, SPEECH), 2 (loss sum, targets)] are float64, unweighted
    and without a gradient; add them over micro-batches, ranks and steps.
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
    """Sum of the weights of all targets counted in `sums`: what `training_loss`, summed likewise, is divided by."""
    return (sums[..., 1] * weights).sum()


def trained_targets(sums: Tensor, weights: Sequence[Sequence[float]]) -> tuple[int, int]:
    """(text, speech) targets counted in `sums` that weigh something; those of weight 0 are measured, not trained on."""
    trained = [0, 0]
    for cells, cell_weights in zip(sums.tolist(), weights, strict=True):
        for modality in (TEXT, SPEECH):
            trained[modality] += int(cells[modality][1]) if cell_weights[modality] > 0 else 0
    return trained[TEXT], trained[SPEECH]
