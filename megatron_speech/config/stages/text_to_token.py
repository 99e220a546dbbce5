"""Settings of the text-to-token model's stages: task documents, synthesis, round trip."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "zh"]
"""Languages that are read aloud."""


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """How speech tokens are sampled for a text, and when a sample is refused."""

    temperature: float = 0.3
    """Divides the logits; 0 is greedy, which reads words best and cannot be tried again where it loops."""
    top_p: float = 1.0
    """Nucleus: smallest set of most likely codes that holds this probability."""
    min_codes_per_character: float = 0.3
    """Fewer codes than this per character of spoken text is a failure (words are missing)."""
    max_codes_per_character: float = 2.0
    """Sampling stops at this many codes per character (plus `spare_codes`): a runaway, and a failure."""
    spare_codes: int = 12
    """Codes that any text may have beyond its characters: leading and trailing silence."""
    max_repeats: int = 20
    """The same code more often in a row is a failure (12.5 codes are a second)."""
    attempts: int = 3
    """Samples drawn, each with another seed, before a text is given up."""
    speakers: list[str] = field(default_factory=list)
    """Voices of the text-to-token model, one drawn per document; none for a model that was taught without voices."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What runs the model: this process, or vLLM (the `serve` extra)."""
    batch_size: int = 128
    """Texts under way at once."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format to compute in."""
    device: str = "cpu"
    """Where transformers computes: cpu or cuda (vLLM takes what it was built for)."""

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
    """Which utterances of a folder of code shards to take; all filters must pass."""

    voices: list[str] | None = None
    """Keep these voices only; null keeps all."""
    sources: list[str] | None = None
    """Keep utterances of these sources only (`source` in the meta); null keeps all."""
    of_first: int | None = None
    """Look at the first so many of these voices and sources only, in shard order; null looks at all."""
    max_duration_s: float | None = None
    """Leave out longer utterances, in seconds; null keeps all."""
    max_utterances: int | None = None
    """Stop after so many, in shard order; null takes all."""

    def __post_init__(self) -> None:
        for name in ("of_first", "max_utterances"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"utterances.{name}={getattr(self, name)} must be at least 1; null takes all")

    def wants(self, meta: dict[str, Any]) -> bool:
        """Whether an utterance with this meta is of the voices and sources."""
        return (self.voices is None or meta.get("voice") in self.voices) and (
            self.sources is None or meta.get("source") in self.sources
        )

    def admits(self, meta: dict[str, Any]) -> bool:
        """Whether an utterance with this meta passes the filters."""
        return self.wants(meta) and (self.max_duration_s is None or meta.get("duration_s", 0.0) <= self.max_duration_s)


@dataclass(frozen=True, kw_only=True)
class BuildTaskDocumentsConfig:
    """Transcribed speech tokens to documents of one task."""

    task: Literal["text_to_token", "recognition", "synthesis"]
    """recognition: speech then text; synthesis: text then speech; text_to_token: synthesis of the text spoken out."""
    codes: list[Path]
    """Folders of code shards whose meta hold the transcript as `text`."""
    vocabulary: Path
    """Vocabulary folder (tools/build_vocabulary.py)."""
    output: Path
    """Folder of document shards to make."""
    utterances: UtterancesConfig = field(default_factory=UtterancesConfig)
    """Which of them to take."""
    language: Language = "en"
    """Language of the texts: how the text-to-token model has numbers and signs read aloud."""


@dataclass(frozen=True, kw_only=True)
class RoundTripConfig:
    """Held-out texts synthesised and read back."""

    model: Path
    """Hugging Face folder of the text-to-token model."""
    speech_tokenizer: Path
    """Folder whose recogniser reads the tokens back."""
    codes: Path
    """Held-out code shards: their texts are synthesised, their true codes are the reference."""
    output: Path
    """Folder for manifest and samples."""
    text_vocabulary: Path | None = None
    """Vocabulary folder whose text tokens are counted against speech tokens (the big model's); null skips the count."""
    utterances: UtterancesConfig = field(default_factory=UtterancesConfig)
    """Which texts to try."""
    language: Language = "en"
    """Language of the texts: how the text-to-token model has numbers and signs read aloud."""
    seed: int = 0
    """Seed of sampling."""
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    """Sampling and its guards."""
