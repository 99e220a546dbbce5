"""The encoder: equal to transformers' Whisper, blind to its batch, named as the released tokenizer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from megatron_speech.config.stages.bottleneck import BottleneckConfig
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import TextSide, load_model, save_model
from megatron_speech.speech_tokenizer.training.start import place_positions
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.unit.speech_tokenizer.toys import (
    VOCAB,
    narrowed_config,
    noise,
    placed_model,
    toy_config,
    toy_model,
    write_text_side,
)

LENGTHS = (16000, 1, 1280, 1281, 40000, 23457, 159)


def test_encoder_without_bottleneck_matches_transformers() -> None:
    model = toy_model(toy_config())
    reference = WhisperEncoder(model.config).eval()
    reference.load_state_dict(model.encoder.state_dict())
    batch = mel_batch([torch.from_numpy(noise(64000, 0))], model.config)
    with torch.no_grad():
        states, lengths = model.encoder.front(batch)
        expected = reference(batch.mel_BMF).last_hidden_state
    assert lengths.tolist() == [200]
    torch.testing.assert_close(model.encoder.layer_norm(states), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling_position": 2},
        {"quantize_subtract_position_means": True},
        {"quantize_causal_block_size": 20},
        {"quantize_causal_encoder": True, "encoder_causal_convolution": True},
    ],
)
def test_clip_does_not_know_its_batch(changes: dict[str, object]) -> None:
    model = toy_model(narrowed_config(**changes))
    clips = [torch.from_numpy(noise(length, seed)) for seed, length in enumerate(LENGTHS)]
    encoder = model.encoder
    with torch.no_grad():
        pooled, lengths = encoder.front(mel_batch(clips, model.config))
        together = encoder.before_codebook(pooled, lengths)
        assert lengths.tolist() == [-(-length // 1280) for length in LENGTHS]
        for row, clip in enumerate(clips):
            pooled_alone, length_alone = encoder.front(mel_batch([clip], model.config))
            alone = encoder.before_codebook(pooled_alone, length_alone)[0]
            torch.testing.assert_close(together[row, : lengths[row]], alone, rtol=1e-4, atol=1e-5)


def test_memory_does_not_know_its_batch() -> None:
    encoder = toy_model(narrowed_config()).encoder
    vectors = torch.randn(3, 20, 32)
    lengths = torch.tensor([20, 7, 1])
    with torch.no_grad():
        together = encoder.after_codebook(vectors, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = encoder.after_codebook(vectors[row : row + 1, :length], lengths[row : row + 1])[0]
            torch.testing.assert_close(together[row, :length], alone, rtol=1e-4, atol=1e-5)


def test_a_later_sample_changes_the_states_of_its_own_clip() -> None:
    """The invariance above is not that of an encoder which ignores its input."""
    model = toy_model(narrowed_config())
    clip = torch.from_numpy(noise(16000, 0))
    changed = clip.clone()
    changed[-2000:] *= 3
    with torch.no_grad():
        states = [model.encoder.front(mel_batch([wave], model.config))[0] for wave in (clip, changed)]
    assert (states[0] - states[1]).abs().max() > 1e-2


def test_names_are_those_of_the_released_tokenizer() -> None:
    names = set(toy_model(narrowed_config(quantize_encoder_only=True)).state_dict())
    expected = {"conv1.weight", "conv2.bias", "embed_positions.weight", "embed_positions2.weight", "codebook.weight"}
    expected |= {"ema_count", "ema_weight", "layers.1.self_attn.q_proj.weight", "layers.0.fc1.bias"}
    assert {f"model.encoder.{name}" for name in expected} <= names
    assert not any("layers.2." in name or "layer_norm" in name.split(".")[2] for name in names)


def test_centered_states_differ_from_raw_ones_by_their_position_alone() -> None:
    """What is taken before the codebook is one vector per position, whatever is spoken."""
    model = toy_model(narrowed_config(quantize_subtract_position_means=True))
    encoder = model.encoder
    encoder.position_means.normal_()
    with torch.no_grad():
        pooled, lengths = encoder.front(
            mel_batch([torch.from_numpy(noise(16000, seed)) for seed in (0, 1)], model.config)
        )
        taken = encoder.before_codebook(pooled, lengths, centered=False) - encoder.before_codebook(pooled, lengths)
    torch.testing.assert_close(taken, encoder.position_means[: pooled.shape[1]].expand_as(taken), rtol=1e-4, atol=1e-5)


def test_the_longest_clip_fills_the_position_table() -> None:
    model = toy_model(narrowed_config())
    assert model.config.max_samples == 64000
    _, lengths = model.encoder.front(mel_batch([torch.from_numpy(noise(64000, 0))], model.config))
    assert lengths.tolist() == [model.config.max_codes] == [50]


def test_positions_that_are_no_whole_codes_are_left_over(tmp_path: Path) -> None:
    """50 positions are six codes of 8 and two positions that no clip reaches, as Whisper's 1500 at 6.25 Hz."""
    changes = {"max_source_positions": 50, "pooling_kernel_size": 8, "quantize_subtract_position_means": True}
    config = narrowed_config(**changes)
    config.require_supported("tokenizer")
    write_text_side(tmp_path)
    tokenizer = WhisperVQTokenizer(placed_model(config, noise(6 * 2560, 0)), TextSide(tmp_path, VOCAB), "")
    assert config.max_codes == 6 and config.max_samples == 6 * 2560
    assert len(tokenizer.model.encoder.embed_positions2.weight) == 7
    codes = tokenizer.encode([noise(6 * 2560, 0), noise(5 * 2560 + 1, 1)])
    assert [len(clip) for clip in codes] == [6, 6] and len(tokenizer.recognize(codes)) == 2
    with pytest.raises(ValueError, match=r"clip 0: lasts 0.960063 s, longer than the 0.96 s"):
        tokenizer.encode([noise(6 * 2560 + 1, 0)])
    with pytest.raises(ValueError, match="sequence 0 has 7 codes, the recogniser reads at most 6"):
        tokenizer.recognize([np.zeros(7, np.int32)])


def test_means_are_placed_where_a_clip_can_reach() -> None:
    """Training at 6.25 Hz: the second table has a row that no window of the longest clip fills."""
    changes = {"max_source_positions": 50, "pooling_kernel_size": 8, "quantize_subtract_position_means": True}
    model = toy_model(narrowed_config(**changes))
    feed = SimpleNamespace(
        sources=[SimpleNamespace(index=[0, 1])],
        order=SimpleNamespace(sample=lambda number: [(0, utterance) for utterance in range(number)]),
        wave=lambda source, utterance: torch.from_numpy(noise(16000, utterance)),
    )
    place_positions(model, feed, SimpleNamespace(bottleneck=BottleneckConfig(frame_rate=6.25)), lambda: False)
    norms = model.encoder.embed_positions2.weight.norm(dim=1)
    assert (norms > 0).tolist() == [True] * 6 + [False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling_type": "max"}, "pooling_type=max: only avg is implemented; use it"),
        ({"pooling_kernel_size": 201}, r"pooling_kernel_size=201 must lie in 1..max_source_positions=200, .*; use 4"),
        ({"quantize_causal_block_size": 30}, "quantize_causal_block_size=30 must be .* multiple of .*=4, .*; use a"),
        ({"quantize_causal_block_size": 0}, "quantize_causal_block_size=0 must be a positive multiple"),
        ({"log_mel_floor": "room"}, "log_mel_floor=room must be clip, block or null; use null"),
        ({"log_mel_floor": "block"}, "log_mel_floor=block needs blocks, .*; use clip, or set"),
        ({"quantize_position": 4}, "quantize_position=4.*; move them"),
    ],
)
def test_impossible_shapes_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        narrowed_config(**changes).require_supported("tokenizer")


@pytest.mark.parametrize(
    "changes",
    [
        {"quantize_causal_block_size": 100, "encoder_causal_convolution": True},
        {"quantize_causal_encoder": True, "quantize_causal_block_size": 20},
        {"encoder_causal_attention": True},
        {"quantize_causal_block_size": 200, "log_mel_floor": "block"},
    ],
)
def test_causal_shapes_are_supported(changes: dict[str, object]) -> None:
    narrowed_config(**changes).require_supported("tokenizer")


def test_causal_convolutions_are_the_others_one_frame_later() -> None:
    """Kernels of 3 that look back by 1 and by 2 log-mel frames more than centred ones: 20 ms together."""
    centred, causal = (toy_model(narrowed_config(encoder_causal_convolution=on)).encoder for on in (False, True))
    mel = torch.randn(1, 80, 64)
    with torch.no_grad():
        states = [F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))) for encoder in (centred, causal)]
    torch.testing.assert_close(states[1][..., 2:], states[0][..., 1:-1])


def test_convolutions_are_float32_on_a_gpu_too_and_nothing_else_of_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    save_model(toy_model(toy_config()), tmp_path, text_from=tmp_path)
    model = load_model(tmp_path)
    assert torch.backends.cudnn.allow_tf32
    allowed = []
    for convolution in (model.encoder.conv1, model.encoder.conv2):
        convolution.register_forward_hook(lambda *_: allowed.append(torch.backends.cudnn.allow_tf32))
    with torch.no_grad():
        model.encoder.front(mel_batch([torch.from_numpy(noise(16000, 0))], model.config))
    assert allowed == [False, False] and torch.backends.cudnn.allow_tf32
