"""Settings of the tokenization of text corpora into document shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import VocabularyFolder
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig


@dataclass(frozen=True, kw_only=True)
class TokenizeTextConfig:
    """Tokenize text corpora into document shards."""

    corpora: dict[str, TextCorpusConfig]
    """Corpora by name, read in this order; document ids must be unique over all corpora."""
    vocabulary: VocabularyFolder
    """Vocabulary folder (`build_vocabulary`)."""
    output: Path
    """Folder of document shards to create; parts lie in <output>.tasks until all are done."""
    name: str = "text"
    """Prefix of every shard's file name, followed by the task number."""
    shard_tokens: int = 1 << 28
    """Tokens per shard; 2^28 tokens are 1 GiB."""
    files_per_task: int = 1
    """Consecutive files of a corpus per task. Every task starts a new shard, so raise it for many small files."""
    on_bad_line: Literal["error", "count"] = "error"
    """How to treat a line or row that is not a document. 'error' stops and names it. 'count' skips it, lists it in
    dropped.jsonl and counts it by reason in the manifest. A repeated id is always an error."""
    max_quarantined_share: float = 0.01
    """With 'count', stop if more than this share of a corpus's lines (and more than one) is skipped."""
    max_lost_share: float = 0.01
    """Stop if tokenizing loses or changes more than this share of a corpus's characters. Measured on a sample of the
    documents and recorded in the manifest."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is divided over processes and jobs; does not affect the result."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora={} names no corpus; give at least one as name: {path: file.jsonl}")
        for key in ("shard_tokens", "files_per_task"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)} must be at least 1; leave it out for the default")
        for key in ("max_quarantined_share", "max_lost_share"):
            require_bounds(key, getattr(self, key), 0, 1, "0.01 is usual")
