"""Nothing that is not finite is saved: one look at the largest value of every tensor, before a checkpoint is begun.

The step before a save was checked by its loss and gradients, which say nothing of what its update made. Cost: one read
of weights and optimizer state where they lie, a small part of what writing them takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from megatron_speech.platform import standin

standin.install()  # before megatron-core is imported

from megatron.core.optimizer import MegatronOptimizer  # noqa: E402


@torch.no_grad()
def require_finite(chunks: Sequence[nn.Module], optimizer: MegatronOptimizer | None) -> None:
    """FloatingPointError names the first tensor of this rank that holds NaN or an infinity."""
    parts = list(chain(_weights(chunks), _optimizer_state(optimizer)))
    if not parts:
        return
    largest = torch.stack([torch.linalg.vector_norm(tensor, ord=torch.inf).float() for _, tensor in parts])
    finite = largest.isfinite().tolist()  # the only wait for the device
    if not all(finite):
        raise FloatingPointError(f"{parts[finite.index(False)][0]} is not finite")


def _weights(chunks: Sequence[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for chunk in chunks:
        for name, parameter in chunk.named_parameters():
            if parameter.numel():
                yield name.removeprefix("module."), parameter


def _optimizer_state(optimizer: MegatronOptimizer | None) -> Iterator[tuple[str, Tensor]]:
    """Master weights and moments; several optimizers are chained where parameters differ in kind."""
    for each in getattr(optimizer, "chained_optimizers", [optimizer]):
        if each is None or each.is_stub_optimizer:
            continue
        for group in each.param_groups:
            yield from (("a master weight", weight) for weight in group["params"] if weight.numel())
        for moments in each.optimizer.state.values():
            for name, value in moments.items():
                if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                    yield f"the optimizer's {name}", value
