"""A Whisper small enough for tests: random weights, byte-level text tokens, and the audio it hears."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from megatron_speech.audio.shards import AudioRecord
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel
from tests.toys import write_audio

SPECIALS = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
VOCAB = 256 + len(SPECIALS)
WORDS = ["alpha", "bravo", "charlie", "delta"]


def toy_config(**changes: object) -> WhisperVQConfig:
    """Three encoder layers of width 32, clips up to 4 s, no bottleneck unless asked for."""
    shape: dict[str, object] = {
        "vocab_size": VOCAB,
        "num_mel_bins": 80,
        "d_model": 32,
        "encoder_layers": 3,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_source_positions": 200,
        "max_target_positions": 64,
        "pad_token_id": 256,
        "bos_token_id": 256,
        "eos_token_id": 256,
        "decoder_start_token_id": 257,
    }
    return WhisperVQConfig(**{**shape, **changes})


def narrowed_config(**changes: object) -> WhisperVQConfig:
    """`toy_config` with 16 codes at 12.5 Hz behind the second layer, pooled behind the first."""
    bottleneck: dict[str, object] = {
        "pooling_kernel_size": 4,
        "pooling_type": "avg",
        "pooling_position": 1,
        "quantize_position": 2,
        "quantize_vocab_size": 16,
        "quantize_ema_decay": 0.99,
    }
    return toy_config(**{**bottleneck, **changes})


def toy_model(config: WhisperVQConfig) -> SpeechRecognitionModel:
    """Random weights, large enough that every input matters."""
    torch.manual_seed(1)
    model = SpeechRecognitionModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
    return model.eval()


def placed_model(config: WhisperVQConfig, clip: np.ndarray) -> SpeechRecognitionModel:
    """`toy_model` with its codes near states of `clip`, so that many of them are chosen there."""
    model = toy_model(config)
    encoder = model.encoder
    with torch.no_grad():
        if config.quantize_subtract_position_means:
            encoder.position_means.normal_()
        states_TD = encoder.before_codebook(*encoder.front(mel_batch([torch.from_numpy(clip)], config)))[0]
        rows = torch.linspace(0, len(states_TD) - 1, encoder.codebook.num_embeddings).long()
        jitter = 0.1 * states_TD.std(dim=0) * torch.randn(len(rows), config.d_model)
        encoder.codebook.weight.copy_(states_TD[rows] + jitter)
    return model


def write_toy_whisper(folder: Path) -> Path:
    """A Hugging Face Whisper folder."""
    folder.mkdir(parents=True)
    config = toy_config(max_source_positions=1500)
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "model_type": "whisper"}))
    save_file(toy_model(config).state_dict(), folder / "model.safetensors")
    write_text_side(folder)
    return folder


def write_text_side(folder: Path) -> None:
    """tokenizer.json (bytes and specials) and generation_config.json."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"is_multilingual": False, "suppress_tokens": [0], "begin_suppress_tokens": [256]}
    (folder / "generation_config.json").write_text(json.dumps(settings))


def noise(num_samples: int, seed: int) -> np.ndarray:
    """A waveform [num_samples] that differs everywhere."""
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def spoken(word: str, seed: int) -> np.ndarray:
    """A word as this toy world says it: its own pitch, its own length, a little noise."""
    index = WORDS.index(word)
    time = np.arange(8000 + 1600 * index) / 16000
    return (0.3 * np.sin(2 * np.pi * 300 * (index + 1) * time)).astype(np.float32) + 0.1 * noise(len(time), seed)


def write_toy_audio(folder: Path, *, copies: int) -> Path:
    """Audio shards in which every word is said `copies` times, by two voices in turn."""
    records = [
        AudioRecord(
            key=f"{word}-{copy}",
            waveform=spoken(word, 10 * copy + index),
            text=word,
            meta={"voice": "low" if copy % 2 else "high", "split": "train"},
        )
        for copy in range(copies)
        for index, word in enumerate(WORDS)
    ]
    return write_audio(folder, records)
