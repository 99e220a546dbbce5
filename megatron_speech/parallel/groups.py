"""Process groups and seeds of a layout: the only caller of megatron-core's `parallel_state`.

`initialize` serves three ways of starting: torchrun or srun (RANK and WORLD_SIZE in the environment), tests (an explicit
rank and `file://` store), and a single process with neither. Backend: nccl with CUDA, gloo without.
"""

from __future__ import annotations

import os

import torch.distributed as dist

from megatron_speech.parallel.layout import ParallelLayout


def world_from_environment() -> tuple[int, int]:
    """(rank, world size) as torchrun set them; (0, 1) for a process started alone."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def initialize(
    layout: ParallelLayout,
    *,
    seed: int,
    rank: int | None = None,
    init_method: str | None = None,
    timeout_s: float = 600.0,
) -> None:
    """Join the world, make the groups of `layout`, seed dropout. Once per process; `shutdown` undoes it.

    `rank` and `init_method` (for example ``file:///tmp/x/store``) replace torchrun's environment. Seeds differ between
    tensor parallel ranks where activations are split, and between pipeline stages.
    """
    raise NotImplementedError


def shutdown() -> None:
    """Destroy the groups and leave the world."""
    raise NotImplementedError


def rank() -> int:
    """Global rank; 0 before `initialize`."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this process logs and writes for all."""
    return rank() == 0


def data_parallel_rank() -> int:
    """Which rows this rank reads (context parallel ranks share them)."""
    raise NotImplementedError


def data_parallel_size() -> int:
    """How many ranks share the rows of a step."""
    raise NotImplementedError


def data_parallel_group() -> dist.ProcessGroup:
    """Ranks that hold the same parameters, context parallel ranks included: reduce losses and counts over it."""
    raise NotImplementedError


def tensor_parallel_rank() -> int:
    """Which slice of each matrix this rank holds."""
    raise NotImplementedError


def tensor_parallel_size() -> int:
    """How many slices each matrix has."""
    raise NotImplementedError


def is_first_stage() -> bool:
    """Whether this rank holds the embedding."""
    raise NotImplementedError


def is_last_stage() -> bool:
    """Whether this rank computes losses."""
    raise NotImplementedError


def last_stage_rank() -> int:
    """Global rank of the last pipeline stage of this rank's pipeline: the source for broadcasting losses."""
    raise NotImplementedError


def pipeline_group() -> dist.ProcessGroup:
    """Ranks of this rank's pipeline."""
    raise NotImplementedError
