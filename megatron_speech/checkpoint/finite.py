"""Nothing that is not finite is saved: one look at the largest value of every tensor, before a checkpoint is begun.

The step before a save was checked by its loss and gradients, which say nothing of what its update made. Cost: one read
of weights and optimizer state where they lie, a small part of what writing them takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def require_all_finite(named: Iterable[tuple[str, Tensor]]) -> None:
    """FloatingPointError names the first of the tensors that holds NaN or an infinity."""
    parts = [(name, tensor) for name, tensor in named if tensor.is_floating_point() and tensor.numel()]
    if not parts:
        return
    largest = torch.stack([torch.linalg.vector_norm(tensor, ord=torch.inf).float() for _, tensor in parts])
    finite = largest.isfinite().tolist()  # the only wait for the device
    if not all(finite):
        raise FloatingPointError(f"{parts[finite.index(False)][0]} is not finite")


def moments(state: Mapping[Any, Mapping[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """Tensors of a torch optimizer's state, by name."""
    for values in state.values():
        yield from ((f"the optimizer's {name}", value) for name, value in values.items() if isinstance(value, Tensor))
