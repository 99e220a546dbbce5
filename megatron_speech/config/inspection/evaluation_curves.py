"""Settings of the curves of accuracy over a training."""

from __future__ import annotations

from dataclasses import dataclass, field

from megatron_speech.config.inspection.compare_evaluations import require_entries
from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import AnyFolder, EvaluationFolder


@dataclass(frozen=True, kw_only=True)
class EvaluationCurvesConfig:
    """Draw the accuracy of a run's checkpoints against the tokens that they were trained on."""

    folder: AnyFolder
    """Output of `evaluate` for a list of models; report.md and a PNG file for each task are written into it."""
    topline: EvaluationFolder | None = None
    """Evaluation of another model on the same items, whose written score is drawn as a line, such as a cascade."""
    accept: list[str] = field(default_factory=list)
    """Entries of the protocol that may differ, such as code."""
    resamples: int = 10_000
    """Bootstrap resamples for every 95 % interval."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 10000 is usual")
        require_entries(self.accept)
