"""Initialises torch.distributed for a training of the speech tokenizer: ranks of torchrun, or one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from megatron_speech.parallel.world import meeting_place
from megatron_speech.platform.device import device

PATIENCE = timedelta(days=2)
"""Timeout of collectives outside steps: a rank may scan shards, compute states or run k-means for hours. If a rank
dies, torchrun ends the others at once."""
STEP_PATIENCE = timedelta(minutes=20)
"""Timeout of collectives within a step, which takes all ranks equally long. A rank that needs longer hangs."""


@contextmanager
def joined(rank: int, world_size: int, init_method: str | None) -> Iterator[dist.ProcessGroup]:
    """Join a world of `world_size` processes as `rank`, within the context; yields the process group of the steps.

    The default group (gloo, timeout `PATIENCE`) is for preparation and files. The group of the steps has nccl on CUDA
    and the timeout `STEP_PATIENCE`.
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
