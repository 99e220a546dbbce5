"""Facts of the report on a speech tokenizer (kind ``speech_tokenizer_report``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.estimate import ErrorRatesFacts
from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class SetUsageFacts(Record):
    """How one data set uses the codebook."""

    utterances: int
    """Utterances encoded."""
    speech_seconds: float
    """Their duration together."""
    codes: int
    """Codes written."""
    codes_per_speech_second: float
    """Codes per second of speech, padding of clips included."""
    codes_used: int
    """Codes that occur."""
    perplexity: float
    """Effective number of codes: the exponential of the entropy of their use, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class DisturbanceFacts(Record):
    """Word error rates and changed codes under one disturbance of the clips; all are fractions."""

    name: str
    """Name of kind and level."""
    kind: str
    """Such as ``gain`` or ``babble``."""
    level: float | None
    """In dB, or samples per second; null for untouched clips."""
    wer: float
    """Word error rate."""
    wer_low: float
    """Lower bound of its 95 % interval."""
    wer_high: float
    """Upper bound of its 95 % interval."""
    wer_change: float
    """Difference from the untouched clips' rate, utterance by utterance."""
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
    """Measures of a tokenizer on all data sets."""

    error_rates: dict[str, ErrorRatesFacts]
    """By ``<set>, <reader>``."""
    error_rates_by_voice: dict[str, dict[str, ErrorRatesFacts]]
    """By ``<set>, <reader>`` and voice."""
    usage_by_set: dict[str, SetUsageFacts]
    """By data set."""
    robustness: dict[str, tuple[DisturbanceFacts, ...]]
    """By data set, the untouched clips first; empty if no disturbance is configured."""
    seconds: float
    """Speech that all codes stand for in seconds, to two decimals."""
    frame_rate: float
    """Codes per second."""
    codebook_size: int
    """Number of codes (K)."""
    codes_used: int
    """Codes that occur in any set."""
    perplexity: float
    """Effective number of codes: the exponential of the entropy of their use, to one decimal."""
    code_counts: tuple[int, ...]
    """How often each code occurs: int [K]."""
    codes_unseen: int
    """Codes that occur in no set."""
    bits_per_second: float
    """Upper bound of the information in the codes."""
    entropy_bits_per_second: float
    """Information in the codes by the entropy of their use."""


@dataclass(frozen=True, kw_only=True)
class SummaryFacts(Record):
    """The part of `TokenizerReportFacts` for tables of several tokenizers."""

    judge: str | None
    """Name of the independent recogniser; null if there was none."""
    perplexity: float
    """Effective number of codes: the exponential of the entropy of their use, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class _JudgedFacts(Record):
    """The recogniser of a report, and the data sets that were left out."""

    judge: str | None
    """Name of the independent recogniser; null if there was none."""
    left_out: dict[str, str]
    """Data sets left out, with the reason."""


@dataclass(frozen=True, kw_only=True)
class TokenizerReportFacts(MeasuredFacts, _JudgedFacts):
    """Facts of a report on a tokenizer."""

    too_long: dict[str, int]
    """Utterances left out as too long, by data set."""
    longest_seconds: float
    """Longest utterance measured, in seconds."""
