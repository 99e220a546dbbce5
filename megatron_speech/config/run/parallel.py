"""Settings of the parallel layout and of number formats, under Megatron's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatron_speech.config.run.model import ModelConfig

# Megatron's other choices name layers that this model does not have. Transformer Engine computes norms inside the
# projections, so layernorm is excluded too.
RECOMPUTE_MODULES = ("core_attn", "mlp")


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Degrees of parallelism and memory savings; the data parallel size is the world size over the other degrees."""

    tensor_model_parallel_size: int = 1
    """Ranks that split each weight matrix."""
    pipeline_model_parallel_size: int = 1
    """Pipeline stages of consecutive layers."""
    virtual_pipeline_model_parallel_size: int | None = None
    """Model chunks per pipeline stage (interleaved schedule); null for one."""
    pipeline_model_parallel_layout: str | None = None
    """Layers of each chunk in Megatron's notation; null for equal parts. "Et*3|t*5L" puts the embedding (E) and 3
    layers (t) on the first stage. The second stage gets 5 layers and the output head with its loss (L)."""
    context_parallel_size: int = 1
    """Ranks that split each document along the sequence."""
    sequence_parallel: bool = False
    """Split activations along the sequence between tensor parallel ranks; needs tensor_model_parallel_size above 1."""
    use_distributed_optimizer: bool = False
    """Shard the optimizer state over data parallel ranks."""
    overlap_grad_reduce: bool = True
    """Reduce gradients over data parallel ranks during the backward pass."""
    overlap_param_gather: bool = False
    """Gather updated weights during the next forward pass; needs use_distributed_optimizer and overlap_grad_reduce."""
    gradient_accumulation_fusion: bool = False
    """Accumulate weight gradients inside the matrix product; needs a GPU and NVIDIA Apex's kernel."""
    recompute_granularity: Literal["selective", "full"] | None = None
    """Recompute activations in the backward pass: of some modules (selective) or whole layers (full); null for none."""
    recompute_method: Literal["uniform", "block"] | None = None
    """For full recomputation. 'uniform' divides all layers into units of recompute_num_layers; 'block' recomputes only
    recompute_num_layers layers per chunk."""
    recompute_num_layers: int | None = None
    """For full recomputation: number of layers, see recompute_method."""
    recompute_modules: list[str] | None = None
    """For selective recomputation: core_attn, mlp or both; null for core_attn."""

    def __post_init__(self) -> None:
        for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"parallel.{name}={getattr(self, name)} must be at least 1; use 1 to switch it off")
        if self.virtual_pipeline_model_parallel_size is not None and self.virtual_pipeline_model_parallel_size < 2:
            raise ValueError(
                "parallel.virtual_pipeline_model_parallel_size="
                f"{self.virtual_pipeline_model_parallel_size} must be at least 2; use null for one chunk per stage"
            )
        if self.sequence_parallel and self.tensor_model_parallel_size == 1:
            raise ValueError(
                "parallel.sequence_parallel=true needs parallel.tensor_model_parallel_size above 1; or set false"
            )
        if self.overlap_param_gather and not (self.use_distributed_optimizer and self.overlap_grad_reduce):
            raise ValueError(
                "parallel.overlap_param_gather=true needs parallel.use_distributed_optimizer=true and "
                "parallel.overlap_grad_reduce=true; set them or use false"
            )
        self._check_recompute()

    def _check_recompute(self) -> None:
        of_full = {"recompute_method": self.recompute_method, "recompute_num_layers": self.recompute_num_layers}
        for name, value in of_full.items():
            if self.recompute_granularity == "full" and value is None:
                raise ValueError(f"parallel.recompute_granularity=full needs parallel.{name}; set it")
            if self.recompute_granularity != "full" and value is not None:
                raise ValueError(f"parallel.{name}={value} needs parallel.recompute_granularity=full; or use null")
        if self.recompute_num_layers is not None and self.recompute_num_layers < 1:
            raise ValueError(f"parallel.recompute_num_layers={self.recompute_num_layers} must be at least 1; raise it")
        if self.recompute_modules is None:
            return
        if self.recompute_granularity != "selective":
            raise ValueError(
                f"parallel.recompute_modules={self.recompute_modules} needs parallel.recompute_granularity=selective; "
                "or use null"
            )
        unknown = sorted(set(self.recompute_modules) - set(RECOMPUTE_MODULES))
        if unknown or not self.recompute_modules:
            raise ValueError(
                f"parallel.recompute_modules={self.recompute_modules} must name some of "
                f"{', '.join(RECOMPUTE_MODULES)}; correct the list"
            )


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig:
    """Number formats. FP8 needs Transformer Engine and a GPU, or can be emulated to compare recipes."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Format of weights and activations; master weights, gradients and optimizer state stay float32. 'auto' is bfloat16
    on a GPU and on a CPU with AVX512-BF16 or AMX, else float32. A resumed run keeps the format of its first start."""
    fp8: Literal["none", "hybrid", "e4m3"] = "none"
    """FP8 format of the matrix products in transformer layers. 'hybrid' uses E4M3, and E5M2 for gradients. The
    embedding and the output head, and so all speech rows, stay in `dtype`."""
    fp8_recipe: Literal["delayed", "tensorwise", "blockwise"] = "delayed"
    """How FP8 scaling factors are chosen."""
    fp8_amax_history_len: int = 1024
    """Window of the delayed recipe: a scale follows the largest value of this many micro-batches."""
    fp8_emulation: bool = False
    """Round as FP8 would around a float32 product, to compare recipes without a GPU; slower than no FP8."""
    first_last_layers_bf16: bool = False
    """Keep the first and last layers out of FP8; not available for the delayed recipe."""
    num_layers_at_start_in_bf16: int = 1
    """Number of first layers for first_last_layers_bf16."""
    num_layers_at_end_in_bf16: int = 1
    """Number of last layers for first_last_layers_bf16."""

    def __post_init__(self) -> None:
        for name, low in (
            ("fp8_amax_history_len", 1),
            ("num_layers_at_start_in_bf16", 0),
            ("num_layers_at_end_in_bf16", 0),
        ):
            if getattr(self, name) < low:
                raise ValueError(f"precision.{name}={getattr(self, name)} must be at least {low}; raise it")
        for name in ("fp8_emulation", "first_last_layers_bf16"):
            if getattr(self, name) and self.fp8 == "none":
                raise ValueError(f"precision.{name}=true has no effect with precision.fp8=none; change one")
        if self.first_last_layers_bf16 and self.fp8_recipe == "delayed":
            raise ValueError(
                "precision.first_last_layers_bf16=true needs precision.fp8_recipe=tensorwise or blockwise: delayed "
                "scales are updated for all layers at once; change one"
            )
        if self.fp8 != "none" and self.dtype == "float32" and not self.fp8_emulation:
            raise ValueError(f"precision.fp8={self.fp8} needs precision.dtype=bfloat16; change one")

    def check_shapes(self, model: ModelConfig, parallel: ParallelConfig, *, tokens: int) -> None:
        """Raise ValueError for sizes that the FP8 recipe cannot divide into whole blocks; without FP8, do nothing.

        Args:
            tokens: of one micro-batch (rows x length).
        """
        if self.fp8 == "none":
            return
        # Tensor cores need operand sizes in multiples of 16; a block-wise scale covers 128 values.
        multiple = 128 if self.fp8_recipe == "blockwise" else 16
        tensor, width = parallel.tensor_model_parallel_size, model.head_dim
        split = parallel.context_parallel_size * (tensor if parallel.sequence_parallel else 1)
        sizes = {
            "model.hidden_size": model.hidden_size,
            "model.ffn_hidden_size / tensor parallel size": model.ffn_hidden_size // tensor,
            "width of all query heads / tensor parallel size": model.num_attention_heads * width // tensor,
            "width of all query, key and value heads / tensor parallel size": (
                (model.num_attention_heads + 2 * model.num_query_groups) * width // tensor
            ),
            "tokens of a micro-batch on one rank": tokens // split,
        }
        for name, size in sizes.items():
            if size % multiple:
                raise ValueError(
                    f"{name} = {size} must be a multiple of {multiple} with precision.fp8_recipe={self.fp8_recipe}; "
                    "change the shape, the layout or the recipe"
                )
        if self.first_last_layers_bf16:
            # megatron-core's limit, which ignores pipeline_model_parallel_layout.
            stages = parallel.pipeline_model_parallel_size
            most = max(self.num_layers_at_start_in_bf16, self.num_layers_at_end_in_bf16)
            if most > model.num_layers // stages:
                raise ValueError(
                    f"precision keeps {most} first or last layers in bfloat16, more than {model.num_layers} layers / "
                    f"{stages} pipeline stages; lower num_layers_at_start_in_bf16 or num_layers_at_end_in_bf16"
                )
