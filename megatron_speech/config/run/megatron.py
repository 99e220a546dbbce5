"""Which fields of megatron-core's TransformerConfig `model.megatron` may set, and what they take.

A list of what is allowed, not of what is forbidden: everything else has a setting of its own, or changes what the model
computes or in which number formats, which an export could not say. Price: a field that is new in megatron-core waits
until somebody has seen that it changes speed, memory or dropout alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

ALLOWED: dict[str, type] = {
    "hidden_dropout": float,
    "attention_dropout": float,
    "bias_activation_fusion": bool,
    "bias_dropout_fusion": bool,
    "cross_entropy_loss_fusion": bool,
    "clone_scatter_output_in_embedding": bool,
    "deterministic_mode": bool,
    "disable_parameter_transpose_cache": bool,
    "distribute_saved_activations": bool,
    "batch_p2p_comm": bool,
    "batch_p2p_sync": bool,
    "deallocate_pipeline_outputs": bool,
    "overlap_p2p_comm": bool,
    "overlap_p2p_comm_warmup_flush": bool,
    "microbatch_group_size_per_vp_stage": int,
    "num_microbatches_with_partial_activation_checkpoints": int,
}
"""Name and type; numbers with a point are probabilities, whole numbers counts."""

_RULES = {float: "must be a number of at least 0 and below 1", int: "must be at least 1", bool: "must be true or false"}


def check_megatron(overrides: Mapping[str, Any]) -> None:
    """ValueError of one line for a name that is not allowed, with a near one, or a value that is none of its type."""
    for name, value in overrides.items():
        if name not in ALLOWED:
            near = difflib.get_close_matches(str(name), ALLOWED, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(ALLOWED)}"
            raise ValueError(
                f"model.megatron.{name} is not taken: what changes the model or its number formats has its own key in "
                f"section model, parallel or precision, or none, because an export could not say it; {hint}"
            )
        if not _fits(value, ALLOWED[name]):
            raise ValueError(f"model.megatron.{name}={value} {_RULES[ALLOWED[name]]}; correct it")


def _fits(value: Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return isinstance(value, bool) and kind is bool
    if kind is int:
        return isinstance(value, int) and value >= 1
    return isinstance(value, int | float) and 0 <= value < 1
