"""Read the rows that a plan names: no state but open files, so any sample can be read at any time.

Read ahead with a thread, not with worker processes: a row is 4 (S + 1) bytes out of a memory map, and sending it
between processes would cost many times as much as reading it. Samples are looked up by the window: placing a thousand
costs little more than placing one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from megatron_speech.data.document import Row
from megatron_speech.data.plan import Plan
from megatron_speech.data.rows import RowFolder

WINDOW = 1024
"""Sample numbers that are located together."""


class Reader:
    """Rows by sample number; for one thread at a time.

    Raises:
        ValueError: a folder is no longer the one the plan was made from.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._window = lru_cache(maxsize=2)(self._located)
        self._folders = [RowFolder(source.folder) for source in plan.sources]
        for source, folder in zip(plan.sources, self._folders, strict=True):
            if folder.index.checksum != source.checksum:
                raise ValueError(
                    f"{source.folder} changed since the plan was made (checksum {folder.index.checksum[:12]}, "
                    f"planned {source.checksum[:12]}); restore it or start a new run"
                )

    def rows(self, numbers: Sequence[int]) -> list[Row]:
        """Rows of the given sample numbers, in that order; ValueError names damage by file, row and byte."""
        return [self._row(*self._locate(number)) for number in numbers]

    def _row(self, source: int, row: int) -> Row:
        target_only = self.plan.sources[source].loss.tokens == "target"
        return self._folders[source].row(row, source=source, target_only=target_only)

    def _locate(self, number: int) -> tuple[int, int]:
        """(source, row in its folder)."""
        window, within = divmod(number, WINDOW)
        sources, rows = self._window(window)
        return int(sources[within]), int(rows[within])

    def _located(self, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first = window * WINDOW
        return self.plan.locate_many(np.arange(first, min(first + WINDOW, self.plan.num_samples)))
