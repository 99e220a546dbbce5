"""Process groups: a process alone, and four ranks whose places are the layout's."""

from __future__ import annotations

import os

import pytest

from megatron_speech.config.run.parallel import ParallelConfig
from megatron_speech.parallel import groups
from megatron_speech.parallel.layout import Coordinates, ParallelLayout
from tests.ranks import run_ranks


def test_a_process_alone_needs_no_torchrun() -> None:
    run_ranks(_check_alone, 1)


@pytest.mark.parametrize(
    ("rank", "size", "message"),
    [
        ("0", "abc", "WORLD_SIZE=abc in the environment must be a number of at least 1; unset it"),
        ("0", "0", "WORLD_SIZE=0 in the environment"),
        ("-1", "2", "RANK=-1 in the environment must be a number of at least 0"),
        ("2", "2", "RANK=2 is not below WORLD_SIZE=2"),
    ],
)
def test_an_environment_of_another_kind_is_refused(
    monkeypatch: pytest.MonkeyPatch, rank: str, size: str, message: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ValueError, match=message):
        groups.world_from_environment()


def test_places_match_layout() -> None:
    run_ranks(_check_places, 4, 2, 2)
    run_ranks(_check_places, 4, 2, 1)


def _check_alone(rank: int, world_size: int, init_method: str) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    assert groups.world_from_environment() == (0, 1)
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
        pipeline=groups.pipeline_rank(),
        context=0,
        tensor=groups.tensor_parallel_rank(),
    )
    assert place == layout.coordinates(rank)
    assert groups.data_parallel_size() == layout.data_parallel_size
    assert groups.tensor_parallel_size() == tensor
    assert groups.is_last_stage() == (place.pipeline == pipeline - 1)
    last = Coordinates(data=place.data, pipeline=pipeline - 1, context=0, tensor=place.tensor)
    assert groups.last_stage_rank() == layout.rank(last)
