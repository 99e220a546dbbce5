"""Which samples a data parallel rank reads, and reading them ahead by threads.

Which rows a rank reads is a function of the sample number alone: of a step that begins at sample s, micro-batch m of
rank r holds the M rows from s + (m*R + r)*M (M rows per micro-batch, R data parallel ranks). A budget need not be whole
global batches: numbers behind its end stand for rows that teach nothing. Price: the last step may compute what it does
not learn.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.document import Row

Asked = TypeVar("Asked")
Batch = TypeVar("Batch")


def sample_numbers(
    step_start: int, *, num_microbatches: int, micro_batch_size: int, data_parallel_rank: int, data_parallel_size: int
) -> list[list[int]]:
    """Sample numbers of each of this rank's micro-batches of the step that starts at sample `step_start`."""
    starts = (
        step_start + (index * data_parallel_size + data_parallel_rank) * micro_batch_size
        for index in range(num_microbatches)
    )
    return [list(range(start, start + micro_batch_size)) for start in starts]


def rows_until_end(reader: Reader, numbers: Sequence[int]) -> list[Row]:
    """Rows by sample number; behind the end of the plan, its last row without a target."""
    total = reader.plan.num_samples
    rows = reader.rows([min(number, total - 1) for number in numbers])
    return [
        row if number < total else dataclasses.replace(row, context=np.array([[0, len(row.tokens)]], np.int32))
        for number, row in zip(numbers, rows, strict=True)
    ]


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
