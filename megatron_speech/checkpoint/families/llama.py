"""Llama: attention without biases and norms. Other families reuse its entries."""

from __future__ import annotations

from transformers import LlamaConfig

from megatron_speech.checkpoint.families.family import Entry, Family

ATTENTION = (
    Entry("self_attention.linear_qkv.layer_norm_weight", {"input_layernorm.weight": "D"}),
    Entry(
        "self_attention.linear_qkv.weight",
        {"self_attn.q_proj.weight": "QD", "self_attn.k_proj.weight": "KD", "self_attn.v_proj.weight": "KD"},
        "query groups",
    ),
    Entry("self_attention.linear_proj.weight", {"self_attn.o_proj.weight": "DQ"}),
)
MLP_NORM = Entry("mlp.linear_fc1.layer_norm_weight", {"post_attention_layernorm.weight": "D"})
MLP = (
    MLP_NORM,
    Entry("mlp.linear_fc1.weight", {"mlp.gate_proj.weight": "FD", "mlp.up_proj.weight": "FD"}, "stacked"),
    Entry("mlp.linear_fc2.weight", {"mlp.down_proj.weight": "DF"}),
)
LLAMA = Family(
    model_type="llama",
    config_class=LlamaConfig,
    architecture="LlamaForCausalLM",
    layers=(*ATTENTION, *MLP),
    required={"attention_bias": False},  # true would also add a bias to the output projection of attention
)
