"""The settings of a run that `plan_run` compares with its prediction: `from_run` alone says what was trained.

This works on settings before they become a dataclass, as `base_shape` does. The run folder's config.yaml lies under
what is given; the newest checkpoint tells the vocabulary and the number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from megatron_speech.checkpoint.folder import latest_checkpoint, read_state, read_vocabulary
from megatron_speech.config.parsing.given import Word, merged, read_settings
from megatron_speech.vocabulary import SPECIAL_TOKENS

KEY = "from_run"
COMPARED = (
    "gpus",
    "data.seq_length",
    "train.global_batch_size",
    "train.micro_batch_size",
    "model.num_layers",
    "model.hidden_size",
    "parallel.tensor_model_parallel_size",
    "parallel.pipeline_model_parallel_size",
    "parallel.context_parallel_size",
)
"""Settings without which measured and predicted speeds cannot be compared."""


def with_settings_of_run(schema: type, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what the run `from_run` was trained with, where `values` do not give it.

    Raises ValueError if `values` give something else for what must agree, FileNotFoundError if nothing tells the model.
    """
    if KEY not in {field.name for field in fields(schema)} or not values.get(KEY):
        return values
    folder = Path(str(values[KEY]))
    if not (folder / "config.yaml").is_file():
        if "model" in values:
            return values
        raise FileNotFoundError(f"{KEY}={folder} holds no config.yaml; name a run's folder, or add its --config")
    found = {**read_settings(str(folder / "config.yaml")), **_of_checkpoint(folder / "checkpoints")}
    for key in COMPARED:
        given, own = _at(values, key), _at(found, key)
        given = given.value if isinstance(given, Word) else given
        if None not in (given, own) and given != own:
            raise ValueError(f"{key}={given}, but {KEY}={folder} was trained with {own}; leave it out, or correct it")
    return merged(found, values)


def _of_checkpoint(checkpoints: Path) -> dict[str, Any]:
    """Sizes of the vocabulary, and the number of ranks; nothing if no checkpoint is left."""
    checkpoint = latest_checkpoint(checkpoints)
    if checkpoint is None:
        return {}
    vocabulary = read_vocabulary(checkpoint)
    # The plan counts all special tokens as new; here, the text tokenizer may have had some.
    text = vocabulary.size - len(SPECIAL_TOKENS) - vocabulary.num_speech_ids
    found: dict[str, Any] = {
        "num_text_ids": text,
        "num_speech_ids": vocabulary.num_speech_ids,
        "padding_multiple": vocabulary.padding_multiple,
    }
    layout = read_state(checkpoint).layout
    return {**found, **({"gpus": layout["world_size"]} if layout else {})}


def _at(values: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None if it is absent."""
    found: Any = values
    for part in key.split("."):
        found = found.mapping if isinstance(found, Word) else found
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
