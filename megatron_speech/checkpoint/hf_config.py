"""Model shapes in the two languages: `ModelConfig` and transformers' config.json.

What a family can say and this project cannot (another activation, scaled rotary positions, a sliding window) is
refused by name instead of dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig, GenerationConfig, LlamaConfig, PretrainedConfig, Qwen2Config

from megatron_speech.checkpoint.hf_mapping import LAYERS, family_of
from megatron_speech.config.model import ModelConfig
from megatron_speech.vocabulary import Vocabulary

_CONFIGS: dict[str, tuple[type[PretrainedConfig], str]] = {
    "llama": (LlamaConfig, "LlamaForCausalLM"),
    "qwen2": (Qwen2Config, "Qwen2ForCausalLM"),
}

# Settings that must have these values where the family has them at all.
_REQUIRED = {"hidden_act": "silu", "mlp_bias": False, "use_sliding_window": False, "attention_bias": False}


def read_model_config(folder: Path) -> ModelConfig:
    """Shape of the model in a Hugging Face folder; ValueError names what this project cannot hold."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no config.json: not a Hugging Face folder; check the path")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in LAYERS:
        raise ValueError(
            f"{folder}: model_type={config.model_type} is not among {', '.join(LAYERS)}; convert another model"
        )
    for name, value in _REQUIRED.items():
        if getattr(config, name, value) != value:
            raise ValueError(
                f"{folder}: {name}={getattr(config, name)} in config.json must be {value}; convert another model"
            )
    rope = config.rope_parameters
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError(f"{folder}: rope_parameters={rope} are not plain rotary positions; convert another model")
    usual_width = config.hidden_size // config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or usual_width
    return ModelConfig(
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        ffn_hidden_size=config.intermediate_size,
        num_attention_heads=config.num_attention_heads,
        num_query_groups=config.num_key_value_heads,
        kv_channels=None if head_width == usual_width else head_width,
        max_position_embeddings=config.max_position_embeddings,
        rotary_base=rope["rope_theta"],
        norm_epsilon=config.rms_norm_eps,
        add_qkv_bias=config.model_type == "qwen2",
        untie_embeddings_and_output_weights=not config.tie_word_embeddings,
        init_method_std=config.initializer_range,
    )


def write_model_config(
    folder: Path, model: ModelConfig, *, vocabulary: Vocabulary, dtype: Literal["float32", "bfloat16"]
) -> None:
    """config.json and generation_config.json: unpadded vocabulary, end of document as end and as padding."""
    config_class, architecture = _CONFIGS[family_of(model)]
    ids = {"bos_token_id": None, "eos_token_id": vocabulary.end_of_document, "pad_token_id": vocabulary.end_of_document}
    values: dict[str, Any] = {
        "architectures": [architecture],
        "dtype": dtype,
        "vocab_size": vocabulary.size,
        "num_hidden_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.ffn_hidden_size,
        "num_attention_heads": model.num_attention_heads,
        "num_key_value_heads": model.num_query_groups,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.max_position_embeddings,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rotary_base},
        "rms_norm_eps": model.norm_epsilon,
        "initializer_range": model.init_method_std,
        "tie_word_embeddings": not model.untie_embeddings_and_output_weights,
        **ids,
    }
    config_class(**values).save_pretrained(folder)
    GenerationConfig(**ids).save_pretrained(folder)
