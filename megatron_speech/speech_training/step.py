"""Parts of a training step on all ranks: DDP, seeds of dropout, and the update.

Losses are sums that a trainer divides by counts over the whole batch. So gradients do not depend on micro-batches or
ranks.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from megatron_speech.randomness import named_keys


def in_parallel(module: nn.Module, group: dist.ProcessGroup | None) -> nn.Module:
    """Wrap `module` in DDP, which adds gradients during the backward pass; one rank needs none.

    `find_unused_parameters` keeps DDP from rearranging its buckets after the first step. A resumed run would otherwise
    add in another order and differ in the last bit.
    """
    if dist.get_world_size() == 1:
        return module
    with warnings.catch_warnings():
        # Buffers are equal on all ranks without a broadcast. Newer torch warns that it renamed the argument.
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(
            module, process_group=group, broadcast_buffers=False, find_unused_parameters=True
        )


def synchronized(module: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Where a backward pass runs: gradients are added over ranks `now`, or with those of a later pass."""
    if now or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    later: AbstractContextManager[None] = module.no_sync()
    return later


def seed_dropout(seed: int, step: int) -> None:
    """Seed dropout from the seed, the step and the rank, so that checkpoints need no random state."""
    seed_torch(seed, "dropout", step * dist.get_world_size() + dist.get_rank())


def seed_torch(seed: int, purpose: str, number: int = 0) -> None:
    """Seed torch's own generator for a purpose, such as first weights, and a number of its."""
    torch.manual_seed(int(named_keys(seed, purpose, np.array([number]))[0] >> 1))


def descend(optimizer: torch.optim.Optimizer, *, learning_rate: float, clipping: float, of: nn.Module) -> float:
    """Clip gradients, run the optimizer, clear gradients; returns the gradient norm before clipping.

    `scale` of a parameter group, if it has one, multiplies its learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("scale", 1.0)
    learning = [parameter for parameter in of.parameters() if parameter.grad is not None]
    norm = nn.utils.clip_grad_norm_(learning, clipping)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)
