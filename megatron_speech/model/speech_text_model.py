"""megatron-core's `GPTModel` with a softmax over the vocabulary's ids, not over the rows that pad it.

The embedding has more rows than there are ids, so that tensor parallel ranks share it evenly. megatron-core's loss runs
over all rows: padding would take probability (a row of zeros as much as a token of average logit), be pushed away by
gradients, and vanish on export, after which every probability is another one. Here a padding row's logit is lowered to
the number format's least value before the loss: its probability and its gradient are exactly 0, so it stays what it was
made as, zero, and the loss is the one that transformers computes from the export. Logits (a call without labels) come
as the matrix product gives them, padding included. Price: writing fewer than `padding_multiple` columns.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from torch import Tensor

from megatron_speech.parallel import groups


class SpeechTextModel(GPTModel):
    """Arguments of `GPTModel`, and the number of meaningful ids, which are the first rows of the embedding."""

    def __init__(self, *, num_ids: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.num_ids = num_ids

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Losses [B, S] of labels [B, S] by this rank's columns of the logits, [S, B, V / tensor size]."""
        width = logits.shape[-1]
        own_ids = min(max(self.num_ids - groups.tensor_parallel_rank() * width, 0), width)
        # Not recorded for the backward pass: the gradient of these columns is 0 because their probability is. The least
        # finite value, because fused kernels subtract maxima of slices, and a slice may hold nothing but padding.
        with torch.no_grad():
            logits[..., own_ids:] = torch.finfo(logits.dtype).min
        return super().compute_language_model_loss(labels, logits)
