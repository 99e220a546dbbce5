"""Runs a function on several gloo ranks of this machine, and raises the error that came first.

Ranks are forked from a server that has imported torch and megatron-core once (preloaded by `tests/conftest.py`). The
first test takes seconds, later ones tenths of a second. Ranks find each other through a file, not a port. A rank that
fails writes its traceback and exits at once. The parent raises the earliest traceback, because later ones are mostly
"connection closed by peer". Ranks that hang are killed at the deadline and named.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_ranks(fn: Callable[..., None], world_size: int, *args: Any, timeout: float = 120) -> None:
    """Call `fn(rank, world_size, init_method, *args)` in `world_size` processes; `fn` stands at module level.

    `init_method` is a ``file://`` store for `parallel.groups.initialize(layout, seed=..., rank=rank, init_method=...)`.
    Raises AssertionError with the earliest traceback, or TimeoutError that names ranks which ran longer than `timeout`
    seconds and were killed.
    """
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        ranks = [
            context.Process(target=_rank, args=(fn, rank, world_size, Path(folder), args)) for rank in range(world_size)
        ]
        for process in ranks:
            process.start()
        hung = _join(ranks, time.monotonic() + timeout)
        errors = sorted(Path(folder).glob("error-*.txt"))
        if errors:
            raise AssertionError(f"rank failed ({len(errors)} of {world_size}), earliest:\n{errors[0].read_text()}")
        if hung:
            raise TimeoutError(f"ranks {hung} of {world_size} still ran after {timeout} s and were killed")
        dead = {rank: process.exitcode for rank, process in enumerate(ranks) if process.exitcode}
        assert not dead, f"ranks left without a traceback, exit codes {dead}"


def _rank(fn: Callable[..., None], rank: int, world_size: int, folder: Path, args: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        fn(rank, world_size, f"file://{folder}/store", *args)
    except BaseException:
        # Written under another name first: the parent must never read half a traceback.
        draft = folder / f"draft-{rank}"
        draft.write_text(f"rank {rank}\n{traceback.format_exc()}")
        draft.rename(folder / f"error-{time.monotonic_ns():020d}-{rank}.txt")
        os._exit(1)


def _join(ranks: list[Any], deadline: float) -> list[int]:
    """Wait for all ranks; kill and return those that run past the deadline, or 5 s after an error of another."""
    while any(process.is_alive() for process in ranks) and time.monotonic() < deadline:
        if any(process.exitcode for process in ranks):
            deadline = min(deadline, time.monotonic() + 5)
        for process in ranks:
            process.join(0.05)
    hung = [rank for rank, process in enumerate(ranks) if process.is_alive()]
    for rank in hung:
        ranks[rank].kill()
        ranks[rank].join()
    return hung
