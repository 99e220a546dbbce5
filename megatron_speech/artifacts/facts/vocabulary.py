"""Facts of vocabularies and text tokenizers (kinds ``vocabulary``, ``text_tokenizer``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.facts.text import TextLossFacts


@dataclass(frozen=True, kw_only=True)
class NamedTokenizerFacts(Record):
    """A speech tokenizer as model cards name it; all fields are absent if its folder is unknown."""

    name: str | None = None
    """Name of its folder."""
    codebook_size: int | None = None
    """Number of codes."""
    frame_rate: float | None = None
    """Codes per second."""


@dataclass(frozen=True, kw_only=True)
class TokenizersFacts(Record):
    """Tokenizers of a vocabulary folder, or of an export that serves as one; unknown ones are absent."""

    text_tokenizer: str | None = None
    """Name of the text tokenizer's folder or file, or ``bytes``."""
    speech_tokenizer: NamedTokenizerFacts | None = None
    """The speech tokenizer."""


@dataclass(frozen=True, kw_only=True)
class VocabularyFacts(Record):
    """A vocabulary folder (kind ``vocabulary``)."""

    text_tokenizer: str
    """Name of the text tokenizer's folder or file, or ``bytes``."""
    speech_tokenizer: NamedTokenizerFacts
    """The speech tokenizer."""
    text_ids: int
    """Number of text ids."""
    speech_ids: int
    """Number of speech ids."""
    mapped_ids: dict[str, int]
    """Special tokens that lie inside the text tokenizer, and their ids."""
    size: int
    """Number of ids."""
    padded_size: int
    """Rows of an embedding for these ids."""
    fingerprint: str
    """Fingerprint of the vocabulary."""
    probe: TextLossFacts
    """Characters that the text tokenizer loses in short texts of many scripts."""


@dataclass(frozen=True, kw_only=True)
class DrawnFacts(Record):
    """A list of documents that a tokenizer was trained on."""

    documents: int
    """Documents drawn."""
    text_bytes: int
    """UTF-8 bytes of their texts."""
    fingerprint: str
    """xxh3_128 over ids and texts."""
    with_reserved_character: int
    """Documents that hold the character by which sentencepiece marks a space."""


@dataclass(frozen=True, kw_only=True)
class TokenizerTestFacts(DrawnFacts):
    """The documents held out, and how the tokenizer does on them."""

    equal_ids: bool
    """Whether the export gives the ids of sentencepiece."""
    documents_given_back: int
    """Documents with the same text after decoding."""
    tokens: int
    """Ids of all documents."""
    bytes_per_token: float
    """UTF-8 bytes per id, to four decimals."""
    unknown_rate: float
    """Share of the ids that is unknown."""
    byte_rate: float
    """Share of the ids that stands for single bytes."""


@dataclass(frozen=True, kw_only=True)
class TermsFacts(Record):
    """Licence and language of a corpus, as the user gave them."""

    licence: str | None
    """Its licence."""
    language: str | None
    """Its language."""


@dataclass(frozen=True, kw_only=True)
class TextTokenizerFacts(Record):
    """A trained text tokenizer (kind ``text_tokenizer``)."""

    pieces: int
    """Number of text ids."""
    fingerprint: str
    """sha256 of the model's file."""
    end_of_document: str | None
    """Piece that ends a document."""
    training: DrawnFacts
    """The documents trained on."""
    test: TokenizerTestFacts
    """The documents held out."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    corpora: dict[str, TermsFacts]
    """Licence and language by corpus."""
