"""Losses as sums: per source and modality for the log, weighted for training. Divided once, by global token counts."""

from __future__ import annotations

from torch import Tensor

TEXT, SPEECH = 0, 1


def training_loss(
    losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, speech_loss_weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, token count): what megatron's schedule takes; the count is unweighted, int32.

    All arguments flatten to [B*S]: losses float32, loss_mask 0 or 1, speech_targets bool.
    """
    raise NotImplementedError


def loss_sums(losses: Tensor, *, loss_mask: Tensor, speech_targets: Tensor, source: Tensor, num_sources: int) -> Tensor:
    """Sums [num_sources, 2 modalities (TEXT, SPEECH), 2 (loss sum, token count)] float64, to be added over ranks and steps.

    losses, loss_mask and speech_targets are [B, S] or flattened; source [B] gives each row's source number.
    """
    raise NotImplementedError
