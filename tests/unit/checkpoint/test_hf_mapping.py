"""The name table, both ways, against transformers' own classes."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from megatron_speech.checkpoint.families.family import Entry
from megatron_speech.checkpoint.families.table import family_of
from megatron_speech.checkpoint.hf_mapping import (
    entries,
    hugging_face_shapes,
    join,
    megatron_shapes,
    require_shapes,
    row_ranges,
)
from megatron_speech.config.run.model import ModelConfig
from tests.toy_text_models import FAMILIES

SHAPE = {"num_layers": 2, "hidden_size": 24, "ffn_hidden_size": 40, "num_attention_heads": 6, "num_query_groups": 2}
SETTINGS = {
    "llama": {},
    "qwen2": {"add_qkv_bias": True},
    "qwen3": {"qk_layernorm": True, "kv_channels": 8},
    "glm": {"add_qkv_bias": True, "rotary_interleaved": True, "rotary_percent": 0.5, "kv_channels": 8},
}


def shapes_of_transformers(family: str, model: ModelConfig) -> dict[str, tuple[int, ...]]:
    config_class, _ = FAMILIES[family]
    config = config_class(
        vocab_size=32,
        hidden_size=model.hidden_size,
        intermediate_size=model.ffn_hidden_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_query_groups,
        head_dim=model.head_dim,
        tie_word_embeddings=not model.untie_embeddings_and_output_weights,
        pad_token_id=0,
    )
    with torch.device("meta"):
        state = AutoModelForCausalLM.from_config(config).state_dict()
    if not model.untie_embeddings_and_output_weights:
        state.pop("lm_head.weight")
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("family", SETTINGS)
@pytest.mark.parametrize("untied", [False, True])
def test_the_table_has_every_tensor_of_the_class(family: str, untied: bool) -> None:
    model = ModelConfig(**SHAPE, **SETTINGS[family], untie_embeddings_and_output_weights=untied)
    assert family_of(model).model_type == family
    assert hugging_face_shapes(model, num_rows=32) == shapes_of_transformers(family, model)


@pytest.mark.parametrize("family", SETTINGS)
def test_there_and_back_is_bit_exact(family: str) -> None:
    model = ModelConfig(**SHAPE, **SETTINGS[family])
    shapes, joined_shapes = hugging_face_shapes(model, num_rows=32), megatron_shapes(model, num_rows=32)
    for entry in entries(model):
        parts = [torch.randn(shapes[name]) for name in entry.hugging_face]
        joined = join(parts, entry, model)
        expected = joined_shapes[entry.megatron]
        assert joined.shape == (expected if entry.layer is None else expected[1:])
        for part, ranges in zip(parts, row_ranges(entry, model, num_rows=32), strict=True):
            assert torch.equal(torch.cat([joined[first:end] for first, end in ranges]), part)


def entry_of(model: ModelConfig, megatron: str) -> Entry:
    return next(entry for entry in entries(model) if entry.megatron == megatron and entry.layer == 1)


def test_query_groups_lie_together() -> None:
    model = ModelConfig(**SHAPE)
    queries, keys, values = torch.randn(24, 24), torch.randn(8, 24), torch.randn(8, 24)
    entry = entry_of(model, "decoder.layers.self_attention.linear_qkv.weight")
    assert list(entry.hugging_face) == [f"model.layers.1.self_attn.{part}_proj.weight" for part in "qkv"]
    # Group 1 of 2, head width 4, three query heads per group: its first row is query head 3's.
    group = join([queries, keys, values], entry, model)[20:40]
    assert torch.equal(group[:12], queries[12:24])
    assert torch.equal(group[12:16], keys[4:8])
    assert torch.equal(group[16:], values[4:8])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.norm.weight"), r"^x lacks tensor model.norm.weight \(1 missing\) that its y asks for"),
        (lambda t: t.update({"model.layers.0.extra": (1,)}), r"^x has tensor model.layers.0.extra \(1 extra\)"),
        (lambda t: t.update({"model.norm.weight": (7,)}), r"model.norm.weight has shape \[7\], its y asks for \[24\]"),
    ],
)
def test_a_wrong_tensor_is_named(change, message: str) -> None:
    expected = hugging_face_shapes(ModelConfig(**SHAPE), num_rows=32)
    found = dict(expected)
    change(found)
    with pytest.raises(ValueError, match=message):
        require_shapes(found, expected, holder="x", config="y")


@pytest.mark.parametrize(
    "settings",
    [
        {"qk_layernorm": True, "add_qkv_bias": True},
        {"rotary_percent": 0.5},
        {"rotary_interleaved": True},
        {"add_qkv_bias": True, "qk_layernorm": True, "rotary_interleaved": True},
    ],
)
def test_settings_of_no_family_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match="none of llama, qwen2, qwen3, glm computes this"):
        family_of(ModelConfig(**settings))
