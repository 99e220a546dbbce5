"""A job for worker processes, which import it by name."""

from __future__ import annotations

import multiprocessing
from typing import Any

HELD: list[Any] = []


def lock(number: int) -> int:
    """Hold what a progress bar holds: a semaphore of this process, which it gives back when it ends in its own way."""
    HELD.append(multiprocessing.RLock())
    return number
