"""Software stacks: what is known of how they compute and communicate, and one fitted scalar per precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class Stack:
    """How a training software works, as its documentation says; shares lie between 0 and 1."""

    name: str
    about: str
    family: str
    """Stacks on the same library; what one lacks in measurements, its family lends."""
    attention: str
    """Generation of the fused attention kernel: "vendor" or "flash2"."""
    skips_masked: bool
    """Attention leaves out blocks that the causal mask hides; kernels with a bias on scores may not."""
    fused: bool
    """Norms, activations and residual sums run in fused kernels."""
    hides_tensor: float
    """Share of tensor parallel communication that runs behind matrix products."""
    hides_data: float
    """Share of a pass during which gradients or weights can travel behind computation."""
    hides_pipeline: float
    """Share of the sends between pipeline stages that run behind computation."""
    gathers: float
    """Collectives per layer that gather updated weights, at least; 0 where buckets hold several layers."""
    prefetches: bool
    """Fully sharded weights of a layer are gathered behind the backward pass of the layer after it."""
    issue_us: float
    """Microseconds in which an x86 host issues the kernels of one layer's forward pass."""


@cache
def _stacks() -> dict[str, Any]:
    text = (files("megatron_speech.planning") / "data" / "stacks.yaml").read_text()
    found: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return found


def stack_names() -> list[str]:
    """All stacks that are described here."""
    return list(_stacks())


@cache
def stack(name: str) -> Stack:
    """The stack called `name`. ValueError lists the known ones."""
    if name not in stack_names():
        raise ValueError(f"stack={name} is not described; known are {', '.join(stack_names())}")
    return Stack(name=name, **_stacks()[name])
