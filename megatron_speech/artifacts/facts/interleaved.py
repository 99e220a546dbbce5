"""Facts of interleaved documents, and of their tasks and shards before the join."""

from __future__ import annotations

from dataclasses import dataclass, field

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import KEY, Record
from megatron_speech.artifacts.facts.tokens import DocumentsFacts


@dataclass(frozen=True, kw_only=True)
class InterleaveTaskFacts(Record):
    """One task of building interleaved documents."""

    shards: tuple[str, ...]
    """Names of its shards' folders."""


@dataclass(frozen=True, kw_only=True)
class TallyFacts(Record):
    """What is counted of documents while they are interleaved; several are added up."""

    counts: dict[str, int]
    """Words, spans and tokens, by the names of `InterleavedFacts`."""
    span_lengths: dict[str, int]
    """Spans by their length in words."""
    left_out: dict[str, int]
    """Words that cannot be spoken, by reason."""
    spans_by_class: dict[str, int]
    """Spans that became speech, by class of text."""


@dataclass(frozen=True, kw_only=True)
class InterleavedShardFacts(Record):
    """One shard before it is joined to the others."""

    documents: int
    """Interleaved documents."""
    tokens: int
    """Ids in them."""
    text_tokens: int
    """Text and special ids among them."""
    speech_tokens: int
    """Speech ids among them."""
    corpus: str
    """Name of its corpus."""
    source_documents: int
    """Documents read."""
    documents_not_speakable: int
    """Documents that their corpus keeps from being spoken."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    tally: TallyFacts
    """What was counted."""
    synthesis: dict[str, int]
    """Counts of `Synthesizer.counts`, such as refused samples by reason."""
    noise_too_long: int
    """Spans too long for the recogniser."""


@dataclass(frozen=True, kw_only=True)
class SpanLengthsFacts(Record):
    """Histogram of span lengths beside the distribution that they were drawn from."""

    words: tuple[int, ...]
    """Lengths in words, from 1."""
    spans: tuple[int, ...]
    """Spans of each length."""
    poisson: tuple[float, ...]
    """Probability of each length."""
    mean: float
    """Mean of the distribution in words."""


@dataclass(frozen=True, kw_only=True)
class NoiseRow(Record):
    """One sampled span, read back: a line of ``noise.jsonl``."""

    shard: str
    """Name of its shard."""
    key: str
    """Key of the span."""
    text_class: str = field(metadata={KEY: "class"})
    """Class of text."""
    units: int
    """Length in words."""
    text: str
    """The span as written."""
    said: str
    """Reading of the span, in words that can be compared."""
    codes: int
    """Number of speech codes."""
    heard: str
    """Text that the recogniser gives for the codes."""
    word_edits: int
    """Word errors."""
    words: int
    """Words in the reading."""
    character_edits: int
    """Character errors."""
    characters: int
    """Characters in the reading."""


@dataclass(frozen=True, kw_only=True)
class NoisePartFacts(Record):
    """Error rates of some of the sampled spans."""

    wer: EstimateFacts
    """Word error rate."""
    cer: EstimateFacts
    """Character error rate."""


@dataclass(frozen=True, kw_only=True)
class NoiseFacts(Record):
    """Error rates of the synthetic speech, on a sample of spans."""

    spans: int
    """Spans in the sample."""
    wer: EstimateFacts | None
    """Word error rate of all; null for an empty sample."""
    cer: EstimateFacts | None
    """Character error rate of all; null for an empty sample."""
    by_class: dict[str, NoisePartFacts]
    """By class of text."""
    by_length: dict[str, NoisePartFacts]
    """By length of span in words."""


@dataclass(frozen=True, kw_only=True)
class InterleavedCorpusFacts(Record):
    """One corpus of interleaved documents."""

    licence: str | None
    """As the user gave it."""
    renderings: int
    """Interleavings of every document."""
    source_documents: int
    """Documents read."""
    documents: int
    """Interleaved documents made."""
    text_tokens: int
    """Text and special ids in them."""
    speech_tokens: int
    """Speech ids in them."""
    documents_not_speakable: int
    """Documents that their corpus keeps from being spoken."""
    dropped: dict[str, int]
    """Lines left out, by reason."""


@dataclass(frozen=True, kw_only=True)
class QuarantineFacts(Record):
    """Counts of the noisy shards, which are kept apart from the output."""

    shards: int
    """Shards set aside."""
    documents: int
    """Documents in them."""
    text_tokens: int
    """Text and special ids in them."""
    speech_tokens: int
    """Speech ids in them."""


@dataclass(frozen=True, kw_only=True)
class InterleavedFacts(DocumentsFacts):
    """Interleaved documents. Counts include quarantined shards, except those of `DocumentsFacts`."""

    documents_without_speech: int
    """Documents without a span of speech."""
    replaced_text_ids: int
    """Text ids that speech replaces."""
    span_speech_tokens: int
    """Speech ids of all spans."""
    spans: int
    """Spans drawn."""
    spans_cut_or_short: int
    """Spans of documents that are short or have text that cannot be spoken."""
    spans_failed: int
    """Spans left as text because synthesis failed."""
    words: int
    """Words that may be spoken."""
    words_drawn: int
    """Words in all spans."""
    words_not_speakable: int
    """Words that cannot be spoken."""
    words_spoken: int
    """Words that became speech."""
    ratio_drawn: float | None
    """`words_drawn` over `words`; null without words."""
    ratio_spoken: float | None
    """`words_spoken` over `words`; null without words."""
    speech_tokens_per_replaced_word: float | None
    """Speech ids per word that became speech."""
    speech_tokens_per_replaced_text_id: float | None
    """Speech ids per replaced text id."""
    words_left_out: dict[str, int]
    """Words that cannot be spoken, by reason."""
    spans_by_class: dict[str, int]
    """Spans that became speech, by class of text."""
    span_lengths: SpanLengthsFacts
    """Span lengths in documents that keep their spans as drawn."""
    documents_not_speakable: int
    """Documents that their corpus keeps from being spoken."""
    synthesis: dict[str, int]
    """Counts of `Synthesizer.counts`, such as refused samples by reason."""
    noise_spans_too_long: int
    """Spans too long for the recogniser."""
    corpora: dict[str, InterleavedCorpusFacts]
    """Totals by corpus."""
    repeated_ids: int
    """Documents with the id of an earlier one."""
    quarantined: QuarantineFacts
    """Counts of the noisy shards."""
    noise: NoiseFacts | None
    """Error rates of the synthetic speech; null if not measured."""
