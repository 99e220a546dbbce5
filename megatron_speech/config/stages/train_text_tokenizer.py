"""What the training of a text tokenizer is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.stages.text_corpus import TextCorpusConfig


@dataclass(frozen=True, kw_only=True)
class TrainTextTokenizerConfig:
    """Train a SentencePiece tokenizer on text corpora and export it to Hugging Face's format."""

    corpora: dict[str, TextCorpusConfig]
    """Corpora by name, all sampled alike: the more documents one has, the more it counts."""
    output: Path
    """Folder to make: tokenizer.model, tokenizer.json and its configuration; give it to build_vocabulary as text."""
    model_type: Literal["bpe", "unigram"] = "bpe"
    """'bpe' merges frequent pairs, 'unigram' keeps the pieces that make the corpus likeliest."""
    vocab_size: int = 32768
    """Pieces, special tokens and the 256 bytes included; speech ids come on top (tools/build_vocabulary.py)."""
    byte_fallback: bool = True
    """Write a character that has no piece as its UTF-8 bytes; without it such a character is lost as <unk>."""
    character_coverage: float = 0.9995
    """Share of the corpus's characters that get a piece of their own."""
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = "identity"
    """'identity' leaves text as it is, so that decoding gives it back; the others unify what looks alike."""
    split_digits: bool = True
    """Give every digit a piece of its own."""
    special_tokens: list[str] = field(default_factory=list)
    """Names of further ids which text never becomes, beside <unk>, <s> and </s>; </s> closes documents."""
    sample_documents: int = 1_000_000
    """Documents to train on, drawn by their ids; all of them lie in memory."""
    test_documents: int | None = None
    """Documents held out, on which the export must give sentencepiece's own ids; drawn the same way. Null: one in a
    hundred, at least one and at most 1000."""
    max_bytes: int = 1 << 16
    """Longer documents are cut after so many bytes, in training and in the test."""
    threads: int = 8
    """Of SentencePiece. Part of the result of 'unigram': its sums round by the number of threads."""
    on_bad_line: Literal["error", "count"] = "error"
    """A line or row that is no document: 'error' names it and stops, 'count' leaves it out and counts it by reason."""
    max_quarantined_share: float = 0.01
    """Stop where 'count' leaves out more than this share of the lines (and more than one)."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora={} names no corpus; give at least one as name: {path: file.jsonl}")
        for key in ("vocab_size", "sample_documents", "test_documents", "max_bytes", "threads"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)} must be at least 1; leave it out for the default")
        require_bounds("vocab_size", self.vocab_size, 1, 1 << 24, "32768 is usual")
        require_bounds("threads", self.threads, 1, 1 << 10, "8 is usual")
        require_bounds("max_quarantined_share", self.max_quarantined_share, 0, 1, "0.01 is usual")
        if not 0.98 <= self.character_coverage <= 1:
            raise ValueError(f"character_coverage={self.character_coverage} must lie in 0.98..1; 0.9995 is usual")
        for token in self.special_tokens:
            if token.startswith("<|audio_") or not token.strip() or self.special_tokens.count(token) > 1:
                raise ValueError(
                    f"special_tokens: {token!r} must be a name that is not blank, does not repeat and does not begin "
                    "with <|audio_ (speech ids are added by tools/build_vocabulary.py); rename it"
                )
