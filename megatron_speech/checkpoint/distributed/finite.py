"""Checks this rank's model and optimizer for NaN and infinities before they are saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from megatron.core.optimizer import MegatronOptimizer
from torch import Tensor, nn

from megatron_speech.checkpoint.finite import moments, require_all_finite


def require_finite(chunks: Sequence[nn.Module], optimizer: MegatronOptimizer | None) -> None:
    """Raise FloatingPointError with the name of this rank's first tensor that holds NaN or an infinity."""
    require_all_finite(chain(_weights(chunks), _megatron_state(optimizer)))


def _weights(chunks: Sequence[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for chunk in chunks:
        yield from ((name.removeprefix("module."), parameter) for name, parameter in chunk.named_parameters())


def _megatron_state(optimizer: MegatronOptimizer | None) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of master weights and moments. megatron-core may chain several optimizers."""
    for each in getattr(optimizer, "chained_optimizers", [optimizer]):
        if each is not None and not each.is_stub_optimizer:
            yield from (("a master weight", weight) for group in each.param_groups for weight in group["params"])
            yield from moments(each.optimizer.state)
