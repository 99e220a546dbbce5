"""Settings of tools/generate.py: a few things an exported model says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.stages.text_to_token import UtterancesConfig


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Held-out utterances as spoken contexts, and texts to speak."""

    model: Path
    """Hugging Face folder of a speech-text model."""
    codes: Path
    """Held-out code shards, from which the utterances come."""
    output: Path
    """Folder for samples.json and the spoken codes (document shards in `codes/`)."""
    speech_tokenizer: Path | None = None
    """Folder whose recogniser reads the spoken codes back; null skips that."""
    utterances: UtterancesConfig = field(default_factory=lambda: UtterancesConfig(max_utterances=2))
    """Which utterances to take."""
    max_text_tokens: int = 40
    """Longest text to write, in tokens."""
    max_speech_tokens: int = 200
    """Longest speech to write, in tokens."""
    temperature: float = 0.8
    """Of speech; text is written greedily."""
    top_p: float = 0.95
    """Nucleus of speech."""
    seed: int = 0
    """Seed of sampling."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Number format to compute in. auto: bfloat16 on a GPU and on a CPU with AVX512-BF16 or AMX, else float32."""
    device: str = "cpu"
    """Where to compute: cpu or cuda."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device={self.device!r} is unknown; use cpu, cuda or cuda:<number>")
        for name in ("max_text_tokens", "max_speech_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; use a positive number")
