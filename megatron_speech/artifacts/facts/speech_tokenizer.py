"""Facts of trained speech tokenizers and speech decoders (kinds ``speech_tokenizer``, ``speech_decoder``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Record):
    """Mean losses of consecutive training steps."""

    step: int
    """The last of the steps."""
    cross_entropy: float
    """Cross-entropy of the recogniser, in nats per token."""
    commitment: float
    """Mean squared distance between encoder states and their codes."""


@dataclass(frozen=True, kw_only=True)
class PlacedCodebook(Record):
    """How a codebook was initialised. All is absent if training went on from another tokenizer."""

    kmeans_frames: int | None = None
    """Encoder states that k-means placed the codebook on."""
    kmeans_residual: float | None = None
    """Share of their variance that the placed codebook does not explain, to four decimals."""
    kmeans_perplexity: float | None = None
    """Perplexity of their codes in the placed codebook, to one decimal."""


@dataclass(frozen=True, kw_only=True)
class TrainedSpeechTokenizerFacts(PlacedCodebook):
    """A trained speech tokenizer."""

    steps: int
    """Training steps."""
    checkpoint: str
    """Training step of these weights: ``last``."""
    language: str | None
    """Language of the recogniser; null for a monolingual Whisper."""
    epochs: dict[str, float]
    """Passes over each source, to two decimals."""
    quarantined: dict[str, dict[str, int]]
    """Utterances left out, by source and reason."""
    text_ids_in_use: int
    """Text ids that occur in the transcripts."""
    codes_restarted: int
    """Number of restarts of dead codes."""
    curve: tuple[CurvePoint, ...]
    """The loss curve, at most 100 points."""
    error_rates: tuple[dict[str, float], ...]
    """Word error rates by validation set, as fractions; the key ``step`` holds the training step."""
    error_rates_without_bottleneck: dict[str, float]
    """Word error rates of the Whisper model it started from, by validation set, as fractions."""
    codebook_size: int
    """Number of codes."""
    frame_rate: float
    """Codes per second."""
    fingerprint: str
    """sha256 over weights and config.json."""


@dataclass(frozen=True, kw_only=True)
class FingerprintFacts(Record):
    """The identity of a speech tokenizer and its codes."""

    fingerprint: str
    """sha256 over weights and config.json."""


@dataclass(frozen=True, kw_only=True)
class SpeechTokenizerIdentity(FingerprintFacts):
    """Facts of a speech tokenizer that a vocabulary is built from."""

    codebook_size: int
    """Number of codes."""
    frame_rate: float | None = None
    """Codes per second, if known."""


@dataclass(frozen=True, kw_only=True)
class ResidualFacts(Record):
    """The field `kmeans_residual` of `TrainedSpeechTokenizerFacts`, for tables of experiments."""

    kmeans_residual: float | None = None
    """Share of the variance that the placed codebook does not explain; absent after further training."""


@dataclass(frozen=True, kw_only=True)
class SpeechDecoderFacts(Record):
    """A trained network from speech tokens to mel spectrograms."""

    utterances: int
    """Utterances trained on."""
    hours: float
    """Total duration, to three decimals."""
    parameters: int
    """Weights of the network."""
    steps: int
    """Training steps."""
    heldout_utterances: int
    """Utterances held out."""
    heldout_l1_untrained: float
    """Mean absolute error of the held-out mels before training, in nats."""
    heldout_l1: float
    """Mean absolute error of the held-out mels after training, in nats."""


@dataclass(frozen=True, kw_only=True)
class CausalDecoderFacts(Record):
    """A trained stage of a causal speech decoder."""

    stage: str
    """``prior``, ``flow`` or ``student``."""
    steps: int
    """Training steps of this stage."""
    voices: tuple[str, ...]
    """Voices that it knows."""
    parameters: int
    """Weights of all its networks."""
    dtype: str
    """Number format of matrix products."""
    epochs: dict[str, float]
    """Passes over each source, to two decimals."""
    quarantined: dict[str, dict[str, int]]
    """Utterances left out, by source and reason."""
    losses: tuple[dict[str, float], ...]
    """Mean training loss of consecutive steps; the key ``step`` holds the last of them. At most 100."""
    validation: tuple[dict[str, Any], ...]
    """By validation set: ``l1`` in nats, ``delta_variance`` and ``band_contrast``, 1 for the original; the key ``step``
    holds the training step."""
