"""What a training run reads: packed sources and their shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One folder of packed token shards (made by tools/pack_shards.py)."""

    folder: Path
    """Folder with the packed shards and their manifest."""
    weight: float = 1.0
    """Share of training tokens, relative to the other sources; 0 leaves the source out of training."""
    max_epochs: float | None = None
    """Refuse a run that would read this source more often; null for no limit."""
    target_only: bool = False
    """Train only on each document's target part (recognition: the text; synthesis: the speech)."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The mixture. Order is a pure function of the sample number and `seed`."""

    seq_length: int = 1024
    """Tokens per packed row; must equal the packed shards'."""
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    """Training sources by name; the name is the task under which the loss is logged."""
    validation: dict[str, SourceConfig] = field(default_factory=dict)
    """Held-out sources by name, read in order and evaluated one by one (weights are not used)."""
    seed: int = 0
    """Seed of the global order."""
    prefetch: int = 4
    """Micro-batches read ahead by a thread."""

    def __post_init__(self) -> None:
        if self.seq_length < 2:
            raise ValueError(f"data.seq_length={self.seq_length} must be at least 2; use the packed shards' length")
        if self.prefetch < 1:
            raise ValueError(f"data.prefetch={self.prefetch} must be at least 1; 4 hides the reading")
        # Checked here, because a source does not know its name.
        for section, sources in (("sources", self.sources), ("validation", self.validation)):
            for name, source in sources.items():
                if source.weight < 0:
                    raise ValueError(
                        f"data.{section}.{name}.weight={source.weight} must not be negative; use 0 to leave it out"
                    )
