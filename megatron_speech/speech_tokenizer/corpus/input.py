"""What is encoded: audio shards cut into tasks, their utterances as datatrove documents, the unusable ones set aside.

A corpus of millions of clips always holds some that are silent or broken. They are listed, counted and left out; more
than a small share of them means that something is wrong with the corpus, and stops the work.
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
    """Consecutive audio shards, encoded in one go."""

    number: int
    """Place of its utterances among all tasks'."""
    shards: tuple[AudioShard, ...]


@dataclass(frozen=True, kw_only=True)
class PlacedRecord:
    """What an encoded document keeps of its record."""

    record: AudioRecord
    shard: int
    """Of the task."""
    number: int
    """Utterances of the shard before it."""


def audio_tasks(shards: Sequence[AudioShard], tasks: int | None) -> list[AudioTask]:
    """`shards` in at most `tasks` parts of nearly equal number; None: each alone. ValueError if there is no shard."""
    if not shards:
        raise ValueError("audio: the folder holds no shards; make it again with at least one utterance")
    count = min(tasks or len(shards), len(shards))
    edges = [task * len(shards) // count for task in range(count + 1)]
    return [
        AudioTask(number=task, shards=tuple(shards[first:end])) for task, (first, end) in enumerate(pairwise(edges))
    ]


def require_distinct_keys(shards: Sequence[AudioShard]) -> None:
    """ValueError naming the first key that two utterances have, by the shards' tar headers alone.

    A shard that cannot be read so far is left to its reader, which checks all of it.
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
    """Yield the utterances of task number `rank`; those that cannot be encoded go to `quarantined`."""

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
        """The utterances of task `rank` as documents; silent and damaged ones go to `quarantined`."""
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
