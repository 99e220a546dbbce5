"""Builds training documents of one task from transcribed codes: recognition, synthesis or text_to_token.

Every document marks where its target starts, so that a run can train on the target alone. The target is the text in
recognition data and the speech in synthesis data (arXiv 2411.17607).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from megatron_speech.artifacts.facts.tokens import TaskDocumentsFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.config.stages.text_to_token import BuildTaskDocumentsConfig, Language
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.data.shards.utterances import read_utterances
from megatron_speech.progress import follow
from megatron_speech.sequences.speech_tasks import recognition_document, synthesis_document
from megatron_speech.text_normalization.pieces import Unreadable
from megatron_speech.text_normalization.spoken import read_as_written
from megatron_speech.text_to_token.prompts import prompt, training_document
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable.jsonl"
"""Lists the utterances that are left out because the reading of their text is uncertain."""


def build_task_documents(config: BuildTaskDocumentsConfig) -> None:
    """Make the document shards `config.output`.

    Raises ValueError if no utterance passes the filters or the codes belong to another vocabulary.
    """
    inputs = [*config.codes, config.vocabulary]
    if is_made(config.output, kind=f"documents_{config.task}", config=config, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    vocabulary = Vocabulary.load(config.vocabulary)
    tokenizer = TextTokenizer.load(config.vocabulary)
    counts: Counter[str] = Counter()
    with make_artifact(config.output, kind=f"documents_{config.task}", config=config, inputs=inputs) as draft:
        unreadable: list[dict[str, str]] = []
        # Read one document ahead: without any, the output must not be made.
        made = _documents(config, tokenizer=tokenizer, vocabulary=vocabulary, counts=counts, unreadable=unreadable)
        documents = follow(made, f"build_task_documents {config.task}", unit="documents")
        first = next(documents, None)
        if first is None:
            folders = ", ".join(str(path) for path in config.codes)
            raise ValueError(f"codes={folders}: no utterance passes the filters {dict(counts)}; widen `utterances`")
        # Write the documents, then what was left out while they were read.
        written = write_documents(draft.folder, chain([first], documents), vocabulary=vocabulary, name=config.task)
        (draft.folder / UNREADABLE).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in unreadable))
        duration_s = round(counts.pop("duration_ms") / 1000, 1)
        facts = draft.facts = TaskDocumentsFacts(**vars(written), utterances=dict(counts), duration_s=duration_s)
    left_out = f"; {len(unreadable)} texts of uncertain reading are listed in {UNREADABLE}" if unreadable else ""
    logger.info("%s: %d documents%s", config.output, facts.documents, left_out)


def _documents(
    config: BuildTaskDocumentsConfig,
    *,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    counts: Counter[str],
    unreadable: list[dict[str, str]],
) -> Iterator[TokenDocument]:
    for utterance in read_utterances(config.codes, config.utterances, vocabulary=vocabulary, counts=counts):
        try:
            document = task_document(
                utterance, task=config.task, tokenizer=tokenizer, vocabulary=vocabulary, language=config.language
            )
        except Unreadable as error:
            counts["unreadable"] += 1
            unreadable.append({"id": utterance.key, "text": str(utterance.meta["text"]), "why": str(error)})
            continue
        if document is None:
            counts["unspeakable"] += 1
            continue
        counts["duration_ms"] += round(1000 * utterance.meta.get("duration_s", 0.0))
        yield document


def task_document(
    utterance: TokenDocument,
    *,
    task: str,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    language: Language = "en",
) -> TokenDocument | None:
    """Lay out one utterance for `task`; None if the task is text_to_token and its text gives an empty prompt.

    With speaker tokens, a text_to_token document names the utterance's voice. Raises Unreadable if the task is
    text_to_token and the reading of the text is uncertain.
    """
    text, key = utterance.meta["text"], utterance.key
    meta = {**utterance.meta, "task": task}
    if task == "text_to_token":
        speaker = str(utterance.meta.get("voice")) if vocabulary.speakers else None
        settings: dict[str, Any] = {"tokenizer": tokenizer, "vocabulary": vocabulary, "speaker": speaker}
        settings["language"] = language
        reading = read_as_written(text, language=language)
        if not prompt(reading, **settings):
            return None
        return training_document(key, reading, utterance.tokens, meta=meta, **settings)
    layout = {"recognition": recognition_document, "synthesis": synthesis_document}[task]
    ids = tokenizer.encode(text)
    return layout(key, text_ids=ids, codes=utterance.tokens, vocabulary=vocabulary, meta=meta)
