"""WikiTopicCloze and WikiSameTopicCloze: the true last sentence of an article, or another article's?

The construction of StoryCloze and Topic-StoryCloze over Wikipedia leads (arXiv 2411.17607 measures those): in
WikiTopicCloze the false ending comes from any other article, in WikiSameTopicCloze from one of the same topic. The
numbers are not comparable with StoryCloze's. Each is asked in the four modality pairs over the same items.

The score is the log-likelihood of the ending per token. A sum would favour the shorter ending (in speech, the faster
one) whatever it says, because the endings of two articles differ in length. Price: tokens that follow from others,
such as the later pieces of a name, count as much as those that decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from megatron_speech.config.stages.evaluate import SpokenCorpusConfig
from megatron_speech.corpus.records import TextDocument, read_jsonl
from megatron_speech.evaluation.tasks.likelihood import PAIRS, Choice, Scorer, SpokenText, credit, score
from megatron_speech.evaluation.tasks.spoken_items import codes_by
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.vocabulary import Vocabulary

TASKS = {"WikiTopicCloze": "random_ending", "WikiSameTopicCloze": "same_topic_ending"}
"""Name of the task: the part that serves as the false ending."""


@dataclass(frozen=True)
class ClozeItem:
    """One article: context, true ending, false endings, each written and spoken."""

    id: str
    context: SpokenText
    ending: SpokenText
    false_endings: dict[str, SpokenText]


def read_cloze(config: SpokenCorpusConfig, vocabulary: Vocabulary) -> list[ClozeItem]:
    """Items spoken in all their parts; ValueError if none is, or if a part is missing in writing."""
    codes = codes_by(config.codes, vocabulary, "item", "part")
    items = itertools.islice(_items(config, codes), config.max_items)
    if not (found := list(items)):
        raise ValueError(
            f"cloze.codes={config.codes} speaks no item of {config.texts} in all parts; encode its audio first"
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


def run_cloze(
    model: Scorer, items: list[ClozeItem], bootstrap: Bootstrap
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Accuracy by task and modality pair ("text->speech"), and one record per item, task and pair."""
    results: dict[str, Any] = {task: {} for task in TASKS}
    records = []
    parts = list(TASKS.values())
    choices = [Choice(item.context, [item.ending, *(item.false_endings[part] for part in parts)]) for item in items]
    for pair in PAIRS:
        name = "->".join(pair)
        scores = score(model, choices, pair, per="token")
        for place, task in enumerate(TASKS, start=1):
            credits = [credit([row[0], row[place]]) for row in scores]
            results[task][name] = bootstrap.mean(credits).rounded()
            records += [
                {"task": task, "pair": name, "item": item.id, "true": row[0], "false": [row[place]], "credit": value}
                for item, row, value in zip(items, scores, credits, strict=True)
            ]
    return {**results, "chance": 0.5, "score": "log-likelihood per token"}, records
