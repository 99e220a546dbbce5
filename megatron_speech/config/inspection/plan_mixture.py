"""Settings of `plan_mixture`: a training run's settings, and the sizes of sources that do not exist yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.run.training import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class SizeConfig:
    """Expected size of a source."""

    text_tokens: int = 0
    """Number of text tokens, special ids included."""
    speech_tokens: int = 0
    """Number of speech tokens."""
    rows: int | None = None
    """Number of packed rows; null for as many as the tokens fill."""

    def check(self, key: str) -> None:
        """Raise ValueError if the size is missing or negative; `key` is its path."""
        if min(self.text_tokens, self.speech_tokens) < 0:
            raise ValueError(f"{key}: text_tokens and speech_tokens must not be negative; correct them")
        if self.rows is None and not self.text_tokens + self.speech_tokens:
            raise ValueError(f"{key} needs rows, text_tokens or speech_tokens; give one of them")
        if self.rows is not None and self.rows < 1:
            raise ValueError(f"{key}.rows={self.rows} must be at least 1; raise it")


@dataclass(frozen=True, kw_only=True)
class PlanMixtureConfig(PretrainConfig):
    """Plan the mixture of a training run (its YAML file); sources listed in `sizes` need no folder."""

    sizes: dict[str, SizeConfig] = field(default_factory=dict)
    """Sizes by source. A source that is not listed is counted in its folder."""
    output: Path | None = None
    """JSON file for the plan; null only prints it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, size in self.sizes.items():
            size.check(f"sizes.{name}")
            if name not in self.data.sources:
                raise ValueError(
                    f"sizes.{name} is none of data.sources ({', '.join(self.data.sources)}); declare it there"
                )
