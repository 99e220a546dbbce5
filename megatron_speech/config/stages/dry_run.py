"""Settings of commands that are no part of their work: whether to train, or to score, at all."""

from __future__ import annotations

from dataclasses import dataclass, fields

from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.config.stages.train_text_to_token import TrainTextToTokenConfig


@dataclass(frozen=True, kw_only=True)
class DryRunConfig:
    """Check a training and print what it will do, instead of training."""

    dry_run: bool = False
    """Check everything, print layout, parameters, data and memory, and leave; the run folder is not touched."""
    dry_run_world: int | None = None
    """Number of ranks of the run to be checked; null for WORLD_SIZE of the environment, 1 without it."""

    def __post_init__(self) -> None:
        if self.dry_run_world is not None and not (self.dry_run and 1 <= self.dry_run_world <= 1 << 20):
            raise ValueError(
                f"dry_run_world={self.dry_run_world} needs dry_run=true, and 1 to {1 << 20} ranks; correct it"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainCommandConfig(DryRunConfig, PretrainConfig):
    """All settings of one training run, and whether to train at all."""

    def __post_init__(self) -> None:
        DryRunConfig.__post_init__(self)
        PretrainConfig.__post_init__(self)

    @property
    def run(self) -> PretrainConfig:
        """The settings of the run alone, as its folder keeps them."""
        return PretrainConfig(**{field.name: getattr(self, field.name) for field in fields(PretrainConfig)})


@dataclass(frozen=True, kw_only=True)
class TextToTokenCommandConfig(DryRunConfig, TrainTextToTokenConfig):
    """Train a text-to-token model on packed (text, speech) pairs, or check that training."""

    def __post_init__(self) -> None:
        DryRunConfig.__post_init__(self)
        TrainTextToTokenConfig.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class EvaluateCommandConfig(EvaluateConfig):
    """Evaluate models on cloze, geo_qa, held_out and further tasks, or say what that will see and cost."""

    dry_run: bool = False
    """Score a few batches, print what differences the items can show and what scoring them costs, and leave."""

    @property
    def evaluation(self) -> EvaluateConfig:
        """The settings of the evaluation alone, as its folder keeps them."""
        return EvaluateConfig(**{field.name: getattr(self, field.name) for field in fields(EvaluateConfig)})
