"""The world of a run: how many ranks there are, which one this process is, and where they meet."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed as dist


def world_from_environment() -> tuple[int, int]:
    """(rank, world size) from torchrun's variables; (0, 1) for a process started alone. ValueError for bad values."""
    rank, size = _number("RANK", default=0, least=0), _number("WORLD_SIZE", default=1, least=1)
    if rank >= size:
        raise ValueError(f"RANK={rank} is not below WORLD_SIZE={size}; start with torchrun or srun, or unset both")
    return rank, size


def meeting_place(world_size: int, init_method: str | None) -> dict[str, Any]:
    """Arguments of `init_process_group` that tell ranks how to find each other.

    They meet at `init_method` if it is given (``file:///tmp/x/store``), else at torchrun's address. A single process
    uses a store in its own memory.
    """
    if init_method is not None:
        return {"init_method": init_method}
    if world_size == 1:
        return {"store": dist.HashStore()}
    return {"init_method": "env://"}


def _number(name: str, *, default: int, least: int) -> int:
    """A number from the environment; ValueError below `least`."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name}={text} in the environment must be a number of at least {least}; unset it")
    return int(text)
