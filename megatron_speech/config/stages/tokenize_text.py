"""Settings of encoding text corpora to shards of tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig


@dataclass(frozen=True, kw_only=True)
class TokenizeTextConfig:
    """Text corpora to document shards."""

    corpora: dict[str, TextCorpusConfig]
    """Corpora by name, read in this order; document ids must differ between them."""
    vocabulary: Path
    """Vocabulary folder (tools/build_vocabulary.py)."""
    output: Path
    """Folder of document shards to make; the parts lie in <output>.tasks until all are done."""
    name: str = "text"
    """Beginning of every shard's file name, before the number of the task."""
    shard_tokens: int = 1 << 28
    """Tokens per shard; 2^28 make 1 GiB."""
    files_per_task: int = 1
    """Consecutive files of a corpus in one task. Every task begins a shard: raise it for many small files."""
    on_bad_line: Literal["error", "count"] = "error"
    """A line or row that is no document: 'error' names it and stops, 'count' leaves it out, lists it in dropped.jsonl
    and counts it by reason in the manifest. An id that repeats is always an error."""
    max_quarantined_share: float = 0.01
    """Stop where 'count' leaves out more than this share of a corpus's lines (and more than one)."""
    max_lost_share: float = 0.01
    """Stop where more than this share of a corpus's characters does not come back from the ids (unknown to the text
    tokenizer, or changed by it); measured on a sample of the documents, counted in the manifest."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is spread over processes and jobs; no part of the result."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora={} names no corpus; give at least one as name: {path: file.jsonl}")
        for key in ("shard_tokens", "files_per_task"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)} must be at least 1; leave it out for the default")
        for key in ("max_quarantined_share", "max_lost_share"):
            require_bounds(key, getattr(self, key), 0, 1, "0.01 is usual")
