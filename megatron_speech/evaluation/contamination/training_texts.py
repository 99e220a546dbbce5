"""Texts that a model reads in training, from document shards; behind spoken spans, the words of the corpus.

Interleaved shards hold speech where the corpus had words, and say which characters became speech. Their manifest names
the corpora, which are read beside the shards, in the same order. Speech with a transcript counts as spoken text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.interleaved import PlacedSpan
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.config.parsing.build import build_section
from megatron_speech.config.stages.build_interleaved import InterleavedCorpusConfig
from megatron_speech.corpus.records import TextDocument
from megatron_speech.corpus.text_tasks import text_tasks
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary

GAP = "\n"
"""Stands where speech or a special token parts two pieces of text."""


@dataclass(frozen=True, kw_only=True)
class TrainingText:
    """The words of one document."""

    document: str
    text: str
    spoken: list[tuple[int, int]] = field(default_factory=list)
    """Characters that are speech in training, as half-open ranges."""

    def is_spoken(self, start: int, end: int) -> bool:
        """Whether a part of the characters `start` to `end` is speech in training."""
        return any(first < end and start < last for first, last in self.spoken)


def training_texts(
    folder: Path, *, vocabulary: Vocabulary, tokenizer: TextTokenizer, corpora: Mapping[str, Path]
) -> Iterator[TrainingText]:
    """Texts of all documents of a folder of shards, which may be interleaved.

    Args:
        corpora: where corpora of interleaved shards lie now, by name; others are read where the manifest says.

    Raises ValueError if a corpus does not hold a document of the shards.
    """
    documents = read_documents(folder)
    if read_manifest(folder).kind == "interleaved":
        yield from _interleaved(folder, documents, corpora)
    else:
        yield from (written_text(document, vocabulary, tokenizer) for document in documents)


def written_text(document: TokenDocument, vocabulary: Vocabulary, tokenizer: TextTokenizer) -> TrainingText:
    """The text of a document's ids, and the transcript of its speech, which its metadata may hold."""
    mask = np.asarray(vocabulary.text_mask(document.tokens))
    cuts = np.flatnonzero(np.diff(mask)) + 1
    parts = [part for part in np.split(document.tokens, cuts) if vocabulary.text_mask(part[:1]).all()]
    text = GAP.join(tokenizer.decode(part.tolist()) for part in parts)
    transcript = document.meta.get("text")
    if mask.all() or not isinstance(transcript, str):
        return TrainingText(document=document.key, text=text)
    return TrainingText(
        document=document.key,
        text=f"{text}{GAP}{transcript}",
        spoken=[(len(text) + len(GAP), len(text) + len(GAP) + len(transcript))],
    )


def _interleaved(folder: Path, documents: Iterator[TokenDocument], moved: Mapping[str, Path]) -> Iterator[TrainingText]:
    """Texts of the corpora, with the spans of all renderings of each."""
    readers = {name: _texts_of(name, settings) for name, settings in corpora_of(folder, moved).items()}
    for (corpus, name), renderings in groupby(
        documents, lambda document: (document.meta["corpus"], document.meta["id"])
    ):
        found = next((text for text in readers[corpus] if text.id == name), None)
        if found is None:
            raise ValueError(f"{folder}: document {name!r} is not in corpus {corpus!r}; give its corpus in corpora")
        spans = [PlacedSpan.from_json(span) for rendering in renderings for span in rendering.meta["spans"]]
        yield TrainingText(document=name, text=found.text, spoken=[span.chars for span in spans])


def corpora_of(folder: Path, moved: Mapping[str, Path]) -> dict[str, InterleavedCorpusConfig]:
    """Corpora of interleaved shards by name, where they lie now."""
    settings: dict[str, Any] = read_manifest(folder).config["corpora"]
    found = {
        name: build_section(InterleavedCorpusConfig, each, prefix=f"corpora.{name}.") for name, each in settings.items()
    }
    return {name: replace(corpus, path=moved.get(name, corpus.path)) for name, corpus in found.items()}


def _texts_of(name: str, corpus: InterleavedCorpusConfig) -> Iterator[TextDocument]:
    for task in text_tasks({name: corpus}):
        for _, _, found in task.read():
            if isinstance(found, TextDocument):
                yield found
