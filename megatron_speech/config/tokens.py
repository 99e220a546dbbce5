"""From text to shards of tokens: what the vocabulary and tokenizing tools are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig:
    """One id space of a text tokenizer, the task and audio specials, and a speech tokenizer's codes."""

    output: Path
    """Vocabulary folder to make: vocabulary.json and an extended Hugging Face tokenizer."""
    text: str = "bytes"
    """'bytes', a Hugging Face folder with tokenizer.json, or a SentencePiece model file."""
    end_of_document: str | None = None
    """Text token that closes every document; null for the text tokenizer's own end-of-sequence token."""
    speech_tokenizer: Path | None = None
    """Speech tokenizer folder, whose manifest states codebook_size and fingerprint."""
    codebook_size: int | None = None
    """Number of speech ids, where there is no speech_tokenizer folder."""
    speech_fingerprint: str = ""
    """Identity of the speech tokenizer, where there is no folder to ask."""
    padding_multiple: int = 128
    """The embedding has a multiple of this many rows; every tensor parallel size in use must divide it."""

    def __post_init__(self) -> None:
        if (self.speech_tokenizer is None) == (self.codebook_size is None):
            raise ValueError(
                f"speech_tokenizer={self.speech_tokenizer} and codebook_size={self.codebook_size}: "
                "give exactly one of them"
            )
        if self.codebook_size is not None and self.codebook_size < 0:
            raise ValueError(f"codebook_size={self.codebook_size} must not be negative; use 0 for text alone")
        if self.padding_multiple < 1:
            raise ValueError(f"padding_multiple={self.padding_multiple} must be at least 1; 128 suits most layouts")


@dataclass(frozen=True, kw_only=True)
class TextCorpusConfig:
    """One JSONL file of documents."""

    path: Path
    """One JSON object with id, text and metadata per line."""
    max_documents: int | None = None
    """Take the first so many documents; null takes all."""

    def __post_init__(self) -> None:
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents={self.max_documents} of {self.path} must be at least 1; null takes all")


@dataclass(frozen=True, kw_only=True)
class TokenizeTextConfig:
    """Text corpora to document shards."""

    corpora: dict[str, TextCorpusConfig]
    """Corpora by name, read in this order; document ids must differ between them."""
    vocabulary: Path
    """Vocabulary folder (tools/build_vocabulary.py)."""
    output: Path
    """Folder of document shards to make."""
    name: str = "text"
    """Beginning of every shard's file name."""
    shard_tokens: int = 1 << 28
    """Tokens per shard; 2^28 make 1 GiB."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora={} names no corpus; give at least one as name: {path: file.jsonl}")
        if self.shard_tokens < 1:
            raise ValueError(f"shard_tokens={self.shard_tokens} must be at least 1; leave it out for 1 GiB")
