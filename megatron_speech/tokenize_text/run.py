"""Tokenize text corpora into one folder of document shards: one datatrove task per input file, joined at the end.

The shards depend only on the corpora, the vocabulary and the settings; workers, jobs, kills and restarts do not change
a byte. Every task puts its own number into the names of its shards, so joining only moves files.
Cost: every task starts a new shard, so many small files make many small shards (`files_per_task` groups them).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from megatron_speech.artifacts.facts.text import TextCorpusFacts, TextDocumentsFacts, TextTaskFacts
from megatron_speech.artifacts.left_out import show
from megatron_speech.artifacts.make_in_tasks import TaskedWork, make_in_tasks
from megatron_speech.artifacts.manifest import (
    MANIFEST,
    UNRECORDED,
    Manifest,
    input_ids,
    is_made,
    make_artifact,
    read_facts,
    read_manifest,
)
from megatron_speech.artifacts.tasks import tasks_folder
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.corpus.files import changed_after, file_ids, relative_name
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.text_tasks import (
    TextTask,
    require_apart,
    require_few_lines,
    require_readable_columns,
    text_tasks,
    unseen_keys,
)
from megatron_speech.data.shards.documents import documents_facts
from megatron_speech.data.shards.join import join_documents
from megatron_speech.data.shards.repeated_ids import require_distinct
from megatron_speech.text_tokenizer.text_loss import add_losses, loss_in_words
from megatron_speech.tokenize_text.steps import DROPPED, KIND, CorpusReader, TokenShardWriter
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)


def tokenize_text(config: TokenizeTextConfig) -> None:
    """Tokenize `config.corpora` into `config.output`, or do the part of the work that `config.run` selects.

    Raises:
        FileNotFoundError: a corpus or the vocabulary folder is missing.
        ValueError: a line is unusable (names file and line), an id repeats, a corpus has no document, or the output
            is inside a corpus.
    """
    require_apart(config.corpora, config.output)
    tasks = text_tasks(config.corpora, files_per_task=config.files_per_task)
    make_in_tasks(
        config.output,
        kind="documents",
        identity=_identity(config),
        inputs=partial(_inputs, config, tasks),
        begin=partial(_begin, config, tasks),
        run=config.run,
        moves_shards=True,
    )


def _begin(config: TokenizeTextConfig, tasks: list[TextTask]) -> TaskedWork:
    reader = CorpusReader(tasks, on_bad_line=config.on_bad_line, max_quarantined_share=config.max_quarantined_share)
    writer = TokenShardWriter(
        reader,
        folder=tasks_folder(config.output),
        vocabulary=config.vocabulary,
        name=config.name,
        shard_tokens=config.shard_tokens,
        max_lost_share=config.max_lost_share,
    )
    Vocabulary.load(config.vocabulary)  # raises an error for a missing or damaged one before any work
    require_readable_columns(tasks)
    for doubt in unseen_keys(tasks):
        logger.warning("%s", doubt)
    return TaskedWork(
        steps=[reader, writer], tasks=len(tasks), finish=partial(_finish, config, writer), counts=writer.counts
    )


def _identity(config: TokenizeTextConfig) -> dict[str, Any]:
    """Settings that affect the output: without those about jobs, and without the limits for losses."""
    settings: dict[str, Any] = to_dict(replace(config, run=SpreadConfig()))
    return {key: value for key, value in settings.items() if key not in ("max_quarantined_share", "max_lost_share")}


def _inputs(config: TokenizeTextConfig, tasks: list[TextTask]) -> dict[str, str]:
    return file_ids(path for task in tasks for path in task.files) | input_ids([config.vocabulary])


def _finish(config: TokenizeTextConfig, writer: TokenShardWriter) -> None:
    """Join the folders of all tasks into the output."""
    # Check the tasks, and each corpus as a whole.
    tasks = writer.reader.tasks
    vocabulary_id = input_ids([config.vocabulary])[str(config.vocabulary)]
    manifests = [_task_manifest(writer, task, vocabulary_id=vocabulary_id) for task in tasks]
    folders = [writer.output(task.number) for task in tasks]
    corpora = _corpora(config, tasks, [read_facts(folder, TextTaskFacts) for folder in folders])
    for name, facts in corpora.items():
        writer.require_little_lost(name, facts.text_loss)
        lines = _dropped(writer, name)
        require_few_lines(lines, facts.documents + len(lines), config.max_quarantined_share)
    require_distinct(folders, lambda task, file, line: f"{tasks[task].files[file]}:{line}")
    # Write the output.
    inputs = {name: value for manifest in manifests for name, value in (manifest.inputs or {}).items()}
    with make_artifact(config.output, kind="documents", config=_identity(config), inputs=inputs) as draft:
        index = join_documents(draft.folder, folders)
        vocabulary = Vocabulary.load(config.vocabulary)
        vocabulary.save(draft.folder / "vocabulary.json")
        with (draft.folder / DROPPED).open("wb") as dropped:
            dropped.writelines((folder / DROPPED).read_bytes() for folder in folders)
        draft.licences |= {corpus.licence or UNRECORDED for corpus in config.corpora.values()}
        draft.languages |= {corpus.language for corpus in config.corpora.values() if corpus.language}
        draft.facts = TextDocumentsFacts(**vars(documents_facts(index, vocabulary)), corpora=corpora)
    # Report losses and lines left out.
    for name, facts in corpora.items():
        if lost := loss_in_words(facts.text_loss):
            logger.warning("corpora.%s: %s, by the text tokenizer of %s", name, lost, config.vocabulary)
    left_out = sum((Counter(facts.dropped) for facts in corpora.values()), Counter[str]())
    logger.info(
        "%s: %s documents, %s tokens; lines left out: %s",
        *(config.output, f"{index.items:,}", f"{index.text_tokens:,}", show(left_out)),
    )


def _task_manifest(writer: TokenShardWriter, task: TextTask, *, vocabulary_id: str) -> Manifest:
    """Manifest of a finished task; raises ValueError if it is not finished or was made from other inputs."""
    folder, settings = writer.output(task.number), writer.settings(task.number)
    files = ", ".join(relative_name(path, task.settings.path) for path in task.files[:3])
    if not folder.exists():
        raise ValueError(
            f"{folder} is not made: task {task.number} ({task.corpus}: {files}) has not run or failed; run it first"
        )
    manifest = read_manifest(folder)
    inputs = manifest.inputs or {}
    if {*map(str, task.files), str(writer.vocabulary)} != set(inputs):
        raise ValueError(f"{folder} was made from other files than {files}; files were added or removed, run it again")
    is_made(folder, kind=KIND, config=settings, inputs=inputs)
    if inputs[str(writer.vocabulary)] != vocabulary_id:
        raise ValueError(f"{folder} was made with another vocabulary than {writer.vocabulary} is now; run it again")
    made = (folder / MANIFEST).stat().st_mtime_ns
    if path := changed_after(task.files, made, inputs):
        raise ValueError(f"{path} changed after {folder} was made from it; run task {task.number} again")
    return manifest


def _corpora(
    config: TokenizeTextConfig, tasks: Sequence[TextTask], facts: Sequence[TextTaskFacts]
) -> dict[str, TextCorpusFacts]:
    """Facts of each corpus: totals over its tasks, licence and language; ValueError if it has no document."""
    corpora: dict[str, TextCorpusFacts] = {}
    for name, corpus in config.corpora.items():
        own = [fact for task, fact in zip(tasks, facts, strict=True) if task.corpus == name]
        dropped = dict(sum((Counter(fact.dropped) for fact in own), Counter[str]()))
        corpora[name] = TextCorpusFacts(
            licence=corpus.licence,
            language=corpus.language,
            files=sum(len(task.files) for task in tasks if task.corpus == name),
            empty_tasks=sum(not fact.documents for fact in own),
            documents=sum(fact.documents for fact in own),
            tokens=sum(fact.tokens for fact in own),
            text_bytes=sum(fact.text_bytes for fact in own),
            dropped=dropped,
            text_loss=add_losses([fact.text_loss for fact in own]),
        )
        if not corpora[name].documents:
            left_out = f", lines were left out ({show(dropped)})" if dropped else ""
            raise ValueError(
                f"corpora.{name}.path={corpus.path}: none of its {corpora[name].files} files "
                f"({_shown_files(tasks, name)}) holds a document{left_out}; correct the path, text_key or id_key, or "
                "leave the corpus out"
            )
    for task, fact in zip(tasks, facts, strict=True):
        if not fact.documents:
            names = ", ".join(map(str, task.files))
            logger.warning("%s: no document, %d lines left out", names, sum(fact.dropped.values()))
    return corpora


def _shown_files(tasks: Sequence[TextTask], corpus: str) -> str:
    """Names of the first files of a corpus."""
    names = [relative_name(path, task.settings.path) for task in tasks if task.corpus == corpus for path in task.files]
    return ", ".join(names[:3] + ["..."] * (len(names) > 3))


def _dropped(writer: TokenShardWriter, corpus: str) -> list[BadLine]:
    """Bad lines of a corpus that were left out, in order."""
    folders = [writer.output(task.number) for task in writer.reader.tasks if task.corpus == corpus]
    return [BadLine(**orjson.loads(line)) for folder in folders for line in (folder / DROPPED).open("rb")]
