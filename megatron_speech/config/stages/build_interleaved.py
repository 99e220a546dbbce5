"""Settings of interleaving: text corpora, the share that becomes speech, and the text-to-token model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import ModelFolder, SpeechTokenizerFolder, VocabularyFolder
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.text_to_token import Language, SynthesisConfig


@dataclass(frozen=True, kw_only=True)
class SpansConfig:
    """How spans of a document are sampled to become speech (arXiv 2411.17607)."""

    ratio: float = 0.3
    """Expected share of a document's speakable units that becomes speech. At most 0.5, because spans may not touch. A
    single document deviates by less than the last length drawn for it, and by less than half of its units, rounded
    up."""
    mean_length: float = 10.0
    """Mean of the Poisson distribution of span lengths, in units."""
    unit: Literal["words", "tokens", "characters"] = "words"
    """Unit of lengths: 'words' between white space, 'tokens' of the text tokenizer (spans may cut words), or
    'characters'. In Chinese text counted by characters, a run of Latin letters or digits is one unit."""
    snap_to_clauses: bool = False
    """Move span ends to clause boundaries at most 6 units away, in a random direction that keeps the expected ratio
    exact. Lengths then vary more than a Poisson distribution, and each end can add 6 units to a document's
    deviation."""

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
    """Language of the texts; decides sentence ends, scripts, and how numbers and signs are read."""
    filter: bool = True
    """Exclude sentences that cannot be read aloud: code, tables, markup, other scripts, uncertain readings. False
    allows spans anywhere; a span with an uncertain reading then fails and stays text."""


@dataclass(frozen=True, kw_only=True)
class InterleavedCorpusConfig(TextCorpusConfig):
    """One text corpus; documents with ``speakable: false`` in their metadata are skipped."""

    renderings: int = 1
    """Interleaved versions per document, each with newly sampled spans and speech."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.renderings < 1:
            raise ValueError(f"renderings={self.renderings} of {self.path} must be at least 1; or leave the corpus out")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Measurement of the synthetic speech: a sample of spans is recognized and compared with its text."""

    speech_tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer; its recogniser transcribes the codes."""
    spans_per_shard: int = 32
    """Spans sampled per shard. With 32 spans of ten words, a word error rate of 0.3 is known to about 6 points."""
    max_wer: float | None = None
    """Quarantine a shard if its sampled word error rate exceeds this (1 is 100 %) or could not be measured. Null only
    reports the rate."""
    max_quarantined_share: float = 0.05
    """When the shards are joined, stop if more than this share (and more than one shard) is quarantined."""

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
    """Convert text documents to interleaved token documents."""

    corpora: dict[str, InterleavedCorpusConfig]
    """Corpora by name, read in this order; document ids must be unique over all corpora."""
    model: ModelFolder
    """Hugging Face folder of the text-to-token model that generates the speech."""
    vocabulary: VocabularyFolder
    """Vocabulary folder of the speech-text model to train (`build_vocabulary`)."""
    output: Path
    """Folder of document shards to create; parts lie in <output>.tasks until all are done."""
    name: str = "interleaved"
    """Prefix of every shard's file name, followed by the number of the corpus file and of its part."""
    shard_documents: int = 4096
    """Largest number of lines or rows of a corpus file per shard. A shard never mixes files."""
    documents_per_task: int | None = None
    """Split files with more lines than this (rounded up to whole shards) into several tasks; null makes one task per
    file. A corpus with max_documents is one task. Does not affect the result."""
    on_bad_line: Literal["error", "count"] = "error"
    """How to treat a line or row that is not a document, or that repeats an id. 'error' stops and names it. 'count'
    skips the line (but keeps a document with a repeated id), lists it, and counts it by reason in the manifest."""
    max_quarantined_share: float = 0.01
    """With 'count', stop if more than this share (and more than one) of a task's or a corpus's lines is skipped."""
    seed: int = 0
    """Seed of span placement and speech sampling; both depend only on it and on document ids."""
    boundary: Literal["begin_end", "none"] = "begin_end"
    """Tokens around a speech span: begin and end of audio, or none (the paper does not say)."""
    spans: SpansConfig = field(default_factory=SpansConfig)
    """How spans are sampled."""
    speakable: SpeakableConfig = field(default_factory=SpeakableConfig)
    """Which sentences may become speech. Build texts in another language in a separate run; the training mixture sets
    shares."""
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    """Sampling of speech tokens, and checks on the samples."""
    noise: NoiseConfig | None = None
    """How the synthetic speech is measured; null disables it."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is divided over processes and jobs; does not affect the result."""

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
