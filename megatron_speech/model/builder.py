"""Builds megatron-core's `GPTModel` from a `ModelConfig`; the only file that fills in a `TransformerConfig`.

`model.forward` calls the model with these arguments, on every pipeline stage:

    input_ids [1, B*S]        All rows of the micro-batch as one sequence (THD, megatron's packed format).
    position_ids [1, B*S]     Not read. Rotary positions restart at every document.
    labels [1, B*S] or None   With labels the last stage returns losses [1, B*S] float32.
                              Without labels, it returns logits [1, B*S, V / tensor size].
    packed_seq_params         `cu_seqlens` int32 [documents + 1] runs from 0 to B*S.
                              `max_seqlen` must be the true longest document.
                              With an upper bound such as B*S, megatron would not restart positions.

Other stages return hidden states [B*S, 1, D], with B*S divided by the tensor size under sequence parallelism. So the
pipeline schedule is called with ``seq_length=B*S, micro_batch_size=1``: shapes are fixed within a step and never
exchanged. Under context parallelism B*S becomes T of `parallel.context`, and a rank passes its share of tokens and
labels.

Loss functions return (sum, token count, data). With ``calculate_per_token_loss``, `finalize_model_grads` divides the
gradients once, over the whole global batch (`training.step` gives the divisor).
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
    """megatron-core's configuration of the model; ValueError if this machine or megatron-core does not support it."""
    on_gpu = torch.cuda.is_available()
    fields: dict[str, Any] = {
        **transformer_shape(model),
        **_layout(parallel),
        **transformer_fields(precision),
        # Fused kernels exist on GPUs only, and batched point-to-point calls in NCCL only. megatron-core 0.16.1 does not
        # pass `rotary_interleaved` to the fused rotation of packed documents, which would silently rotate halves.
        "apply_rope_fusion": on_gpu and not model.rotary_interleaved,
        "bias_activation_fusion": on_gpu,
        "bias_dropout_fusion": on_gpu,
        "cross_entropy_loss_fusion": on_gpu,
        "masked_softmax_fusion": False,
        "batch_p2p_comm": on_gpu,
        "deallocate_pipeline_outputs": True,
        "calculate_per_token_loss": True,
        "cuda_graph_scope": [],  # the default is deprecated and warns
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
    """This rank's model chunks (several with a virtual pipeline), on the device, not wrapped for data parallelism.

    Initial weights depend only on `seed` and the parameter's name: every layout starts from the same model.
    Call `parallel.groups.initialize` first.
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
        # These turn off megatron's own initialization. perform_initialization=False would also leave out the attributes
        # of tensor parallel slices, which gradient norms need.
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
    """Whether Apex's kernel accumulates weight gradients; ValueError if it is asked for and not installed."""
    kernel = "fused_weight_gradient_mlp_cuda"
    if parallel.gradient_accumulation_fusion and importlib.util.find_spec(kernel) is None:
        raise ValueError(
            f"parallel.gradient_accumulation_fusion=true needs a GPU and NVIDIA Apex's {kernel}, which is not "
            "installed; set false"
        )
    return parallel.gradient_accumulation_fusion


def _leave(weight: torch.Tensor) -> torch.Tensor:
    """An `init_method` that changes nothing: `initialize_weights` draws the weights later."""
    return weight
