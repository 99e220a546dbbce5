"""What a family of Hugging Face decoders is: its classes, its settings and the tensors of its layers.

An entry says which Hugging Face tensors make one megatron tensor, their shapes in letters, and how they are joined:

    whole          the same tensor under another name
    query groups   q, k, v fused group by group: [q .. q k v] x groups, so that a tensor parallel
                   slice holds whole groups
    stacked        gate above up, the two halves of the gated MLP's first matrix

Megatron's names are those of its checkpoints, where a norm lies beside the matrix that reads it, as in Transformer
Engine's layers. Shape letters: V embedding rows, D width, Q query heads x head width, K key-value heads x head width,
N head width, F MLP width, E gate and up (2 F).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from transformers import PretrainedConfig

Join = Literal["whole", "query groups", "stacked"]


@dataclass(frozen=True)
class Entry:
    """One megatron tensor and the Hugging Face tensors that it holds."""

    megatron: str
    """Key in a checkpoint; the tensors of all layers have one key."""
    hugging_face: dict[str, str]
    """Name to shape letters, in the order of joining."""
    join: Join = "whole"
    layer: int | None = None
    """Number of the layer; None for a tensor outside the layers."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of decoders with RMSNorm, a gated MLP and rotary positions."""

    model_type: str
    """transformers' name, in config.json."""
    config_class: type[PretrainedConfig]
    """transformers' configuration."""
    architecture: str
    """transformers' model class, in config.json."""
    layers: tuple[Entry, ...]
    """Tensors of one layer. The embedding, the last norm and the head are common to all families."""
    add_qkv_bias: bool = False
    """Whether queries, keys and values have biases; the next two are `ModelConfig`'s settings too."""
    qk_layernorm: bool = False
    """Whether queries and keys are normalised."""
    rotary_interleaved: bool = False
    """Whether rotary positions turn neighbouring numbers of a head, not its halves."""
    partial_rotary: bool = False
    """Whether only a part of a head may be turned (`partial_rotary_factor`)."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """Settings of config.json that must have these values; an export writes them."""
