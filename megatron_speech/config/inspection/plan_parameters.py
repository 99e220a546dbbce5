"""Settings of the planning tools: a training run's settings, and vocabulary sizes that no file states yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_speech.config.run.training import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class PlanParametersConfig(PretrainConfig):
    """Count the parameters of a training run's model (its YAML file); the vocabulary folder need not exist."""

    folder: Path = Path("run")
    """Run folder; a plan neither reads nor writes it."""
    num_text_ids: int
    """Number of ids of the text tokenizer."""
    num_speech_ids: int
    """Codebook size of the speech tokenizer."""
    padding_multiple: int = 128
    """Multiple to which the rows of the embedding are padded."""
    check: bool = False
    """Also build every rank's model with megatron-core, without allocating it, and compare; takes seconds and imports
    torch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low in (("num_text_ids", 1), ("num_speech_ids", 0), ("padding_multiple", 1)):
            if not low <= getattr(self, name) <= 1e9:
                raise ValueError(f"{name}={getattr(self, name)} must lie in {low} to 1e9; correct it")
