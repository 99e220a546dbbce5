"""Describes a family of Hugging Face decoders: its classes, its settings and the tensors of its layers.

An `Entry` names the Hugging Face tensors that make one megatron tensor, their shapes in letters, and how to join them:

    whole          The same tensor under another name.
    query groups   q, k and v fused group by group: [q .. q k v] x groups.
                   A tensor parallel slice then holds whole groups.
    stacked        The gate above the up projection: the gated MLP's first matrix.

Megatron's names are those in its checkpoints. As in Transformer Engine's layers, a norm belongs to the matrix that
follows it.

Shape letters: V embedding rows, D width, N head width, Q query heads x N, K key-value heads x N, F MLP width, E gate
and up (2 F).
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
    """Name: shape letters, in the order of joining."""
    join: Join = "whole"
    layer: int | None = None
    """Number of the layer; None for a tensor outside the layers."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of decoders with RMSNorm, a gated MLP and rotary positions."""

    model_type: str
    """`model_type` in config.json."""
    config_class: type[PretrainedConfig]
    """The family's configuration class in transformers."""
    architecture: str
    """Name of the model class in transformers, as config.json gives it."""
    layers: tuple[Entry, ...]
    """Tensors of one layer. The embedding, the last norm and the head are common to all families."""
    add_qkv_bias: bool = False
    """Whether queries, keys and values have biases. This and the next two are also settings of `ModelConfig`."""
    qk_layernorm: bool = False
    """Whether queries and keys are normalised."""
    rotary_interleaved: bool = False
    """Whether rotary positions rotate neighbouring pairs of a head, instead of pairs across its two halves."""
    partial_rotary: bool = False
    """Whether rotary positions may apply to only a part of a head (`partial_rotary_factor`)."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """Settings of config.json that must have these values; an export writes them."""
