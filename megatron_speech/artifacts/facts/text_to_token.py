"""Facts of round trips: text to speech codes and back to text (kind ``round_trip``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.record import ABSENT, Absent, Record


@dataclass(frozen=True, kw_only=True)
class RoundTripRow(Record):
    """One text of a round trip, a line of ``samples.jsonl``."""

    id: str
    """Key of the utterance."""
    voice: str | None
    """Voice of the utterance; null if unknown."""
    text: str
    """Transcript of the utterance, which was synthesised."""
    heard_true_codes: str
    """Recognised from the codes of the utterance."""
    heard_synthesised: str | None
    """Recognised from the synthesised codes; null if synthesis failed."""
    num_true_codes: int
    """Number of codes of the utterance."""
    codes: tuple[int, ...] | None
    """Synthesised codes, int [T]; null if synthesis failed."""


@dataclass(frozen=True, kw_only=True)
class HeardTexts(Record):
    """The fields of `RoundTripRow` that word errors are counted from."""

    text: str
    """Transcript of the utterance, which was synthesised."""
    heard_true_codes: str
    """Recognised from the codes of the utterance."""
    heard_synthesised: str | None
    """Recognised from the synthesised codes; null if synthesis failed."""


@dataclass(frozen=True, kw_only=True)
class ComparisonFacts(Record):
    """Error rates from synthesised codes and from true ones, the codes of the utterances; rates are fractions."""

    texts: int
    """Texts to synthesise."""
    failures: int
    """Texts with failed synthesis."""
    wer_true_codes: float
    """Word error rate of the true codes."""
    cer_true_codes: float
    """Character error rate of the true codes."""
    wer_with_failures: float
    """Word error rate from synthesised codes, with failed texts counted as silence."""
    wer: float | None
    """Word error rate from synthesised codes, without failed texts; null if all failed."""
    cer: float | None
    """Character error rate from synthesised codes, without failed texts; null if all failed."""
    length_ratio_median: float | None
    """Median over texts of the ratio of synthesised to true codes."""
    speech_tokens: int
    """Number of synthetic codes."""
    speech_tokens_true: int
    """True codes of the same texts."""


@dataclass(frozen=True, kw_only=True)
class RoundTripFacts(ComparisonFacts):
    """A round trip of all texts, in total and by voice."""

    synthesis: dict[str, int]
    """Counts of the synthesis engine, with refused samples by reason."""
    speakers: dict[str, ComparisonFacts] | None = None
    """Comparison by voice, if the vocabulary has voices."""
    speech_tokens_per_text_token: float | Absent | None = ABSENT
    """Codes per text token; null if all texts failed, absent without a text tokenizer."""
