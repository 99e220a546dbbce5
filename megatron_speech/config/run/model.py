"""Settings of a language model: its shape and initial weights, under Megatron's names."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from megatron_speech.config.parsing.inputs import BaseFolder
from megatron_speech.config.run.megatron import check_megatron

MOST_LAYERS = 10_000
"""Upper limit on layers, far above any real decoder, so that a typo fails before it allocates memory."""


_COUNTS = (
    "num_layers",
    "hidden_size",
    "ffn_hidden_size",
    "num_attention_heads",
    "num_query_groups",
    "max_position_embeddings",
)
_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "int | None": int | None,
    "float": int | float,
    "bool": bool,
    "dict[str, Any]": dict,
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer: RMSNorm, SwiGLU, rotary positions, grouped-query attention. Default size: 18M."""

    base: BaseFolder = "scratch"
    """'scratch', or the folder of an imported checkpoint with the initial weights. A command takes the shape from it;
    keys of the shape that are given too must agree."""
    num_layers: int = 8
    """Transformer layers."""
    hidden_size: int = 256
    """Model width D."""
    ffn_hidden_size: int = 688
    """Width of the gated MLP (SwiGLU)."""
    num_attention_heads: int = 4
    """Query heads."""
    num_query_groups: int = 2
    """Key-value heads (grouped-query attention); must divide num_attention_heads."""
    kv_channels: int | None = None
    """Width of one head; null for hidden_size / num_attention_heads."""
    max_position_embeddings: int = 8192
    """Longest supported sequence, in tokens."""
    rotary_base: float = 100_000.0
    """Base of the rotary frequencies (rope_theta)."""
    rotary_percent: float = 1.0
    """Fraction of each head's width that is rotated, from its start (GLM-4: 0.5)."""
    rotary_interleaved: bool = False
    """Rotate neighbouring pairs of values (GLM-4). False pairs each value with the one half the rotated width away."""
    norm_epsilon: float = 1e-5
    """Epsilon of RMSNorm."""
    qk_layernorm: bool = False
    """Apply RMSNorm to every query and key head before rotation (Qwen3)."""
    add_qkv_bias: bool = False
    """Add a bias in the query, key and value projections (Qwen2, GLM-4)."""
    untie_embeddings_and_output_weights: bool = False
    """Use a separate output head; false reuses the input embedding."""
    init_method_std: float = 0.02
    """Standard deviation of initial weights when training from scratch."""
    megatron: dict[str, Any] = field(default_factory=dict)
    """Fields of megatron-core's TransformerConfig that change only dropout, speed or memory, by their own names."""

    def __post_init__(self) -> None:
        self._check_types()
        # Ranges of single settings first, then settings that depend on each other.
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name}={getattr(self, name)} must be at least 1; use a positive number")
        for name in ("rotary_base", "norm_epsilon", "init_method_std"):
            if not 0 < getattr(self, name) < math.inf:  # false for nan too
                raise ValueError(f"model.{name}={getattr(self, name)} must be above 0 and finite; correct it")
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"model.num_layers={self.num_layers} must be at most {MOST_LAYERS}; correct the number")
        if self.kv_channels is not None and self.kv_channels < 1:
            raise ValueError(f"model.kv_channels={self.kv_channels} must be at least 1, or null")
        if self.num_attention_heads % self.num_query_groups:
            raise ValueError(
                f"model.num_query_groups={self.num_query_groups} must divide "
                f"model.num_attention_heads={self.num_attention_heads}; choose a divisor"
            )
        if self.kv_channels is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"model.hidden_size={self.hidden_size} must be a multiple of "
                f"model.num_attention_heads={self.num_attention_heads}, or set model.kv_channels"
            )
        if not 0 < self.rotary_percent <= 1 or self.rotary_dim % 2 or not self.rotary_dim:
            raise ValueError(
                f"model.rotary_percent={self.rotary_percent} of a head of {self.head_dim} must leave an even, positive "
                "width up to the whole head; use 1, or 0.5"
            )
        if self.max_position_embeddings < 1:
            raise ValueError(
                f"model.max_position_embeddings={self.max_position_embeddings} must be at least 1; raise it"
            )
        for name, high in (("rotary_base", 1e12), ("norm_epsilon", 1.0), ("init_method_std", 100.0)):
            if not 0 < getattr(self, name) <= high:  # true for nan too
                raise ValueError(f"model.{name}={getattr(self, name)} must be above 0 and at most {high:g}; correct it")
        check_megatron(self.megatron)

    def _check_types(self) -> None:
        """Raise ValueError for a field of the wrong type.

        The command line is parsed by type, but the JSON of a checkpoint or a Hugging Face folder is not.
        """
        for field_ in fields(self):
            value, kind = getattr(self, field_.name), str(field_.type).replace("BaseFolder", "str")
            # Python counts a bool as an int; here a bool is never a number.
            if isinstance(value, bool) != (kind == "bool") or not isinstance(value, _TYPES[kind]):
                raise ValueError(f"model.{field_.name}={value!r} must be {kind.removesuffix('[str, Any]')}; correct it")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.kv_channels or self.hidden_size // self.num_attention_heads

    @property
    def rotary_dim(self) -> int:
        """Width of the rotated part of a head."""
        return int(self.head_dim * self.rotary_percent)
