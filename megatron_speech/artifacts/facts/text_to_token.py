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
    """Voice that spoke it; null where it is not known."""
    text: str
    """What was said."""
    heard_true_codes: str
    """What the recogniser reads from the true codes."""
    heard_synthesised: str | None
    """What it reads from the synthesised codes; null where the text was given up."""
    num_true_codes: int
    """Number of true codes."""
    codes: tuple[int, ...] | None
    """The synthesised codes: int [T]; null where the text was given up."""


@dataclass(frozen=True, kw_only=True)
class HeardTexts(Record):
    """The part of `RoundTripRow` that word errors are counted from."""

    text: str
    """What was said."""
    heard_true_codes: str
    """What the recogniser reads from the true codes."""
    heard_synthesised: str | None
    """What it reads from the synthesised codes; null where the text was given up."""


@dataclass(frozen=True, kw_only=True)
class ComparisonFacts(Record):
    """Words read from synthesised codes and from the true ones; rates are fractions."""

    texts: int
    """Texts to speak."""
    failures: int
    """Texts that were given up."""
    wer_true_codes: float
    """Word error rate from the true codes."""
    cer_true_codes: float
    """Character error rate from the true codes."""
    wer_with_failures: float
    """Word error rate with texts given up as silence."""
    wer: float | None
    """Word error rate of the others; null where all were given up."""
    cer: float | None
    """Their character error rate."""
    length_ratio_median: float | None
    """Median of synthesised over true codes, per text."""
    speech_tokens: int
    """Codes synthesised."""
    speech_tokens_true: int
    """True codes of the same texts."""


@dataclass(frozen=True, kw_only=True)
class RoundTripFacts(ComparisonFacts):
    """All texts of a round trip, and each voice."""

    synthesis: dict[str, int]
    """What the engine did, and samples of speech it refused, by reason."""
    speakers: dict[str, ComparisonFacts] | None = None
    """By voice, where the vocabulary knows voices."""
    speech_tokens_per_text_token: float | Absent | None = ABSENT
    """Codes per text token; null where all texts were given up, absent where no text tokenizer was given."""
