"""Settings of text tokenizer training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.stages.text_corpus import TextCorpusConfig


@dataclass(frozen=True, kw_only=True)
class TrainTextTokenizerConfig:
    """Train a SentencePiece tokenizer on text corpora and export it in Hugging Face format."""

    corpora: dict[str, TextCorpusConfig]
    """Corpora by name. Documents of all corpora are sampled with equal probability, so a larger corpus counts more."""
    output: Path
    """Folder to create, with tokenizer.model, tokenizer.json and its configuration; `build_vocabulary` takes it
    as text."""
    model_type: Literal["bpe", "unigram"] = "bpe"
    """'bpe' merges frequent pairs; 'unigram' keeps the pieces that maximize the corpus likelihood."""
    vocab_size: int = 32768
    """Number of pieces, including special tokens and the 256 bytes; `build_vocabulary` adds speech ids."""
    byte_fallback: bool = True
    """Encode a character without a piece as its UTF-8 bytes; otherwise it is lost as <unk>."""
    character_coverage: float = 0.9995
    """Share of the corpus's characters that get pieces of their own."""
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = "identity"
    """'identity' keeps text unchanged, so that decoding restores it; the others unify characters that look alike."""
    split_digits: bool = True
    """Make every digit a piece of its own."""
    special_tokens: list[str] = field(default_factory=list)
    """Additional special tokens, which text is never encoded to, besides <unk>, <s> and </s>. </s> ends documents."""
    sample_documents: int = 1_000_000
    """Number of documents to train on, sampled by their ids; all are held in memory."""
    test_documents: int | None = None
    """Number of held-out documents on which the export must match sentencepiece's ids. Null: one in a hundred, from 1
    to 1000."""
    max_bytes: int = 1 << 16
    """Truncate documents to this many bytes, in training and in the test."""
    threads: int = 8
    """Threads of SentencePiece. They affect the result of 'unigram': its rounding depends on their number."""
    on_bad_line: Literal["error", "count"] = "error"
    """How to treat a line or row that is not a document: 'error' stops and names it; 'count' skips and counts it by
    reason."""
    max_quarantined_share: float = 0.01
    """With 'count', stop if more than this share of the lines (and more than one) is skipped."""
    seed: int = 0
    """Seed of the sampling."""

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
                    "with <|audio_ (speech ids are added by megatron-speech build_vocabulary); rename it"
                )
