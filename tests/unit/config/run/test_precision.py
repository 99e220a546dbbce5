"""Precision settings that contradict each other, or the model's shape, are refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig, TrainConfig

SHAPE = {"num_layers": 4, "hidden_size": 256, "ffn_hidden_size": 768, "num_attention_heads": 4, "num_query_groups": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fp8_emulation": True}, "precision.fp8_emulation=true has no effect with precision.fp8=none"),
        ({"first_last_layers_bf16": True}, "precision.first_last_layers_bf16=true has no effect"),
        ({"fp8": "hybrid", "first_last_layers_bf16": True}, "needs precision.fp8_recipe=tensorwise or blockwise"),
        ({"fp8": "hybrid", "dtype": "float32"}, "precision.fp8=hybrid needs precision.dtype=bfloat16"),
        ({"fp8_amax_history_len": 0}, "precision.fp8_amax_history_len=0 must be at least 1"),
        ({"num_layers_at_end_in_bf16": -1}, "precision.num_layers_at_end_in_bf16=-1 must be at least 0"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrecisionConfig(**settings)


@pytest.mark.parametrize("recipe", ["delayed", "tensorwise", "blockwise"])
def test_what_fits_is_accepted(recipe: str) -> None:
    _run(recipe)
    _run(recipe, parallel={"tensor_model_parallel_size": 2, "sequence_parallel": True})
    PrecisionConfig(fp8="hybrid", fp8_emulation=True, dtype="float32")


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        (
            "blockwise",
            {"model": {"ffn_hidden_size": 688}},
            "model.ffn_hidden_size / tensor parallel size = 688 must be a",
        ),
        ("blockwise", {"model": {"hidden_size": 576, "kv_channels": 64}}, "model.hidden_size = 576 .* multiple of 128"),
        ("delayed", {"model": {"ffn_hidden_size": 680}}, "= 680 must be a multiple of 16"),
        (
            "blockwise",
            {"model": {"ffn_hidden_size": 1024}, "parallel": {"tensor_model_parallel_size": 4}},
            "width of all query heads / tensor parallel size = 64 must be",
        ),
        ("blockwise", {"seq_length": 192}, "tokens of a micro-batch on one rank = 192 must be a multiple of 128"),
        (
            "blockwise",
            {"seq_length": 128, "parallel": {"tensor_model_parallel_size": 2, "sequence_parallel": True}},
            "tokens of a micro-batch on one rank = 64",
        ),
        (
            "tensorwise",
            {
                "precision": {"first_last_layers_bf16": True, "num_layers_at_end_in_bf16": 3},
                "parallel": {"pipeline_model_parallel_size": 2},
            },
            "keeps 3 first or last layers in bfloat16, more than 4 layers / 2 pipeline stages",
        ),
        (
            "tensorwise",
            {
                "precision": {"first_last_layers_bf16": True, "num_layers_at_start_in_bf16": 3},
                "parallel": {"pipeline_model_parallel_size": 2, "pipeline_model_parallel_layout": "Ettt|tL"},
            },
            "keeps 3 first or last layers in bfloat16, more than 4 layers / 2 pipeline stages",
        ),
    ],
)
def test_what_a_recipe_cannot_cut_is_refused(recipe: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _run(recipe, **changes)


def test_without_fp8_any_shape_will_do() -> None:
    PrecisionConfig().check_shapes(ModelConfig(hidden_size=40, num_attention_heads=4), ParallelConfig(), tokens=7)


def _run(recipe: str, *, seq_length: int = 256, **sections: dict[str, Any]) -> PretrainConfig:
    precision = {"fp8": "hybrid", "fp8_recipe": recipe, **sections.get("precision", {})}
    return PretrainConfig(
        folder="run",
        model=ModelConfig(**{**SHAPE, **sections.get("model", {})}),
        parallel=ParallelConfig(**sections.get("parallel", {})),
        precision=PrecisionConfig(**precision),
        data=DataConfig(seq_length=seq_length, sources={"text": SourceConfig(folder="packed", task="text")}),
        train=TrainConfig(),
    )
