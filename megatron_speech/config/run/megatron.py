"""Lists the fields of megatron-core's TransformerConfig that `model.megatron` may set, with their types.

The list holds only fields that change speed, memory or dropout. Fields that change the model or its number formats are
excluded. Most of those have a setting of their own, and an export could not record the others. Cost: a new field of
megatron-core has to be reviewed and added here by hand.
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
"""Type of each allowed field. Floats are probabilities, integers are counts."""

_RULES = {float: "must be a number of at least 0 and below 1", int: "must be at least 1", bool: "must be true or false"}


def check_megatron(overrides: Mapping[str, Any]) -> None:
    """Raise ValueError for a field that is not allowed or a value of the wrong type; suggests the closest name."""
    for name, value in overrides.items():
        if name not in ALLOWED:
            near = difflib.get_close_matches(str(name), ALLOWED, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(ALLOWED)}"
            raise ValueError(
                f"model.megatron.{name} is not allowed: only fields that change speed, memory or dropout are; the "
                f"model and its number formats are set in sections model, parallel and precision; {hint}"
            )
        if not _fits(value, ALLOWED[name]):
            raise ValueError(f"model.megatron.{name}={value} {_RULES[ALLOWED[name]]}; correct it")


def _fits(value: Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return isinstance(value, bool) and kind is bool
    if kind is int:
        return isinstance(value, int) and value >= 1
    return isinstance(value, int | float) and 0 <= value < 1
