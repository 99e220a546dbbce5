"""The encoder against the published arithmetic in float64 and loops; folders of the released layout, both ways."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from megatron_speech.speech_tokenizer.blockwise import encode_blockwise
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import load_model, save_model
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.unit.speech_tokenizer import reference
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, placed_model, toy_model

SHAPES: dict[str, dict[str, object]] = {
    "bidirectional": {},
    "causal convolutions": {"encoder_causal_convolution": True},
    "blocks of one code": {"quantize_causal_block_size": 4},
    "blocks, as released": {"quantize_causal_block_size": 20, "encoder_causal_convolution": True},
    "blocks as long as the clip": {"quantize_causal_block_size": 72},
    "blocks, the clip's floor by name": {"quantize_causal_block_size": 20, "log_mel_floor": "clip"},
    "causal": {"encoder_causal_attention": True},
    "our floor, blocks": {"quantize_causal_block_size": 20, "log_mel_floor": "block"},
    "our floor, causal convolutions": {
        "quantize_causal_block_size": 20,
        "encoder_causal_convolution": True,
        "log_mel_floor": "block",
    },
    "our floor, causal": {"encoder_causal_attention": True, "log_mel_floor": "block"},
    "positions that are no whole codes": {"pooling_kernel_size": 8, "max_source_positions": 76},
    "causal up to the codebook, blocks behind": {"quantize_causal_encoder": True, "quantize_causal_block_size": 20},
    "blocks, centred": {"quantize_causal_block_size": 20, "quantize_subtract_position_means": True},
    "no pooling": {"pooling_kernel_size": None, "quantize_causal_block_size": 10},
}
RELEASED = {
    "quantize_causal_block_size": 20,
    "encoder_causal_convolution": True,
    "quantize_encoder_only": True,
    "max_source_positions": 1500,
}


def waveform(samples: int) -> np.ndarray:
    """Silence, a whisper, noise, silence: a clip's floor is not that of its first blocks, nor a block's its own."""
    clip = noise(samples, samples)
    clip[:3000] = 0
    clip[3000:8000] *= 1e-5
    clip[14000:] *= 1e-7
    return clip


@pytest.mark.parametrize("encoder_only", [False, True])
@pytest.mark.parametrize("samples", [22700, 23040])
@pytest.mark.parametrize("shape", SHAPES)
def test_states_and_codes_are_those_of_the_published_arithmetic(shape: str, samples: int, encoder_only: bool) -> None:
    config = narrowed_config(quantize_encoder_only=encoder_only, **SHAPES[shape])
    clip = waveform(samples)
    encoder = placed_model(config, clip).encoder
    weights = {name: value.double().numpy() for name, value in encoder.state_dict().items()}
    states, codes, *memory = reference.encode(clip, weights, config)
    with torch.no_grad():
        batch = mel_batch([torch.from_numpy(clip)], config)
        pooled, lengths = encoder.front(batch)
        found = encoder.before_codebook(pooled, lengths)
        np.testing.assert_allclose(found[0], states, atol=1e-5 * np.abs(states).max())
        assert encoder.quantize(found)[0].tolist() == codes.tolist()
        assert len(set(codes.tolist())) > 3, "one code everywhere would hide an error"
        if config.block_frames is not None:
            assert encode_blockwise(encoder, batch)[0].tolist() == codes.tolist()
        if not encoder_only:
            found = encoder.after_codebook(encoder.codebook(torch.from_numpy(codes))[None], lengths)
            np.testing.assert_allclose(found[0], memory[0], atol=1e-5 * np.abs(memory[0]).max())


@pytest.mark.parametrize("prefix", ["", "model.encoder."])
def test_a_released_folder_loads(tmp_path: Path, prefix: str) -> None:
    """Both layouts in circulation: an encoder's own, and an encoder inside its recogniser."""
    model = placed_model(narrowed_config(**RELEASED), noise(30000, 1))
    values = {**model.config.to_dict(), "model_type": "whisper", "architectures": ["WhisperVQEncoder"]}
    del values["log_mel_floor"], values["quantize_subtract_position_means"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    weights = {prefix + name: tensor for name, tensor in model.encoder.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    clips = [noise(30000, 1)]
    made, loaded = WhisperVQTokenizer(model, None, ""), WhisperVQTokenizer.load(tmp_path)
    assert np.array_equal(loaded.encode(clips)[0], made.encode(clips)[0])


def test_a_folder_for_encoding_alone_has_the_released_layout(tmp_path: Path) -> None:
    model = toy_model(narrowed_config(**RELEASED))
    save_model(model, tmp_path, text_from=tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(model.encoder.state_dict())
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == ["WhisperVQEncoder"] and values["model_type"] == "whisper"
    for name, value in RELEASED.items():
        assert values[name] == value
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


def test_a_whole_model_keeps_its_prefixes(tmp_path: Path) -> None:
    model = toy_model(narrowed_config(quantize_causal_block_size=20))
    save_model(model, tmp_path, text_from=tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == model.state_dict().keys()


def test_a_key_left_out_means_what_the_released_code_takes_it_for(tmp_path: Path) -> None:
    """There the default of pooling_type is max, which this encoder has not."""
    values = narrowed_config(**RELEASED).to_dict()
    del values["pooling_type"], values["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="pooling_type=max: only avg"):
        load_model(tmp_path)


def test_a_codebook_without_running_averages_has_no_buffers() -> None:
    names = toy_model(narrowed_config(quantize_ema_decay=None)).encoder.state_dict()
    assert "codebook.weight" in names and not {"ema_count", "ema_weight"} & names.keys()
