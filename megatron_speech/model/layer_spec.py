"""Chooses the layers of a `GPTModel`: Transformer Engine's on a GPU, torch's on a CPU.

Both write the same checkpoints: the CPU layers keep megatron-core's map of norm names to Transformer Engine's names.
Attention works on packed documents (THD). All rows of a micro-batch form one sequence of T = B*S tokens, and a token
attends only to the past of its own document. The CPU does this in `model.packed_attention`, a GPU in one kernel of
Transformer Engine. Both use the same split of documents over context parallel ranks (`parallel.context`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from torch import nn

from megatron_speech.model.fp8_emulation import emulate_fp8
from megatron_speech.model.packed_attention import PackedAttention


def block_spec(config: TransformerConfig, *, vp_stage: int | None) -> ModuleSpec | TransformerBlockSubmodules:
    """Spec of the layers of this rank's chunk and of its final norm."""
    if torch.cuda.is_available():
        return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=config.qk_layernorm)
    layers = [cpu_layer_spec(config)] * get_num_layers_to_build(config, vp_stage=vp_stage)
    if config.fp8:
        layers = emulate_fp8(layers, config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=RMSNorm)


def cpu_layer_spec(config: TransformerConfig) -> ModuleSpec:
    """megatron-core's local layer spec, with `RMSNorm` and `PackedAttention` in place of modules that need CUDA."""
    layer = get_gpt_layer_local_spec(qk_layernorm=config.qk_layernorm, normalization="RMSNorm")
    attention = layer.submodules.self_attention
    inner = dataclasses.replace(attention.submodules, core_attention=PackedAttention)
    if config.qk_layernorm:
        inner = dataclasses.replace(inner, q_layernorm=RMSNorm, k_layernorm=RMSNorm)
    submodules = dataclasses.replace(
        layer.submodules,
        input_layernorm=RMSNorm,
        self_attention=dataclasses.replace(attention, submodules=inner),
        pre_mlp_layernorm=RMSNorm,
    )
    return dataclasses.replace(layer, submodules=submodules)


class RMSNorm(nn.RMSNorm):
    """torch's RMSNorm that also works under sequence parallelism.

    There each rank normalises its own part of the sequence, so the weight's gradient is a partial sum.
    `finalize_model_grads` adds up the gradients of weights with the attribute `sequence_parallel`.
    """

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]  # the mark that Megatron reads
