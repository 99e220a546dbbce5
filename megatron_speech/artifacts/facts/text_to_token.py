"""Facts of a round trip: text to speech tokens and back to text (kind ``round_trip``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import ABSENT, Absent, Record


@dataclass(frozen=True, kw_only=True)
class RoundTripRow(Record):
    """One text of a round trip, a line of ``samples.jsonl``."""

    id: str
    """Key of the utterance."""
    voice: str | None
    """Voice of the recording; null if unknown."""
    text: str
    """Text of the utterance."""
    heard_true_codes: str
    """Text recognised from the codes of the recording (true codes)."""
    heard_synthesised: str | None
    """Text recognised from the synthetic codes; null if synthesis failed."""
    num_true_codes: int
    """Number of true codes."""
    codes: tuple[int, ...] | None
    """Synthetic codes: int [T]; null if synthesis failed."""


@dataclass(frozen=True, kw_only=True)
class HeardTexts(Record):
    """The part of `RoundTripRow` that word errors are counted from."""

    text: str
    """Text of the utterance."""
    heard_true_codes: str
    """Text recognised from the codes of the recording."""
    heard_synthesised: str | None
    """Text recognised from the synthetic codes; null if synthesis failed."""


@dataclass(frozen=True, kw_only=True)
class ComparisonFacts(Record):
    """Error rates of synthetic and true codes, as fractions."""

    texts: int
    """Number of texts."""
    failures: int
    """Texts without an accepted sample."""
    wer_true_codes: float
    """Word error rate of the true codes."""
    cer_true_codes: float
    """Character error rate of the true codes."""
    wer_with_failures: float
    """Word error rate of all texts, with failures as empty."""
    wer: float | None
    """Word error rate without failures; null if all texts failed."""
    cer: float | None
    """Character error rate without failures; null if all texts failed."""
    length_ratio_median: float | None
    """Median over texts of synthetic codes per true code."""
    speech_tokens: int
    """Number of synthetic codes."""
    speech_tokens_true: int
    """True codes of the same texts."""


@dataclass(frozen=True, kw_only=True)
class RoundTripFacts(ComparisonFacts):
    """All texts of a round trip, and each voice."""

    synthesis: dict[str, int]
    """Counts of `Synthesizer.counts`, such as refused samples by reason."""
    speakers: dict[str, ComparisonFacts] | None = None
    """By voice, if the vocabulary has speakers."""
    speech_tokens_per_text_token: float | Absent | None = ABSENT
    """Codes per text token; null if all texts failed, absent without a text tokenizer."""
