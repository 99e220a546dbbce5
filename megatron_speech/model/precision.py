"""Translates the precision settings into fields of megatron-core's `TransformerConfig`.

FP8 applies to the matrix products of the transformer layers. Everything else stays in bfloat16 or float32: embedding,
output head, norms, softmax, losses, gradient accumulation and optimizer state. Without a GPU, `precision.fp8_emulation`
makes the same fields choose the emulated layers of `model.fp8_emulation`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.platform.number_format import Dtype, resolve_dtype

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def resolve_precision(precision: PrecisionConfig, *, begun_in: Dtype | None = None) -> tuple[PrecisionConfig, str]:
    """`precision` with `dtype: auto` replaced by a number format for this machine, and one line with the reason.

    `begun_in` is the format of the run that is resumed, if any.
    """
    # Transformer Engine's FP8 needs bfloat16; without a GPU, `transformer_fields` refuses it.
    gpu = torch.cuda.is_available() or (precision.fp8 != "none" and not precision.fp8_emulation)
    dtype, reason = resolve_dtype(precision.dtype, key="precision.dtype", gpu=gpu, begun_in=begun_in)
    return replace(precision, dtype=dtype), reason


def transformer_fields(precision: PrecisionConfig) -> dict[str, Any]:
    """The fields of `TransformerConfig` that follow from `precision`; its `dtype` must not be `auto`.

    Raises ValueError for FP8 that this machine does not support.
    """
    # Number formats.
    dtype = DTYPES[precision.dtype]
    fields: dict[str, Any] = {
        "bf16": dtype is torch.bfloat16,
        "params_dtype": dtype,
        "pipeline_dtype": dtype,
        "autocast_dtype": dtype,
    }
    if precision.fp8 == "none":
        return fields

    # FP8 needs a GPU, or emulation on a machine without one.
    if precision.fp8_emulation and torch.cuda.is_available():
        raise ValueError("precision.fp8_emulation=true is for machines without a GPU, and this one has one; set false")
    if not precision.fp8_emulation and not torch.cuda.is_available():
        raise ValueError(
            f"precision.fp8={precision.fp8} needs Transformer Engine and a GPU; use none on a CPU, or compare recipes "
            "there with precision.fp8_emulation=true"
        )
    return {
        **fields,
        "fp8": precision.fp8,
        "fp8_recipe": precision.fp8_recipe,
        "fp8_amax_history_len": precision.fp8_amax_history_len,
        "fp8_amax_compute_algo": "max",
        "first_last_layers_bf16": precision.first_last_layers_bf16,
        "num_layers_at_start_in_bf16": precision.num_layers_at_start_in_bf16,
        "num_layers_at_end_in_bf16": precision.num_layers_at_end_in_bf16,
    }
