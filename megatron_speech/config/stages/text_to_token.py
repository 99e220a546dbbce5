"""Settings of the text-to-token model's stages: task documents, synthesis, round trip."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import CodesFolder, ModelFolder, SpeechTokenizerFolder, VocabularyFolder

Language = Literal["en", "zh"]
"""Languages that can be read aloud."""


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """How speech tokens are sampled for a text, and which samples are rejected."""

    temperature: float = 0.3
    """Divides the logits. 0 is greedy: lowest word error, but a sample that loops cannot be redrawn."""
    top_p: float = 1.0
    """Nucleus (top-p): smallest set of most likely codes with this probability."""
    min_codes_per_character: float = 0.3
    """Reject a sample with fewer codes per character of spoken text (words are missing)."""
    max_codes_per_character: float = 2.0
    """Stop sampling, and reject the sample, at this many codes per character plus `spare_codes`."""
    spare_codes: int = 12
    """Codes allowed for any text in addition, for leading and trailing silence."""
    max_repeats: int = 20
    """Reject a sample that repeats a code more often than this in a row (12.5 codes are one second)."""
    attempts: int = 3
    """Samples drawn for a text, each with another seed, before it is given up."""
    speakers: list[str] = field(default_factory=list)
    """Speakers of the text-to-token model, one drawn per document; empty for a model without speaker tokens."""
    engine: str = "transformers"
    """Library that runs the model: transformers in this process, or vllm (install the `serve` extra)."""
    batch_size: int = 128
    """Number of texts generated at the same time."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the computation."""
    device: str = "cpu"
    """Device for transformers: cpu or cuda. vLLM uses the device it was built for."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_codes_per_character < self.max_codes_per_character:
            raise ValueError(
                f"synthesis.min_codes_per_character={self.min_codes_per_character} must be at least 0 and below "
                f"synthesis.max_codes_per_character={self.max_codes_per_character}; change one"
            )
        for name in ("max_repeats", "attempts", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"synthesis.{name}={getattr(self, name)} must be at least 1; use a positive number")
        for name in ("temperature", "spare_codes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"synthesis.{name}={getattr(self, name)} must not be negative; use 0 or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"synthesis.top_p={self.top_p} must lie in (0, 1]; 1 keeps every code")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"synthesis.device={self.device} is unknown; use cpu, cuda or cuda:<number>")


@dataclass(frozen=True, kw_only=True)
class UtterancesConfig:
    """Which utterances of a folder of code shards to use; an utterance must pass every filter."""

    voices: list[str] | None = None
    """Use only these voices; null uses all."""
    sources: list[str] | None = None
    """Use only utterances of these sources (`source` in the metadata); null uses all."""
    of_first: int | None = None
    """Consider only the first of_first utterances of these voices and sources, in shard order; null considers all."""
    max_duration_s: float | None = None
    """Skip utterances longer than this, in seconds; null keeps all."""
    max_utterances: int | None = None
    """Stop after this many utterances, in shard order; null uses all."""

    def __post_init__(self) -> None:
        for name in ("of_first", "max_utterances"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"utterances.{name}={getattr(self, name)} must be at least 1; null takes all")
        require_bounds("utterances.max_duration_s", self.max_duration_s, 0, 1e9, "null takes all")

    def wants(self, meta: dict[str, Any]) -> bool:
        """Whether an utterance with metadata `meta` has one of the voices and sources."""
        return (self.voices is None or meta.get("voice") in self.voices) and (
            self.sources is None or meta.get("source") in self.sources
        )

    def admits(self, meta: dict[str, Any]) -> bool:
        """Whether an utterance with metadata `meta` passes all filters."""
        return self.wants(meta) and (self.max_duration_s is None or meta.get("duration_s", 0.0) <= self.max_duration_s)


@dataclass(frozen=True, kw_only=True)
class BuildTaskDocumentsConfig:
    """Build documents of one task from transcribed speech tokens."""

    task: Literal["text_to_token", "recognition", "synthesis"]
    """recognition: speech, then text. synthesis: text, then speech. text_to_token: synthesis from the text as it is
    read aloud."""
    codes: list[CodesFolder]
    """Folders of code shards with transcripts in the metadata (`text`)."""
    vocabulary: VocabularyFolder
    """Vocabulary folder (`build_vocabulary`)."""
    output: Path
    """Folder of document shards to create."""
    utterances: UtterancesConfig = field(default_factory=UtterancesConfig)
    """Which utterances to use."""
    language: Language = "en"
    """Language of the texts; decides how numbers and signs are read aloud for a text-to-token model."""


@dataclass(frozen=True, kw_only=True)
class RoundTripConfig:
    """Measure a text-to-token model: synthesize held-out texts and transcribe the tokens."""

    model: ModelFolder
    """Hugging Face folder of the text-to-token model."""
    speech_tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer; its recogniser transcribes the tokens."""
    codes: CodesFolder
    """Held-out code shards: their texts are synthesized, their true codes are the reference."""
    output: Path
    """Folder for the manifest and samples."""
    text_vocabulary: VocabularyFolder | None = None
    """Vocabulary folder of the speech-text model, for counting text tokens against speech tokens; null skips the
    count."""
    utterances: UtterancesConfig = field(default_factory=UtterancesConfig)
    """Which texts to use."""
    language: Language = "en"
    """Language of the texts; decides how numbers and signs are read aloud."""
    seed: int = 0
    """Seed of sampling."""
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    """Sampling of speech tokens, and checks on the samples."""
