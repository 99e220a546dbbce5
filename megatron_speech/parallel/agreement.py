"""Ranks fail together: where one of them cannot go on, all raise its error instead of waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

from megatron_speech.parallel import groups

Result = TypeVar("Result")


def together(action: Callable[[], Result]) -> Result:
    """Run `action` on every rank; if it is a user's mistake or a file error on any, raise that on all. Collective.

    `action` itself must hold no collective: the rank that fails before it would leave the others waiting inside.
    """
    result, error = None, None
    try:
        result = action()
    except (ValueError, FloatingPointError, OSError) as caught:
        error = caught
    errors: list[Exception | None] = [None] * dist.get_world_size()
    dist.all_gather_object(errors, error)
    for each in errors:
        if each is not None:
            raise each
    return result  # type: ignore[return-value]


def on_rank_zero(action: Callable[[], object]) -> None:
    """Run `action` on rank 0; its error is raised on all ranks, which wait for it. Collective."""
    together(lambda: action() if groups.is_rank_zero() else None)
