"""Settings of `gradient_error` and of the report that compares number formats."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.parsing.inputs import CheckpointFolder
from megatron_speech.config.run.data import DataConfig
from megatron_speech.config.run.parallel import PrecisionConfig


@dataclass(frozen=True, kw_only=True)
class GradientErrorConfig:
    """Compare gradients in several number formats with float32 gradients, on the same weights and rows."""

    checkpoint: CheckpointFolder
    """Checkpoint folder, or a run folder (its newest checkpoint is used)."""
    output: Path
    """Folder to create; its manifest holds the relative error and the cosine of the gradients in each format."""
    data: DataConfig
    """Rows to use: the first samples of this mixture, as many as all passes need."""
    precisions: dict[str, PrecisionConfig] = field(
        default_factory=lambda: {"bfloat16": PrecisionConfig(dtype="bfloat16")}
    )
    """Number formats to compare, by their names in the report."""
    micro_batch_size: int = 1
    """Rows per forward and backward pass."""
    warm_up: int = 8
    """Unmeasured passes at the start, so that the scales of the delayed FP8 recipe can adapt."""
    passes: int = 8
    """Measured passes; gradients are summed over them and compared."""

    def __post_init__(self) -> None:
        for name, low in (("micro_batch_size", 1), ("warm_up", 0), ("passes", 1)):
            if getattr(self, name) < low:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {low}; raise it")
        if not any(source.weight > 0 for source in self.data.sources.values()):
            raise ValueError(
                "data.sources needs at least one source with a weight above 0; name a folder of packed shards"
            )
        if not self.precisions:
            raise ValueError("precisions is empty; name at least one number format to compare with float32")


@dataclass(frozen=True, kw_only=True)
class PrecisionReportConfig:
    """Compare training runs that differ only in precision."""

    folder: Path = Path()
    """Folder that holds the runs; `report.md` and `precision.png` are written into it."""
    runs: list[str] = field(default_factory=lambda: ["float32", "bfloat16", "delayed", "tensorwise", "blockwise"])
    """Folder names of the runs, in the order of the report. By default, two dtypes and one run for each FP8 recipe."""
    baseline: str = "bfloat16"
    """Run that the others are compared with."""
    gradients: Path = Path("gradients")
    """Output of `gradient_error`, relative to `folder`. Without it, the report compares losses only."""
    last_steps: int = 50
    """Number of last steps over which each run's loss is averaged."""

    def __post_init__(self) -> None:
        if self.baseline not in self.runs:
            raise ValueError(f"baseline={self.baseline} is not among runs={self.runs}; name one of them")
        if self.last_steps < 1:
            raise ValueError(f"last_steps={self.last_steps} must be at least 1; raise it")
