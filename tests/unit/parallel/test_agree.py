"""Work on ranks: who runs it, who gets its result, and that one rank's error is raised on all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch.distributed as dist

from megatron_speech.parallel.agree import SHARED_ERRORS, Stopped, divided, on_every_rank, on_rank_zero
from tests.ranks import run_ranks

FULL = r"No space left on device.*model\.safetensors"


def test_each_rank_keeps_its_own_result_and_all_get_that_of_rank_zero() -> None:
    run_ranks(_check_results, 2)


def test_an_error_of_one_rank_is_raised_on_all() -> None:
    run_ranks(_check_errors, 2)


def test_the_error_of_the_lowest_rank_is_the_one_raised() -> None:
    run_ranks(_check_lowest, 3)


def test_a_group_agrees_without_the_ranks_outside_it() -> None:
    run_ranks(_check_group, 3)


def test_a_mistake_in_the_code_ends_its_own_rank_alone() -> None:
    with pytest.raises(AssertionError, match=r"earliest:\nrank 1\n(.|\n)*TypeError: a mistake in the code"):
        run_ranks(_check_mistake, 2, timeout=20)


def test_a_process_alone_needs_no_other() -> None:
    run_ranks(_check_alone, 1)


def _join(rank: int, world_size: int, init_method: str) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=world_size, init_method=init_method)


def _no_space(wanted: bool, value: int = 0) -> int:
    """`value`, or the error of a full disk where it is `wanted`."""
    if wanted:
        raise OSError(28, "No space left on device", "model.safetensors")
    return value


def _check_results(rank: int, world_size: int, init_method: str) -> None:
    _join(rank, world_size, init_method)
    ran: list[int] = []
    assert on_every_rank(lambda: 10 + rank) == 10 + rank
    assert on_rank_zero(lambda: (ran.append(rank), rank)[1]) == 0
    assert ran == ([0] if rank == 0 else [])
    shared: list[int] = []
    assert (on_rank_zero(lambda: shared) is shared) == (rank == 0)  # rank 0 keeps the object itself
    assert divided(range(5), lambda item: (item, rank)) == [(item, item % 2) for item in range(5)]
    assert divided([], math.sqrt) == []


def _check_errors(rank: int, world_size: int, init_method: str) -> None:
    _join(rank, world_size, init_method)
    works: list[Callable[[], Any]] = [
        lambda: on_every_rank(lambda: _no_space(rank == 1)),
        lambda: on_rank_zero(lambda: _no_space(rank == 0)),
        lambda: divided(range(4), lambda item: _no_space(item == 1)),
    ]
    for work in works:
        with pytest.raises(OSError, match=FULL):
            work()
    for kind in SHARED_ERRORS:
        with pytest.raises(kind):
            on_every_rank(lambda kind=kind: _raise(kind) if rank == 1 else None)
    with pytest.raises(Stopped):
        divided(range(4), lambda item: item, stop=lambda: rank == 1)
    assert divided((0, 2, 4), lambda item: _no_space(item == 1, item)) == [0, 2, 4]  # the ranks are still in step


def _raise(kind: type[Exception]) -> None:
    raise kind("told to all")


def _check_lowest(rank: int, world_size: int, init_method: str) -> None:
    _join(rank, world_size, init_method)

    def fail() -> None:
        if rank > 0:
            raise ValueError(f"rank {rank} cannot")

    with pytest.raises(ValueError, match="rank 1 cannot"):
        on_every_rank(fail)


def _check_group(rank: int, world_size: int, init_method: str) -> None:
    _join(rank, world_size, init_method)
    group = dist.new_group([1, 2])
    if rank == 0:
        return
    assert on_rank_zero(lambda: f"from {rank}", group=group) == "from 1"
    assert divided("abc", lambda item: (item, rank), group=group) == [("a", 1), ("b", 2), ("c", 1)]
    with pytest.raises(OSError, match=FULL):
        on_every_rank(lambda: _no_space(rank == 2), group=group)


def _check_mistake(rank: int, world_size: int, init_method: str) -> None:
    _join(rank, world_size, init_method)

    def work() -> None:
        if rank == 1:
            raise TypeError("a mistake in the code")

    on_every_rank(work)


def _check_alone(rank: int, world_size: int, init_method: str) -> None:
    _join(rank, world_size, init_method)
    assert (on_every_rank(lambda: 1), on_rank_zero(lambda: 2), divided([3], lambda item: item)) == (1, 2, [3])
    with pytest.raises(OSError, match=FULL):
        on_rank_zero(lambda: _no_space(True))
