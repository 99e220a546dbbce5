"""Reads the rows that a plan names. It holds no state but open files, so any sample can be read at any time.

Rows are read ahead by threads, not by worker processes. A row is 4 (S + 1) bytes of a memory map; sending it to another
process would take far longer than reading it. Samples are located by whole windows of the order, because locating a
window costs little more than locating one sample.

A damaged row raises an error unless there is a quarantine. Then the row is recorded there and replaced by
end-of-document ids, which add no loss. All other rows keep their places, and no row is read as a substitute.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.reading.masked_rows import MaskedRows
from megatron_speech.data.shards.block_folder import DamagedError
from megatron_speech.data.shards.document import Row
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.storage.place import Places, local_folder
from megatron_speech.vocabulary import Vocabulary


class Reader:
    """Rows by sample number; safe for several threads.

    Raises:
        ValueError: a folder has changed since the plan was made.
    """

    def __init__(self, plan: Plan, places: Places | None = None, *, masked_rows: MaskedRows | None = None) -> None:
        places = places or Places()
        self.plan, self._stats, self._masked_rows = plan, places.stats, masked_rows
        self._window = lru_cache(maxsize=4)(self._located)
        self._folders = [
            RowFolder(local_folder(source.folder, places.config), places=places) for source in plan.sources
        ]
        for source, folder in zip(plan.sources, self._folders, strict=True):
            if folder.index.checksum != source.checksum:
                raise ValueError(
                    f"{source.folder} changed since the plan was made (checksum {folder.index.checksum[:12]}, "
                    f"planned {source.checksum[:12]}); restore it or start a new run"
                )

    def rows(self, numbers: Sequence[int]) -> list[Row]:
        """Read the rows of the given sample numbers, in that order.

        Raises:
            DamagedError: a row is damaged and there is no quarantine; names file, block, row and byte.
            OSError: storage failed in every attempt.
        """
        return [self._row(number) for number in numbers]

    def _row(self, number: int) -> Row:
        source, row = self._locate(number)
        folder, planned = self._folders[source], self.plan.sources[source]
        start = time.perf_counter()
        try:
            found = folder.row(row, source=source, target_only=planned.loss.tokens == "target")
        except DamagedError as error:
            if self._masked_rows is None:
                raise
            self._masked_rows.note(sample=number, source=planned.name, row=row, error=error)
            found = masked_row(folder.vocabulary, seq_length=self.plan.seq_length, source=source)
        self._stats.time(time.perf_counter() - start, num_bytes=found.tokens.nbytes)
        return found

    def _locate(self, number: int) -> tuple[int, int]:
        """(source index, row in its folder) of a sample."""
        window, within = divmod(number, self.plan.order.window)
        sources, rows = self._window(window)
        return int(sources[within]), int(rows[within])

    def _located(self, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        size = self.plan.order.window
        first = window * size
        return self.plan.locate_many(np.arange(first, min(first + size, self.plan.num_samples)))


def masked_row(vocabulary: Vocabulary, *, seq_length: int, source: int) -> Row:
    """A row of one document without targets, to replace a damaged row."""
    return Row(
        tokens=np.full(seq_length + 1, vocabulary.end_of_document, np.int32),
        cu_seqlens=np.array([0, seq_length], np.int32),
        context=np.zeros((0, 2), np.int32),
        source=source,
    )
