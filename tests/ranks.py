"""Run a function on several gloo ranks of this machine, with errors a person can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def run_ranks(fn: Callable[..., None], world_size: int, *args: Any, timeout: float = 120) -> None:
    """Call module-level `fn(rank, world_size, init_method, *args)` in `world_size` processes; raise the earliest error.

    `init_method` is a ``file://`` store for `parallel.groups.initialize(layout, seed=..., rank=rank, init_method=...)`.
    Ranks that are still running after `timeout` seconds are killed and named.
    """
    raise NotImplementedError
