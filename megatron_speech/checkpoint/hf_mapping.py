"""Tensor names and layouts of megatron-core's GPTModel and of Hugging Face decoders: one table, read both ways.

An entry says which Hugging Face tensors make one megatron tensor, their shapes in letters, and how they are joined:

    whole          the same tensor under another name
    query groups   q, k, v fused group by group: [q .. q k v] x groups, so that a tensor parallel
                   slice holds whole groups
    stacked        gate above up, the two halves of the gated MLP's first matrix

A family is a table; adding one is adding a table (Qwen2 is Llama's with biases). Norm weights have two names in
megatron-core: plain layers keep the norm beside the matrix, Transformer Engine fuses it into the matrix that
follows; both are understood. Anything missing, left over or misshapen is a ValueError that names the tensor.

Shape letters: V embedding rows, D width, Q query heads x head width, K key-value heads x head width, F MLP width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from megatron_speech.config.model import ModelConfig

EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"

Join = Literal["whole", "query groups", "stacked"]


@dataclass(frozen=True)
class Entry:
    """One megatron tensor and the Hugging Face tensors that it holds; names may contain {layer}."""

    megatron: str
    hugging_face: dict[str, str]
    """Name to shape letters, in the order of joining."""
    join: Join = "whole"


_OUTER = (
    Entry(EMBEDDING, {"model.embed_tokens.weight": "VD"}),
    Entry("decoder.final_layernorm.weight", {"model.norm.weight": "D"}),
)
_OUTPUT = (Entry(OUTPUT, {"lm_head.weight": "VD"}),)
_QKV_BIAS = (
    Entry(
        "self_attention.linear_qkv.bias",
        {"self_attn.q_proj.bias": "Q", "self_attn.k_proj.bias": "K", "self_attn.v_proj.bias": "K"},
        "query groups",
    ),
)
_LLAMA_LAYER = (
    Entry("input_layernorm.weight", {"input_layernorm.weight": "D"}),
    Entry(
        "self_attention.linear_qkv.weight",
        {"self_attn.q_proj.weight": "QD", "self_attn.k_proj.weight": "KD", "self_attn.v_proj.weight": "KD"},
        "query groups",
    ),
    Entry("self_attention.linear_proj.weight", {"self_attn.o_proj.weight": "DQ"}),
    Entry("pre_mlp_layernorm.weight", {"post_attention_layernorm.weight": "D"}),
    Entry("mlp.linear_fc1.weight", {"mlp.gate_proj.weight": "FD", "mlp.up_proj.weight": "FD"}, "stacked"),
    Entry("mlp.linear_fc2.weight", {"mlp.down_proj.weight": "DF"}),
)

# Where Transformer Engine layers keep a norm's weight: inside the matrix that reads it.
_FUSED_NORM = {
    "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
    "pre_mlp_layernorm.weight": "mlp.linear_fc1.layer_norm_weight",
}

LAYERS: dict[str, tuple[Entry, ...]] = {
    "llama": _LLAMA_LAYER,
    "qwen2": (*_LLAMA_LAYER, *_QKV_BIAS),
}
"""Tensors of one layer, by transformers' model_type. The embedding, the last norm and the head are common to all."""


def family_of(model: ModelConfig) -> str:
    """The simplest family that can hold a model of this shape."""
    return "qwen2" if model.add_qkv_bias else "llama"


def to_megatron(
    tensors: Mapping[str, Tensor], *, model: ModelConfig, names: Collection[str]
) -> Iterator[tuple[str, Tensor]]:
    """Hugging Face tensors as megatron's, one by one. `names`: the target model's, to choose where norms go."""
    expected = {name for entry in _entries(model) for name in entry.hugging_face}
    _require_same_names(set(tensors), expected, holder="Hugging Face folder")
    sizes = _sizes(model, num_rows=tensors["model.embed_tokens.weight"].shape[0])
    for entry in _entries(model):
        parts = []
        for name, letters in entry.hugging_face.items():
            _require_shape(name, tensors[name], tuple(sizes[letter] for letter in letters))
            parts.append(tensors[name])
        yield _name_among(names, entry), _join(parts, entry.join, model)


def to_hugging_face(tensors: Mapping[str, Tensor], *, model: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """megatron's tensors (all layers, unsharded) as Hugging Face's, one by one: the inverse of `to_megatron`."""
    entries = _entries(model)
    _require_same_names(set(tensors), {_name_among(tensors, entry) for entry in entries}, holder="megatron checkpoint")
    sizes = _sizes(model, num_rows=tensors[EMBEDDING].shape[0])
    for entry in entries:
        name = _name_among(tensors, entry)
        shapes = [tuple(sizes[letter] for letter in letters) for letters in entry.hugging_face.values()]
        joined = tensors[name]
        _require_shape(name, joined, (sum(shape[0] for shape in shapes), *shapes[0][1:]))
        parts = _split(joined, [shape[0] for shape in shapes], entry.join, model)
        yield from zip(entry.hugging_face, parts, strict=True)


def _entries(model: ModelConfig) -> list[Entry]:
    """The whole table of a model, layer numbers filled in."""
    layers = [
        Entry(
            f"decoder.layers.{layer}.{entry.megatron}",
            {f"model.layers.{layer}.{name}": letters for name, letters in entry.hugging_face.items()},
            entry.join,
        )
        for layer in range(model.num_layers)
        for entry in LAYERS[family_of(model)]
    ]
    return [*_OUTER, *layers, *(_OUTPUT if model.untie_embeddings_and_output_weights else ())]


def _sizes(model: ModelConfig, *, num_rows: int) -> dict[str, int]:
    return {
        "V": num_rows,
        "D": model.hidden_size,
        "Q": model.num_attention_heads * model.head_dim,
        "K": model.num_query_groups * model.head_dim,
        "F": model.ffn_hidden_size,
    }


def _name_among(names: Collection[str], entry: Entry) -> str:
    """The entry's megatron name, or the one under which Transformer Engine keeps it when that is what there is."""
    for plain, fused in _FUSED_NORM.items():
        if entry.megatron.endswith("." + plain):
            alias = entry.megatron.removesuffix(plain) + fused
            return alias if alias in names else entry.megatron
    return entry.megatron


def _join(parts: list[Tensor], join: Join, model: ModelConfig) -> Tensor:
    """Hugging Face tensors to one megatron tensor."""
    if join == "query groups":
        grouped = [part.reshape(model.num_query_groups, -1, *part.shape[1:]) for part in parts]
        return torch.cat(grouped, dim=1).flatten(0, 1)
    return torch.cat(parts) if join == "stacked" else parts[0]


def _split(joined: Tensor, rows: list[int], join: Join, model: ModelConfig) -> list[Tensor]:
    """Inverse of `_join`; `rows` of each part."""
    if join == "query groups":
        groups = model.num_query_groups
        grouped = joined.reshape(groups, -1, *joined.shape[1:]).split([count // groups for count in rows], dim=1)
        return [part.flatten(0, 1) for part in grouped]
    return list(joined.split(rows))


def _require_same_names(found: set[str], expected: set[str], *, holder: str) -> None:
    if missing := sorted(expected - found):
        raise ValueError(
            f"{holder} lacks tensor {missing[0]} ({len(missing)} missing); its shape or family differs from model.json"
        )
    if extra := sorted(found - expected):
        raise ValueError(
            f"{holder} has unknown tensor {extra[0]} ({len(extra)} extra); its family or settings are not understood"
        )


def _require_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"tensor {name} has shape {list(tensor.shape)}, the model's shape asks for {list(shape)}")
