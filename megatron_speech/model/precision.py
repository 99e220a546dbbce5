"""What the precision settings mean to megatron-core: number formats here, FP8 arithmetic in Transformer Engine.

FP8 applies to the matrix products of the transformer layers. Embedding, output head, norms, softmax, losses, gradients'
accumulation and optimizer state stay in bfloat16 or float32.
"""

from __future__ import annotations

from typing import Any

import torch

from megatron_speech.config.parallel import PrecisionConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def transformer_fields(precision: PrecisionConfig) -> dict[str, Any]:
    """The fields of `TransformerConfig` that `precision` decides; ValueError for FP8 without a GPU."""
    dtype = DTYPES[precision.dtype]
    fields: dict[str, Any] = {
        "bf16": dtype is torch.bfloat16,
        "params_dtype": dtype,
        "pipeline_dtype": dtype,
        "autocast_dtype": dtype,
    }
    if precision.fp8 == "none":
        return fields
    if not torch.cuda.is_available():
        raise ValueError(f"precision.fp8={precision.fp8} needs Transformer Engine and a GPU; use none on a CPU")
    if dtype is not torch.bfloat16:
        raise ValueError(f"precision.fp8={precision.fp8} needs precision.dtype=bfloat16; change one")
    # Delayed scaling: the amax window and reduction of Megatron's own FP8 recipes.
    delayed = (
        {"fp8_amax_history_len": 1024, "fp8_amax_compute_algo": "max"} if precision.fp8_recipe == "delayed" else {}
    )
    return {**fields, "fp8": precision.fp8, "fp8_recipe": precision.fp8_recipe, **delayed}
