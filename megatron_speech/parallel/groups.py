"""Makes the process groups and seeds of a layout; the only caller of megatron-core's `parallel_state`.

There are three ways to start. With torchrun or srun, `initialize` reads RANK and WORLD_SIZE from the environment; tests
give an explicit rank with a `file://` store; else there is a single process. The backend is nccl with CUDA, else gloo.
"""

from __future__ import annotations

import datetime
from types import ModuleType

import torch
import torch.distributed as dist

from megatron_speech.parallel.layout import ParallelLayout
from megatron_speech.parallel.world import meeting_place, world_from_environment
from megatron_speech.platform import standin
from megatron_speech.platform.device import device
from megatron_speech.platform.private_names import fake_store


def initialize(
    layout: ParallelLayout,
    *,
    seed: int,
    rank: int | None = None,
    init_method: str | None = None,
    timeout_s: float = 600.0,
) -> None:
    """Join the world, make the groups of `layout` and seed dropout. Call once per process; `shutdown` undoes it.

    `rank` and `init_method` (for example ``file:///tmp/x/store``) replace torchrun's environment variables. Pipeline
    stages have different seeds, and so have tensor parallel ranks wherever activations are split.
    """
    standin.install()
    from megatron.core import parallel_state, tensor_parallel

    # The world of all ranks.
    assert not dist.is_initialized(), "initialize() was called before; shutdown() first"
    here = device()
    if here.type == "cuda":
        torch.cuda.set_device(here)
    dist.init_process_group(
        "nccl" if here.type == "cuda" else "gloo",
        rank=world_from_environment()[0] if rank is None else rank,
        world_size=layout.world_size,
        timeout=datetime.timedelta(seconds=timeout_s),
        **meeting_place(layout.world_size, init_method),
    )
    # megatron-core's groups within it.
    parallel_state.initialize_model_parallel(
        **_degrees(layout), distributed_timeout_minutes=max(1, round(timeout_s / 60))
    )
    # Seeds as in Megatron: one per pipeline stage; its tracker then gives tensor parallel ranks their own.
    stage_seed = seed + 100 * parallel_state.get_pipeline_model_parallel_rank()
    torch.manual_seed(stage_seed)
    tensor_parallel.model_parallel_cuda_manual_seed(stage_seed, force_reset_rng=True)


def pose(layout: ParallelLayout, *, rank: int) -> None:
    """Initialise fake process groups without communication, to build and count the model of one `rank`.

    Call once per process, instead of `initialize`; `shutdown` undoes it.
    """
    standin.install()
    from megatron.core import parallel_state, tensor_parallel

    assert not dist.is_initialized(), "this process is already a rank; shutdown() first"
    dist.init_process_group("fake", rank=rank, world_size=layout.world_size, store=fake_store())
    parallel_state.initialize_model_parallel(**_degrees(layout), create_gloo_process_groups=False)
    # Tensors without storage draw no random numbers, so the tracker needs no generator states.
    tensor_parallel.model_parallel_cuda_manual_seed(0, inference_rng_tracker=True, force_reset_rng=True)


def _degrees(layout: ParallelLayout) -> dict[str, int | None]:
    return {
        "tensor_model_parallel_size": layout.tensor_size,
        "pipeline_model_parallel_size": layout.pipeline_size,
        "virtual_pipeline_model_parallel_size": layout.config.virtual_pipeline_model_parallel_size,
        "context_parallel_size": layout.context_size,
    }


def shutdown() -> None:
    """Destroy the groups and leave the world; nothing if this process never joined."""
    if dist.is_initialized():
        from megatron.core import parallel_state

        parallel_state.destroy_model_parallel()
        dist.destroy_process_group()


def rank() -> int:
    """Global rank; 0 before `initialize`."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this process logs and writes for all."""
    return rank() == 0


def data_parallel_rank() -> int:
    """Index of this rank's share of the rows (context parallel ranks share rows)."""
    return _state().get_data_parallel_rank()


def data_parallel_size() -> int:
    """Number of shares that the rows of a step are divided into."""
    return _state().get_data_parallel_world_size()


def data_parallel_group() -> dist.ProcessGroup:
    """Ranks that hold the same parameters, with context parallel ranks: losses and counts are reduced over it."""
    return _state().get_data_parallel_group(with_context_parallel=True)


def amax_group() -> dist.ProcessGroup:
    """Ranks with slices or copies of the same layers (tensor, context, data); they share delayed FP8 scales."""
    return _state().get_amax_reduction_group(with_context_parallel=True)


def context_parallel_rank() -> int:
    """Index of this rank's share of each document."""
    return _state().get_context_parallel_rank()


def context_parallel_size() -> int:
    """Number of ranks that share each document."""
    return _state().get_context_parallel_world_size()


def tensor_parallel_rank() -> int:
    """Index of this rank's slice of each matrix."""
    return _state().get_tensor_model_parallel_rank()


def tensor_parallel_size() -> int:
    """Number of slices of each matrix."""
    return _state().get_tensor_model_parallel_world_size()


def tensor_parallel_group() -> dist.ProcessGroup:
    """Ranks that share each matrix."""
    return _state().get_tensor_model_parallel_group()


def is_first_stage() -> bool:
    """Whether this rank holds the embedding."""
    return _state().is_pipeline_first_stage()


def is_last_stage() -> bool:
    """Whether this rank computes losses."""
    return _state().is_pipeline_last_stage()


def last_stage_rank() -> int:
    """Global rank of the last stage of this rank's pipeline, which broadcasts losses."""
    return _state().get_pipeline_model_parallel_last_rank()


def pipeline_group() -> dist.ProcessGroup:
    """Ranks of this rank's pipeline."""
    return _state().get_pipeline_model_parallel_group()


def _state() -> ModuleType:
    from megatron.core import parallel_state

    return parallel_state
