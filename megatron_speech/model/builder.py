"""From `ModelConfig` to megatron-core: the only place that knows `TransformerConfig` and builds a `GPTModel`.

The forward call of a training step (`model.forward` makes it), on every pipeline stage:

    input_ids, position_ids [1, B*S]   all rows of the micro-batch as one sequence (THD, megatron's packed format);
                                       positions are not read: rotary positions restart at every document
    labels [1, B*S] or None            with labels the last stage returns losses [1, B*S] float32, else logits
                                       [1, B*S, V / tensor size]
    packed_seq_params                  cu_seqlens int32 [documents + 1] from 0 to B*S, and the TRUE longest document as
                                       max_seqlen: given B*S as an upper bound, megatron would not restart positions

Other stages return hidden states [B*S (/ tensor size with sequence_parallel), 1, D]. The pipeline schedule is therefore
called with ``seq_length=B*S, micro_batch_size=1``: shapes are fixed within a step and never exchanged. With context
parallelism B*S becomes T of `parallel.context`, and tokens and labels are a rank's share of it. Loss functions return
(sum, token count, data): with ``calculate_per_token_loss`` gradients are divided once, over the whole global batch, in
`finalize_model_grads` (by what, `training.step` says).
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer import TransformerConfig

from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.model.initialization import initialize_weights
from megatron_speech.model.layer_spec import block_spec
from megatron_speech.model.precision import transformer_fields
from megatron_speech.model.speech_text_model import SpeechTextModel
from megatron_speech.parallel import groups
from megatron_speech.parallel.pipeline_split import chunks_of
from megatron_speech.vocabulary import Vocabulary


def to_transformer_config(
    model: ModelConfig, *, parallel: ParallelConfig, precision: PrecisionConfig
) -> TransformerConfig:
    """megatron-core's configuration of the model; ValueError for what this machine or megatron-core cannot do."""
    on_gpu = torch.cuda.is_available()
    fields: dict[str, Any] = {
        **transformer_shape(model),
        **_layout(parallel),
        **transformer_fields(precision),
        # Fused kernels exist on GPUs only; batched point-to-point calls are NCCL's. megatron-core 0.16.1 does not tell
        # the fused rotation of packed documents that pairs are interleaved: it would rotate halves, silently.
        "apply_rope_fusion": on_gpu and not model.rotary_interleaved,
        "bias_activation_fusion": on_gpu,
        "bias_dropout_fusion": on_gpu,
        "cross_entropy_loss_fusion": on_gpu,
        "masked_softmax_fusion": False,
        "batch_p2p_comm": on_gpu,
        "deallocate_pipeline_outputs": True,
        "calculate_per_token_loss": True,
        "cuda_graph_scope": [],  # the default is spelled in a deprecated way and warns
    }
    try:
        return TransformerConfig(**{**fields, **model.megatron})
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or "its own check failed"
        settings = f"with model.megatron={model.megatron} " if model.megatron else ""
        raise ValueError(f"megatron-core refuses this model {settings}in its layout: {reason}; change one") from error


def build_model(
    model: ModelConfig, *, vocabulary: Vocabulary, parallel: ParallelConfig, precision: PrecisionConfig, seed: int = 0
) -> list[GPTModel]:
    """This rank's chunks (several with a virtual pipeline), on the device, not yet wrapped for data parallelism.

    Initial weights are a function of `seed` and the parameter's name alone: every layout starts from the same model.
    Needs `parallel.groups.initialize` first.
    """
    config = to_transformer_config(model, parallel=parallel, precision=precision)
    virtual = parallel.virtual_pipeline_model_parallel_size
    stages: list[int | None] = [None] if virtual is None else list(range(virtual))
    chunks = [_build_chunk(model, config, vocabulary, vp_stage=stage) for stage in stages]
    for chunk in chunks:
        initialize_weights(chunk, model, num_ids=vocabulary.size, seed=seed)
    return chunks


def _build_chunk(
    model: ModelConfig, config: TransformerConfig, vocabulary: Vocabulary, *, vp_stage: int | None
) -> GPTModel:
    last_chunk = (config.virtual_pipeline_model_parallel_size or 1) - 1
    return SpeechTextModel(
        num_ids=vocabulary.size,
        config=config,
        transformer_layer_spec=block_spec(config, vp_stage=vp_stage),
        vocab_size=vocabulary.padded_size,
        max_sequence_length=model.max_position_embeddings,
        pre_process=groups.is_first_stage() and vp_stage in (None, 0),
        post_process=groups.is_last_stage() and vp_stage in (None, last_chunk),
        share_embeddings_and_output_weights=not model.untie_embeddings_and_output_weights,
        position_embedding_type="rope",
        rotary_base=model.rotary_base,
        rotary_percent=model.rotary_percent,
        vp_stage=vp_stage,
    )


def transformer_shape(model: ModelConfig) -> dict[str, Any]:
    """The sizes and switches of `model`, by the names of megatron-core's TransformerConfig."""
    return {
        "num_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "ffn_hidden_size": model.ffn_hidden_size,
        "num_attention_heads": model.num_attention_heads,
        "num_query_groups": model.num_query_groups,
        "kv_channels": model.head_dim,
        "add_qkv_bias": model.add_qkv_bias,
        "qk_layernorm": model.qk_layernorm,
        "rotary_interleaved": model.rotary_interleaved,
        "add_bias_linear": False,
        "normalization": "RMSNorm",
        "layernorm_epsilon": model.norm_epsilon,
        "activation_func": F.silu,
        "gated_linear_unit": True,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        # Megatron's drawing is switched off here, not by perform_initialization=False, which would also skip the marks
        # of tensor parallel slices that gradient norms rely on.
        "init_method": _leave,
        "output_layer_init_method": _leave,
        "embedding_init_method": _leave,
    }


def _layout(parallel: ParallelConfig) -> dict[str, Any]:
    split = parallel.pipeline_model_parallel_layout
    return {
        "tensor_model_parallel_size": parallel.tensor_model_parallel_size,
        "pipeline_model_parallel_size": parallel.pipeline_model_parallel_size,
        "virtual_pipeline_model_parallel_size": parallel.virtual_pipeline_model_parallel_size,
        "context_parallel_size": parallel.context_parallel_size,
        "sequence_parallel": parallel.sequence_parallel,
        "pipeline_model_parallel_layout": None if split is None else "|".join(chunks_of(split)),
        "gradient_accumulation_fusion": _fused_accumulation(parallel),
        "recompute_granularity": parallel.recompute_granularity,
        "recompute_method": parallel.recompute_method,
        "recompute_num_layers": parallel.recompute_num_layers,
        "recompute_modules": parallel.recompute_modules,
    }


def _fused_accumulation(parallel: ParallelConfig) -> bool:
    """Whether weight gradients are added up by Apex's kernel; ValueError where it is missing."""
    kernel = "fused_weight_gradient_mlp_cuda"
    if parallel.gradient_accumulation_fusion and importlib.util.find_spec(kernel) is None:
        raise ValueError(
            f"parallel.gradient_accumulation_fusion=true needs a GPU and NVIDIA Apex's {kernel}, which is not "
            "installed; set false"
        )
    return parallel.gradient_accumulation_fusion


def _leave(weight: torch.Tensor) -> torch.Tensor:
    """An initial distribution that draws nothing; `initialize_weights` draws."""
    return weight
