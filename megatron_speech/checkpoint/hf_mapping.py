"""Tensor names and layouts of megatron-core's checkpoints and of Hugging Face decoders: one table, read both ways.

An entry says which Hugging Face tensors make one megatron tensor, their shapes in letters, and how they are joined:

    whole          the same tensor under another name
    query groups   q, k, v fused group by group: [q .. q k v] x groups, so that a tensor parallel
                   slice holds whole groups
    stacked        gate above up, the two halves of the gated MLP's first matrix

A family is a table; adding one is adding a table (Qwen2 is Llama's with biases, Qwen3 Llama's with norms of queries and
keys). GLM-4 keeps gate and up in one tensor, in megatron's order, and rotates neighbouring pairs as megatron does with
``rotary_interleaved``: no row moves. megatron's names are those of its checkpoints, where a norm lies beside the matrix
that reads it, as in Transformer Engine's layers.

Shape letters: V embedding rows, D width, Q query heads x head width, K key-value heads x head width, N head width,
F MLP width, E gate and up (2 F).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from megatron_speech.config.run.model import ModelConfig

EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"
HF_EMBEDDING, HF_OUTPUT = "model.embed_tokens.weight", "lm_head.weight"

Join = Literal["whole", "query groups", "stacked"]
Shape = tuple[int, ...]


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


_OUTER = (
    Entry(EMBEDDING, {HF_EMBEDDING: "VD"}),
    Entry("decoder.final_layernorm.weight", {"model.norm.weight": "D"}),
)
_OUTPUT = (Entry(OUTPUT, {HF_OUTPUT: "VD"}),)

_QKV_BIAS = Entry(
    "self_attention.linear_qkv.bias",
    {"self_attn.q_proj.bias": "Q", "self_attn.k_proj.bias": "K", "self_attn.v_proj.bias": "K"},
    "query groups",
)
_ATTENTION = (
    Entry("self_attention.linear_qkv.layer_norm_weight", {"input_layernorm.weight": "D"}),
    Entry(
        "self_attention.linear_qkv.weight",
        {"self_attn.q_proj.weight": "QD", "self_attn.k_proj.weight": "KD", "self_attn.v_proj.weight": "KD"},
        "query groups",
    ),
    Entry("self_attention.linear_proj.weight", {"self_attn.o_proj.weight": "DQ"}),
)
_QK_NORM = (
    Entry("self_attention.q_layernorm.weight", {"self_attn.q_norm.weight": "N"}),
    Entry("self_attention.k_layernorm.weight", {"self_attn.k_norm.weight": "N"}),
)
_MLP_NORM = Entry("mlp.linear_fc1.layer_norm_weight", {"post_attention_layernorm.weight": "D"})
_MLP = (
    _MLP_NORM,
    Entry("mlp.linear_fc1.weight", {"mlp.gate_proj.weight": "FD", "mlp.up_proj.weight": "FD"}, "stacked"),
    Entry("mlp.linear_fc2.weight", {"mlp.down_proj.weight": "DF"}),
)
_FUSED_MLP = (
    _MLP_NORM,
    Entry("mlp.linear_fc1.weight", {"mlp.gate_up_proj.weight": "ED"}),
    Entry("mlp.linear_fc2.weight", {"mlp.down_proj.weight": "DF"}),
)

LAYERS: dict[str, tuple[Entry, ...]] = {
    "llama": (*_ATTENTION, *_MLP),
    "qwen2": (*_ATTENTION, _QKV_BIAS, *_MLP),
    "qwen3": (*_ATTENTION, *_QK_NORM, *_MLP),
    "glm": (*_ATTENTION, _QKV_BIAS, *_FUSED_MLP),
}
"""Tensors of one layer, by transformers' model_type. The embedding, the last norm and the head are common to all."""

_FAMILIES = {
    # (add_qkv_bias, qk_layernorm, rotary_interleaved)
    (False, False, False): "llama",
    (True, False, False): "qwen2",
    (False, True, False): "qwen3",
    (True, False, True): "glm",
}


def family_of(model: ModelConfig) -> str:
    """The family whose class computes what a model of these settings computes; ValueError where none does."""
    settings = (model.add_qkv_bias, model.qk_layernorm, model.rotary_interleaved)
    family = _FAMILIES.get(settings)
    if family is None or (family != "glm" and model.rotary_percent != 1.0):
        names = ("add_qkv_bias", "qk_layernorm", "rotary_interleaved", "rotary_percent")
        given = ", ".join(f"model.{name}={getattr(model, name)}" for name in names)
        raise ValueError(f"{given}: none of {', '.join(LAYERS)} computes this; use one family's settings")
    return family


def entries(model: ModelConfig) -> list[Entry]:
    """The whole table of a model, layer by layer."""
    layers = [
        Entry(
            f"decoder.layers.{entry.megatron}",
            {f"model.layers.{layer}.{name}": letters for name, letters in entry.hugging_face.items()},
            entry.join,
            layer,
        )
        for layer in range(model.num_layers)
        for entry in LAYERS[family_of(model)]
    ]
    return [*_OUTER, *layers, *(_OUTPUT if model.untie_embeddings_and_output_weights else ())]


def hugging_face_shapes(model: ModelConfig, *, num_rows: int) -> dict[str, Shape]:
    """Every Hugging Face tensor of a model with `num_rows` rows of embedding."""
    sizes = _sizes(model, num_rows=num_rows)
    return {
        name: tuple(sizes[letter] for letter in letters)
        for entry in entries(model)
        for name, letters in entry.hugging_face.items()
    }


def megatron_shapes(model: ModelConfig, *, num_rows: int) -> dict[str, Shape]:
    """Every tensor in a checkpoint of a model with `num_rows` rows of embedding; layers are the first dimension."""
    sizes = _sizes(model, num_rows=num_rows)
    shapes: dict[str, Shape] = {}
    for entry in entries(model):
        parts = [[sizes[letter] for letter in letters] for letters in entry.hugging_face.values()]
        shape = (sum(part[0] for part in parts), *parts[0][1:])
        shapes[entry.megatron] = shape if entry.layer is None else (model.num_layers, *shape)
    return shapes


def join(parts: Sequence[Tensor], entry: Entry, model: ModelConfig) -> Tensor:
    """The megatron tensor of `entry` from its Hugging Face tensors."""
    if entry.join == "query groups":
        grouped = [part.reshape(model.num_query_groups, -1, *part.shape[1:]) for part in parts]
        return torch.cat(grouped, dim=1).flatten(0, 1)
    return torch.cat(list(parts)) if entry.join == "stacked" else parts[0]


def row_ranges(entry: Entry, model: ModelConfig, *, num_rows: int) -> list[list[tuple[int, int]]]:
    """Inverse of `join`: for each Hugging Face tensor, the rows (first, end) of the megatron tensor that make it.

    num_rows: rows of the embedding that are wanted, from its first on.
    """
    sizes = _sizes(model, num_rows=num_rows)
    rows = [sizes[letters[0]] for letters in entry.hugging_face.values()]
    groups = model.num_query_groups if entry.join == "query groups" else 1
    ends = list(itertools.accumulate(count // groups for count in rows))
    starts = [0, *ends[:-1]]
    return [
        [(group * ends[-1] + start, group * ends[-1] + end) for group in range(groups)]
        for start, end in zip(starts, ends, strict=True)
    ]


def require_shapes(found: Mapping[str, Shape], expected: Mapping[str, Shape], *, holder: str, config: str) -> None:
    """Refuse tensors that are missing, left over or misshapen; the ValueError names `holder` and the tensor.

    config: name of the file in `holder` that the expectation comes from.
    """
    if missing := [name for name in expected if name not in found]:
        raise ValueError(
            f"{holder} lacks tensor {missing[0]} ({len(missing)} missing) that its {config} asks for; make them agree"
        )
    if extra := [name for name in found if name not in expected]:
        raise ValueError(
            f"{holder} has tensor {extra[0]} ({len(extra)} extra) that its {config} knows nothing of; make them agree"
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise ValueError(
                f"{holder}: tensor {name} has shape {list(found[name])}, its {config} asks for {list(shape)}; "
                "make them agree"
            )


def _sizes(model: ModelConfig, *, num_rows: int) -> dict[str, int]:
    return {
        "V": num_rows,
        "D": model.hidden_size,
        "Q": model.num_attention_heads * model.head_dim,
        "K": model.num_query_groups * model.head_dim,
        "N": model.head_dim,
        "F": model.ffn_hidden_size,
        "E": 2 * model.ffn_hidden_size,
    }
