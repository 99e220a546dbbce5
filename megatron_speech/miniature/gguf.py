"""Converts SmolLM2 from a GGUF file to a Hugging Face folder with float32 weights.

GGUF permutes the query and key rows of a Llama: the two rows of a rotary pair are adjacent. Hugging Face keeps them
half a head apart, so the rows are permuted back per head. The `gguf` library dequantises the weights. The result equals
that of transformers' GGUF loader bit by bit, in a third of the time. It can also be saved, which transformers refuses
for models that it has loaded from GGUF. Limitation: only Llama models are supported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from megatron_speech.artifacts.plain_json import to_json

if TYPE_CHECKING:
    from gguf import GGUFReader

logger = logging.getLogger(__name__)

_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def smollm2_to_hf(gguf_path: Path, output: Path) -> None:
    """Write weights (float32), config.json, generation_config.json and tokenizer files into the folder `output`.

    Raises FileNotFoundError without the file, and ValueError that names a tensor or architecture not of a Llama.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer, GenerationConfig

    if not gguf_path.is_file():
        raise FileNotFoundError(f"GGUF file {gguf_path} does not exist; unpack the assets again")
    reader = GGUFReader(gguf_path)
    config = _llama_config(reader, path=gguf_path)
    tensors = dict(_tensors(reader, config=config, path=gguf_path))
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    (output / "model.safetensors").chmod(0o644)  # safetensors writes it readable for the owner only
    (output / "config.json").write_text(to_json(config, indent=2) + "\n")
    GenerationConfig(**{key: config[key] for key in _TOKEN_IDS}).save_pretrained(output)
    AutoTokenizer.from_pretrained(gguf_path.parent, gguf_file=gguf_path.name).save_pretrained(output)
    logger.info("%s: %d tensors written to %s", gguf_path.name, len(tensors), output)


_TOKEN_IDS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}


def _llama_config(reader: GGUFReader, *, path: Path) -> dict[str, Any]:
    """config.json of a LlamaForCausalLM, from the metadata of the GGUF file."""

    def value(key: str) -> Any:
        field = reader.get_field(key)
        if field is None:
            raise ValueError(f"{path}: GGUF metadata lacks {key}; only Llama files with a tokenizer are supported")
        found = field.contents()
        # Metadata floats are float32; their shortest decimal form is the value in the original config (1e-05).
        return float(str(np.float32(found))) if isinstance(found, float) else found

    if value("general.architecture") != "llama":
        raise ValueError(f"{path}: general.architecture={value('general.architecture')} is not llama; use a Llama GGUF")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": value("llama.vocab_size"),
        "hidden_size": value("llama.embedding_length"),
        "intermediate_size": value("llama.feed_forward_length"),
        "num_hidden_layers": value("llama.block_count"),
        "num_attention_heads": value("llama.attention.head_count"),
        "num_key_value_heads": value("llama.attention.head_count_kv"),
        "head_dim": value("llama.rope.dimension_count"),
        "max_position_embeddings": value("llama.context_length"),
        "rms_norm_eps": value("llama.attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": value("llama.rope.freq_base")},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        **{key: value(field) for key, field in _TOKEN_IDS.items()},
    }


def _tensors(reader: GGUFReader, *, config: dict[str, Any], path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields every tensor as (Hugging Face name, float32 array)."""
    from gguf import dequantize

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for tensor in reader.tensors:
        weight = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if tensor.name in _WHOLE:
            yield _WHOLE[tensor.name], weight
            continue
        block, layer, part, *rest = [*tensor.name.split("."), "", "", ""]
        if block != "blk" or part not in _LAYER or rest[0] != "weight":
            raise ValueError(f"{path}: tensor {tensor.name} is not part of a plain Llama; use another file")
        if part in heads:
            weight = _halves_apart(weight, num_heads=heads[part])
        yield f"model.layers.{layer}.{_LAYER[part]}.weight", weight


def _halves_apart(weight: np.ndarray, *, num_heads: int) -> np.ndarray:
    """Permutes rows [heads x (pairs x 2), D], with adjacent rotary pairs, to [heads x (2 x pairs), D]."""
    rows, width = weight.shape
    pairs = weight.reshape(num_heads, rows // num_heads // 2, 2, width)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows, width)
