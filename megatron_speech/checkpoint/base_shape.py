"""The shape of a model from its base: settings that name `model.base` need not repeat num_layers, hidden_size, ...

This works on settings before they become a dataclass, because only they tell which keys were given. If the sizes are
given, the base need not exist: planning needs no weights, and a resumed run no base.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megatron_speech.checkpoint.folder import NOT_SHAPE, read_model_config, require_equal_shapes
from megatron_speech.config.parsing.build import Builder
from megatron_speech.config.parsing.given import merged
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.parsing.printed import printed_section
from megatron_speech.config.run.model import ModelConfig

SHAPE_FILE = "model.yaml"
SIZES = ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups")
"""Keys that settings must give if the base is not there."""


def with_shape_of_base(schema: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the keys of the shape that `values` leave out, if `schema` trains a model and `values` name its base.

    Raises FileNotFoundError if the base is needed and absent, ValueError naming each given key that differs from it.
    """
    if typing.get_type_hints(schema).get("model") is not ModelConfig:
        return values
    model = merged({"model": {}}, {"model": values.get("model", {})})["model"]
    if not isinstance(model, Mapping) or not isinstance(base := model.get("base"), str) or base in ("", "scratch"):
        return values
    kinds = {name: kind for name, kind in typing.get_type_hints(ModelConfig).items() if name not in NOT_SHAPE}
    lacking = [name for name in kinds if name not in model]
    unsized = [f"model.{name}" for name in lacking if name in SIZES]
    if not lacking or not (unsized or (Path(base) / "model.json").is_file()):
        return values
    try:
        shape = _shape(read_model_config(Path(base)))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"model.base={base}: {error}; or give the shape: {', '.join(unsized)}") from error
    given = {name: Builder().value(kinds[name], model[name], f"model.{name}") for name in kinds if name in model}
    require_equal_shapes(Path(base), _heads(shape), _heads({**shape, **given}))
    return merged(values, {"model": {**shape, **model}})


def shape_file(model: ModelConfig) -> str:
    """Content of model.yaml beside an import: the shape alone, commented, for ``--config``."""
    about = (
        "Shape of the imported model, for any training: --config model.yaml --config run.yaml. A run that starts from "
        "this folder needs no more than model.base."
    )
    return printed_section("model", ModelConfig, _shape(model), description=about)


def _shape(model: ModelConfig) -> dict[str, Any]:
    """Settings of the shape; kv_channels is null where it says nothing, as in settings written by hand."""
    shape = {name: value for name, value in to_dict(model).items() if name not in NOT_SHAPE}
    plain = model.head_dim * model.num_attention_heads == model.hidden_size
    return {**shape, "kv_channels": None if plain else model.head_dim}


def _heads(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The shape with the width of a head where kv_channels is null; a number of 0 heads is refused later."""
    return {
        **shape,
        "kv_channels": shape["kv_channels"] or shape["hidden_size"] // max(1, shape["num_attention_heads"]),
    }
