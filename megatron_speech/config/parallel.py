"""How a model is spread over ranks and in which precision it computes, in Megatron's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Degrees of parallelism; the data parallel size is what is left of the world size."""

    tensor_model_parallel_size: int = 1
    """Ranks that share each matrix."""
    pipeline_model_parallel_size: int = 1
    """Stages of consecutive layers."""
    virtual_pipeline_model_parallel_size: int | None = None
    """Model chunks per stage (interleaved schedule); null for one."""
    context_parallel_size: int = 1
    """Ranks that share each sequence."""
    sequence_parallel: bool = False
    """Split activations along the sequence between tensor parallel ranks; needs tensor parallel size above 1."""
    use_distributed_optimizer: bool = False
    """Shard optimizer state over data parallel ranks."""

    def __post_init__(self) -> None:
        for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"parallel.{name}={getattr(self, name)} must be at least 1; use 1 to switch it off")
        if self.sequence_parallel and self.tensor_model_parallel_size == 1:
            raise ValueError(
                "parallel.sequence_parallel=true needs parallel.tensor_model_parallel_size above 1; or set false"
            )


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig:
    """Number formats; FP8 needs Transformer Engine and a GPU."""

    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Weights and activations; master weights, gradients and optimizer state stay float32."""
    fp8: Literal["none", "hybrid", "e4m3"] = "none"
    """FP8 format of the transformer layers' matrix products."""
    fp8_recipe: Literal["delayed", "tensorwise", "blockwise"] = "delayed"
    """How FP8 scaling factors are chosen."""
