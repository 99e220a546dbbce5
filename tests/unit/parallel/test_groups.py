"""Process groups: a process alone, and four ranks whose places are the layout's."""

from __future__ import annotations

import os

import torch.distributed as dist

from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import Coordinates, ParallelLayout
from megatron_speech.parallel.world import world_from_environment
from tests.ranks import run_ranks


def test_a_process_alone_needs_no_torchrun() -> None:
    run_ranks(_check_alone, 1)


def test_places_match_layout() -> None:
    run_ranks(_check_places, 4, 2, 2)
    run_ranks(_check_places, 4, 2, 1)


def _check_alone(rank: int, world_size: int, init_method: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    assert world_from_environment() == (0, 1)
    layout = ParallelLayout.of(ParallelConfig(), world_size=1)
    for _ in range(2):  # a second time after shutdown
        groups.initialize(layout, seed=1)
        assert groups.is_first_stage() and groups.is_last_stage() and groups.is_rank_zero()
        assert (groups.data_parallel_rank(), groups.data_parallel_size()) == (0, 1)
        groups.shutdown()
    groups.shutdown()  # harmless


def _check_places(rank: int, world_size: int, init_method: str, tensor: int, pipeline: int) -> None:
    config = ParallelConfig(tensor_model_parallel_size=tensor, pipeline_model_parallel_size=pipeline)
    layout = ParallelLayout.of(config, world_size=world_size)
    groups.initialize(layout, seed=1, rank=rank, init_method=init_method)
    place = Coordinates(
        data=groups.data_parallel_rank(),
        pipeline=dist.get_rank(groups.pipeline_group()),
        context=0,
        tensor=groups.tensor_parallel_rank(),
    )
    assert place == layout.coordinates(rank)
    assert groups.data_parallel_size() == layout.data_parallel_size
    assert groups.tensor_parallel_size() == tensor
    assert groups.is_last_stage() == (place.pipeline == pipeline - 1)
    last = Coordinates(data=place.data, pipeline=pipeline - 1, context=0, tensor=place.tensor)
    assert groups.last_stage_rank() == layout.rank(last)
