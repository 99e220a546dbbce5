"""Lists the model families by transformers' `model_type`. A new family is one file and one line here."""

from __future__ import annotations

from megatron_speech.checkpoint.families.family import Family
from megatron_speech.checkpoint.families.glm import GLM
from megatron_speech.checkpoint.families.llama import LLAMA
from megatron_speech.checkpoint.families.qwen2 import QWEN2
from megatron_speech.checkpoint.families.qwen3 import QWEN3
from megatron_speech.config.run.model import ModelConfig

FAMILIES: dict[str, Family] = {
    "llama": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "glm": GLM,
}
"""If two families compute the same, a model is exported as the one listed first."""


def require_family(model_type: object, *, holder: str) -> Family:
    """The family named `model_type`; ValueError naming `holder` if it is not in the table."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ValueError(f"{holder}: model_type={model_type} is not among {', '.join(FAMILIES)}; convert another model")
    return FAMILIES[model_type]


def family_of(model: ModelConfig) -> Family:
    """The first family that computes what `model` computes; ValueError if there is none."""
    for family in FAMILIES.values():
        settings = (family.add_qkv_bias, family.qk_layernorm, family.rotary_interleaved)
        if settings == (model.add_qkv_bias, model.qk_layernorm, model.rotary_interleaved) and (
            family.partial_rotary or model.rotary_percent == 1.0
        ):
            return family
    names = ("add_qkv_bias", "qk_layernorm", "rotary_interleaved", "rotary_percent")
    given = ", ".join(f"model.{name}={getattr(model, name)}" for name in names)
    raise ValueError(f"{given}: none of {', '.join(FAMILIES)} computes this; use one family's settings")
