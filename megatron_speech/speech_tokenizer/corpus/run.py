"""Encodes audio shards into shards of bare codes: offline tasks encode, a final step joins their outputs.

The join writes the codes of all tasks anew, as a single task would have written them. So tasks, workers, jobs, kills
and restarts do not change the output. For the same reason no batch spans two audio shards. Another machine or number of
threads may round states differently, and choose another code where two are equally near. Cost: codes are written twice,
50 bytes per second of speech.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np
import torch

from megatron_speech.artifacts.facts.codes import CodesFacts, CodesTaskFacts, SourceShardFacts, UsageFacts
from megatron_speech.artifacts.left_out import show
from megatron_speech.artifacts.make_in_tasks import TaskedWork, make_in_tasks
from megatron_speech.artifacts.manifest import MANIFEST, input_ids, is_made, make_artifact, read_facts, read_manifest
from megatron_speech.artifacts.tasks import tasks_folder
from megatron_speech.audio.quarantine import QUARANTINE, read_quarantine, require_few, write_quarantine
from megatron_speech.audio.shards import BadRecord, audio_shards
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents, write_documents
from megatron_speech.data.shards.repeated_ids import require_distinct
from megatron_speech.grouping import grouped
from megatron_speech.speech_tokenizer.corpus.input import AudioReader, AudioTask, audio_tasks, require_distinct_keys
from megatron_speech.speech_tokenizer.corpus.steps import KIND as TASK_KIND
from megatron_speech.speech_tokenizer.corpus.steps import NAME, CodeWriter
from megatron_speech.speech_tokenizer.interface import SpeechTokenizerFacts
from megatron_speech.speech_tokenizer.quantizer import perplexity
from megatron_speech.speech_tokenizer.table import read_facts as read_tokenizer_facts
from megatron_speech.storage.interface import FOLDER_INDEX
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

KIND = "speech_codes"
COUNTED = 4096
"""Number of documents per count of codes."""


def tokenize_speech(config: TokenizeSpeechConfig) -> None:
    """Encode `config.audio` into `config.output`, or do the part of the work that `config.run` names.

    Raises:
        FileNotFoundError: the tokenizer, the audio or one of its shards is missing.
        ValueError: a shard is damaged, a key repeats, or too many utterances are unusable. Finished tasks are kept.
    """
    tokenizer = read_tokenizer_facts(config.tokenizer)
    config = replace(config, cut=resolved_cut(config, causal=tokenizer.causal))
    settings = replace(config, run=SpreadConfig(), tasks=None)  # how work is spread does not change the output
    if (config.tokenizer / MANIFEST).is_file():
        read_manifest(config.tokenizer)  # raises if it is damaged: licences are inherited from it
    inputs = {str(config.tokenizer): tokenizer.fingerprint, **input_ids([config.audio])}
    make_in_tasks(
        config.output,
        kind=KIND,
        identity=settings,
        inputs=inputs,
        begin=partial(_begin, config, settings, inputs, tokenizer),
        run=config.run,
        moves_shards=False,
    )


def _begin(
    config: TokenizeSpeechConfig,
    settings: TokenizeSpeechConfig,
    inputs: dict[str, str],
    tokenizer: SpeechTokenizerFacts,
) -> TaskedWork:
    # Unfinished tasks, and a check of keys before they run.
    writer = code_writer(config, tokenizer_id=tokenizer.fingerprint)
    tasks = range(len(writer.reader.tasks))
    waiting = [task for task in tasks if not writer.output(task).exists()]
    if waiting and config.run.part == "all":  # jobs of an array read their own shards only: the join checks keys
        require_distinct_keys([shard for task in writer.reader.tasks for shard in task.shards])
    begun = time.perf_counter()

    def finish() -> None:
        seconds = time.perf_counter() - begun
        facts = [_task_facts(writer, task) for task in tasks]
        made = _finish(settings, inputs, writer, facts, tokenizer)
        new = sum(facts[task].tokens for task in waiting)
        rate = f" ({new / seconds:,.0f} per second)" if config.run.part == "all" and new else ""
        logger.info(
            "%s: %.2f hours, %s tokens%s, quarantined %s, %d utterances without text",
            *(config.output, made.seconds / 3600, f"{made.tokens:,}", rate, show(made.quarantined)),
            made.utterances_without_text,
        )

    return TaskedWork(steps=[writer.reader, writer], tasks=len(tasks), finish=finish, counts=writer.counts)


def resolved_cut(config: TokenizeSpeechConfig, *, causal: bool) -> Literal["overlap", "restart"]:
    """`config.cut`; None becomes "restart" for a causal tokenizer, else "overlap".

    Raises ValueError for "overlap" with a causal tokenizer.
    """
    if causal and config.cut == "overlap":
        raise ValueError(
            f"cut=overlap: {config.tokenizer} is causal, and windows that start between its blocks have codes that no "
            "stream has; use restart or null"
        )
    return config.cut or ("restart" if causal else "overlap")


def code_writer(config: TokenizeSpeechConfig, *, tokenizer_id: str) -> CodeWriter:
    """Make the two steps of the pipeline; returns the second, which holds the first as `reader`."""
    reader = AudioReader(
        audio_tasks(audio_shards(config.audio), config.tasks),
        silence_peak_dbfs=config.silence_peak_dbfs,
        max_quarantined_share=config.max_quarantined_share,
    )
    return CodeWriter(reader, folder=tasks_folder(config.output), config=config, tokenizer_id=tokenizer_id)


def _task_facts(writer: CodeWriter, number: int) -> CodesTaskFacts:
    """Facts of a finished task; ValueError if it is not made, or was made from other audio or settings."""
    folder = writer.output(number)
    shards = writer.reader.tasks[number].shards
    names = shards[0].path.name if len(shards) == 1 else f"{shards[0].path.name} to {shards[-1].path.name}"
    if not folder.exists():
        raise ValueError(f"{folder} is not made: task {number} ({names}) has not run or failed; run it first")
    try:
        is_made(folder, kind=TASK_KIND, config=writer.settings(), inputs=writer.inputs(number))
    except ValueError as error:
        raise ValueError(f"{error}; run task {number} ({names}) again") from error
    return read_facts(folder, CodesTaskFacts)


def _finish(
    config: TokenizeSpeechConfig,
    inputs: dict[str, str],
    writer: CodeWriter,
    facts: Sequence[CodesTaskFacts],
    tokenizer: SpeechTokenizerFacts,
) -> CodesFacts:
    """Write the codes of all tasks as one folder; returns the facts of its manifest."""
    # Check what tasks cannot see alone: the share of unusable utterances, and keys of different tasks.
    tasks = writer.reader.tasks
    folders = [writer.output(task.number) for task in tasks]
    quarantined = [record for folder in folders for record in read_quarantine(folder / QUARANTINE)]
    utterances = sum(fact.utterances for fact in facts)
    require_few(quarantined, utterances, config.max_quarantined_share)
    require_distinct(folders, lambda task, shard, number: f"{tasks[task].shards[shard].path}, utterance {number + 1}")
    # Write documents, list the quarantine and collect facts.
    counts_K = np.zeros(tokenizer.codebook_size, dtype=np.int64)
    with make_artifact(config.output, kind=KIND, config=config, inputs=inputs) as draft:
        parts = [read_documents(folder) for folder in folders if (folder / FOLDER_INDEX).exists()]
        documents = _counting(chain.from_iterable(parts), counts_K)
        vocabulary = Vocabulary.of_codes(tokenizer.codebook_size, tokenizer.fingerprint)
        documents_made = write_documents(draft.folder, documents, vocabulary=vocabulary, name=NAME)
        write_quarantine(draft.folder / QUARANTINE, quarantined)
        codes = draft.facts = CodesFacts(
            **vars(documents_made),
            **vars(usage_facts(counts_K, frame_rate=tokenizer.frame_rate)),
            utterances=utterances,
            quarantined=dict(sorted(Counter(record.reason for record in quarantined).items())),
            utterances_cut=sum(fact.cut for fact in facts),
            utterances_of_several_channels=sum(fact.several_channels for fact in facts),
            utterances_without_text=sum(fact.without_text for fact in facts),  # they are kept
            audio_shards=_sources(tasks, quarantined),
        )
    return codes


def _counting(documents: Iterable[TokenDocument], counts_K: np.ndarray) -> Iterator[TokenDocument]:
    """Yield `documents` and add the counts of their codes to `counts_K`."""
    for some in grouped(documents, COUNTED):
        counts_K += np.bincount(np.concatenate([document.tokens for document in some]), minlength=len(counts_K))
        yield from some


def _sources(tasks: Sequence[AudioTask], quarantined: list[BadRecord]) -> tuple[SourceShardFacts, ...]:
    """List the audio shards, with their checksums and quarantined utterances."""
    bad = Counter(record.shard for record in quarantined)
    return tuple(
        SourceShardFacts(
            name=shard.path.name,
            xxh3=shard.xxh3,
            utterances=shard.utterances,
            quarantined=bad[shard.path.name],
        )
        for task in tasks
        for shard in task.shards
    )


def usage_facts(counts_K: np.ndarray, *, frame_rate: float) -> UsageFacts:
    """Facts on the use of a codebook, from the counts of its codes."""
    return UsageFacts(
        seconds=round(float(counts_K.sum()) / frame_rate, 2),
        frame_rate=frame_rate,
        codebook_size=len(counts_K),
        codes_used=int((counts_K > 0).sum()),
        perplexity=round(perplexity(torch.from_numpy(counts_K)), 1),
        code_counts=tuple(counts_K.tolist()),
    )
