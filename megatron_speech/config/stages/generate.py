"""Settings of `generate`, which samples from an exported model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.stages.text_to_token import UtterancesConfig


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Generate from an exported model: continuations of held-out utterances, and speech for texts."""

    model: Path
    """Hugging Face folder of a speech-text model."""
    codes: Path
    """Held-out code shards that contain the utterances."""
    output: Path
    """Folder for samples.json and for the generated codes (document shards in `codes/`)."""
    speech_tokenizer: Path | None = None
    """Folder of the speech tokenizer; its recogniser transcribes the generated codes. Null skips that."""
    utterances: UtterancesConfig = field(default_factory=lambda: UtterancesConfig(max_utterances=2))
    """Which utterances to use."""
    max_text_tokens: int = 40
    """Largest number of generated text tokens."""
    max_speech_tokens: int = 200
    """Largest number of generated speech tokens."""
    temperature: float = 0.8
    """Temperature of speech; text is generated greedily."""
    top_p: float = 0.95
    """Nucleus (top-p) of speech sampling."""
    seed: int = 0
    """Seed of sampling."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Number format of the computation. 'auto' is bfloat16 on a GPU and on a CPU with AVX512-BF16 or AMX, else
    float32."""
    device: str = "cpu"
    """Device of the computation: cpu or cuda."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device={self.device!r} is unknown; use cpu, cuda or cuda:<number>")
        for name in ("max_text_tokens", "max_speech_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; use a positive number")
