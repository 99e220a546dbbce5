"""Which samples a data parallel rank reads.

Which rows a rank reads is a function of the sample number alone: of a step that begins at sample s, micro-batch m of
rank r holds the M rows from s + (m*R + r)*M (M rows per micro-batch, R data parallel ranks). A budget need not be whole
global batches: numbers behind its end stand for rows that teach nothing. Price: the last step may compute what it does
not learn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from megatron_speech.data.reading.reader import Reader
from megatron_speech.data.shards.document import Row


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
