"""Reading ahead by threads: while a step computes, the micro-batches of the next ones are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Batch = TypeVar("Batch")


def read_ahead(
    steps: Iterator[Sequence[Asked]],
    read: Callable[[Asked], Batch],
    *,
    microbatches: int,
    threads: int = 1,
) -> Iterator[list[Batch]]:
    """Yield each step's micro-batches in order while `threads` read the next `microbatches` or so.

    An error of `read` is raised at the step it belongs to. One step at least is always in flight.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="reader") as pool:
        ahead: deque[list[Future[Batch]]] = deque()
        try:
            for numbers in steps:
                ahead.append([pool.submit(read, batch) for batch in numbers])
                if sum(len(step) for step in ahead) > microbatches + len(ahead[0]):
                    yield [future.result() for future in ahead.popleft()]
            while ahead:
                yield [future.result() for future in ahead.popleft()]
        finally:
            for step in ahead:
                for future in step:
                    future.cancel()
