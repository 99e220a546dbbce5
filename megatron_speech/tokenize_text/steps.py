"""The two datatrove steps that tokenize text: one reads the documents of a task, the other writes its shards.

    LocalPipelineExecutor([CorpusReader(tasks, on_bad_line="error"), ..., TokenShardWriter(...)], tasks=len(tasks))

datatrove's filters can be placed between them. The shards of a task are an artifact of their own: a killed task starts
again from its beginning, and a finished one is skipped. Cost: before a task is skipped, its input files are hashed
again, to check that they have not changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from numpy.typing import NDArray

from megatron_speech.artifacts.facts.text import TextLossFacts, TextTaskFacts
from megatron_speech.artifacts.left_out import LEAST_JUDGED
from megatron_speech.artifacts.manifest import Draft, input_ids
from megatron_speech.artifacts.shared_counts import SharedCounts, TaskCount
from megatron_speech.artifacts.tasks import make_task
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.corpus.files import file_ids
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.read_share import ReadShare, size_of
from megatron_speech.corpus.text_tasks import TextTask, named, require_few_lines
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.join import is_whole
from megatron_speech.data.shards.repeated_ids import IdLog
from megatron_speech.grouping import grouped_by_size
from megatron_speech.text_tokenizer.text_loss import TextLoss, require_little_lost
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

KIND = "text_task"
DROPPED = "dropped.jsonl"
"""File with one JSON object (reason, message) for each line that was left out."""
BATCH_TEXTS = 512
"""Most texts in a batch."""
BATCH_CHARACTERS = 1 << 21
"""Most characters in a batch; a longer text is a batch of its own and is encoded in pieces."""
PLACE = "_place"
"""Metadata key under which a document carries (file index, line) from the reader to the writer."""


class CorpusReader(PipelineStep):
    """Yields the documents of task number `rank`; a bad line is an error, or is kept in `dropped`."""

    type = "READER"
    name = "text corpora"

    def __init__(
        self, tasks: Sequence[TextTask], *, on_bad_line: Literal["error", "count"], max_quarantined_share: float = 1.0
    ) -> None:
        super().__init__()
        self.tasks = tasks
        self.on_bad_line = on_bad_line
        self.max_quarantined_share = max_quarantined_share
        self.dropped: list[BadLine] = []
        self.read = 0
        """Number of lines read so far in the current task."""
        self.share = 0.0
        """Share of the current task that is read."""

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents of task `rank`; lines that are none go to `dropped`."""
        task = self.tasks[rank]
        self.dropped.clear()
        self.read = 0
        most = left = task.settings.max_documents
        watched = ReadShare(task.files)
        for index, number, found in task.read(watched):
            if left == 0:
                return
            self.read += 1
            self.share = max(watched.share(index, number), 0.0 if most is None else 1 - (left or 0) / most)
            if isinstance(found, BadLine):
                self.drop(found)
                continue
            left = None if left is None else left - 1
            yield Document(text=found.text, id=found.id, metadata={**found.metadata, PLACE: (index, number)})

    def drop(self, line: BadLine) -> None:
        """Leave a bad line out; raises ValueError if bad lines are errors or there are too many."""
        if self.on_bad_line == "error":
            raise ValueError(line.message)
        self.dropped.append(line)
        if self.read >= LEAST_JUDGED:
            require_few_lines(self.dropped, self.read, self.max_quarantined_share)


class TokenShardWriter(PipelineStep):
    """Encodes the documents of task number `rank` and writes them to ``<folder>/<rank>`` as document shards."""

    type = "WRITER"
    name = "token shards"

    def __init__(
        self,
        reader: CorpusReader,
        *,
        folder: Path,
        vocabulary: Path,
        name: str,
        shard_tokens: int,
        max_lost_share: float = 1.0,
    ) -> None:
        super().__init__()
        self.max_lost_share = max_lost_share
        self.reader = reader
        self.folder = folder
        self.vocabulary = vocabulary
        self.shard_name = name
        self.shard_tokens = shard_tokens
        sizes = [sum(map(size_of, task.files)) for task in reader.tasks]
        corpora = {task.corpus: task.settings for task in reader.tasks}
        self.counts = SharedCounts(f"tokenize_text {named(corpora)}", sizes, unit="documents")

    def settings(self, number: int) -> dict[str, Any]:
        """Settings that affect the shards of a task, besides its files and the vocabulary."""
        task = self.reader.tasks[number]
        return {
            "corpus": task.corpus,
            "read": to_dict(task.settings),
            "on_bad_line": self.reader.on_bad_line,
            "name": f"{self.shard_name}-{number:05d}",
            "shard_tokens": self.shard_tokens,
        }

    def output(self, number: int) -> Path:
        """Artifact folder of a task."""
        return self.folder / f"{number:05d}"

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Write the token shards of the documents in `data` as the artefact folder of task `rank`."""
        task, settings = self.reader.tasks[rank], self.settings(rank)

        count = self.counts.of_task(rank)

        def write(draft: Draft) -> None:
            draft.facts = self._write(data, task, draft.folder, settings["name"], count)

        inputs = file_ids(task.files) | input_ids([self.vocabulary])
        make_task(self.output(rank), kind=KIND, config=settings, inputs=inputs, write=write, is_whole=is_whole)
        count.end()

    def _write(
        self, documents: Iterable[Document], task: TextTask, folder: Path, name: str, count: TaskCount
    ) -> TextTaskFacts:
        tokenizer, ids, size = TextTokenizer.load(self.vocabulary), IdLog(), Counter(text_bytes=0)
        loss = TextLoss(tokenizer)
        facts = write_documents(
            folder,
            self._counted(self._encoded(documents, task, tokenizer, ids, size, loss), count),
            vocabulary=Vocabulary.load(self.vocabulary),
            name=name,
            shard_tokens=self.shard_tokens,
            allow_empty=True,
        )
        ids.save(folder)
        dropped = self.reader.dropped
        (folder / DROPPED).write_bytes(b"".join(orjson.dumps(vars(line)) + b"\n" for line in dropped))
        reasons = Counter(line.reason for line in dropped)
        return TextTaskFacts(
            **vars(facts),
            text_bytes=size["text_bytes"],
            dropped=dict(sorted(reasons.items())),
            text_loss=loss.facts(),
        )

    def _counted(self, documents: Iterable[TokenDocument], count: TaskCount) -> Iterator[TokenDocument]:
        for document in documents:
            yield document
            count.add()
            count.share(self.reader.share)

    def _encoded(
        self,
        documents: Iterable[Document],
        task: TextTask,
        tokenizer: TextTokenizer,
        ids: IdLog,
        size: Counter[str],
        loss: TextLoss,
    ) -> Iterator[TokenDocument]:
        begin = np.array(tokenizer.begin_of_document, np.int32)
        for document, tokens in encode_ahead(documents, tokenizer):
            index, line = document.metadata.pop(PLACE)
            if not len(tokens):
                message = f"{task.files[index]}:{line}: the tokenizer makes no token of this text; drop the line"
                self.reader.drop(BadLine(reason="no tokens", message=message))
                continue
            ids.add(document.id, file=index, line=line)
            size["text_bytes"] += len(document.text.encode())
            if len(begin):
                tokens = np.concatenate([begin, tokens])
            decoded = loss.count(document.text, tokens[len(begin) :])
            if decoded and loss.checked >= LEAST_JUDGED:
                self.require_little_lost(task.corpus, loss.facts())
            yield TokenDocument(key=document.id, tokens=tokens, meta=document.metadata)

    def require_little_lost(self, corpus: str, facts: TextLossFacts) -> None:
        """Raise ValueError if a corpus loses more of its text than `max_lost_share`."""
        holder = f"corpora.{corpus} by the text tokenizer of vocabulary={self.vocabulary}"
        require_little_lost(facts, self.max_lost_share, holder=holder)


def encode_ahead(
    documents: Iterable[Document], tokenizer: TextTokenizer
) -> Iterator[tuple[Document, NDArray[np.int32]]]:
    """Documents with their token ids, in order; a thread encodes the next batch while the caller uses this one."""

    def encode(texts: Sequence[str]) -> list[NDArray[np.int32]]:
        if len(texts) == 1 and len(texts[0]) > BATCH_CHARACTERS:
            return [tokenizer.encode_long(texts[0])]
        return [np.array(ids, np.int32) for ids in tokenizer.encode_batch(texts)]

    with ThreadPoolExecutor(1) as ahead:
        waiting: tuple[list[Document], Future[list[NDArray[np.int32]]]] | None = None
        batches = grouped_by_size(
            documents, size=lambda document: len(document.text), max_size=BATCH_CHARACTERS, max_items=BATCH_TEXTS
        )
        for batch in batches:
            encoding = ahead.submit(encode, [document.text for document in batch])
            if waiting:
                yield from zip(waiting[0], waiting[1].result(), strict=True)
            waiting = batch, encoding
        if waiting:
            yield from zip(waiting[0], waiting[1].result(), strict=True)
