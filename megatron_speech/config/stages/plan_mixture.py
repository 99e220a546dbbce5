"""What tools/plan_mixture.py is told: a run's own file, and the sizes of sources that do not exist yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.run.training import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class SizeConfig:
    """How large a source will be."""

    text_tokens: int = 0
    """Tokens of text and special ids."""
    speech_tokens: int = 0
    """Tokens of speech."""
    rows: int | None = None
    """Packed rows; null for as many as the tokens fill."""

    def check(self, key: str) -> None:
        """ValueError where the size, which stands at `key`, is none or negative."""
        if min(self.text_tokens, self.speech_tokens) < 0:
            raise ValueError(f"{key}: text_tokens and speech_tokens must not be negative; correct them")
        if self.rows is None and not self.text_tokens + self.speech_tokens:
            raise ValueError(f"{key} needs rows, text_tokens or speech_tokens; give one of them")
        if self.rows is not None and self.rows < 1:
            raise ValueError(f"{key}.rows={self.rows} must be at least 1; raise it")


@dataclass(frozen=True, kw_only=True)
class PlanMixtureConfig(PretrainConfig):
    """A run (its YAML file as it is), and the sizes of those of its sources whose folders are not to be opened."""

    sizes: dict[str, SizeConfig] = field(default_factory=dict)
    """Sizes by source; a source that is not named here is counted in its folder."""
    output: Path | None = None
    """Also write the plan as JSON to this file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, size in self.sizes.items():
            size.check(f"sizes.{name}")
            if name not in self.data.sources:
                raise ValueError(
                    f"sizes.{name} is none of data.sources ({', '.join(self.data.sources)}); declare it there"
                )
