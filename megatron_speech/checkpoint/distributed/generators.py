"""Saves and restores the random generators of dropout; their states are valid only in the layout that saved them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed as dist
from megatron.core.dist_checkpointing.mapping import ShardedTensor
from megatron.core.tensor_parallel import get_cuda_rng_tracker
from torch import Tensor


def sharded_generators() -> dict[str, ShardedTensor]:
    """States of dropout's generators, as tensors [world size, bytes] with one row per rank."""
    states: dict[str, Tensor] = {"torch": torch.get_rng_state(), "device": torch.cuda.get_rng_state()}
    states |= {f"tracker.{name}": state for name, state in get_cuda_rng_tracker().get_states().items()}
    place = (0, dist.get_rank(), dist.get_world_size())
    return {
        name: ShardedTensor.from_rank_offsets(f"generators.{name}", state.cpu().clone()[None], place)
        for name, state in states.items()
    }


def set_generators(states: Mapping[str, Tensor]) -> None:
    """Set this rank's generators to loaded `states`; inverse of `sharded_generators`."""
    torch.set_rng_state(states["torch"][0].cpu())
    torch.cuda.set_rng_state(states["device"][0].cpu())
    prefix = "tracker."
    get_cuda_rng_tracker().set_states(
        {name.removeprefix(prefix): state[0].cpu() for name, state in states.items() if name.startswith(prefix)}
    )
