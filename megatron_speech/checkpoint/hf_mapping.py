"""Maps tensors of megatron-core's checkpoints to tensors of Hugging Face decoders; import and export share the table.

The family (`families`) gives the tensors of a layer; those outside the layers are the same in all families.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from megatron_speech.checkpoint.families.family import Entry
from megatron_speech.checkpoint.families.table import family_of
from megatron_speech.config.run.model import ModelConfig

EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"
HF_EMBEDDING, HF_OUTPUT = "model.embed_tokens.weight", "lm_head.weight"

Shape = tuple[int, ...]


_OUTER = (
    Entry(EMBEDDING, {HF_EMBEDDING: "VD"}),
    Entry("decoder.final_layernorm.weight", {"model.norm.weight": "D"}),
)
_OUTPUT = (Entry(OUTPUT, {HF_OUTPUT: "VD"}),)


def entries(model: ModelConfig) -> list[Entry]:
    """The entries of the whole model, layer by layer."""
    layers = [
        Entry(
            f"decoder.layers.{entry.megatron}",
            {f"model.layers.{layer}.{name}": letters for name, letters in entry.hugging_face.items()},
            entry.join,
            layer,
        )
        for layer in range(model.num_layers)
        for entry in family_of(model).layers
    ]
    return [*_OUTER, *layers, *(_OUTPUT if model.untie_embeddings_and_output_weights else ())]


def hugging_face_shapes(model: ModelConfig, *, num_rows: int) -> dict[str, Shape]:
    """Shape of every Hugging Face tensor by name; the embedding has `num_rows` rows."""
    sizes = _sizes(model, num_rows=num_rows)
    return {
        name: tuple(sizes[letter] for letter in letters)
        for entry in entries(model)
        for name, letters in entry.hugging_face.items()
    }


def megatron_shapes(model: ModelConfig, *, num_rows: int) -> dict[str, Shape]:
    """Shape of every checkpoint tensor by key; the layer is the first dimension, the embedding has `num_rows` rows."""
    sizes = _sizes(model, num_rows=num_rows)
    shapes: dict[str, Shape] = {}
    for entry in entries(model):
        parts = [[sizes[letter] for letter in letters] for letters in entry.hugging_face.values()]
        shape = (sum(part[0] for part in parts), *parts[0][1:])
        shapes[entry.megatron] = shape if entry.layer is None else (model.num_layers, *shape)
    return shapes


def join(parts: Sequence[Tensor], entry: Entry, model: ModelConfig) -> Tensor:
    """Join Hugging Face tensors `parts` (in the order of `entry`) into the megatron tensor."""
    if entry.join == "query groups":
        grouped = [part.reshape(model.num_query_groups, -1, *part.shape[1:]) for part in parts]
        return torch.cat(grouped, dim=1).flatten(0, 1)
    return torch.cat(list(parts)) if entry.join == "stacked" else parts[0]


def row_ranges(entry: Entry, model: ModelConfig, *, num_rows: int) -> list[list[tuple[int, int]]]:
    """Inverse of `join`: for each Hugging Face tensor, the row ranges (first, end) of the megatron tensor.

    `num_rows` is the number of embedding rows to export; the padding behind them is cut.
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
    """Raise ValueError for a tensor that is missing, unexpected or of another shape; it names `holder` and the tensor.

    `config` is the name of the file in `holder` that `expected` was derived from.
    """
    if missing := [name for name in expected if name not in found]:
        raise ValueError(
            f"{holder} lacks tensor {missing[0]} ({len(missing)} missing) that its {config} asks for; make them agree"
        )
    if extra := [name for name in found if name not in expected]:
        raise ValueError(
            f"{holder} has tensor {extra[0]} ({len(extra)} extra) that its {config} does not ask for; make them agree"
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
