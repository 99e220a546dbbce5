"""Settings of a config.json that change nothing are accepted; those that change what is computed are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.checkpoint.hf_config import read_model_config
from megatron_speech.config.run.model import ModelConfig
from tests.toy_text_models import SHAPE

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
SLIDING = {"layer_types": ["sliding_attention"] * 4, "sliding_window": 16}


def read(folder: Path, family: str, **changes: Any) -> ModelConfig:
    shape = {key: value for key, value in SHAPE.items() if key != "rope_parameters"}
    (folder / "config.json").write_text(
        json.dumps({"model_type": family, "vocab_size": 300, "rope_theta": 5000.0, **shape, **changes})
    )
    return read_model_config(folder)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"hidden_act": "swish"}),
        ("llama", {"rope_scaling": None}),
        ("llama", {"rope_scaling": {"rope_type": "default"}}),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 1.0}}),
        ("qwen2", {"rope_scaling": {"rope_type": "linear", "factor": 1}}),
        ("qwen3", {"rope_scaling": {"type": "dynamic", "factor": 1.0}}),
        ("llama", {"rope_scaling": {"type": "yarn", "factor": 1.0, "original_max_position_embeddings": 64}}),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 1.0, **LLAMA3}}),
        ("qwen2", {**SLIDING, "use_sliding_window": False}),
        ("qwen3", {**SLIDING, "use_sliding_window": False}),
        ("qwen2", {**SLIDING, "use_sliding_window": True, "sliding_window": 64}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 4}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 16, "layer_types": ["full_attention"] * 4}),
    ],
)
def test_what_changes_nothing_is_accepted(tmp_path: Path, family: str, changes: dict[str, Any]) -> None:
    assert read(tmp_path, family, **changes) == read(tmp_path, family)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("llama", {"hidden_act": "gelu_new"}, "hidden_act=gelu_new must be silu"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "not plain rotary positions"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 1.5}}, "not plain rotary positions"),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, **LLAMA3}}, "not plain rotary positions"),
        (
            "llama",
            {"rope_scaling": {"type": "yarn", "factor": 1.0, "attention_factor": 2.0}},
            "not plain rotary positions",
        ),
        ("qwen2", {**SLIDING, "use_sliding_window": True}, "use_sliding_window=True with sliding_window=16 below"),
        ("qwen3", {**SLIDING, "use_sliding_window": True}, "use_sliding_window=True with sliding_window=16 below"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 63, "max_window_layers": 3},
            "sliding_window=63 below max_position_embeddings=64",
        ),
        ("qwen3", {"layer_types": ["linear_attention"] * 4}, "layer_types has linear_attention"),
    ],
)
def test_what_changes_the_computation_is_refused(
    tmp_path: Path, family: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, family, **changes)
    assert "\n" not in str(error.value)
