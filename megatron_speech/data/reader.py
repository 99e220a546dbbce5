"""Read the rows that a plan names: no state but open files, so any sample can be read at any time.

Read ahead with a thread, not with worker processes: a row is 4 (S + 1) bytes out of a memory map, and sending it
between processes would cost many times as much as reading it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from megatron_speech.data.document import Row
from megatron_speech.data.plan import Plan
from megatron_speech.data.rows import RowFolder


class Reader:
    """Rows by sample number; for one thread at a time.

    Raises:
        ValueError: a folder is no longer the one the plan was made from.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._folders = [RowFolder(source.folder) for source in plan.sources]
        for source, folder in zip(plan.sources, self._folders, strict=True):
            if folder.index.checksum != source.checksum:
                raise ValueError(
                    f"{source.folder} changed since the plan was made (checksum {folder.index.checksum[:12]}, "
                    f"planned {source.checksum[:12]}); restore it or start a new run"
                )

    def rows(self, numbers: Sequence[int]) -> list[Row]:
        """Rows of the given sample numbers, in that order; ValueError names damage by file, row and byte."""
        sources, rows = self.plan.locate_many(np.asarray(numbers, np.int64))
        return [
            self._folders[source].row(row, source=source, target_only=self.plan.sources[source].target_only)
            for source, row in zip(sources.tolist(), rows.tolist(), strict=True)
        ]
