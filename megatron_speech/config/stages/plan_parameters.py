"""What the planning tools are told: a run's own file, and what cannot be read from files that do not exist yet."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.config.run.training import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class PlanParametersConfig(PretrainConfig):
    """A run (its YAML file as it is), and the sizes of its vocabulary, whose folders need not exist."""

    num_text_ids: int
    """Ids of the text tokenizer."""
    num_speech_ids: int
    """Codebook size of the speech tokenizer."""
    padding_multiple: int = 128
    """The embedding has a multiple of this many rows."""
    check: bool = False
    """Let megatron-core build every rank's model, without memory, and compare; takes seconds and imports torch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low in (("num_text_ids", 1), ("num_speech_ids", 0), ("padding_multiple", 1)):
            if not low <= getattr(self, name) <= 1e9:
                raise ValueError(f"{name}={getattr(self, name)} must lie in {low} to 1e9; correct it")
