"""From `ModelConfig` to megatron-core: the only place that knows `TransformerConfig` and builds a `GPTModel`.

The forward call of a training step (`model/forward.py` makes it; every pipeline stage must):

    tokens [1, B*S] int64      all rows of the micro-batch as one sequence (THD: megatron's packed format)
    position_ids [1, B*S]      ignored with rotary positions, which restart at every document of cu_seqlens
    labels [1, B*S] or None    with labels the last stage returns losses [1, B*S] float32, else logits [1, B*S, V / T]
    packed_seq_params          cu_seqlens int32 [documents + 1] from 0 to B*S, and the TRUE longest document as max_seqlen
                               (never B*S as an upper bound: megatron would then not restart the positions);
                               needed on every stage, not only the first

Other stages return hidden states [B*S (/ T with sequence_parallel), 1, D]. The pipeline schedule therefore is called with
``seq_length=B*S, micro_batch_size=1``: shapes are fixed, no shape exchange is needed. Loss functions return sums and the
token count as an int tensor (``calculate_per_token_loss``): the gradients are divided once, in `finalize_model_grads`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from megatron_speech.config.model import ModelConfig
from megatron_speech.config.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.vocabulary import Vocabulary

if TYPE_CHECKING:
    from megatron.core.models.gpt import GPTModel
    from megatron.core.transformer import TransformerConfig


def to_transformer_config(
    model: ModelConfig, *, parallel: ParallelConfig, precision: PrecisionConfig
) -> TransformerConfig:
    """megatron-core's configuration of the model; ValueError with a near name for an unknown key of model.megatron."""
    raise NotImplementedError


def build_model(
    model: ModelConfig, *, vocabulary: Vocabulary, parallel: ParallelConfig, precision: PrecisionConfig, seed: int = 0
) -> list[GPTModel]:
    """This rank's chunks (one, or several with a virtual pipeline), on the device, not yet wrapped for data parallelism.

    Initial weights are a function of `seed` and the parameter's name alone: every layout starts from the same model.
    Needs `parallel.groups.initialize` first.
    """
    raise NotImplementedError
