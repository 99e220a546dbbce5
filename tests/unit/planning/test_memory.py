"""Memory by part follows from parameters, number format, layout and schedule, and agrees with published figures."""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig, TrainConfig
from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.memory import Memory, checkpoint_bytes, fits, layers_in_flight, stage_memory
from megatron_speech.planning.run_job import job_of
from megatron_speech.planning.stacks import stack
from tests.benchmarks import planner_accuracy
from tests.published_memory import memory_rows
from tests.published_rows import throughput_rows
from tests.unit.planning.jobs import jobs

PUBLISHED = Path(__file__).resolve().parents[2] / "benchmarks" / "published"


def _job(*, world: int = 1, dtype: str = "bfloat16", **parallel: object) -> Job:
    config = PretrainConfig(
        folder=Path("run"),
        model=ModelConfig(),
        data=DataConfig(sources={"a": SourceConfig(folder="a", task="text")}),
        train=TrainConfig(tokens=1 << 20, global_batch_size=16),
        precision=PrecisionConfig(dtype=dtype),
        parallel=ParallelConfig(**parallel),
    )
    return job_of(config, vocabulary_rows=512, gpus=world, gpu=gpu("H100"), stack=stack("local"))


def _memory(*, stage: int = 0, **settings: object) -> Memory:
    return stage_memory(_job(**settings), stage)


def test_weights_gradients_and_states_by_format() -> None:
    number = _job().parameters(0).total
    low, high = _memory(), _memory(dtype="float32")
    assert (low.weights, low.gradients, low.optimizer) == (2 * number, 4 * number, 12 * number)
    assert (high.weights, high.gradients, high.optimizer) == (4 * number, 4 * number, 8 * number)
    assert low.total == 18 * number + low.activations + low.logits + low.floor
    assert low.at_rest == 18 * number + low.floor


def test_a_distributed_optimizer_divides_the_states_over_copies() -> None:
    whole = _memory(world=4).optimizer
    assert whole == 12 * _job().parameters(0).total
    assert _memory(world=4, use_distributed_optimizer=True).optimizer == whole / 4
    assert _memory(world=4, use_distributed_optimizer=True, context_parallel_size=2).optimizer == whole / 4


@pytest.mark.parametrize(
    "saving",
    [
        {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
        {"recompute_granularity": "full", "recompute_method": "block", "recompute_num_layers": 4},
        {"recompute_granularity": "selective", "recompute_modules": ["mlp"]},
        {"world": 2, "tensor_model_parallel_size": 2},
        {"world": 2, "context_parallel_size": 2},
    ],
)
def test_what_saves_activations_lowers_them(saving: dict[str, object]) -> None:
    assert 0 < _memory(**saving).activations < _memory().activations


def test_the_first_stage_holds_most_micro_batches_and_the_last_the_logits() -> None:
    first, last = (_memory(world=2, pipeline_model_parallel_size=2, stage=stage) for stage in (0, 1))
    assert first.activations == 2 * last.activations
    assert (first.logits, last.logits) == (0, 1024 * 512 * (2 + 4))


def test_an_interleaved_schedule_holds_more() -> None:
    job = replace(_job(world=4, pipeline_model_parallel_size=4), global_batch=16)
    assert [layers_in_flight(job, stage) for stage in range(4)] == [4 * 2, 3 * 2, 2 * 2, 2]
    twice = replace(job, virtual=2)
    assert [layers_in_flight(twice, stage) for stage in range(4)] == [11, 9, 7, 5]
    split = replace(twice, chunk_layers=(1, 1, 1, 1, 1, 1, 1, 0))  # the last chunk holds the loss alone
    assert layers_in_flight(split, 3) == 4


def test_a_checkpoint_holds_14_bytes_per_parameter() -> None:
    job = _job()
    assert checkpoint_bytes(job) == 14 * job.shape.parameters
    assert checkpoint_bytes(_job(dtype="float32")) == 12 * job.shape.parameters


@given(job=jobs(), more=st.sampled_from((1.01, 2.0)))
def test_more_memory_never_makes_a_fitting_layout_unfit(job: Job, more: float) -> None:
    larger = replace(job, gpu=replace(job.gpu, memory_gib=job.gpu.memory_gib * more))
    assert fits(larger) or not fits(job)


def test_every_published_layout_that_ran_fits() -> None:
    rows = [row for row in throughput_rows(planner_accuracy.ROWS)[0] if row.states_recompute]
    assert len(rows) > 250
    assert [row.id for row in rows if not planner_accuracy.may_fit(row)] == []


def test_replicas_of_a_sharded_model_hold_more_than_shards_over_all_ranks() -> None:
    whole = replace(_job(world=16), sharding="weights")
    replicas = replace(whole, sharded_over=4)
    assert stage_memory(replicas, 0).weights == pytest.approx(4 * stage_memory(whole, 0).weights, rel=1e-3)


@given(job=jobs())
def test_symmetric_middle_stages_need_the_less_the_later(job: Job) -> None:
    parts = [stage_memory(job, stage) for stage in range(job.pipeline)]
    middle = parts[1:-1]
    assert all(each.weights == middle[0].weights for each in middle)
    assert all(one.activations >= other.activations for one, other in pairwise(middle))
    assert all(min(each.weights, each.activations, each.optimizer) > 0 for each in parts)


def test_it_agrees_with_published_figures() -> None:
    rows, _ = memory_rows(PUBLISHED / "memory_rows.csv", PUBLISHED / "throughput_rows.csv")
    found = [(row, stage_memory(row.job, row.stage)) for row in rows]
    rest = sorted(abs(memory.at_rest / row.at_rest - 1) for row, memory in found if row.at_rest)
    peak = [abs(memory.total / row.peak - 1) for row, memory in found]
    assert len(rest) > 100
    assert statistics.median(rest) <= 0.02
    assert rest[int(0.95 * len(rest))] <= 0.06
    assert statistics.median(peak) <= 0.06
