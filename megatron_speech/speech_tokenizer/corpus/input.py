"""Groups audio shards into offline tasks and reads their utterances as datatrove documents.

Silent and damaged utterances are quarantined: listed, counted and left out. If their share exceeds
`max_quarantined_share`, something is wrong with the corpus and the task stops.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts.left_out import LEAST_JUDGED
from megatron_speech.audio.quarantine import require_few, silence
from megatron_speech.audio.shards import AudioRecord, AudioShard, BadRecord, keys_in
from megatron_speech.data.shards.repeated_ids import IdLog, require_distinct

PLACED_RECORD = "_placed_record"
"""Metadata key under which a document carries its `PlacedRecord` from the reader to the writer."""


@dataclass(frozen=True, kw_only=True)
class AudioTask:
    """Consecutive audio shards that one offline task encodes."""

    number: int
    """Number of the task, in the order of its shards."""
    shards: tuple[AudioShard, ...]


@dataclass(frozen=True, kw_only=True)
class PlacedRecord:
    """An audio record with its place in the task."""

    record: AudioRecord
    shard: int
    """Number of its shard in the task."""
    number: int
    """Number of utterances before it in the shard."""


def audio_tasks(shards: Sequence[AudioShard], tasks: int | None) -> list[AudioTask]:
    """Divide `shards` into at most `tasks` tasks of nearly equal size; None gives one task per shard.

    Raises ValueError if there is no shard.
    """
    if not shards:
        raise ValueError("audio: the folder holds no shards; make it again with at least one utterance")
    count = min(tasks or len(shards), len(shards))
    edges = [task * len(shards) // count for task in range(count + 1)]
    return [
        AudioTask(number=task, shards=tuple(shards[first:end])) for task, (first, end) in enumerate(pairwise(edges))
    ]


def require_distinct_keys(shards: Sequence[AudioShard]) -> None:
    """Raise ValueError for the first key that two utterances share; reads tar headers only.

    Unreadable shards are skipped here: the reader of their task reports them.
    """
    ids = IdLog()
    for number, shard in enumerate(shards):
        with suppress(OSError, tarfile.TarError), shard.path.open("rb") as file:
            for line, key in enumerate(keys_in(file)):
                ids.add(key, file=number, line=line)
    with TemporaryDirectory() as folder:
        ids.save(Path(folder))
        require_distinct([Path(folder)], lambda _, shard, line: f"{shards[shard].path}, utterance {line + 1}")


class AudioReader(PipelineStep):
    """The first step of a pipeline: reads the utterances of task `rank`; lists unusable ones in `quarantined`."""

    type = "READER"
    name = "audio shards"

    def __init__(
        self, tasks: Sequence[AudioTask], *, silence_peak_dbfs: float | None, max_quarantined_share: float
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.silence_peak_dbfs = silence_peak_dbfs
        self.max_quarantined_share = max_quarantined_share
        self.quarantined: list[BadRecord] = []
        self.read = 0

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the utterances of task `rank` as documents.

        Raises ValueError if too many are unusable or a shard is damaged.
        """
        self.quarantined.clear()
        self.read = 0
        for index, shard in enumerate(self.tasks[rank].shards):
            before = self.read
            for record in shard.read(on_bad=self._quarantine):
                if silent := silence(shard, record, self.silence_peak_dbfs):
                    self._quarantine(silent)
                    continue
                self.read += 1
                placed = PlacedRecord(record=record, shard=index, number=self.read - before - 1)
                yield Document(text=record.text, id=record.key, metadata={**record.meta, PLACED_RECORD: placed})

    def _quarantine(self, record: BadRecord) -> None:
        self.read += 1
        self.quarantined.append(record)
        if self.read >= LEAST_JUDGED:
            require_few(self.quarantined, self.read, self.max_quarantined_share)
