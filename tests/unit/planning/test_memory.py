"""Memory by part follows from parameters, number format and layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig, TrainConfig
from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.planning.memory import Memory, rank_memory
from megatron_speech.planning.parameters import Parameters

PARAMETERS = Parameters(attention=1000)


def _memory(*, world: int = 1, dtype: str = "bfloat16", stage: int = 0, **parallel: object) -> Memory:
    config = PretrainConfig(
        folder=Path("run"),
        model=ModelConfig(),
        data=DataConfig(sources={"a": SourceConfig(folder="a", task="text")}),
        train=TrainConfig(tokens=1 << 20, global_batch_size=16),
        precision=PrecisionConfig(dtype=dtype),
        parallel=ParallelConfig(**parallel),
    )
    layout = ParallelLayout.of(config.parallel, world_size=world)
    return rank_memory(config, layout, PARAMETERS, stage=stage, vocabulary_rows=512)


def test_weights_gradients_and_states_by_format() -> None:
    low, high = _memory(), _memory(dtype="float32")
    assert (low.weights, low.gradients, low.optimizer) == (2000, 4000, 12000)
    assert (high.weights, high.gradients, high.optimizer) == (4000, 4000, 8000)
    assert low.total == 18000 + low.activations


def test_a_distributed_optimizer_divides_the_states_over_copies() -> None:
    assert _memory(world=4).optimizer == 12000
    assert _memory(world=4, use_distributed_optimizer=True).optimizer == 3000
    assert _memory(world=4, use_distributed_optimizer=True, context_parallel_size=2).optimizer == 3000


@pytest.mark.parametrize(
    "saving",
    [
        {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
        {"recompute_granularity": "selective", "recompute_modules": ["mlp"]},
        {"world": 2, "tensor_model_parallel_size": 2},
        {"world": 2, "context_parallel_size": 2},
    ],
)
def test_what_saves_activations_lowers_them(saving: dict[str, object]) -> None:
    assert 0 < _memory(**saving).activations < _memory().activations


def test_the_first_stage_holds_most_micro_batches_and_the_last_the_logits() -> None:
    first, last = (_memory(world=2, pipeline_model_parallel_size=2, stage=stage).activations for stage in (0, 1))
    logits = 1024 * 512 * (2 + 4)
    assert first == 2 * (last - logits)
