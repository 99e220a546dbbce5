"""Communication of data parallel ranks: what grows with the nodes, and what no computation hides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from megatron_speech.planning.collectives import NETWORK_HOP_S, NVLINK_HOP_S, gather_seconds
from megatron_speech.planning.data_parallel import data_seconds
from megatron_speech.planning.gpus import gpu
from megatron_speech.planning.job import Job
from megatron_speech.planning.layer_time import Pass
from megatron_speech.planning.stacks import stack
from tests.unit.planning.jobs import GLM4_9B

H100 = gpu("H100-SXM-80GB")
PARAMETERS = GLM4_9B.parameters
ENDLESS, SHORT = Pass(products=1e3), Pass(products=1e-3)


def _job(gpus: int, **changes: object) -> Job:
    job = Job(shape=GLM4_9B, sequence=2048, gpu=H100, stack=stack("torch_fsdp"), gpus=gpus, global_batch=gpus)
    return replace(job, **changes)


def _exposed(job: Job, each: Pass = SHORT) -> float:
    return data_seconds(job, each, each, parameters=PARAMETERS)


def test_every_node_delays_a_ring_by_its_hops() -> None:
    few, many = (gather_seconds(0.0, ranks=ranks, stride=1, gpu=H100) for ranks in (128, 512))
    assert many - few == pytest.approx(48 * (NETWORK_HOP_S + 7 * NVLINK_HOP_S))


def test_calls_that_share_a_bucket_share_its_delay() -> None:
    one, ten = (gather_seconds(1e9, ranks=512, stride=1, gpu=H100, calls=calls) for calls in (1, 10))
    assert ten - one == pytest.approx(9 * gather_seconds(0.0, ranks=512, stride=1, gpu=H100))


@pytest.mark.parametrize("sharding", ["gradients", "weights"])
def test_fully_sharded_training_waits_longer_on_more_nodes(sharding: str) -> None:
    few, many = (_exposed(_job(gpus, sharding=sharding)) for gpus in (128, 2048))
    # Each of 40 layers gathers and scatters at least once, over 240 more nodes.
    assert many - few > 2 * 40 * 240 * NETWORK_HOP_S * 0.4


def test_replicas_of_a_sharded_model_wait_less_than_one_model_over_all_ranks() -> None:
    whole = _job(2048, sharding="weights")
    replicas = replace(whole, sharded_over=128)
    assert (whole.shards, replicas.shards) == (2048, 128)
    assert _exposed(replicas) < _exposed(whole)
    # Replicas sum their gradients, so they wait longer than one replica alone.
    assert _exposed(replicas) > _exposed(_job(128, sharding="weights"))


def test_more_shards_than_ranks_are_as_many_as_there_are() -> None:
    job = _job(64, sharding="weights")
    assert _exposed(replace(job, sharded_over=128)) == _exposed(job)


def test_without_prefetching_the_backward_pass_waits_for_every_gather() -> None:
    late = replace(stack("torch_fsdp"), prefetches=False)
    for sharding, waits in (("weights", True), ("gradients", False)):
        job = _job(128, sharding=sharding)
        more = _exposed(replace(job, stack=late), ENDLESS) - _exposed(job, ENDLESS)
        assert (more > 0.01) is waits
        assert waits or more == 0


def test_nothing_hides_the_last_bucket() -> None:
    job = _job(1024, sharding="optimizer")
    bucket = 1e6 * 1024
    last = gather_seconds(job.gradient_bytes * bucket, ranks=1024, stride=1, gpu=H100)
    assert _exposed(job, ENDLESS) > last


def test_one_rank_waits_for_nobody() -> None:
    assert _exposed(_job(1, sharding="weights")) == 0.0
