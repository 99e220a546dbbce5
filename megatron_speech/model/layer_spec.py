"""Which layers a `GPTModel` is made of: Transformer Engine's on a GPU, torch's on a CPU, as one table.

Both have the same checkpoint: the CPU spec keeps megatron-core's map of norm names to Transformer Engine's fused ones.
Attention works on packed documents (THD): all rows of a micro-batch form one sequence of T = B*S tokens and each token
sees its own document's past only. On the CPU that is one `scaled_dot_product_attention` per document, exact, in time
proportional to the sum of squared document lengths; on a GPU it is Transformer Engine's, in one kernel.

Letters: T tokens, H query heads and G key-value heads of this rank, K width of a head.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.tensor_parallel import get_cuda_rng_tracker
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from torch import Tensor, nn

from megatron_speech.model.fp8_emulation import emulate_fp8

# Settings of norm and attention that the CPU layers know one value of.
CPU_VALUES = {
    "layernorm_zero_centered_gamma": False,
    "window_size": None,
    "softmax_type": "vanilla",
    "apply_query_key_layer_scaling": False,
}


def block_spec(config: TransformerConfig, *, vp_stage: int | None) -> ModuleSpec | TransformerBlockSubmodules:
    """Layers of this rank's chunk and its final norm."""
    if torch.cuda.is_available():
        return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=config.qk_layernorm)
    if config.context_parallel_size > 1:
        raise ValueError(
            f"parallel.context_parallel_size={config.context_parallel_size} needs Transformer Engine's attention and a "
            "GPU; use 1 on a CPU"
        )
    layers = [cpu_layer_spec(config)] * get_num_layers_to_build(config, vp_stage=vp_stage)
    if config.fp8:
        layers = emulate_fp8(layers, config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=layers, layer_norm=RMSNorm)


def cpu_layer_spec(config: TransformerConfig) -> ModuleSpec:
    """megatron-core's own layer with our norm and core attention in place of those that need CUDA.

    ValueError for a setting which those two do not implement and would therefore ignore.
    """
    for name, supported in CPU_VALUES.items():
        if (value := getattr(config, name)) != supported:
            raise ValueError(
                f"model.megatron.{name}={value} needs Transformer Engine's layers and a GPU; use {supported}"
            )
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

    There each rank normalises its own part of the sequence, so the weight's gradient is a partial sum;
    `finalize_model_grads` adds up the gradients of weights that carry `sequence_parallel`.
    """

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]


class PackedAttention(nn.Module):
    """Causal core attention with grouped queries, over packed documents or (no `packed_seq_params`) a plain batch.

    The constructor's arguments are those megatron-core gives to every core attention.
    """

    def __init__(self, config: TransformerConfig, *, softmax_scale: float | None = None, **_: Any) -> None:
        super().__init__()
        self.scale = softmax_scale or 1.0 / math.sqrt(config.kv_channels)
        self.dropout = config.attention_dropout
        self.sequence_parallel = config.sequence_parallel

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        *,
        packed_seq_params: PackedSeqParams | None = None,
        **_: Any,
    ) -> Tensor:
        """Context of every query.

        Args:
            query: [T, H, K]; key, value: [T, G, K]. Without `packed_seq_params`: [S, B, H or G, K].
            attention_mask: unused; attention is causal inside each document.

        Returns:
            [T, H, K], or [S, B, H*K] without `packed_seq_params`.
        """
        if packed_seq_params is None:
            q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))
            context = self._attend(q, k, v)
            return context.permute(2, 0, 1, 3).flatten(2)
        lengths = packed_seq_params.cu_seqlens_q.diff().tolist()
        documents = zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)
        contexts = [self._attend(*(x.transpose(0, 1)[None] for x in document)) for document in documents]
        return torch.cat(contexts, dim=2)[0].transpose(0, 1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, H, S, K] x [B, G, S, K] -> [B, H, S, K], causal."""
        dropout = self.dropout if self.training else 0.0
        # Heads are split over tensor parallel ranks, which must drop different weights: draw from the split generator.
        # Under sequence parallelism megatron-core has already switched to it for the whole block.
        switch = dropout > 0 and not self.sequence_parallel
        with get_cuda_rng_tracker().fork() if switch else nullcontext():
            grouped = q.shape[1] != k.shape[1]
            return F.scaled_dot_product_attention(
                q, k, v, dropout_p=dropout, is_causal=True, scale=self.scale, enable_gqa=grouped
            )
