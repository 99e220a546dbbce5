"""Converts between `ModelConfig` and transformers' config.json.

Settings that this project does not support are refused by name, such as another activation, scaled rotary positions or
a sliding window. Settings without effect are accepted, such as a factor of 1 or a window as long as the longest input.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PretrainedConfig, __version__

from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.checkpoint.families.family import Family
from megatron_speech.checkpoint.families.table import family_of, require_family
from megatron_speech.config.run.model import MOST_LAYERS, ModelConfig
from megatron_speech.text_tokenizer.base_files import GENERATION, special_ids
from megatron_speech.text_tokenizer.vocabulary_folder import KEPT
from megatron_speech.vocabulary import Vocabulary

# Values that these settings must have in every family with such a setting.
_REQUIRED = {"mlp_bias": False, "quantization_config": None}
_SILU = ("silu", "swish")  # two names of one function
# Scalings of rotary positions that have no effect if their factor is 1.
_SCALED_ROPE = ("linear", "dynamic", "yarn", "llama3")


def read_hf_config(folder: Path) -> PretrainedConfig:
    """config.json of a Hugging Face folder; ValueError names a setting that is damaged or not supported."""
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no config.json: not a Hugging Face folder; check the path (names on a hub are not fetched)"
        )
    content = read_json(path)
    content = content if isinstance(content, dict) else {}
    require_family(content.get("model_type"), holder=str(path))
    layers = content.get("num_hidden_layers")
    if isinstance(layers, int) and layers > MOST_LAYERS:  # transformers would make a list of that length
        raise ValueError(
            f"{path}: num_hidden_layers={layers} must be at most {MOST_LAYERS}; restore the model's own file"
        )
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (StrictDataclassError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} contradicts itself ({reason}); restore the model's own file") from error
    refuse_other_architectures(config, holder=str(path))
    return config


def refuse_other_architectures(config: PretrainedConfig, *, holder: str) -> Family:
    """The family of `config`; ValueError naming the first setting that this project does not support."""
    family = require_family(config.model_type, holder=holder)
    for name, value in {**_REQUIRED, **family.required}.items():
        if getattr(config, name, value) != value:
            raise ValueError(f"{holder}: {name}={getattr(config, name)} must be {value}; convert another model")
    if config.hidden_act not in _SILU:
        raise ValueError(f"{holder}: hidden_act={config.hidden_act} must be silu; convert another model")
    rope = config.rope_parameters
    if not _is_plain(rope) or (not family.partial_rotary and rope.get("partial_rotary_factor", 1) != 1):
        raise ValueError(f"{holder}: rope_parameters={rope} are not plain rotary positions; convert another model")
    _refuse_sliding_window(config, holder=holder)
    return family


def _is_plain(rope: Mapping[str, Any]) -> bool:
    """Whether rotary positions are used without any scaling."""
    if rope.get("rope_type", "default") == "default":
        return True
    return rope["rope_type"] in _SCALED_ROPE and rope.get("factor") == 1 and rope.get("attention_factor") in (None, 1)


def _refuse_sliding_window(config: PretrainedConfig, *, holder: str) -> None:
    """Raise ValueError if a sliding window in use is shorter than the longest input."""
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    if unknown := sorted(layers - {"full_attention", "sliding_attention"}):
        raise ValueError(
            f"{holder}: layer_types has {unknown[0]}, which no family here computes; convert another model"
        )
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", False) else None
    if "sliding_attention" in layers and window is not None and window < config.max_position_embeddings:
        raise ValueError(
            f"{holder}: use_sliding_window=True with sliding_window={window} below max_position_embeddings="
            f"{config.max_position_embeddings} hides tokens from some layers; convert another model"
        )


def read_model_config(folder: Path) -> ModelConfig:
    """Shape of the model in a Hugging Face folder; ValueError names a setting that is not supported."""
    return model_config_of(read_hf_config(folder), holder=str(folder / "config.json"))


def model_config_of(config: PretrainedConfig, *, holder: str) -> ModelConfig:
    """The `ModelConfig` of a `config` that `read_hf_config` has checked; ValueError naming `holder`."""
    family = require_family(config.model_type, holder=holder)
    # kv_channels stays None for the usual head width, hidden_size / heads.
    heads = config.num_attention_heads
    usual_width = config.hidden_size // heads if heads > 0 and config.hidden_size % heads == 0 else None
    head_width = getattr(config, "head_dim", None)
    head_width = usual_width if head_width is None else head_width
    rope = config.rope_parameters
    try:
        return ModelConfig(
            num_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            ffn_hidden_size=config.intermediate_size,
            num_attention_heads=heads,
            num_query_groups=config.num_key_value_heads,
            kv_channels=None if head_width == usual_width else head_width,
            max_position_embeddings=config.max_position_embeddings,
            rotary_base=rope["rope_theta"],
            rotary_percent=rope.get("partial_rotary_factor", 1.0),
            rotary_interleaved=family.rotary_interleaved,
            norm_epsilon=config.rms_norm_eps,
            qk_layernorm=family.qk_layernorm,
            add_qkv_bias=family.add_qkv_bias,
            untie_embeddings_and_output_weights=not config.tie_word_embeddings,
            init_method_std=config.initializer_range,
        )
    except ValueError as error:
        raise ValueError(f"{holder} contradicts itself: {error}") from error


def write_model_config(
    folder: Path,
    model: ModelConfig,
    *,
    vocabulary: Vocabulary,
    dtype: Literal["float32", "bfloat16"],
    generation: Mapping[str, Any],
) -> None:
    """Write config.json and generation_config.json, for the unpadded vocabulary.

    Args:
        generation: generation settings of the base model. They are kept, and the end of document becomes one more end
            token. If they are empty, it is the only end token and the padding token.
    """
    # Settings that depend on the family or on the vocabulary.
    family = family_of(model)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": model.rotary_base}
    if family.partial_rotary:
        rope["partial_rotary_factor"] = model.rotary_percent
    ids = special_ids(generation, vocabulary)
    # config.json
    values: dict[str, Any] = {
        "architectures": [family.architecture],
        "dtype": dtype,
        "vocab_size": vocabulary.size,
        "num_hidden_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.ffn_hidden_size,
        "num_attention_heads": model.num_attention_heads,
        "num_key_value_heads": model.num_query_groups,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.max_position_embeddings,
        "rope_parameters": rope,
        "rms_norm_eps": model.norm_epsilon,
        "initializer_range": model.init_method_std,
        "tie_word_embeddings": not model.untie_embeddings_and_output_weights,
        **family.required,
        **ids,
        KEPT: vocabulary.to_json(),
    }
    family.config_class(**values).save_pretrained(folder)
    # generation_config.json, written directly: transformers refuses to save some settings that it reads.
    settings = {**generation, **ids, "transformers_version": __version__}
    write_atomic(folder / GENERATION, to_json(settings, indent=2) + "\n")
