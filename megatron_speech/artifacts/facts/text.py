"""Facts of tokenized text, its tasks and its losses (kinds ``documents``, ``text_task``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.tokens import DocumentsFacts


@dataclass(frozen=True, kw_only=True)
class TextLossFacts(Record):
    """Characters that a text tokenizer loses when texts are encoded and decoded."""

    documents_checked: int
    """Documents decoded again."""
    characters_checked: int
    """Their characters."""
    documents_changed: int
    """Documents that came back as another text."""
    characters_lost: int
    """Characters that did not come back."""
    unknown_tokens: int
    """Unknown ids in all documents."""
    most_lost: dict[str, int]
    """The characters lost most often, with their counts."""


@dataclass(frozen=True, kw_only=True)
class TextTaskFacts(DocumentsFacts):
    """One task's share of a text corpus (kind ``text_task``)."""

    text_bytes: int
    """UTF-8 bytes of the texts."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    text_loss: TextLossFacts
    """What the tokenizer loses of the texts."""


@dataclass(frozen=True, kw_only=True)
class TextCorpusFacts(Record):
    """One corpus of tokenized text."""

    licence: str | None
    """As the user gave it."""
    language: str | None
    """As the user gave it."""
    files: int
    """Files read."""
    empty_tasks: int
    """Tasks that gave no document."""
    documents: int
    """Documents made."""
    tokens: int
    """Ids in them."""
    text_bytes: int
    """UTF-8 bytes of the texts."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    text_loss: TextLossFacts
    """What the tokenizer loses of the texts."""


@dataclass(frozen=True, kw_only=True)
class TextDocumentsFacts(DocumentsFacts):
    """Tokenized text of several corpora (kind ``documents``)."""

    corpora: dict[str, TextCorpusFacts]
    """Totals by corpus."""
