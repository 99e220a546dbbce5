"""GLM-4: gate and up projection are one tensor, in megatron's order; rotary positions rotate neighbouring pairs.

megatron-core does the same with ``rotary_interleaved``, so conversion moves no rows.
"""

from __future__ import annotations

from transformers import GlmConfig

from megatron_speech.checkpoint.families.family import Entry, Family
from megatron_speech.checkpoint.families.llama import ATTENTION, MLP_NORM
from megatron_speech.checkpoint.families.qwen2 import QKV_BIAS

_FUSED_MLP = (
    MLP_NORM,
    Entry("mlp.linear_fc1.weight", {"mlp.gate_up_proj.weight": "ED"}),
    Entry("mlp.linear_fc2.weight", {"mlp.down_proj.weight": "DF"}),
)

GLM = Family(
    model_type="glm",
    config_class=GlmConfig,
    architecture="GlmForCausalLM",
    layers=(*ATTENTION, QKV_BIAS, *_FUSED_MLP),
    add_qkv_bias=True,
    rotary_interleaved=True,
    partial_rotary=True,
    required={"attention_bias": True},
)
