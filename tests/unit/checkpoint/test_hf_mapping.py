"""The name table, both ways, against transformers' own classes."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from megatron_speech.checkpoint.hf_mapping import family_of, to_hugging_face, to_megatron
from megatron_speech.config.model import ModelConfig

SHAPE = {"num_layers": 2, "hidden_size": 24, "ffn_hidden_size": 40, "num_attention_heads": 6, "num_query_groups": 2}


def _tensors(model: ModelConfig) -> dict[str, torch.Tensor]:
    config_class = Qwen2Config if model.add_qkv_bias else LlamaConfig
    config = config_class(
        vocab_size=32,
        hidden_size=model.hidden_size,
        intermediate_size=model.ffn_hidden_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_query_groups,
        tie_word_embeddings=not model.untie_embeddings_and_output_weights,
    )
    state = dict(AutoModelForCausalLM.from_config(config).state_dict())
    if not model.untie_embeddings_and_output_weights:
        state.pop("lm_head.weight")
    return {name: torch.randn_like(tensor) for name, tensor in state.items()}


@pytest.mark.parametrize("untied", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("fused_norms", [False, True])
def test_there_and_back_is_bit_exact(untied: bool, bias: bool, fused_norms: bool) -> None:
    model = ModelConfig(**SHAPE, untie_embeddings_and_output_weights=untied, add_qkv_bias=bias)
    tensors = _tensors(model)
    names = [f"decoder.layers.{i}.self_attention.linear_qkv.layer_norm_weight" for i in range(2)] if fused_norms else []
    there = dict(to_megatron(tensors, model=model, names=names))
    assert all(name in there for name in names)
    back = dict(to_hugging_face(there, model=model))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_query_groups_lie_together() -> None:
    model = ModelConfig(**SHAPE)
    tensors = _tensors(model)
    fused = dict(to_megatron(tensors, model=model, names=[]))["decoder.layers.1.self_attention.linear_qkv.weight"]
    queries, keys, values = (tensors[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qkv")
    # Group 1 of 2, head width 4, three query heads per group: its first row is query head 3's.
    group = fused[20:40]
    assert torch.equal(group[:12], queries[12:24])
    assert torch.equal(group[12:16], keys[4:8])
    assert torch.equal(group[16:], values[4:8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.norm.weight"), "lacks tensor model.norm.weight"),
        (lambda t: t.update({"model.layers.0.extra": torch.zeros(1)}), "unknown tensor model.layers.0.extra"),
        (lambda t: t.update({"model.norm.weight": torch.zeros(7)}), r"model.norm.weight has shape \[7\].*\[24\]"),
    ],
)
def test_a_wrong_tensor_is_named(change, message: str) -> None:
    model = ModelConfig(**SHAPE)
    tensors = _tensors(model)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        dict(to_megatron(tensors, model=model, names=[]))


def test_a_misshapen_megatron_tensor_is_named() -> None:
    model = ModelConfig(**SHAPE)
    there = dict(to_megatron(_tensors(model), model=model, names=[]))
    there["decoder.layers.0.mlp.linear_fc1.weight"] = torch.zeros(79, 24)
    with pytest.raises(ValueError, match=r"layers.0.mlp.linear_fc1.weight has shape \[79, 24\].*\[80, 24\]"):
        dict(to_hugging_face(there, model=model))


def test_biases_choose_the_family() -> None:
    assert family_of(ModelConfig()) == "llama"
    assert family_of(ModelConfig(add_qkv_bias=True)) == "qwen2"
