"""The ranks of a training: joined by torchrun or alone, dividing work between them, and failing together.

Where one rank cannot go on, all raise its error instead of waiting for it. Results travel as pickles between the ranks
of one run, never through a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from megatron_speech.platform.device import device

Item = TypeVar("Item")
Result = TypeVar("Result")

MISTAKES = (ValueError, OSError)
"""Errors of users and files, which one rank meets and all report."""


@contextmanager
def joined(rank: int, world_size: int, init_method: str | None) -> Iterator[None]:
    """Be `rank` of `world_size` (nccl with CUDA, gloo without); alone, with a store inside the process."""
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    place: dict[str, Any] = {"init_method": init_method or "env://"}
    if init_method is None and world_size == 1:
        place = {"store": dist.HashStore()}
    dist.init_process_group("nccl" if here.type == "cuda" else "gloo", rank=rank, world_size=world_size, **place)
    try:
        yield
    finally:
        dist.destroy_process_group()


def together(work: Callable[[], Result]) -> Result:
    """What `work` returns on rank 0, on all ranks; its user's error is raised on all. Collective."""
    shared: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            shared = [work(), None]
        except MISTAKES as error:
            shared = [None, error]
    mine = shared[0]
    dist.broadcast_object_list(shared, src=0)
    if shared[1] is not None:
        raise shared[1]
    result: Result = mine if dist.get_rank() == 0 else shared[0]
    return result


def divided(items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
    """`work` of every item in order, each done by one rank; the first error of any is raised on all. Collective."""
    rank, size = dist.get_rank(), dist.get_world_size()
    mine: list[Result] = []
    failed: Exception | None = None
    try:
        mine.extend(work(item) for item in items[rank::size])
    except MISTAKES as error:
        failed = error
    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, (mine, failed))
    for _, theirs in gathered:
        if theirs is not None:
            raise theirs
    return [gathered[number % size][0][number // size] for number in range(len(items))]
