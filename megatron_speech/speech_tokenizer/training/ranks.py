"""The world of a training of the speech tokenizer: joined by torchrun's ranks, or by one process alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from megatron_speech.parallel.world import meeting_place
from megatron_speech.platform.device import device

PATIENCE = timedelta(days=2)
"""How long ranks wait for each other outside steps: one may scan shards, compute states or run k-means for hours. A
rank that dies ends the others through torchrun, not through this."""
STEP_PATIENCE = timedelta(minutes=20)
"""How long they wait within a step, where all do as much: a rank that takes longer hangs, and the run ends."""


@contextmanager
def joined(rank: int, world_size: int, init_method: str | None) -> Iterator[dist.ProcessGroup]:
    """Be `rank` of `world_size` inside the context. Yields the group of the steps.

    The default group, gloo, serves work that takes one rank long, and waits `PATIENCE`. The steps' group (nccl with
    CUDA) waits `STEP_PATIENCE`.
    """
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    dist.init_process_group(
        "gloo", rank=rank, world_size=world_size, timeout=PATIENCE, **meeting_place(world_size, init_method)
    )
    try:
        yield dist.new_group(backend="nccl" if here.type == "cuda" else "gloo", timeout=STEP_PATIENCE)
    finally:
        dist.destroy_process_group()
