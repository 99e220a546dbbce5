"""Checks training data for evaluation items, and writes which items were found where.

contamination.json   counts by data set
leaks.jsonl          {"data_set", "item", "share", "source", "document", "spoken"} per found item

An item counts as found if at least `share` of its words stand in one document, in order and close together. For a
choice, these are the words of the context and of the right candidate; for a question, those of the question. Items with
fewer than `fewest` words, and those without a text, cannot be judged, and are counted.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.evaluation import ContaminationFacts, DataSetLeaksFacts
from megatron_speech.artifacts.files import write_atomic
from megatron_speech.artifacts.manifest import is_made, make_artifact, read_manifest
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.inspection.check_contamination import CheckContaminationConfig
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.evaluation.contamination.item_index import ItemIndex
from megatron_speech.evaluation.contamination.training_texts import TrainingText, training_texts
from megatron_speech.evaluation.contamination.words import words_of, words_with_places
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Item, QuestionItem, SayItem
from megatron_speech.evaluation.data_sets.table import read_items
from megatron_speech.progress import follow
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

LEAKS = "leaks.jsonl"


@dataclass(frozen=True, kw_only=True)
class ItemWords:
    """The words of an item that training must not have."""

    data_set: str
    id: str
    words: list[str]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Where most of an item's words were found."""

    share: float
    source: str
    document: str
    spoken: bool
    """Whether a part of it is speech in training."""


def check_contamination(config: CheckContaminationConfig) -> None:
    """Write `config.output`/contamination.json and leaks.jsonl."""
    items = [ItemWords(data_set=name, id=item.id, words=words_of(tell_tale(item))) for name, item in _items(config)]
    inputs = [config.vocabulary, *config.sources.values()]
    identity = {**to_dict(config), "items": _fingerprint(items)}
    if is_made(config.output, kind="contamination", config=identity, inputs=inputs):
        logger.info("%s: already done", config.output)
        return
    with make_artifact(config.output, kind="contamination", config=identity, inputs=inputs) as draft:
        leaks, words = find_leaks(items, _texts(config), config)
        facts = summary(items, leaks, config, words=words)
        lines = (
            {"data_set": items[number].data_set, "item": items[number].id, **vars(leaks[number])} for number in leaks
        )
        write_atomic(draft.folder / LEAKS, "".join(to_json(line) + "\n" for line in lines))
        write_atomic(draft.folder / "contamination.json", to_json(facts.to_json(), indent=1) + "\n")
        draft.facts = facts
    for name, found in facts.data_sets.items():
        logger.info("%s: %d of %d items were found, %d spoken", name, found.found, found.judged, found.spoken)


def tell_tale(item: Item) -> str:
    """Text of an item that gives it away; empty if it is only heard."""
    if isinstance(item, ChoiceItem):
        parts = [item.context.text if item.context else None, item.candidates[item.right].text]
        return " ".join(part for part in parts if part)
    if isinstance(item, QuestionItem):
        return item.question.text or ""
    return item.text if isinstance(item, SayItem) else " ".join(item.texts)


def find_leaks(
    items: list[ItemWords], texts: Iterator[tuple[str, TrainingText]], config: CheckContaminationConfig
) -> tuple[dict[int, Leak], int]:
    """The best leak of each found item by its number, and the number of words that were read."""
    index = ItemIndex([item.words for item in items], together=config.together, fewest=config.fewest)
    leaks: dict[int, Leak] = {}
    words = 0
    for source, text in texts:
        found = words_with_places(text.text)
        words += len(found[0])
        for match in index.matches_of(*found):
            if match.share >= config.share and (match.item not in leaks or match.share > leaks[match.item].share):
                spoken = text.is_spoken(match.start, match.end)
                leaks[match.item] = Leak(
                    share=round(match.share, 3), source=source, document=text.document, spoken=spoken
                )
    return dict(sorted(leaks.items())), words


def summary(
    items: list[ItemWords], leaks: Mapping[int, Leak], config: CheckContaminationConfig, *, words: int
) -> ContaminationFacts:
    """Counts by data set."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in config.data_sets}
    for number, item in enumerate(items):
        count = counts[item.data_set]
        judged = "judged" if len(item.words) >= config.fewest else "too_short" if item.words else "without_text"
        count[judged] += 1
        count["found"] += number in leaks
        count["spoken"] += number in leaks and leaks[number].spoken
    data_sets = {
        name: DataSetLeaksFacts(
            judged=count["judged"],
            too_short=count["too_short"],
            without_text=count["without_text"],
            found=count["found"],
            spoken=count["spoken"],
        )
        for name, count in counts.items()
    }
    return ContaminationFacts(words=words, data_sets=data_sets)


def _items(config: CheckContaminationConfig) -> Iterator[tuple[str, Item]]:
    for name, data_set in config.data_sets.items():
        yield from ((name, item) for item in read_items(data_set))


def _texts(config: CheckContaminationConfig) -> Iterator[tuple[str, TrainingText]]:
    vocabulary, tokenizer = Vocabulary.load(config.vocabulary), TextTokenizer.load(config.vocabulary)
    for name, folder in config.sources.items():
        found = training_texts(folder, vocabulary=vocabulary, tokenizer=tokenizer, corpora=config.corpora)
        interleaved = read_manifest(folder).kind == "interleaved"  # its corpora are read, which state no number
        total = None if interleaved else FolderIndex.load(folder).items
        shown = follow(found, f"check_contamination {name}", unit="documents", total=total)
        yield from ((name, text) for text in shown)


def _fingerprint(items: list[ItemWords]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.data_set}\0{item.id}\0{' '.join(item.words)}\n".encode())
    return digest.hexdigest()


def leaked_items(folder: Path) -> set[tuple[str, str]]:
    """(data set, id) of found items, from the output of `check_contamination`; ValueError if it is none."""
    if (kind := read_manifest(folder).kind) != "contamination":
        raise ValueError(f"leaks={folder}: is of kind {kind}; name a folder that check_contamination made")
    lines: list[dict[str, Any]] = [json.loads(line) for line in (folder / LEAKS).read_text().splitlines()]
    return {(str(line["data_set"]), str(line["item"])) for line in lines}
