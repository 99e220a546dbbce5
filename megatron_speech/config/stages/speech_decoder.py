"""Settings of the token-to-mel network, its training, and the decoding of speech tokens to waveforms."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.parsing.bounds import require_bounds, require_sound_file
from megatron_speech.config.parsing.inputs import (
    AudioFolder,
    CodesFile,
    CodesFolder,
    OnnxFile,
    OptionalVocoderFolder,
    OptionalWhisperFolder,
    SamplesFolder,
    SpeechDecoderFolder,
    SpeechTokenizerFolder,
    VocoderFolder,
)
from megatron_speech.config.stages.causal_decoder import SpeakingConfig


@dataclass(frozen=True, kw_only=True)
class TokenToMelConfig:
    """Shape of the network that predicts a mel spectrogram from speech codes."""

    token_channels: int = 256
    """Channels at the token rate, where width and context are cheap."""
    token_layers: int = 6
    """Residual convolutions at the token rate."""
    frame_channels: int = 128
    """Channels at the mel frame rate, where they cost seven times as much."""
    frame_layers: int = 2
    """Residual convolutions at the mel frame rate, with dilations 1, 3, 1, 3, ..."""
    kernel_size: int = 5
    """Kernel size of every convolution; must be odd."""
    dropout: float = 0.1
    """Dropout rate of channels inside a residual block."""

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
    """Train a token-to-mel network on audio shards and their code shards."""

    output: Path
    """Folder for config.json and model.safetensors."""
    audio: AudioFolder
    """Audio shards to train on."""
    codes: CodesFolder
    """Code shards of the same utterances, matched by key."""
    heldout_audio: AudioFolder
    """Held-out audio shards for measuring the loss."""
    heldout_codes: CodesFolder
    """Code shards of the held-out utterances."""
    tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer that made the codes; its code vectors initialize the embedding."""
    voices: tuple[str, ...]
    """Voices to train on, as named in the metadata under voice or speaker. The network has no speaker input, so several
    voices are averaged."""
    frame_rate: float = 12.5
    """Tokens per second of the tokenizer; every utterance's duration is checked against it."""
    net: TokenToMelConfig = field(default_factory=TokenToMelConfig)
    """Shape of the network."""
    max_utterances: int = 4000
    """Largest number of utterances, from the start of the shards; each takes 0.1 MB of memory."""
    steps: int = 600
    """Optimizer steps."""
    batch_size: int = 16
    """Utterances per step."""
    max_tokens: int = 150
    """Skip utterances with more tokens than this (12 s at 12.5 tokens per second)."""
    lr: float = 2e-3
    """Peak learning rate of AdamW, after warm-up over 5 % of the steps; then cosine decay to 0."""
    delta_weight: float = 1.0
    """Weight of the L1 loss on frame-to-frame differences, which counteracts blurred onsets."""
    seed: int = 1234
    """Seed of weights, order and dropout."""

    def __post_init__(self) -> None:
        for name in ("max_utterances", "steps", "batch_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; use a positive number")
        for name in ("frame_rate", "lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0; use a positive number")
        for name, most in (("frame_rate", 1e6), ("lr", 10.0), ("delta_weight", 1e9)):
            require_bounds(name, getattr(self, name), 0, most, "correct it")
        if not self.voices:
            raise ValueError("voices=[] names no voice to learn; list at least one voice of the audio shards")


@dataclass(frozen=True, kw_only=True)
class DecodeSpeechConfig:
    """Decode code shards to WAV files, and score them beside the original recordings."""

    output: Path
    """Folder for the WAV files and the table of scores."""
    audio: AudioFolder
    """Audio shards with the original recordings."""
    codes: CodesFolder
    """Code shards of the same utterances."""
    decoder: SpeechDecoderFolder
    """Folder of a trained token-to-mel network."""
    vocoder: OptionalVocoderFolder
    """Folder of a HiFi-GAN generator (config.json, model.safetensors). If it is missing, no WAV is made and the
    manifest says so."""
    dnsmos: OnnxFile
    """File of the DNSMOS network, `sig_bak_ovr.onnx`."""
    recognizer: OptionalWhisperFolder
    """Whisper folder for measuring word errors; preferably not the model that the tokenizer was trained from."""
    generated: SamplesFolder | None = None
    """Output folder of `generate`, to decode its codes too; null for none."""
    voices: tuple[str, ...]
    """Voices to decode, as named in the metadata under voice or speaker; the decoder must be trained on them."""
    num_utterances: int = 12
    """Number of held-out utterances to decode, from the start of the shards."""
    num_wavs: int = 4
    """Number of decoded utterances to keep as WAV files."""

    def __post_init__(self) -> None:
        if self.num_utterances < 1:
            raise ValueError(f"num_utterances={self.num_utterances} must be at least 1; use a positive number")
        require_bounds("num_wavs", self.num_wavs, 0, 10**9, "0 keeps no WAV file")
        if self.num_wavs > self.num_utterances:
            raise ValueError(
                f"num_wavs={self.num_wavs} must not exceed num_utterances={self.num_utterances}; lower num_wavs"
            )


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """Decode speech codes to one sound file."""

    codes: CodesFile
    """JSON file of `encode`: codes, frame_rate, codebook_size and speech_fingerprint."""
    decoder: SpeechDecoderFolder
    """Folder of the speech decoder, trained on the speech tokenizer that made the codes."""
    vocoder: VocoderFolder
    """Folder of the vocoder that the speech decoder was trained for."""
    output: Path
    """WAV or FLAC file to write."""
    speaking: SpeakingConfig = field(default_factory=SpeakingConfig)
    """How the decoder speaks."""

    def __post_init__(self) -> None:
        require_sound_file("output", self.output)
