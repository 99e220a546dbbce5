"""Settings of the comparison of number formats: the error of gradients, and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.run.data import DataConfig
from megatron_speech.config.run.parallel import PrecisionConfig


@dataclass(frozen=True, kw_only=True)
class GradientErrorConfig:
    """Gradients of the same weights on the same rows in several number formats, each beside float32's."""

    checkpoint: Path
    """Checkpoint folder, or a run folder (its newest checkpoint is taken)."""
    output: Path
    """Folder to make; the errors are the facts of its manifest."""
    data: DataConfig
    """Rows to pass: the first of the mixture, in its order."""
    precisions: dict[str, PrecisionConfig] = field(
        default_factory=lambda: {"bfloat16": PrecisionConfig(dtype="bfloat16")}
    )
    """Number formats by the name they have in the report."""
    micro_batch_size: int = 1
    """Rows per pass."""
    warm_up: int = 8
    """Passes before the first that counts, from which delayed scales learn."""
    passes: int = 8
    """Passes whose gradients are added up and compared."""

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
    """Training runs that differ in precision alone, side by side."""

    folder: Path = Path()
    """Where the runs lie; `report.md` and `precision.png` are written into it."""
    runs: list[str] = field(default_factory=lambda: ["float32", "bfloat16", "delayed", "tensorwise", "blockwise"])
    """Names of the runs' folders, in the order of the report."""
    baseline: str = "bfloat16"
    """The run that the others are held against."""
    gradients: Path = Path("gradients")
    """What tools/gradient_error.py made, below `folder`."""
    last_steps: int = 50
    """Steps at the end of the runs over which losses are averaged."""

    def __post_init__(self) -> None:
        if self.baseline not in self.runs:
            raise ValueError(f"baseline={self.baseline} is not among runs={self.runs}; name one of them")
        if self.last_steps < 1:
            raise ValueError(f"last_steps={self.last_steps} must be at least 1; raise it")
