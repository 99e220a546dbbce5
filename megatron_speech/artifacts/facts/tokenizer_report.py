"""Facts of reports on speech tokenizers (kind ``speech_tokenizer_report``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts
from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class SetUsageFacts(Record):
    """Codebook usage of one data set."""

    utterances: int
    """Utterances encoded."""
    speech_seconds: float
    """Total duration."""
    codes: int
    """Codes written."""
    codes_per_speech_second: float
    """Codes per second of speech; the padding of a clip's last code counts as codes, not as speech."""
    codes_used: int
    """Number of different codes that occur."""
    perplexity: float
    """Perplexity of the code distribution, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class DisturbanceFacts(Record):
    """One disturbance of clips: error rates from the codes, and shares of changed codes; all are fractions."""

    name: str
    """Kind and level in words."""
    kind: str
    """Kind such as ``gain`` or ``babble``."""
    level: float | None
    """Level in dB, or sample rate in Hz; null for untouched clips."""
    wer: float
    """Word error rate."""
    wer_low: float
    """Lower bound of its 95 % interval."""
    wer_high: float
    """Upper bound of its 95 % interval."""
    wer_change: float
    """Paired difference of the word error rate from untouched clips."""
    wer_change_low: float
    """Lower bound of its 95 % interval."""
    wer_change_high: float
    """Upper bound of its 95 % interval."""
    codes_changed: float
    """Share of the untouched clips' codes that differ."""
    codes_changed_low: float
    """Lower bound of its 95 % interval."""
    codes_changed_high: float
    """Upper bound of its 95 % interval."""
    code_edits: float
    """Insertions, deletions and substitutions per code of the untouched clips."""
    code_edits_low: float
    """Lower bound of its 95 % interval."""
    code_edits_high: float
    """Upper bound of its 95 % interval."""
    utterances: int
    """Clips disturbed."""
    words: int
    """Words said in them."""


@dataclass(frozen=True, kw_only=True)
class MeasuredFacts(Record):
    """Measures of a speech tokenizer on all data sets."""

    error_rates: dict[str, ErrorRatesFacts]
    """Error rates by ``<set>, <reader>``."""
    error_rates_by_voice: dict[str, dict[str, ErrorRatesFacts]]
    """Error rates by ``<set>, <reader>``, then by voice."""
    usage_by_set: dict[str, SetUsageFacts]
    """Codebook usage by data set."""
    robustness: dict[str, tuple[DisturbanceFacts, ...]]
    """Disturbances by data set, untouched clips first; empty if none was asked for."""
    seconds: float
    """Duration that all codes stand for, to two decimals."""
    frame_rate: float
    """Codes per second."""
    codebook_size: int
    """Number of codes (K)."""
    codes_used: int
    """Number of different codes that occur in any data set."""
    perplexity: float
    """Perplexity of the code distribution, to one decimal."""
    code_counts: tuple[int, ...]
    """How often each code occurs: int [K]."""
    codes_unseen: int
    """Number of codes that occur in no data set."""
    bits_per_second: float
    """Bit rate by codebook size."""
    entropy_bits_per_second: float
    """Bit rate by the entropy of the code distribution."""


@dataclass(frozen=True, kw_only=True)
class SummaryFacts(Record):
    """The fields of `TokenizerReportFacts` that a table of several tokenizers shows."""

    judge: str | None
    """Name of the independent recogniser; null without one."""
    perplexity: float
    """Perplexity of the code distribution, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class _JudgedFacts(Record):
    """The judge, and data sets that could not be measured."""

    judge: str | None
    """Name of the independent recogniser; null without one."""
    left_out: dict[str, str]
    """Reasons by data set that was left out."""


@dataclass(frozen=True, kw_only=True)
class TokenizerReportFacts(MeasuredFacts, _JudgedFacts):
    """All facts of a report on a speech tokenizer."""

    too_long: dict[str, int]
    """Utterances left out as too long, by data set."""
    longest_seconds: float
    """Limit on the length of an utterance, in seconds."""
