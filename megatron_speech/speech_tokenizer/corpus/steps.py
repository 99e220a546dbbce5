"""The datatrove step that encodes the utterances of an offline task and writes their codes.

    LocalPipelineExecutor([AudioReader(tasks, ...), ..., CodeWriter(reader, ...)], tasks=len(tasks))

Filters of datatrove can be placed between the two: a document has the transcript as text and the utterance's metadata.
Up to `GATHER_SECONDS` of one shard are read, cut into windows and batched by length. Memory is bounded, and batches
depend on the shard only, not on its task. Limitation: a clip is held in memory whole. Cost: the last batches of each
shard are not full.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts.facts.codes import CodesTaskFacts
from megatron_speech.artifacts.manifest import Draft
from megatron_speech.artifacts.shared_counts import SharedCounts, TaskCount
from megatron_speech.artifacts.tasks import make_task
from megatron_speech.audio.dali_features import DaliFeatures
from megatron_speech.audio.features import Features, torch_features
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.quarantine import QUARANTINE, write_quarantine
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.repeated_ids import IdLog
from megatron_speech.grouping import grouped_by_size
from megatron_speech.speech_tokenizer.corpus.input import PLACED_RECORD, AudioReader, AudioTask, PlacedRecord
from megatron_speech.speech_tokenizer.corpus.windows import Window, encode_cut, windows_of
from megatron_speech.speech_tokenizer.interface import SpeechTokenizer
from megatron_speech.speech_tokenizer.table import load_speech_tokenizer
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

KIND = "speech_codes_task"
NAME = "codes"
"""Prefix of the shards' file names."""
GATHER_SECONDS = 1800
"""Seconds of speech that are sorted by length together (115 MB)."""


class CodeWriter(PipelineStep):
    """The last step of a pipeline: encodes the utterances of task `rank` into shards in ``<folder>/<rank>``."""

    type = "WRITER"
    name = "code shards"

    def __init__(self, reader: AudioReader, *, folder: Path, config: TokenizeSpeechConfig, tokenizer_id: str) -> None:
        super().__init__()
        assert config.cut is not None, "resolve config.cut first (run.resolved_cut)"
        self.reader = reader
        self.folder = folder
        self.config = config
        self.tokenizer_id = tokenizer_id
        seconds = [sum(shard.seconds for shard in task.shards) for task in reader.tasks]
        self.counts = SharedCounts(
            f"tokenize_speech {config.audio.name}", seconds, unit="seconds of speech", counted=True
        )

    def settings(self) -> dict[str, Any]:
        """Settings that determine a task's codes, beside its `inputs`."""
        names = ("cut", "overlap_seconds", "silence_peak_dbfs", "features", "device", "blocks", "batch_seconds")
        return {name: getattr(self.config, name) for name in names}

    def inputs(self, number: int) -> dict[str, str]:
        """Identities of the tokenizer and of a task's shards."""
        shards = {str(shard.path): shard.xxh3 for shard in self.reader.tasks[number].shards}
        return {str(self.config.tokenizer): self.tokenizer_id, **shards}

    def output(self, number: int) -> Path:
        """The artifact folder of a task."""
        return self.folder / f"{number:05d}"

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Encode the utterances in `data` and write the output of task `rank`."""
        count = self.counts.of_task(rank)

        def write(draft: Draft) -> None:
            draft.facts = self._write(data, self.reader.tasks[rank], draft.folder, count)

        make_task(self.output(rank), kind=KIND, config=self.settings(), inputs=self.inputs(rank), write=write)
        count.end()

    def _write(self, documents: Iterable[Document], task: AudioTask, folder: Path, count: TaskCount) -> CodesTaskFacts:
        # Encode and write the documents; the first is read ahead, because a task may have none.
        tokenizer = loaded_tokenizer(self.config, self.tokenizer_id)
        counts: Counter[str] = Counter()
        ids = IdLog()
        begun = time.perf_counter()
        name = f"encode {task.shards[0].path.parent.name}, task {task.number + 1} of {len(self.reader.tasks)}"
        encoded = self._encoded(documents, task, tokenizer, ids, counts, count)
        first = next(encoded, None)
        if first is not None:  # a task may be empty; the join refuses an empty corpus
            vocabulary = Vocabulary.of_codes(tokenizer.facts.codebook_size, tokenizer.facts.fingerprint)
            write_documents(folder, chain([first], encoded), vocabulary=vocabulary, name=NAME)
        # Write what the join needs, and log.
        ids.save(folder)
        write_quarantine(folder / QUARANTINE, self.reader.quarantined)
        rate = counts["tokens"] / (time.perf_counter() - begun)
        logger.info(
            "%s: %d tokens, %d per second, %d quarantined", name, counts["tokens"], rate, len(self.reader.quarantined)
        )
        kinds = ("documents", "tokens", "samples", "cut", "several_channels", "without_text")
        return CodesTaskFacts(utterances=self.reader.read, **{kind: counts[kind] for kind in kinds})

    def _encoded(
        self,
        documents: Iterable[Document],
        task: AudioTask,
        tokenizer: SpeechTokenizer,
        ids: IdLog,
        counts: Counter[str],
        count: TaskCount,
    ) -> Iterator[TokenDocument]:
        seconds = sum(shard.seconds for shard in task.shards)
        for gathered in gather(documents):
            # Encode a group of documents of one shard.
            waveforms = [document.metadata[PLACED_RECORD].record.waveform for document in gathered]
            cuts = [self._cut(tokenizer, waveform) for waveform in waveforms]
            shard = task.shards[gathered[0].metadata[PLACED_RECORD].shard].path
            names = [f"{shard}:{document.id}" for document in gathered]
            codes = encode_cut(
                *(tokenizer, waveforms, cuts),
                names=names,
                batch_seconds=self.config.batch_seconds,
                advance=partial(count.add, of=seconds),
            )
            for document, windows, tokens in zip(gathered, cuts, codes, strict=True):
                # Count each document, and extend its metadata.
                placed: PlacedRecord = document.metadata.pop(PLACED_RECORD)
                num_samples = len(placed.record.waveform)
                ids.add(document.id, file=placed.shard, line=placed.number)
                counts.update(documents=1, tokens=len(tokens), samples=num_samples, cut=len(windows) > 1)
                counts.update(several_channels=placed.record.channels > 1)
                counts.update(without_text=not placed.record.text.strip())
                own = {
                    "duration_s": round(num_samples / SAMPLE_RATE, 4),
                    "samples": num_samples,
                    "audio_shard": shard.name,
                }
                yield TokenDocument(key=document.id, tokens=tokens, meta={**document.metadata, **own})

    def _cut(self, tokenizer: SpeechTokenizer, waveform: np.ndarray) -> list[Window]:
        overlap_s = self.config.overlap_seconds if self.config.cut == "overlap" else 0.0
        return windows_of(tokenizer.facts, len(waveform), overlap_seconds=overlap_s)


def gather(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Group consecutive documents of one shard, up to `GATHER_SECONDS` of speech; a longer clip is a group alone."""

    def samples(document: Document) -> int:
        return len(document.metadata[PLACED_RECORD].record.waveform)

    for _, of_shard in groupby(documents, key=lambda document: document.metadata[PLACED_RECORD].shard):
        yield from grouped_by_size(of_shard, size=samples, max_size=GATHER_SECONDS * SAMPLE_RATE)


def loaded_tokenizer(config: TokenizeSpeechConfig, fingerprint: str) -> SpeechTokenizer:
    """Load the tokenizer of `config`, once per process; ValueError if its fingerprint is not `fingerprint`."""
    return _loaded(config.tokenizer, config.features, config.device, config.blocks == "masked", fingerprint)


@lru_cache(maxsize=1)
def _loaded(folder: Path, features: str, device: str, masked: bool, fingerprint: str) -> SpeechTokenizer:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: torch finds no GPU here; use device=cpu, or a machine that has one")
    compute: Features = torch_features
    if features != "torch":
        compute = DaliFeatures(device="gpu" if features == "dali_gpu" else "cpu")
    tokenizer = load_speech_tokenizer(folder, device=device, features=compute, masked=masked)
    if tokenizer.facts.fingerprint != fingerprint:
        raise ValueError(f"{folder} was replaced while its codes were made; run the tool again")
    return tokenizer
