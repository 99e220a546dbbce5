"""The datatrove step that interleaves the documents of an offline task, shard by shard.

    LocalPipelineExecutor([Interleaver(tasks, ...)], tasks=len(tasks))

A shard holds a fixed range of one file's lines. It does not depend on tasks, workers and jobs, and the join only moves
files. Each shard is an artifact, with a journal beside it while it is made. A killed task resumes at its first
unfinished shard, and there at the first span that is not in the journal. A failing engine ends its task only. Cost: the
last batches of each shard are not full, and small files make small shards.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts.facts.interleaved import InterleavedShardFacts, InterleaveTaskFacts
from megatron_speech.artifacts.manifest import Draft, read_facts
from megatron_speech.artifacts.shared_counts import SharedCounts
from megatron_speech.artifacts.tasks import make_task
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.corpus.files import file_ids
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.read_share import size_of
from megatron_speech.corpus.text_tasks import TextTask, named
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.join import is_whole
from megatron_speech.data.shards.repeated_ids import IdLog
from megatron_speech.interleave.corpus_shards import NOT_SPEAKABLE, Line, count_documents, task_lines
from megatron_speech.interleave.identities import shard_identity, synthesis_identity, task_identity
from megatron_speech.interleave.journal import Journal
from megatron_speech.interleave.models import Models
from megatron_speech.interleave.noise import SpanSample
from megatron_speech.interleave.stream import Interleaved, Rendering, interleave
from megatron_speech.interleave.tally import Tally
from megatron_speech.text_to_token.engines.interface import EngineError
from megatron_speech.text_to_token.synthesize import speaker_of

logger = logging.getLogger(__name__)

TASK, SHARD = "interleave_task", "interleaved_shard"
DROPPED, NOISE = "dropped.jsonl", "noise.jsonl"
"""Files of the lines that were left out and of the noise sample: one JSON object per line."""


class Interleaver(PipelineStep):
    """Makes the shards of task `rank` in ``<folder>/<shard>``, and lists them in ``<folder>/task-<rank>``."""

    type = "WRITER"
    name = "interleaved shards"

    def __init__(
        self, tasks: Sequence[TextTask], *, config: BuildInterleavedConfig, folder: Path, inputs: Mapping[str, str]
    ) -> None:
        """`inputs` are the identities of the models and the vocabulary."""
        super().__init__()
        self.tasks = tasks
        self.config = config
        self.folder = folder
        self.models = Models(config)
        self._inputs = dict(inputs)
        cuts = Counter(task.first_file for task in tasks)
        sizes = [sum(map(size_of, task.files)) / cuts[task.first_file] for task in tasks]
        self.counts = SharedCounts(f"build_interleaved {named(config.corpora)}", sizes, unit="documents")

    def output(self, number: int) -> Path:
        """The artifact folder of a task."""
        return self.folder / f"task-{number:05d}"

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Make the shards of task `rank`. An EngineError is logged and ends the task; the next run resumes it."""
        task = self.tasks[rank]
        inputs = {**file_ids(task.files), **self._inputs}
        count = self.counts.of_task(rank)

        def write(draft: Draft) -> None:
            # Count first: bad lines are found before hours of synthesis, and the share of what is done is known.
            documents = count_documents(task, self.config)
            advance = partial(count.add, of=documents * self.config.corpora[task.corpus].renderings)
            draft.facts = InterleaveTaskFacts(shards=tuple(self._make_shards(task, inputs, advance)))

        try:
            make_task(
                self.output(rank),
                kind=TASK,
                config=task_identity(self.config, task),
                inputs=inputs,
                write=write,
                is_whole=self._is_whole,
            )
            count.end()
        except EngineError as error:
            self.models.forget()
            logger.error("task %d (%s) stopped: %s", rank, task.corpus, error)

    def _is_whole(self, task: Path) -> bool:
        return all(is_whole(self.folder / shard) for shard in read_facts(task, InterleaveTaskFacts).shards)

    def _make_shards(self, task: TextTask, inputs: Mapping[str, str], advance: Callable[[], None]) -> Iterator[str]:
        for shard, lines in groupby(task_lines(task, self.config), key=lambda line: line.shard):
            write = partial(self._write_shard, task=task, shard=shard, lines=lines, advance=advance)
            identity = shard_identity(self.config, task)
            make_task(self.folder / shard, kind=SHARD, config=identity, inputs=inputs, write=write, is_whole=is_whole)
            yield shard

    def _write_shard(
        self, draft: Draft, *, task: TextTask, shard: str, lines: Iterable[Line], advance: Callable[[], None]
    ) -> None:
        # Interleave the documents and write them; codes go to the journal as they finish.
        dropped, ids, tally, sample = list[BadLine](), IdLog(), Tally(self.config.spans), self.models.sample()
        speaks = synthesis_identity(self.config, model=self._inputs[str(self.config.model)])
        with Journal(self.folder / f"{shard}.journal", synthesis=speaks) as journal:
            made = interleave(
                self._renderings(task, lines, dropped, ids),
                cut=self.models.cut,
                compose=self.models.compose,
                stream=self.models.speak,
                journal=journal,
                work=self.models.work,
            )
            facts = write_documents(
                draft.folder,
                _counted(made, tally, sample, advance),
                vocabulary=self.models.vocabulary,
                name=f"{self.config.name}-{shard}",
                allow_empty=True,
            )
            work = journal.work
        # Measure the noise, and write what the join needs.
        rows = self.models.read_back(sample, shard=shard)
        ids.save(draft.folder)
        reasons = Counter(line.reason for line in dropped)
        _write_lines(draft.folder / DROPPED, [vars(line) for line in dropped if line.reason != NOT_SPEAKABLE])
        _write_lines(draft.folder / NOISE, [row.to_json() for row in rows])
        draft.facts = InterleavedShardFacts(
            documents=facts.documents,
            tokens=facts.tokens,
            text_tokens=facts.text_tokens,
            speech_tokens=facts.speech_tokens,
            corpus=task.corpus,
            source_documents=ids.count,
            documents_not_speakable=reasons.pop(NOT_SPEAKABLE, 0),
            dropped=dict(sorted(reasons.items())),
            tally=tally.state(),
            synthesis=dict(sorted(work.items())),
            noise_too_long=sample.too_long if sample else 0,
        )

    def _renderings(
        self, task: TextTask, lines: Iterable[Line], dropped: list[BadLine], ids: IdLog
    ) -> Iterator[Rendering]:
        same: dict[str, Any] = {"seed": self.config.seed, "engine": self.config.synthesis.engine}
        same["model"] = self._inputs[str(self.config.model)][:16]
        for line in lines:
            if isinstance(line.found, BadLine):
                dropped.append(line.found)
                continue
            ids.add(line.found.id, file=task.files.index(line.path), line=line.number)
            for number in range(self.config.corpora[task.corpus].renderings):
                key = f"{line.found.id}#{number}"
                speaker = speaker_of(self.config.synthesis.speakers, self.config.seed, f"{key}:")
                meta = {"id": line.found.id, "corpus": task.corpus, "rendering": number, "speaker": speaker, **same}
                yield Rendering(key, line.found.text, meta)


def _counted(
    made: Iterable[Interleaved], tally: Tally, sample: SpanSample | None, advance: Callable[[], None]
) -> Iterator[TokenDocument]:
    for each in made:
        tally.count(each.pieces, each.codes, each.composed, each.units)
        if sample is not None:
            sample.show(each)
        advance()
        if len(each.document.tokens):
            yield each.document


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
