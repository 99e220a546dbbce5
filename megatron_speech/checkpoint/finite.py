"""Checks that weights and optimizer state are finite before a checkpoint is written.

The last step was checked by its loss and gradients, but its update may still have produced NaN. Cost: one read of
weights and optimizer state on their device, a small part of the time of saving.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def require_all_finite(named: Iterable[tuple[str, Tensor]]) -> None:
    """Raise FloatingPointError with the name of the first tensor that holds NaN or an infinity."""
    parts = [(name, tensor) for name, tensor in named if tensor.is_floating_point() and tensor.numel()]
    if not parts:
        return
    largest = torch.stack([torch.linalg.vector_norm(tensor, ord=torch.inf).float() for _, tensor in parts])
    finite = largest.isfinite().tolist()  # the only wait for the device
    if not all(finite):
        raise FloatingPointError(f"{parts[finite.index(False)][0]} is not finite")


def moments(state: Mapping[Any, Mapping[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of everything in a torch optimizer's state."""
    for values in state.values():
        yield from ((f"the optimizer's {name}", value) for name, value in values.items() if isinstance(value, Tensor))
