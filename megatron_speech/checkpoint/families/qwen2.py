"""Qwen2: Llama with biases on queries, keys and values."""

from __future__ import annotations

from transformers import Qwen2Config

from megatron_speech.checkpoint.families.family import Entry, Family
from megatron_speech.checkpoint.families.llama import ATTENTION, MLP

QKV_BIAS = Entry(
    "self_attention.linear_qkv.bias",
    {"self_attn.q_proj.bias": "Q", "self_attn.k_proj.bias": "K", "self_attn.v_proj.bias": "K"},
    "query groups",
)
QWEN2 = Family(
    model_type="qwen2",
    config_class=Qwen2Config,
    architecture="Qwen2ForCausalLM",
    layers=(*ATTENTION, QKV_BIAS, *MLP),
    add_qkv_bias=True,
)
