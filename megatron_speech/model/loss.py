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

import torch
from torch import Tensor

TEXT, SPEECH = 0, 1


def training_loss(
    losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, source: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, int32 number of targets): what megatron's schedule takes.

    losses float32, loss_mask 0 or 1 and speech_targets bool are [B, S] or flattened; source [B] numbers the rows of
    `weights` [num_sources, 2].
    """
    mask = loss_mask.flatten()
    weight = weights.to(losses.dtype).flatten()[_cells(speech_targets, source)] * mask
    return (losses.flatten() * weight).sum(), mask.sum(dtype=torch.int32)


@torch.no_grad()
def loss_sums(losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, source: Tensor, num_sources: int) -> Tensor:
    """Sums [num_sources, 2 (TEXT, SPEECH), 2 (loss sum, targets)] float64, unweighted; add them over ranks and steps.

    Arguments as in `training_loss`.
    """
    mask = loss_mask.flatten().to(torch.float64)
    cells = _cells(speech_targets, source)
    sums = torch.zeros(num_sources * 2, 2, dtype=torch.float64, device=losses.device)
    sums[:, 0].index_add_(0, cells, losses.detach().flatten() * mask)
    sums[:, 1].index_add_(0, cells, mask)
    return sums.view(num_sources, 2, 2)


def total_weight(sums: Tensor, weights: Tensor) -> Tensor:
    """Sum of the weights of all targets counted in `sums`: what `training_loss`, summed likewise, is divided by."""
    return (sums[..., 1] * weights).sum()


def trained_targets(sums: Tensor, weights: Tensor) -> tuple[int, int]:
    """(text, speech) targets counted in `sums` that weigh something; those of weight 0 are measured, not trained on."""
    trained = (sums[..., 1] * (weights > 0)).sum(0)
    return int(trained[TEXT]), int(trained[SPEECH])


def _cells(speech_targets: Tensor, source: Tensor) -> Tensor:
    """int64 [B*S], 2 * source + modality of every target."""
    return (source.long()[:, None] * 2 + speech_targets.reshape(len(source), -1).long()).flatten()
