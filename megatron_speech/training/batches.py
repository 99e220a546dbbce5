"""Computes which samples a data parallel rank reads in a step.

In a step that begins at sample s, micro-batch m of rank r holds the M rows from s + (m*R + r)*M on. M is the number of
rows per micro-batch, R that of data parallel ranks. The token budget need not fill the last global batch: sample
numbers behind its end get rows without targets. Cost: the last step may compute rows that it does not learn from.
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
    """Sample numbers of each of this rank's micro-batches in the step that starts at sample `step_start`."""
    starts = (
        step_start + (index * data_parallel_size + data_parallel_rank) * micro_batch_size
        for index in range(num_microbatches)
    )
    return [list(range(start, start + micro_batch_size)) for start in starts]


def rows_until_end(reader: Reader, numbers: Sequence[int]) -> list[Row]:
    """Rows of the sample `numbers`; a number behind the end of the plan gets the last row without targets."""
    total = reader.plan.num_samples
    rows = reader.rows([min(number, total - 1) for number in numbers])
    return [
        row if number < total else dataclasses.replace(row, context=np.array([[0, len(row.tokens)]], np.int32))
        for number, row in zip(numbers, rows, strict=True)
    ]
