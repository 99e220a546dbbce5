"""Settings of the token-to-mel network, its training, and the decoding of speech tokens to waveforms."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TokenToMelConfig:
    """Shape of the network from speech codes to a mel spectrogram."""

    token_channels: int = 256
    """Channels at the rate of the tokens, where width and context are cheap."""
    token_layers: int = 6
    """Residual convolutions at the rate of the tokens."""
    frame_channels: int = 128
    """Channels at the rate of the mel frames, seven times as dear."""
    frame_layers: int = 2
    """Residual convolutions at the rate of the mel frames, dilated 1, 3, 1, 3, ..."""
    kernel_size: int = 5
    """Width of every convolution; odd."""
    dropout: float = 0.1
    """Share of channels dropped inside a residual block while training."""

    def __post_init__(self) -> None:
        for name in ("token_channels", "token_layers", "frame_channels", "frame_layers", "kernel_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"net.{name}={getattr(self, name)} must be at least 1; use a positive number")
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"net.kernel_size={self.kernel_size} must be odd to stay centred; use {self.kernel_size + 1}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"net.dropout={self.dropout} must lie in [0, 1); 0 switches it off")


@dataclass(frozen=True, kw_only=True)
class TrainSpeechDecoderConfig:
    """Train a token-to-mel network on audio shards and the code shards made from them."""

    output: Path
    """Folder for config.json and model.safetensors."""
    audio: Path
    """Audio shards to train on."""
    codes: Path
    """Code shards of the same utterances, joined by key."""
    heldout_audio: Path
    """Audio shards the loss is measured on."""
    heldout_codes: Path
    """Code shards of the held-out utterances."""
    tokenizer: Path
    """Folder of the speech tokenizer that made the codes; its code vectors start the embedding."""
    voices: tuple[str, ...] = ("hibari",)
    """Voices to learn, as the metadata says under voice or speaker; no speaker input: several are averaged."""
    frame_rate: float = 12.5
    """Tokens per second of the tokenizer; every utterance's duration is checked against it."""
    net: TokenToMelConfig = field(default_factory=TokenToMelConfig)
    """Shape of the network."""
    max_utterances: int = 4000
    """Utterances held in memory (0.1 MB each), the first of the shards."""
    steps: int = 600
    """Optimizer steps."""
    batch_size: int = 16
    """Utterances per step."""
    max_tokens: int = 150
    """Utterances of more tokens are left out (12 s at 12.5 tokens per second)."""
    lr: float = 2e-3
    """Peak learning rate of AdamW, after 5 % of warm-up; falls to 0 along a cosine."""
    delta_weight: float = 1.0
    """Weight of the L1 loss on frame-to-frame differences, against blurred onsets."""
    seed: int = 1234
    """Seed of weights, order and dropout."""

    def __post_init__(self) -> None:
        for name in ("max_utterances", "steps", "batch_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; use a positive number")
        for name in ("frame_rate", "lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0; use a positive number")
        if not self.voices:
            raise ValueError("voices=[] names no voice to learn; list at least one voice of the audio shards")


@dataclass(frozen=True, kw_only=True)
class DecodeSpeechConfig:
    """Decode code shards to WAV files beside the originals, and judge both."""

    output: Path
    """Folder for the WAV files and the table of scores."""
    audio: Path
    """Audio shards with the originals."""
    codes: Path
    """Code shards of the same utterances."""
    decoder: Path
    """Folder of a trained token-to-mel network."""
    vocoder: Path
    """Folder of a HiFi-GAN generator (config.json, model.safetensors); absent: no WAV is made, as the manifest says."""
    dnsmos: Path
    """The DNSMOS network `sig_bak_ovr.onnx`."""
    recognizer: Path
    """Whisper folder that judges word errors; best not the one the tokenizer was trained from."""
    generated: Path | None = None
    """Folder made by tools/generate.py, whose codes are decoded too; null for none."""
    voices: tuple[str, ...] = ("hibari",)
    """Voices to decode, as the metadata says under voice or speaker: those the decoder has learnt."""
    num_utterances: int = 12
    """Held-out utterances to decode, the first of the shards."""
    num_wavs: int = 4
    """How many of them are kept as WAV files."""

    def __post_init__(self) -> None:
        if self.num_utterances < 1:
            raise ValueError(f"num_utterances={self.num_utterances} must be at least 1; use a positive number")
        if self.num_wavs > self.num_utterances:
            raise ValueError(
                f"num_wavs={self.num_wavs} must not exceed num_utterances={self.num_utterances}; lower num_wavs"
            )
