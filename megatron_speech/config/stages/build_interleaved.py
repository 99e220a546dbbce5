"""Settings of interleaved data: which documents, how much of them is spoken, by which text-to-token model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.text_to_token import Language, SynthesisConfig


@dataclass(frozen=True, kw_only=True)
class SpansConfig:
    """How parts of a document are chosen to be spoken (arXiv 2411.17607)."""

    ratio: float = 0.3
    """Share of a document's speakable units that becomes speech, in expectation; at most 0.5, because spans may not
    touch. One document deviates from it by less than its longest span, and by less than half of the document."""
    mean_length: float = 10.0
    """Mean of the Poisson distribution of span lengths, in units."""
    unit: Literal["words", "tokens", "characters"] = "words"
    """What is counted: words between white space, tokens of the text tokenizer (spans may cut words), or characters
    (for Chinese; a run of Latin letters or digits is one)."""
    snap_to_clauses: bool = False
    """Move the ends of spans to clause boundaries at most 6 units away, up or down at random so that the expected ratio
    stays exact; lengths are then wider than Poisson's, and each end can add 6 units to a document's deviation."""

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio <= 0.5:
            raise ValueError(
                f"spans.ratio={self.ratio} must be above 0 and at most 0.5 (spans may not touch); the paper uses 0.3"
            )
        if not 1.0 <= self.mean_length <= 1e6:
            raise ValueError(f"spans.mean_length={self.mean_length} must lie in 1..1000000 units; the paper uses 10")


@dataclass(frozen=True, kw_only=True)
class SpeakableConfig:
    """Which sentences may become speech."""

    language: Language = "en"
    """Language of the texts: its stops, its scripts, and how numbers and signs are read."""
    filter: bool = True
    """Leave sentences that cannot be read aloud (code, tables, markup, other scripts, an unsure reading and so on)
    as text; false lets spans fall anywhere, and those that no reader is sure of are given up."""


@dataclass(frozen=True, kw_only=True)
class InterleavedCorpusConfig(TextCorpusConfig):
    """One text corpus; documents with ``speakable: false`` in their metadata are left out."""

    renderings: int = 1
    """Interleaved versions of each document, each with fresh spans and fresh speech."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.renderings < 1:
            raise ValueError(f"renderings={self.renderings} of {self.path} must be at least 1; or leave the corpus out")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """How much of the synthetic speech says what it should: a sample of it, read back."""

    speech_tokenizer: Path
    """Folder of the speech tokenizer whose recogniser reads the codes."""
    spans_per_shard: int = 32
    """Spans drawn from every shard; 32 of ten words tell a shard's word error rate to about 6 points at 0.3."""
    max_wer: float | None = None
    """A shard whose sampled word error rate is above this (1 is 100 %) is quarantined, as is one whose
    speech could not be measured; null only reports."""
    max_quarantined_share: float = 0.05
    """Stop, when the shards are joined, where more than this share of them is quarantined (and more than one)."""

    def __post_init__(self) -> None:
        if self.spans_per_shard < 1:
            raise ValueError(f"noise.spans_per_shard={self.spans_per_shard} must be at least 1; noise: null reads none")
        if self.max_wer is not None and not self.max_wer > 0:
            raise ValueError(f"noise.max_wer={self.max_wer} must be above 0; null quarantines nothing")
        if not 0 <= self.max_quarantined_share < 1:
            raise ValueError(
                f"noise.max_quarantined_share={self.max_quarantined_share} must be at least 0, below 1; 0.05 is usual"
            )


@dataclass(frozen=True, kw_only=True)
class BuildInterleavedConfig:
    """Text documents to interleaved token documents."""

    corpora: dict[str, InterleavedCorpusConfig]
    """Corpora by name, read in this order; document ids must differ between them."""
    model: Path
    """Hugging Face folder of the text-to-token model that writes the speech."""
    vocabulary: Path
    """Vocabulary folder of the model to be trained (tools/build_vocabulary.py)."""
    output: Path
    """Folder of document shards to make; the parts lie in <output>.tasks until all are done."""
    name: str = "interleaved"
    """Beginning of every shard's file name, before the number of the file and the part of it."""
    shard_documents: int = 4096
    """Lines or rows of a corpus file that make a shard, at most; a shard never holds two files' documents."""
    documents_per_task: int | None = None
    """Cut files that have more lines than this (rounded up to whole shards) into several tasks; null: a task is a file.
    A corpus with max_documents is one task. No part of the result."""
    on_bad_line: Literal["error", "count"] = "error"
    """A line or row that is no document, or an id that repeats: 'error' names it and stops; 'count' leaves the line out
    (a document whose id repeats is kept), lists it and counts it by reason in the manifest."""
    max_quarantined_share: float = 0.01
    """Stop where 'count' leaves out more than this share of a task's lines, or of a corpus's (and more than one)."""
    seed: int = 0
    """Of span placement and of sampling; both depend on it and on document ids alone."""
    boundary: Literal["begin_end", "none"] = "begin_end"
    """What stands around a speech span: begin and end of audio, or nothing (the paper does not say)."""
    spans: SpansConfig = field(default_factory=SpansConfig)
    """Which parts are spoken."""
    speakable: SpeakableConfig = field(default_factory=SpeakableConfig)
    """Which sentences may be. Texts of another language are another run: their share is a matter of the mixture."""
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    """Sampling of speech tokens and its guards."""
    noise: NoiseConfig | None = None
    """How the speech is read back; null: not at all."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is spread over processes and jobs; no part of the result."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora is empty; name at least one JSONL file")
        for name, corpus in self.corpora.items():
            if corpus.language and corpus.language.split("-")[0] != self.speakable.language:
                raise ValueError(
                    f"corpora.{name}.language={corpus.language} but speakable.language={self.speakable.language}; "
                    "correct one, or build corpora of two languages in two runs"
                )
        if self.speakable.language == "zh" and self.spans.unit == "words":
            raise ValueError(
                "spans.unit=words with speakable.language=zh: Chinese has no white space between words; use characters"
            )
        require_bounds("max_quarantined_share", self.max_quarantined_share, 0, 1, "0.01 is usual")
        for key in ("shard_documents", "documents_per_task"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"{key}={value} must be at least 1; leave it out for the default")
