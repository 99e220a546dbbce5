"""The ranks of a training: joined by torchrun or alone, dividing work between them, and failing together.

Where one rank cannot go on, all raise its error instead of waiting for it. Results travel as pickles between the ranks
of one run, never through a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from megatron_speech.platform.device import device

Item = TypeVar("Item")
Result = TypeVar("Result")

MISTAKES = (ValueError, FloatingPointError, OSError)
"""Errors of users and files, which one rank meets and all report."""
PATIENCE = timedelta(days=2)
"""How long ranks wait for each other outside steps: one may scan shards, compute states or run k-means for hours. A
rank that dies ends the others through torchrun, not through this."""
STEP_PATIENCE = timedelta(minutes=20)
"""How long within a step, where all do as much: who takes longer hangs, and the run ends."""


class Stopped(Exception):
    """A signal asked for an end; what is done is kept."""


@contextmanager
def joined(rank: int, world_size: int, init_method: str | None) -> Iterator[dist.ProcessGroup]:
    """Be `rank` of `world_size`; alone, with a store inside the process. Yields the group of the steps.

    The default group, gloo, is for what takes one rank long, and waits `PATIENCE`; the steps' (nccl with CUDA) waits
    `STEP_PATIENCE`.
    """
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    place: dict[str, Any] = {"init_method": init_method or "env://"}
    if init_method is None and world_size == 1:
        place = {"store": dist.HashStore()}
    dist.init_process_group("gloo", rank=rank, world_size=world_size, timeout=PATIENCE, **place)
    try:
        yield dist.new_group(backend="nccl" if here.type == "cuda" else "gloo", timeout=STEP_PATIENCE)
    finally:
        dist.destroy_process_group()


def together(work: Callable[[], Result]) -> Result:
    """What `work` returns on rank 0, on all ranks; its user's error is raised on all. Collective."""
    shared: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            shared = [work(), None]
        except (*MISTAKES, Stopped) as error:
            shared = [None, error]
    mine = shared[0]
    dist.broadcast_object_list(shared, src=0)
    if shared[1] is not None:
        raise shared[1]
    result: Result = mine if dist.get_rank() == 0 else shared[0]
    return result


def agree(work: Callable[[], Result]) -> Result:
    """What `work` returns here; the first user's error of any rank is raised on all. Collective."""
    done: list[Result] = []
    failed: Exception | None = None
    try:
        done.append(work())
    except MISTAKES as error:
        failed = error
    _raise_first(failed)
    return done[0]


def divided(
    items: Sequence[Item], work: Callable[[Item], Result], *, stop: Callable[[], bool] = lambda: False
) -> list[Result]:
    """`work` of every item in order, each done by one rank; the first error of any is raised on all. Collective.

    Where `stop` asks for it on any rank, that rank begins no further item, and `Stopped` is raised on all.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    mine: list[Result] = []
    failed: Exception | None = None
    try:
        for item in items[rank::size]:
            if stop():
                raise Stopped
            mine.append(work(item))
    except (*MISTAKES, Stopped) as error:
        failed = error
    _raise_first(failed)
    gathered: list[Any] = [None] * size
    dist.all_gather_object(gathered, mine)
    return [gathered[number % size][number // size] for number in range(len(items))]


def _raise_first(failed: Exception | None) -> None:
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, failed)
    for error in everyone:
        if error is not None:
            raise error
