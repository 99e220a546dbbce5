"""Facts of tokenized text and of its offline tasks (kinds ``documents``, ``text_task``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.tokens import DocumentsFacts


@dataclass(frozen=True, kw_only=True)
class TextLossFacts(Record):
    """Characters that texts lose when a text tokenizer encodes and decodes them."""

    documents_checked: int
    """Documents encoded and decoded."""
    characters_checked: int
    """Characters in these documents."""
    documents_changed: int
    """Documents with another text after decoding."""
    characters_lost: int
    """Characters missing after decoding."""
    unknown_tokens: int
    """Unknown ids in all documents."""
    most_lost: dict[str, int]
    """The characters lost most often, with their counts."""


@dataclass(frozen=True, kw_only=True)
class TextTaskFacts(DocumentsFacts):
    """Tokenized text of one offline task (kind ``text_task``)."""

    text_bytes: int
    """UTF-8 bytes of the texts."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    text_loss: TextLossFacts
    """Characters that the tokenizer loses."""


@dataclass(frozen=True, kw_only=True)
class TextCorpusFacts(Record):
    """One corpus of tokenized text."""

    licence: str | None
    """Licence from the settings."""
    language: str | None
    """Language from the settings."""
    files: int
    """Files read."""
    empty_tasks: int
    """Tasks without documents."""
    documents: int
    """Documents made."""
    tokens: int
    """Ids in them."""
    text_bytes: int
    """UTF-8 bytes of the texts."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    text_loss: TextLossFacts
    """Characters that the tokenizer loses."""


@dataclass(frozen=True, kw_only=True)
class TextDocumentsFacts(DocumentsFacts):
    """Tokenized text of several corpora (kind ``documents``)."""

    corpora: dict[str, TextCorpusFacts]
    """Totals by corpus."""
