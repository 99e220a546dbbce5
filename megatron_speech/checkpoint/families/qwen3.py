"""Qwen3: Llama with norms on queries and keys."""

from __future__ import annotations

from transformers import Qwen3Config

from megatron_speech.checkpoint.families.family import Entry, Family
from megatron_speech.checkpoint.families.llama import ATTENTION, MLP

_QK_NORM = (
    Entry("self_attention.q_layernorm.weight", {"self_attn.q_norm.weight": "N"}),
    Entry("self_attention.k_layernorm.weight", {"self_attn.k_norm.weight": "N"}),
)
QWEN3 = Family(
    model_type="qwen3",
    config_class=Qwen3Config,
    architecture="Qwen3ForCausalLM",
    layers=(*ATTENTION, *_QK_NORM, *MLP),
    qk_layernorm=True,
    required={"attention_bias": False},  # true would also add a bias to the output projection of attention
)
