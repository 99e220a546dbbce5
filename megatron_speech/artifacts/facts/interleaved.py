"""Facts of interleaved documents, and of the tasks and shards they are joined from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
    """Counts of one shard while its documents are interleaved; counts of shards are added."""

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
    """Documents that their metadata mark as not speakable."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    tally: TallyFacts
    """Counts of words, spans and tokens."""
    synthesis: dict[str, int]
    """Counts of the synthesis engine, with refused samples by reason."""
    noise_too_long: int
    """Spans too long for the recogniser."""


@dataclass(frozen=True, kw_only=True)
class SpanLengthsFacts(Record):
    """Histogram of span lengths, with the distribution that lengths were drawn from."""

    words: tuple[int, ...]
    """Lengths in words, from 1."""
    spans: tuple[int, ...]
    """Spans of each length."""
    poisson: tuple[float, ...]
    """Probability of each length."""
    mean: float
    """Mean of the distribution in words."""


@dataclass(frozen=True, kw_only=True)
class JournalHead(Record):
    """The first line of the journal of a shard."""

    synthesis: dict[str, Any]
    """Settings that the codes depend on."""


@dataclass(frozen=True, kw_only=True)
class JournalRow(Record):
    """A span that was synthesised: a line of the journal of a shard."""

    key: str
    """Document#rendering:first unit."""
    text: str
    """xxh3_128 of its reading."""
    codes: tuple[int, ...] | None
    """Speech codes; null if every attempt failed."""
    work: dict[str, int] | None = None
    """Counts of the synthesis engine since the line before; absent if there are none."""


@dataclass(frozen=True, kw_only=True)
class PlacedSpan(Record):
    """Half-open ranges of a span in its document."""

    words: tuple[int, int]
    """Range in the words of its text."""
    chars: tuple[int, int]
    """Range in the characters of its text."""
    tokens: tuple[int, int]
    """Range in its tokens, without boundary tokens."""


@dataclass(frozen=True, kw_only=True)
class SpokenSpan(PlacedSpan):
    """A span that became speech: an entry of ``spans`` in the metadata of an interleaved document."""

    text_class: str = field(metadata={KEY: "class"})
    """Class of text."""
    key: str
    """Key of the span."""


@dataclass(frozen=True, kw_only=True)
class NoiseRow(Record):
    """One sampled span that a recogniser read back: a line of ``noise.jsonl``."""

    shard: str
    """Name of its shard."""
    key: str
    """Key of the span."""
    text_class: str = field(metadata={KEY: "class"})
    """Class of text."""
    units: int
    """Length in words."""
    text: str
    """Its text in the corpus."""
    said: str
    """Its reading in normalised words, the reference of word errors."""
    codes: int
    """Number of speech codes."""
    heard: str
    """Transcript of its codes."""
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
    """Error rates of a group of sampled spans."""

    wer: EstimateFacts
    """Word error rate."""
    cer: EstimateFacts
    """Character error rate."""


@dataclass(frozen=True, kw_only=True)
class NoiseFacts(Record):
    """Error rates of the synthetic speech, from a sample of spans that a recogniser read back."""

    spans: int
    """Spans in the sample."""
    wer: EstimateFacts | None
    """Word error rate of all; null if no span was read back."""
    cer: EstimateFacts | None
    """Character error rate of all; null if no span was read back."""
    by_class: dict[str, NoisePartFacts]
    """By class of text."""
    by_length: dict[str, NoisePartFacts]
    """By length of span in words."""


@dataclass(frozen=True, kw_only=True)
class InterleavedCorpusFacts(Record):
    """One corpus of interleaved documents."""

    licence: str | None
    """Licence from the settings."""
    renderings: int
    """Interleaved versions of each document."""
    source_documents: int
    """Documents read."""
    documents: int
    """Interleaved documents made."""
    text_tokens: int
    """Text and special ids in them."""
    speech_tokens: int
    """Speech ids in them."""
    documents_not_speakable: int
    """Documents that their metadata mark as not speakable."""
    dropped: dict[str, int]
    """Lines left out, by reason."""


@dataclass(frozen=True, kw_only=True)
class QuarantineFacts(Record):
    """Noisy shards that were left out."""

    shards: int
    """Shards left out."""
    documents: int
    """Documents in them."""
    text_tokens: int
    """Text and special ids in them."""
    speech_tokens: int
    """Speech ids in them."""


@dataclass(frozen=True, kw_only=True)
class InterleavedFacts(DocumentsFacts):
    """Interleaved documents. All counts but those of `DocumentsFacts` include quarantined shards."""

    documents_without_speech: int
    """Documents in which no span became speech."""
    replaced_text_ids: int
    """Text ids replaced by speech."""
    span_speech_tokens: int
    """Speech ids of all spans."""
    spans: int
    """Spans drawn."""
    spans_cut_or_short: int
    """Spans of documents that are short or partly not speakable."""
    spans_failed: int
    """Spans left as text because synthesis failed."""
    words: int
    """Speakable words."""
    words_drawn: int
    """Words in spans."""
    words_not_speakable: int
    """Words that cannot be spoken."""
    words_spoken: int
    """Words that became speech."""
    ratio_drawn: float | None
    """`words_drawn` / `words`; null without words."""
    ratio_spoken: float | None
    """`words_spoken` / `words`; null without words."""
    speech_tokens_per_replaced_word: float | None
    """Speech ids per word that became speech."""
    speech_tokens_per_replaced_text_id: float | None
    """Speech ids per text id replaced by speech."""
    words_left_out: dict[str, int]
    """Words that cannot be spoken, by reason."""
    spans_by_class: dict[str, int]
    """Spans that became speech, by class of text."""
    span_lengths: SpanLengthsFacts
    """Span lengths, without spans of documents that are short or partly not speakable."""
    documents_not_speakable: int
    """Documents that their metadata mark as not speakable."""
    synthesis: dict[str, int]
    """Counts of the synthesis engine, with refused samples by reason."""
    noise_spans_too_long: int
    """Spans too long for the recogniser."""
    corpora: dict[str, InterleavedCorpusFacts]
    """Totals by corpus."""
    repeated_ids: int
    """Documents with the id of an earlier document."""
    quarantined: QuarantineFacts
    """Noisy shards left out."""
    noise: NoiseFacts | None
    """Error rates of the speech; null if it was not read back."""
