"""CTranslate2's fused Whisper layout, taken apart again: what a toy model was before it was packed, to the bit."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from megatron_speech.miniature.whisper_ct2 import convert_whisper, read_ct2

SPECIALS = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>"]


def toy() -> WhisperForConditionalGeneration:
    torch.manual_seed(1)
    config = WhisperConfig(
        vocab_size=32,
        num_mel_bins=4,
        d_model=8,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=16,
        max_source_positions=10,
        max_target_positions=6,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
    )
    model = WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():  # what the package's float16 holds
        parameter.data = torch.randn_like(parameter).half().float()
    return model


def packed(model: WhisperForConditionalGeneration) -> dict[str, np.ndarray]:
    """The arrays of CTranslate2 for `model`, by its naming and fusing."""
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    arrays: dict[str, np.ndarray] = {"decoder/embeddings/weight": state["model.decoder.embed_tokens.weight"]}

    def norm(new: str, old: str) -> None:
        arrays[f"{new}/gamma"], arrays[f"{new}/beta"] = state[f"{old}.weight"], state[f"{old}.bias"]

    def fuse(new: str, *old: str) -> None:
        arrays[f"{new}/weight"] = np.concatenate([state[f"{name}.weight"] for name in old])
        biases = [state.get(f"{name}.bias", np.zeros(len(state[f"{name}.weight"]), np.float32)) for name in old]
        arrays[f"{new}/bias"] = np.concatenate(biases)

    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            arrays[f"encoder/{conv}/{part}"] = state[f"model.encoder.{conv}.{part}"]
    for side, layers in (("encoder", 2), ("decoder", 1)):
        arrays[f"{side}/position_encodings/encodings"] = state[f"model.{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for i in range(layers):
            new, old = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
            norm(f"{new}/self_attention/layer_norm", f"{old}.self_attn_layer_norm")
            norm(f"{new}/ffn/layer_norm", f"{old}.final_layer_norm")
            fuse(f"{new}/self_attention/linear_0", *(f"{old}.self_attn.{part}_proj" for part in "qkv"))
            fuse(f"{new}/self_attention/linear_1", f"{old}.self_attn.out_proj")
            fuse(f"{new}/ffn/linear_0", f"{old}.fc1")
            fuse(f"{new}/ffn/linear_1", f"{old}.fc2")
            if side == "decoder":
                norm(f"{new}/attention/layer_norm", f"{old}.encoder_attn_layer_norm")
                fuse(f"{new}/attention/linear_0", f"{old}.encoder_attn.q_proj")
                fuse(f"{new}/attention/linear_1", *(f"{old}.encoder_attn.{part}_proj" for part in "kv"))
                fuse(f"{new}/attention/linear_2", f"{old}.encoder_attn.out_proj")
    return {key: value.astype(np.float16) for key, value in arrays.items()}


def ct2_bytes(arrays: dict[str, np.ndarray], *, version: int = 6) -> bytes:
    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    scalars = {"encoder/num_heads": np.int16(2), "decoder/num_heads": np.int16(2)}
    data = struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<I", 3)
    data += struct.pack("<I", len(arrays) + len(scalars))
    for name, array in {**arrays, **scalars}.items():
        values = np.asarray(array)
        data += string(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        data += struct.pack("<BI", 4 if values.dtype == np.float16 else 2, values.nbytes) + values.tobytes()
    return data


@pytest.fixture
def beside(tmp_path: Path) -> tuple[Path, Path]:
    """The tokenizer and configuration files that lie beside a model.bin."""
    tokens = [{"id": number, "content": content} for number, content in enumerate(SPECIALS)]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    (tmp_path / "config.json").write_text(json.dumps({"suppress_ids": [2, 3], "suppress_ids_begin": [4]}))
    return tmp_path / "tokenizer.json", tmp_path / "config.json"


def test_weights_come_back_bit_equal(tmp_path: Path, beside: tuple[Path, Path]) -> None:
    model = toy()
    facts = convert_whisper(ct2_bytes(packed(model)), *beside, tmp_path / "hf", name="toy")
    loaded = WhisperForConditionalGeneration.from_pretrained(tmp_path / "hf").eval()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert facts.vocab_size == 32 and loaded.config.encoder_ffn_dim == 12
    assert loaded.generation_config.prompt_ids == [1, 5]
    assert loaded.generation_config.suppress_tokens == [2, 3]
    mel, prompt = torch.randn(1, 4, 20), torch.tensor([[1, 5]])
    with torch.no_grad():
        assert torch.equal(
            loaded(input_features=mel, decoder_input_ids=prompt).logits,
            model(input_features=mel, decoder_input_ids=prompt).logits,
        )


def test_a_key_with_a_bias_is_not_whisper(tmp_path: Path, beside: tuple[Path, Path]) -> None:
    arrays = packed(toy())
    arrays["encoder/layer_0/self_attention/linear_0/bias"][9] = 1
    with pytest.raises(ValueError, match="the key's bias is not zero"):
        convert_whisper(ct2_bytes(arrays), *beside, tmp_path / "hf", name="toy")


def test_files_that_are_something_else() -> None:
    data = ct2_bytes(packed(toy()))
    with pytest.raises(ValueError, match=r"model\.bin: ends at byte"):
        read_ct2(data[:-10], name="model.bin")
    with pytest.raises(ValueError, match=r"model\.bin: a CTranslate2 file of version 5"):
        read_ct2(ct2_bytes({}, version=5), name="model.bin")
