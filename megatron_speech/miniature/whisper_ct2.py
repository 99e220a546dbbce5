"""Converts Whisper from CTranslate2's format to a Hugging Face `WhisperForConditionalGeneration` folder.

A `model.bin` of version 6 is a list of named little-endian arrays. Projections are fused: `linear_0` of self-attention
is [q; k; v], `linear_1` its output. `linear_0` of cross-attention is q, `linear_1` is [k; v], `linear_2` its output.
Whisper's key projections have no bias, so the key part of a fused bias must be zero, else an error is raised. Weights
in float16 become float32 without a change of value. Cost: the file is read into memory (145 MB for base).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.facts.miniature import AssetFacts
from megatron_speech.artifacts.plain_json import to_json

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""CTranslate2's type codes."""
ENGLISH_ONLY_VOCABULARY = 51864
"""Size of Whisper's English-only vocabularies; the multilingual ones are larger."""


def read_ct2(data: bytes, *, name: str) -> dict[str, np.ndarray]:
    """The named arrays of a CTranslate2 `model.bin`.

    Raises ValueError for another model kind or version, and for truncated data.
    """
    reader = _Reader(data, name)
    version, spec = reader.number("I"), reader.string()
    if version != 6 or spec != "WhisperSpec":
        raise ValueError(f"{name}: a CTranslate2 file of version {version} ({spec}), expected version 6 (WhisperSpec)")
    reader.number("I")  # the revision of the specification
    arrays = {}
    for _ in range(reader.number("I")):
        key = reader.string()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = np.dtype(DTYPES[reader.number("B")])
        arrays[key] = np.frombuffer(reader.take(reader.number("I")), dtype).reshape(shape)
    return arrays


def convert_whisper(model: bytes, tokenizer: Path, ct2_config: Path, output: Path, *, name: str) -> AssetFacts:
    """Write the Hugging Face folder `output`: weights, config, generation config, tokenizer; returns facts.

    Raises ValueError if `model` does not hold the weights of a Whisper model.
    """
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    arrays = read_ct2(model, name=name)
    settings: dict[str, Any] = {**whisper_shape(arrays), **_token_ids(tokenizer), "tie_word_embeddings": True}
    config = WhisperConfig(**settings)
    network = WhisperForConditionalGeneration(config)
    state = {key: torch.from_numpy(value.astype(np.float32)) for key, value in hf_weights(arrays).items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    if unexpected or set(missing) - {"proj_out.weight"}:
        raise ValueError(f"{name}: weights do not fit Whisper: missing {missing}, unexpected {unexpected}")
    network.tie_weights()
    suppress = json.loads(ct2_config.read_text())
    network.generation_config = _generation_config(config, tokenizer, suppress)
    network.save_pretrained(output)
    _write_tokenizer(tokenizer, output)
    return AssetFacts(parameters=sum(p.numel() for p in network.parameters()), vocab_size=config.vocab_size)


def whisper_shape(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Sizes for `WhisperConfig`, from the shapes of the arrays."""
    width, mels, _ = arrays["encoder/conv1/weight"].shape
    shape = {
        "vocab_size": arrays["decoder/embeddings/weight"].shape[0],
        "d_model": width,
        "num_mel_bins": mels,
        "max_source_positions": arrays["encoder/position_encodings/encodings"].shape[0],
        "max_target_positions": arrays["decoder/position_encodings/encodings"].shape[0],
    }
    for side in ("encoder", "decoder"):
        layers = {
            key.split("/")[1] for key in arrays if key.startswith(f"{side}/layer_") and "layer_norm/" not in key[:20]
        }
        shape[f"{side}_layers"] = len(layers)
        shape[f"{side}_attention_heads"] = int(arrays[f"{side}/num_heads"])
        shape[f"{side}_ffn_dim"] = arrays[f"{side}/layer_0/ffn/linear_0/weight"].shape[0]
    return shape


def hf_weights(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """CTranslate2's arrays with Hugging Face names and shapes, in their stored number format."""
    weights = {"model.decoder.embed_tokens.weight": arrays["decoder/embeddings/weight"]}
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            weights[f"model.encoder.{conv}.{part}"] = arrays[f"encoder/{conv}/{part}"]
    shape = whisper_shape(arrays)
    for side in ("encoder", "decoder"):
        weights[f"model.{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        weights |= _norm(arrays, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for i in range(shape[f"{side}_layers"]):
            weights |= _layer(arrays, f"{side}/layer_{i}", f"model.{side}.layers.{i}", cross=side == "decoder")
    return weights


def _layer(arrays: dict[str, np.ndarray], old: str, new: str, *, cross: bool) -> dict[str, np.ndarray]:
    weights = _norm(arrays, f"{old}/self_attention/layer_norm", f"{new}.self_attn_layer_norm")
    weights |= _split(arrays, f"{old}/self_attention/linear_0", f"{new}.self_attn", ("q_proj", "k_proj", "v_proj"))
    weights |= _split(arrays, f"{old}/self_attention/linear_1", f"{new}.self_attn", ("out_proj",))
    if cross:
        weights |= _norm(arrays, f"{old}/attention/layer_norm", f"{new}.encoder_attn_layer_norm")
        weights |= _split(arrays, f"{old}/attention/linear_0", f"{new}.encoder_attn", ("q_proj",))
        weights |= _split(arrays, f"{old}/attention/linear_1", f"{new}.encoder_attn", ("k_proj", "v_proj"))
        weights |= _split(arrays, f"{old}/attention/linear_2", f"{new}.encoder_attn", ("out_proj",))
    weights |= _norm(arrays, f"{old}/ffn/layer_norm", f"{new}.final_layer_norm")
    weights |= _split(arrays, f"{old}/ffn/linear_0", new, ("fc1",))
    return weights | _split(arrays, f"{old}/ffn/linear_1", new, ("fc2",))


def _norm(arrays: dict[str, np.ndarray], old: str, new: str) -> dict[str, np.ndarray]:
    return {f"{new}.weight": arrays[f"{old}/gamma"], f"{new}.bias": arrays[f"{old}/beta"]}


def _split(arrays: dict[str, np.ndarray], old: str, new: str, parts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Splits a fused projection into equal `parts` along its rows. Raises ValueError if the key part has a bias."""
    weights = {}
    for part, weight, bias in zip(
        parts,
        np.split(arrays[f"{old}/weight"], len(parts)),
        np.split(arrays[f"{old}/bias"], len(parts)),
        strict=True,
    ):
        weights[f"{new}.{part}.weight"] = weight
        if part != "k_proj":
            weights[f"{new}.{part}.bias"] = bias
        elif bias.any():
            raise ValueError(f"{old}: the key's bias is not zero, so these are not Whisper's weights")
    return weights


def _token_ids(tokenizer: Path) -> dict[str, int]:
    """Special ids for `WhisperConfig`, looked up by name in the tokenizer file."""
    ids = _added_tokens(tokenizer)
    end = ids["<|endoftext|>"]
    return {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": ids["<|startoftranscript|>"],
    }


def _generation_config(config: Any, tokenizer: Path, suppress: dict[str, Any]) -> Any:
    """Settings for greedy English transcription without timestamps; `prompt_ids` is the decoder's prompt."""
    from transformers import GenerationConfig

    ids = _added_tokens(tokenizer)
    multilingual = config.vocab_size > ENGLISH_ONLY_VOCABULARY
    prompt = ["<|en|>", "<|transcribe|>", "<|notimestamps|>"] if multilingual else ["<|notimestamps|>"]
    settings: dict[str, Any] = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
        "suppress_tokens": suppress["suppress_ids"],
        "begin_suppress_tokens": suppress["suppress_ids_begin"],
        "max_length": config.max_target_positions,
        "is_multilingual": multilingual,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prompt_ids": [config.decoder_start_token_id, *(ids[token] for token in prompt)],
    }
    if multilingual:
        settings["lang_to_id"] = {"<|en|>": ids["<|en|>"]}
        settings["task_to_id"] = {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]}
    return GenerationConfig(**settings)


def _added_tokens(tokenizer: Path) -> dict[str, int]:
    return {token["content"]: token["id"] for token in json.loads(tokenizer.read_text())["added_tokens"]}


def _write_tokenizer(tokenizer: Path, output: Path) -> None:
    """Copies the fast tokenizer, and writes the settings that transformers needs to load it."""
    (output / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    end = "<|endoftext|>"
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
    }
    (output / "tokenizer_config.json").write_text(to_json(settings, indent=1) + "\n")
    features = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "sampling_rate": 16000}
    features |= {"hop_length": 160, "n_fft": 400, "chunk_length": 30, "padding_value": 0.0}
    (output / "preprocessor_config.json").write_text(to_json(features, indent=1) + "\n")


class _Reader:
    """A cursor over bytes; reading past the end raises ValueError that names the file."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.offset = memoryview(data), name, 0

    def take(self, size: int) -> memoryview:
        end = self.offset + size
        if end > len(self.data):
            raise ValueError(f"{self.name}: ends at byte {len(self.data)}, {end} are needed; fetch it again")
        self.offset, start = end, self.offset
        return self.data[start:end]

    def number(self, kind: str) -> int:
        found: int = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]
        return found

    def string(self) -> str:
        """A string: two bytes of length, then the bytes and a closing zero, which the length includes."""
        return bytes(self.take(self.number("H"))[:-1]).decode()
