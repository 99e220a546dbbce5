"""megatron-core's `GPTModel` with a softmax over the vocabulary's ids, without the padding rows of the embedding.

The embedding is padded so that tensor parallel ranks share its rows evenly. The loss of megatron-core runs over all
rows, so padding would take probability and receive gradients. An export cuts the padding off, which would change every
probability. Here the logits of padding rows are set to the smallest finite value before the loss. Their probability and
gradient are exactly 0, so these rows stay zero. The loss then equals the one that transformers computes from the
export. A call without labels returns the plain logits, padding included.

Cost: overwriting fewer than `padding_multiple` columns per loss.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from torch import Tensor

from megatron_speech.parallel import groups


class SpeechTextModel(GPTModel):
    """`GPTModel` that also takes `num_ids`: the first `num_ids` rows of the embedding are ids, the others padding."""

    def __init__(self, *, num_ids: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.num_ids = num_ids

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Losses [B, S] of labels [B, S], from this rank's columns of the logits [S, B, V / tensor size]."""
        width = logits.shape[-1]
        own_ids = min(max(self.num_ids - groups.tensor_parallel_rank() * width, 0), width)
        # No gradient is recorded: these columns have probability 0, so their gradient is 0. The value is finite because
        # fused kernels subtract the maximum of a slice, and a slice may hold only padding.
        with torch.no_grad():
            logits[..., own_ids:] = torch.finfo(logits.dtype).min
        losses: Tensor = super().compute_language_model_loss(labels, logits)
        return losses
