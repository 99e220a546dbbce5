"""Yields the micro-batches of a rank, step by step.

The first rank of each copy of the model reads them ahead and sends them to the others. If reading fails, all ranks of
the copy raise an error at the same step, so none waits for rows that never arrive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import tee

import numpy as np
from numpy.typing import NDArray

from megatron_speech.data.plan.plan import Plan
from megatron_speech.data.reading.batch import HostBatch, collate, from_words, to_words
from megatron_speech.data.reading.masked_rows import MaskedRows
from megatron_speech.data.reading.read_ahead import read_ahead
from megatron_speech.data.reading.reader import Reader
from megatron_speech.parallel.replica import Replica
from megatron_speech.storage.place import Places
from megatron_speech.training.batches import rows_until_end

Numbers = Sequence[Sequence[int]]
"""Sample numbers of each micro-batch of a step."""


class Feed:
    """Rows of a plan for this rank's copy of the model."""

    def __init__(self, plan: Plan, places: Places, *, replica: Replica, masked_rows: MaskedRows | None = None) -> None:
        self.plan, self._config, self._replica = plan, places.config, replica
        self.waited_s = 0.0
        """Seconds that steps waited for their rows."""
        self.rows = np.zeros(len(plan.sources), np.int64)
        """Number of rows that the reading rank has handed out, by source of the plan."""
        self._reader = Reader(plan, places, masked_rows=masked_rows) if replica.reads else None

    def steps(self, numbers: Iterator[Numbers]) -> Iterator[list[HostBatch]]:
        """Micro-batches of each step, given the sample `numbers` of each. Collective over the copy of the model."""
        asked, given = tee(numbers)
        read = None if self._reader is None else self._read(self._reader, asked)
        for step in given:
            start = time.perf_counter()
            hosts = self._next(read, step)
            self.waited_s += time.perf_counter() - start
            yield hosts

    def _read(self, reader: Reader, numbers: Iterator[Numbers]) -> Iterator[list[HostBatch]]:
        config = self._config
        return read_ahead(
            numbers,
            lambda batch: collate(rows_until_end(reader, batch)),
            microbatches=config.prefetch,
            threads=config.threads,
        )

    def _next(self, read: Iterator[list[HostBatch]] | None, step: Numbers) -> list[HostBatch]:
        if read is None:
            return _received(self._replica.share(None))
        try:
            hosts = next(read)
        except Exception as error:
            if self._replica.group is not None:
                self._replica.share(_message(error))
            raise
        self._count(hosts, step)
        if self._replica.group is not None:
            self._replica.share(to_words(hosts))
        return hosts

    def _count(self, hosts: Sequence[HostBatch], step: Numbers) -> None:
        source = np.concatenate([host.source for host in hosts])
        planned = np.concatenate([np.asarray(numbers) for numbers in step]) < self.plan.num_samples
        self.rows += np.bincount(source[planned], minlength=len(self.rows))


def _message(error: Exception) -> NDArray[np.int32]:
    """An error encoded in place of batches: -1, then its characters."""
    text = f"{type(error).__name__}: {error}"
    return np.array([-1, *map(ord, text)], np.int32)


def _received(words: NDArray[np.int32]) -> list[HostBatch]:
    if words[0] < 0:
        raise RuntimeError("the rank that reads this rank's rows failed: " + "".join(map(chr, words[1:].tolist())))
    return from_words(words)
