"""A toy world to train in: Whisper, two sources, and a configuration of a few steps in which everything happens."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file

from megatron_speech.config.stages.bottleneck import BottleneckConfig
from megatron_speech.config.stages.train_speech_tokenizer import SpeechSourceConfig, TrainSpeechTokenizerConfig
from tests.unit.speech_tokenizer.toys import write_toy_audio, write_toy_whisper


def make_world(folder: Path) -> Path:
    """A Whisper folder, 64 words that were transcribed by hand and 40 by machine."""
    write_toy_whisper(folder / "whisper")
    write_toy_audio(folder / "audio", copies=16)
    write_toy_audio(folder / "more", copies=10)
    return folder


def training(world: Path, output: Path, **changes: object) -> TrainSpeechTokenizerConfig:
    """7 steps: the front unfreezes before the fourth, dead codes restart at every second."""
    config = TrainSpeechTokenizerConfig(
        output=output,
        whisper=world / "whisper",
        sources={
            "supervised": SpeechSourceConfig(audio=world / "audio"),
            "machine": SpeechSourceConfig(audio=world / "more", weight=3.0),
        },
        bottleneck=BottleneckConfig(
            codebook_size=32,
            pooling_position=1,
            quantize_position=2,
            kmeans_iterations=2,
            restart_interval=2,
            ema_decay=0.5,
            subtract_position_means=False,
        ),
        steps=7,
        batch_seconds=6.0,
        learning_rate=1e-3,
        warmup_steps=2,
        unfreeze_at_step=3,
        checkpoint_every_steps=2,
    )
    return dataclasses.replace(config, **changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All weights and averages of a tokenizer folder."""
    return load_file(folder / "model.safetensors")
