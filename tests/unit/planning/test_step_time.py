"""A step's time adds up, follows the hardware in the right direction, and shows what layouts cost."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.kernels import product_seconds
from megatron_speech.planning.stacks import stack
from megatron_speech.planning.step_time import step_time, tokens_per_second
from tests.unit.planning.jobs import GLM4_9B, jobs

JOB = Job(
    shape=GLM4_9B,
    sequence=8192,
    gpu=gpu("H100-SXM-80GB"),
    stack=stack("bridge"),
    gpus=64,
    tensor=2,
    pipeline=4,
    virtual=5,
    global_batch=1024,
)


@given(job=jobs(), times=st.sampled_from((1.5, 4.0)))
@pytest.mark.parametrize("name", ["memory_gb_s", "nvlink_gb_s", "network_gb_s"])
def test_more_bandwidth_is_never_slower(name: str, job: Job, times: float) -> None:
    faster = replace(job.gpu, **{name: getattr(job.gpu, name) * times})
    assert step_time(replace(job, gpu=faster)).total <= step_time(job).total * (1 + 1e-12)


@given(job=jobs())
def test_all_components_add_up_and_none_is_negative(job: Job) -> None:
    found = asdict(step_time(job))
    assert all(value >= 0 for value in found.values())
    assert sum(found.values()) == pytest.approx(step_time(job).total)


@given(job=jobs())
def test_no_prediction_beats_the_peak(job: Job) -> None:
    speed = tokens_per_second(job, step_time(job).total)
    flops = job.shape.flops_per_token(job.sequence, "causal").total
    assert speed * flops < job.gpu.peak(job.precision)


def test_the_bubble_shrinks_with_chunks_and_micro_batches() -> None:
    plain = step_time(replace(JOB, virtual=1))
    assert step_time(JOB).bubble == pytest.approx(plain.bubble / 5, rel=0.05)
    large = replace(JOB, global_batch=4096)
    assert step_time(large).bubble / step_time(large).total < step_time(JOB).bubble / step_time(JOB).total


def test_a_large_vocabulary_slows_the_last_stage() -> None:
    small = replace(JOB, shape=replace(GLM4_9B, vocabulary=32000))
    assert step_time(JOB).imbalance > 2 * step_time(small).imbalance


def test_recomputation_costs_a_forward_pass() -> None:
    whole = step_time(replace(JOB, recompute="full"))
    assert 0.2 < whole.recompute / step_time(JOB).total < 0.4
    block = step_time(replace(JOB, recompute="full", recompute_layers=10))
    assert block.recompute == pytest.approx(whole.recompute / 4)


def test_a_product_of_few_rows_is_bound_by_memory() -> None:
    one = product_seconds(1, 4096, 4096, gpu=JOB.gpu, precision="bf16")
    assert one > 4096 * 4096 * 2 / (JOB.gpu.memory_gb_s * 1e9)
    many = product_seconds(16384, 4096, 4096, gpu=JOB.gpu, precision="bf16")
    assert 0.9 < 2 * 16384 * 4096 * 4096 / many / JOB.gpu.matrix_rate("bf16") <= 1


def test_tensor_parallelism_across_nodes_is_dear() -> None:
    inside, across = (step_time(replace(JOB, tensor=size, pipeline=1, virtual=1)).tensor for size in (8, 16))
    assert across > 2 * inside
