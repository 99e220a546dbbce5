"""Makes random toy text models of every family with transformers, imports them, and exports them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, GlmConfig, LlamaConfig, PretrainedConfig, Qwen2Config, Qwen3Config

from megatron_speech.checkpoint.hf_export import convert_to_hf
from megatron_speech.checkpoint.hf_import import convert_from_hf
from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.convert import ConvertFromHfConfig, ConvertToHfConfig
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.vocabulary import Vocabulary

SHAPE = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
}
# Qwen3 and GLM-4 have a setting for the width of a head, which may differ from hidden_size / heads.
FAMILIES: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 16}),
    "glm": (GlmConfig, {"head_dim": 16, "pad_token_id": 0, "eos_token_id": 0}),
}


def text_model(
    folder: Path,
    family: str,
    *,
    tied: bool,
    padding_rows: int = 0,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> None:
    """Save a random byte-level model with its tokenizer; `changes` are settings of its configuration.

    Norms and biases are random, too, because errors would not show with ones and zeros.
    """
    tokenizer = TextTokenizer.load("bytes")
    tokenizer.save(folder)
    config_class, own = FAMILIES[family]
    shape = {**SHAPE, "rope_parameters": dict(SHAPE["rope_parameters"]), **own, **changes}
    config = config_class(**shape, vocab_size=tokenizer.size + padding_rows, tie_word_embeddings=tied)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    model.to(dtype).save_pretrained(folder)


def import_text_model(folder: Path) -> tuple[Path, Vocabulary]:
    """Make the folder vocabulary from text, and the checkpoint base from both."""
    build_vocabulary(
        BuildVocabularyConfig(
            output=folder / "vocabulary", text=str(folder / "text"), codebook_size=20, padding_multiple=64
        )
    )
    convert_from_hf(
        ConvertFromHfConfig(model=folder / "text", vocabulary=folder / "vocabulary", output=folder / "base")
    )
    return folder / "base", Vocabulary.load(folder / "vocabulary")


def export(folder: Path, checkpoint: Path, name: str = "hf", **options: Any) -> Path:
    """Export the checkpoint to the folder `name`."""
    convert_to_hf(
        ConvertToHfConfig(checkpoint=checkpoint, vocabulary=folder / "vocabulary", output=folder / name, **options)
    )
    return folder / name


def tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a Hugging Face folder."""
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def require_same_weights(exported: Path, original: Path, *, vocabulary: Vocabulary) -> None:
    """Asserts that all tensors are equal bit by bit; embeddings only in text rows, with one row per id."""
    before, after = tensors(original), tensors(exported)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        got = after[name]
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert got.shape[0] == vocabulary.size
            tensor, got = tensor[: vocabulary.num_text_ids], got[: vocabulary.num_text_ids]
        assert got.dtype == tensor.dtype and torch.equal(got, tensor), name


TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


CHAT = [{"role": "user", "content": "What is <b>tea</b>?  Ü"}, {"role": "assistant", "content": "a drink"}]


ROLES = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "pad_token": "<|pad|>",
    "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
    "padding_side": "left",
    "model_max_length": 777,
    "clean_up_tokenization_spaces": True,
}


GENERATION = {"bos_token_id": 257, "eos_token_id": [258, 256], "pad_token_id": 259, "temperature": 0.6, "top_p": 0.95}


def chat_model(folder: Path, *, generation: dict[str, Any] | None = None, **tokenizer: Any) -> Path:
    """A byte model with the tokens of a chat format (257 to 259)."""
    text_model(folder, "llama", tied=True, padding_rows=13)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    names = ("<|im_start|>", "<|im_end|>", "<|pad|>")
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    backend.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **ROLES, "chat_template": TEMPLATE, **tokenizer}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps(GENERATION if generation is None else generation))
    return folder


def templates(tokenizer: Any) -> list[list[int]]:
    return [
        tokenizer.apply_chat_template(CHAT, add_generation_prompt=prompt, return_dict=False, **options)
        for prompt in (True, False)
        for options in ({}, {"chat_template": "tool_use", "tools": [{"type": "function", "function": {"name": "a"}}]})
        if not options or isinstance(tokenizer.chat_template, dict)
    ]
