"""Facts of the miniature's corpora and unpacked models (kinds ``corpus``, ``prose``, ``asset``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class TextsFacts(Record):
    """Documents of one JSONL file."""

    documents: int
    """Documents in it."""
    characters: int
    """Characters of their texts."""
    unspeakable: int
    """Documents that are not speakable."""

    @classmethod
    def of(cls, documents: Sequence[Mapping[str, Any]]) -> TextsFacts:
        """Count `documents`."""
        return cls(
            documents=len(documents),
            characters=sum(len(document["text"]) for document in documents),
            unspeakable=sum(not document["metadata"].get("speakable", True) for document in documents),
        )


@dataclass(frozen=True, kw_only=True)
class CorpusFacts(Record):
    """The miniature's corpus."""

    train: TextsFacts
    """Articles to train on."""
    heldout: TextsFacts
    """Articles held out."""
    geography: TextsFacts
    """Statements about countries."""
    questions: TextsFacts
    """Questions on capitals."""
    cloze: TextsFacts
    """Cloze items."""


@dataclass(frozen=True, kw_only=True)
class FactsFacts(Record):
    """A corpus of facts about countries and invented towns."""

    train: TextsFacts
    """Passages to be spoken."""
    heldout: TextsFacts
    """Passages of held-out sentences."""
    written: TextsFacts
    """Documents of all facts."""
    spoken: TextsFacts
    """Documents of facts that may become speech."""
    questions: TextsFacts
    """Questions with candidate answers."""


@dataclass(frozen=True, kw_only=True)
class ProseTextFacts(Record):
    """One corpus of prose."""

    documents: int
    """Documents in it."""
    words: int
    """Words of their texts."""
    licence: str
    """Licence of its package."""
    language: str
    """Its language."""


@dataclass(frozen=True, kw_only=True)
class ProseFacts(Record):
    """Four corpora of English prose."""

    articles: ProseTextFacts
    """Articles of an encyclopedia."""
    days: ProseTextFacts
    """Events by day of the year."""
    plays: ProseTextFacts
    """Scenes of plays."""
    recipes: ProseTextFacts
    """Recipes."""


@dataclass(frozen=True, kw_only=True)
class AssetFacts(Record):
    """An unpacked model; each recipe fills some of the facts."""

    model: str | None = None
    """Name of a language model."""
    parameters: int | None = None
    """Weights of the model."""
    vocab_size: int | None = None
    """Number of text ids of a recogniser."""
    sample_rate: int | None = None
    """Samples per second of a vocoder."""
