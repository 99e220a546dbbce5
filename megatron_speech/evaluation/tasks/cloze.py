"""Cloze tasks WikiTopicCloze and WikiSameTopicCloze: which last sentence belongs to an article?

They are built as StoryCloze and Topic-StoryCloze, which arXiv 2411.17607 reports, but from first paragraphs of
Wikipedia. Their numbers cannot be compared with StoryCloze's. The false ending comes from an article of another topic
(WikiTopicCloze) or of the same topic (WikiSameTopicCloze). All four modality pairs use the same items.

The score is the log-likelihood of the ending per token. A sum would favour the shorter ending, or the faster speech.
Limitation: tokens that follow from earlier ones, such as later pieces of a name, count as much as decisive ones.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from megatron_speech.config.stages.evaluate import SpokenCorpusConfig
from megatron_speech.corpus.records import TextDocument, read_jsonl
from megatron_speech.evaluation.tasks.interface import Answers, Record, Request, Scorer, ScoringProtocol
from megatron_speech.evaluation.tasks.likelihood import (
    PAIRS,
    TEMPLATE,
    Choice,
    SpokenText,
    choice_requests,
    choice_scores,
    credit,
)
from megatron_speech.evaluation.tasks.spoken_items import codes_by
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.metrics.intervals import accuracy
from megatron_speech.vocabulary import Vocabulary

TASKS = {"WikiTopicCloze": "random_ending", "WikiSameTopicCloze": "same_topic_ending"}
"""Task names, each with the part of an item that is its false ending."""

SCORE = "log-likelihood per token"


@dataclass(frozen=True)
class ClozeItem:
    """One article: context, true ending and false endings, each as text and as speech codes."""

    id: str
    context: SpokenText
    ending: SpokenText
    false_endings: dict[str, SpokenText]


def read_cloze(config: SpokenCorpusConfig, vocabulary: Vocabulary) -> list[ClozeItem]:
    """At most `max_items` items that have codes for all their parts.

    Raises ValueError if there is none, or if an item lacks the text of a part.
    """
    codes = codes_by(config.codes, vocabulary, "item", "part")
    items = itertools.islice(_items(config, codes), config.max_items)
    if not (found := list(items)):
        raise ValueError(
            f"cloze.codes={config.codes} holds no item of {config.texts} with all parts; encode its audio first"
        )
    return found


def _items(config: SpokenCorpusConfig, codes: dict[tuple[Any, ...], np.ndarray]) -> Iterator[ClozeItem]:
    for document in read_jsonl(config.texts):
        texts = {"context": document.text, "ending": _ending(config, document, "ending")}
        texts |= {part: _ending(config, document, part) for part in TASKS.values()}
        if all((document.id, part) in codes for part in texts):
            spoken = {part: SpokenText(text, codes[document.id, part]) for part, text in texts.items()}
            false_endings = {part: spoken[part] for part in TASKS.values()}
            yield ClozeItem(document.id, spoken["context"], spoken["ending"], false_endings)


def _ending(config: SpokenCorpusConfig, document: TextDocument, part: str) -> str:
    text = document.metadata.get(part)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{config.texts}: item {document.id!r} lacks metadata.{part}; build the corpus again")
    return text


@dataclass(frozen=True)
class ClozeTask:
    """Both tasks of `TASKS`, in four modality pairs."""

    settings: SpokenCorpusConfig
    lists_records: ClassVar[bool] = True

    @property
    def inputs(self) -> list[Path]:
        """See `EvaluationTask`, as for the methods below."""
        return [self.settings.texts, self.settings.codes]

    def items(self, vocabulary: Vocabulary) -> list[ClozeItem]:
        """Items with codes of the speech tokenizer of `vocabulary`. Raises ValueError that names a defective file."""
        return read_cloze(self.settings, vocabulary)

    def protocol(self, items: Sequence[ClozeItem]) -> ScoringProtocol:
        """Says how items are scored."""
        return ScoringProtocol(chance=dict.fromkeys(TASKS, 0.5), template=TEMPLATE, score=SCORE)

    def requests(self, items: Sequence[ClozeItem], model: Scorer) -> Iterator[tuple[str, list[Request]]]:
        """Requests grouped by modality pair."""
        choices = [
            Choice(item.context, [item.ending, *(item.false_endings[part] for part in TASKS.values())])
            for item in items
        ]
        for pair in PAIRS:
            yield "->".join(pair), choice_requests(model, choices, pair)

    def records(self, items: Sequence[ClozeItem], answers: Answers) -> list[Record]:
        """One record per item, cloze task and modality pair."""
        records: list[Record] = []
        for pair, given in answers.items():
            scores = choice_scores([1 + len(TASKS)] * len(items), given, per="token")
            for place, task in enumerate(TASKS, start=1):
                for item, row in zip(items, scores, strict=True):
                    record = {"task": task, "pair": pair, "item": item.id, "true": row[0], "false": [row[place]]}
                    records.append({**record, "credit": credit([row[0], row[place]])})
        return records

    def results(self, items: Sequence[ClozeItem], records: Sequence[Record], bootstrap: Bootstrap) -> dict[str, Any]:
        """Accuracy by cloze task and modality pair such as "text->speech"."""
        credits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for record in records:
            credits[record["task"], record["pair"]].append(record["credit"])
        results: dict[str, Any] = {task: {} for task in TASKS}
        for (task, pair), values in credits.items():
            results[task][pair] = accuracy(values, bootstrap).rounded().to_json()
        return {**results, "chance": 0.5, "score": SCORE}
