"""Settings of interleaved data: which documents, how much of them is spoken, by which text-to-token model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.text_to_token import SynthesisConfig


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

    language: Literal["en", "zh"] = "en"
    """Language of the texts: its stops, its scripts, and how numbers and signs are read."""
    filter: bool = True
    """Leave sentences that cannot be read aloud (code, tables, mathematics, markup, other scripts, ...) as text; false
    lets spans fall anywhere."""


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One JSONL file of documents; those with ``speakable: false`` in their metadata are left out."""

    path: Path
    """JSONL file: one {"id", "text", "metadata"} per line; a missing `speakable` counts as true."""
    renderings: int = 1
    """Interleaved versions of each document, each with fresh spans and fresh speech."""
    max_documents: int | None = None
    """Take the first so many speakable documents; null takes all."""
    licence: str | None = None
    """Licence of the texts, as an SPDX name or a link; goes into the manifest beside the corpus folder's own."""
    language: str | None = None
    """Language of the texts, as a BCP 47 tag such as en; likewise."""

    def __post_init__(self) -> None:
        if self.renderings < 1:
            raise ValueError(f"renderings={self.renderings} of {self.path} must be at least 1; or leave the corpus out")
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents={self.max_documents} of {self.path} must be at least 1; null takes all")


@dataclass(frozen=True, kw_only=True)
class InterleaveConfig:
    """Text documents to interleaved token documents."""

    corpora: dict[str, CorpusConfig]
    """Corpora by name, read in this order; document ids must differ between them."""
    model: Path
    """Hugging Face folder of the text-to-token model that writes the speech."""
    vocabulary: Path
    """Vocabulary folder of the model to be trained (tools/build_vocabulary.py)."""
    output: Path
    """Folder of document shards to make."""
    seed: int = 0
    """Of span placement and of sampling; both depend on it and on document ids alone."""
    boundary: Literal["begin_end", "none"] = "begin_end"
    """What stands around a speech span: begin and end of audio, or nothing (the paper does not say)."""
    spans: SpansConfig = field(default_factory=SpansConfig)
    """Which units are spoken."""
    speakable: SpeakableConfig = field(default_factory=SpeakableConfig)
    """Which sentences may be spoken at all."""
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    """Sampling of speech tokens and its guards."""

    def __post_init__(self) -> None:
        if not self.corpora:
            raise ValueError("corpora is empty; name at least one JSONL file")
