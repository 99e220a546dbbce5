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
    """Tokenizers of a vocabulary folder, or of an export used as one; unknown ones are absent."""

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
    """Special tokens that are ids of the text tokenizer, with these ids."""
    size: int
    """Number of ids."""
    padded_size: int
    """Number of embedding rows, padding included."""
    fingerprint: str
    """sha256 over the meaning of every id."""
    probe: TextLossFacts
    """Characters that the text tokenizer loses in short texts of many scripts."""
    files: dict[str, str] | None = None
    """xxh3_128 of each file by its path in the folder; absent in folders made before they were noted."""


@dataclass(frozen=True, kw_only=True)
class VocabularyFilesFacts(Record):
    """The checksums of a vocabulary folder alone."""

    files: dict[str, str] | None = None
    """As in `VocabularyFacts`."""


@dataclass(frozen=True, kw_only=True)
class DrawnFacts(Record):
    """Documents drawn for the training or the test of a text tokenizer."""

    documents: int
    """Documents drawn."""
    text_bytes: int
    """UTF-8 bytes of their texts."""
    fingerprint: str
    """xxh3_128 over ids and texts."""
    with_reserved_character: int
    """Documents that contain the character that sentencepiece uses for a space."""


@dataclass(frozen=True, kw_only=True)
class TokenizerTestFacts(DrawnFacts):
    """Held-out documents, and measures of the tokenizer on these documents."""

    equal_ids: bool
    """Whether the exported tokenizer gives the same ids as sentencepiece."""
    documents_given_back: int
    """Documents with the same text after decoding."""
    tokens: int
    """Ids of all documents."""
    bytes_per_token: float
    """UTF-8 bytes per id, to four decimals."""
    unknown_rate: float
    """Share of unknown ids."""
    byte_rate: float
    """Share of ids that stand for single bytes."""


@dataclass(frozen=True, kw_only=True)
class TermsFacts(Record):
    """Licence and language of a corpus, from the settings."""

    licence: str | None
    """Licence of the corpus."""
    language: str | None
    """Language of the corpus."""


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
    """Training documents."""
    test: TokenizerTestFacts
    """Held-out documents, with measures."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    corpora: dict[str, TermsFacts]
    """Licence and language by corpus."""
