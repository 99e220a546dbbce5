"""Facts of interleaved documents, of the tasks and of the shards that they are joined from."""

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
    """Words that no span may hold, by reason."""
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
    """Corpus it is of."""
    source_documents: int
    """Documents read."""
    documents_not_speakable: int
    """Documents that their corpus keeps from being spoken."""
    dropped: dict[str, int]
    """Lines left out, by reason."""
    tally: TallyFacts
    """What was counted."""
    synthesis: dict[str, int]
    """What the engine did, and samples of speech it refused, by reason."""
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
    """As it is written."""
    said: str
    """As it is spoken, in words that can be compared."""
    codes: int
    """Speech codes of the span."""
    heard: str
    """As the recogniser reads it back."""
    word_edits: int
    """Words read wrong."""
    words: int
    """Words said."""
    character_edits: int
    """Characters read wrong."""
    characters: int
    """Characters said."""


@dataclass(frozen=True, kw_only=True)
class NoisePartFacts(Record):
    """Error rates of some of the sampled spans."""

    wer: EstimateFacts
    """Word error rate."""
    cer: EstimateFacts
    """Character error rate."""


@dataclass(frozen=True, kw_only=True)
class NoiseFacts(Record):
    """How noisy the synthetic speech is, by a sample read back."""

    spans: int
    """Spans read back."""
    wer: EstimateFacts | None
    """Word error rate of all; null where nothing was read back."""
    cer: EstimateFacts | None
    """Character error rate of all; null where nothing was read back."""
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
    """What noisy shards hold, which are set aside."""

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
    """Interleaved documents; counts but those of `DocumentsFacts` are of all shards, those in quarantine too."""

    documents_without_speech: int
    """Documents of which no span became speech."""
    replaced_text_ids: int
    """Text ids that speech stands for."""
    span_speech_tokens: int
    """Speech ids of all spans."""
    spans: int
    """Spans drawn."""
    spans_cut_or_short: int
    """Spans of documents that are short or hold what cannot be spoken."""
    spans_failed: int
    """Spans whose synthesis failed, left as text."""
    words: int
    """Words that may be spoken."""
    words_drawn: int
    """Words of spans."""
    words_not_speakable: int
    """Words that no span may hold."""
    words_spoken: int
    """Words that became speech."""
    ratio_drawn: float | None
    """`words_drawn` over `words`; null without words."""
    ratio_spoken: float | None
    """`words_spoken` over `words`; null without words."""
    speech_tokens_per_replaced_word: float | None
    """Speech ids per word that became speech."""
    speech_tokens_per_replaced_text_id: float | None
    """Speech ids per text id that speech stands for."""
    words_left_out: dict[str, int]
    """Words that no span may hold, by reason."""
    spans_by_class: dict[str, int]
    """Spans that became speech, by class of text."""
    span_lengths: SpanLengthsFacts
    """Of documents whose spans are as they were drawn."""
    documents_not_speakable: int
    """Documents that their corpus keeps from being spoken."""
    synthesis: dict[str, int]
    """What the engine did, and samples of speech it refused, by reason."""
    noise_spans_too_long: int
    """Spans too long for the recogniser."""
    corpora: dict[str, InterleavedCorpusFacts]
    """Totals by corpus."""
    repeated_ids: int
    """Documents whose id stands at an earlier place too."""
    quarantined: QuarantineFacts
    """What noisy shards hold."""
    noise: NoiseFacts | None
    """How noisy the speech is; null where it was not read back."""
