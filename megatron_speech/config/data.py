"""What a training run reads: packed sources, their shares, and what each of them teaches."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Task = Literal["text", "speech", "interleaved", "recognition", "synthesis", "dialogue"]

_TARGET_TASKS = ("recognition", "synthesis", "dialogue")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Which tokens of a source are targets, and their weights in the loss: sum of weight x loss / sum of weights."""

    tokens: Literal["all", "target"] | None = None
    """Targets: 'all' tokens, or only those of each document's 'target' part (recognition: the text; synthesis: the
    speech); null for the paper's choice: target for recognition, synthesis and dialogue, all for the other tasks."""
    text_weight: float = 1.0
    """Weight of a text target (special ids count as text), relative to every other target of the run."""
    speech_weight: float = 1.0
    """Weight of a speech target; 0 measures its loss without training on it."""

    def __post_init__(self) -> None:
        for name in ("text_weight", "speech_weight"):
            if not 0 <= getattr(self, name) < 1e9:  # false for nan too
                raise ValueError(f"loss.{name}={getattr(self, name)} must lie in 0 to 1e9; 1 is even")
        if self.text_weight == self.speech_weight == 0:
            raise ValueError(
                "loss.text_weight=0 and loss.speech_weight=0 leave nothing to learn; raise one, "
                "or leave the source out by its weight: 0"
            )


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One folder of packed token shards (made by tools/pack_shards.py)."""

    folder: Path
    """Folder with the packed shards and their manifest."""
    task: Task
    """What the documents are; losses are reported by task, and loss.tokens follows it where that is null."""
    weight: float = 1.0
    """Share of training tokens, relative to the other sources; 0 leaves the source out of training."""
    max_epochs: float | None = None
    """Refuse a run that would read this source more often; null for no limit."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Which tokens are trained on, and how much they weigh."""

    @property
    def policy(self) -> LossConfig:
        """`loss` with its tokens decided."""
        by_task: Literal["all", "target"] = "target" if self.task in _TARGET_TASKS else "all"
        return dataclasses.replace(self.loss, tokens=self.loss.tokens or by_task)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The mixture. Order is a pure function of the sample number and `seed`."""

    seq_length: int = 1024
    """Tokens per packed row; must equal the packed shards'."""
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    """Training sources by name; losses are logged by source, by task and by modality."""
    validation: dict[str, SourceConfig] = field(default_factory=dict)
    """Held-out sources by name, read in order and evaluated one by one (no weight is used, loss.tokens is)."""
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

    @property
    def loss_weights(self) -> list[tuple[float, float]]:
        """(text, speech) weight of the targets of each training source, in order."""
        return [(source.loss.text_weight, source.loss.speech_weight) for source in self.sources.values()]
