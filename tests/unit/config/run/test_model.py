"""Shapes and numbers that no model can have are refused in one line, whoever wrote them."""

from __future__ import annotations

from typing import Any

import pytest

from megatron_speech.config.run.model import ModelConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotary_base": 0}, "model.rotary_base=0 must be above 0 and finite"),
        ({"rotary_base": -5.0}, "model.rotary_base=-5.0 must be above 0"),
        ({"rotary_base": float("nan")}, "model.rotary_base=nan must be above 0"),
        ({"rotary_base": "x"}, "model.rotary_base='x' must be float"),
        ({"norm_epsilon": float("inf")}, "model.norm_epsilon=inf must be above 0"),
        ({"norm_epsilon": -1.0}, "model.norm_epsilon=-1.0 must be above 0"),
        ({"init_method_std": 0.0}, "model.init_method_std=0.0 must be above 0"),
        ({"max_position_embeddings": -3}, "model.max_position_embeddings=-3 must be at least 1"),
        ({"kv_channels": 0}, "model.kv_channels=0 must be at least 1"),
        ({"num_layers": 10**9}, "model.num_layers=1000000000 must be at most 10000"),
        ({"num_layers": "4"}, "model.num_layers='4' must be int; correct it"),
        ({"num_layers": True}, "model.num_layers=True must be int"),
        ({"kv_channels": 1.5}, "model.kv_channels=1.5 must be int | None"),
        ({"qk_layernorm": 1}, "model.qk_layernorm=1 must be bool"),
        ({"megatron": []}, r"model.megatron=[] must be dict; correct it"),
    ],
)
def test_an_impossible_model_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        ModelConfig(**settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_whole_number_is_a_number() -> None:
    assert ModelConfig(rotary_base=10_000, norm_epsilon=1, kv_channels=64).head_dim == 64
