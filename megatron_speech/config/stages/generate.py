"""Settings of generation from an exported model: a batch of samples for a report, or answers to a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds, require_device, require_sound_file
from megatron_speech.config.parsing.inputs import (
    CodesFolder,
    ModelFolder,
    SoundFile,
    SpeechDecoderFolder,
    SpeechTokenizerFolder,
    VocoderFolder,
)
from megatron_speech.config.stages.text_to_token import UtterancesConfig


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """Keys that fix a batch of samples; they stand in its manifest."""

    model: ModelFolder
    """Hugging Face folder of a speech-text model."""
    codes: CodesFolder | None = None
    """Held-out code shards that contain the utterances. Makes a batch of samples in `output`, and answers nobody."""
    output: Path | None = None
    """Folder for samples.json and for the generated codes (document shards in `codes/`); needed with `codes`."""
    speech_tokenizer: SpeechTokenizerFolder | None = None
    """Folder of the speech tokenizer. It encodes `audio`. With `codes`, its recogniser transcribes the generated codes,
    and null skips that."""
    utterances: UtterancesConfig = field(default_factory=lambda: UtterancesConfig(max_utterances=2))
    """Which utterances of `codes` to use."""
    max_text_tokens: int = 40
    """Largest number of generated text tokens of a sample."""
    max_speech_tokens: int = 200
    """Largest number of generated speech tokens of a sample."""
    temperature: float = 0.8
    """Temperature of sampling; 0 is greedy. Text of samples of `codes` is always greedy."""
    top_p: float = 0.95
    """Nucleus (top-p) of sampling."""
    seed: int = 0
    """Seed of sampling."""
    dtype: Literal["auto", "float32", "bfloat16"] = "float32"
    """Number format of the computation. 'auto' is bfloat16 on a GPU and on a CPU with AVX512-BF16 or AMX, else
    float32."""
    device: str = "cpu"
    """Device of the computation: cpu, cuda, cuda:<number>, or auto, which is the GPU if there is one."""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(SamplesConfig):
    """Let an exported model write or speak: answer one prompt, line after line, or a batch of samples."""

    prompt: str | None = None
    """Text to continue."""
    audio: SoundFile | None = None
    """Recording to continue, at any sample rate; needs `speech_tokenizer`."""
    interactive: bool = False
    """Read prompts from standard input, a line each. Without `prompt`, `audio` and `codes` that is done anyway."""
    speak: Path | None = None
    """WAV or FLAC file for an answer in speech; needs `speech_decoder` and `vocoder`. Null answers in text."""
    speech_decoder: SpeechDecoderFolder | None = None
    """Folder of the speech decoder, which turns generated codes into sound."""
    vocoder: VocoderFolder | None = None
    """Folder of the vocoder that the speech decoder was trained for."""
    max_new_tokens: int = 200
    """Largest number of tokens of an answer; 200 speech tokens at 12.5 per second are 16 s."""

    def __post_init__(self) -> None:
        require_device("device", self.device)
        for name in ("max_text_tokens", "max_speech_tokens", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; use a positive number")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError(f"prompt={self.prompt!r} is empty; write a text to continue")
        asked = [name for name in ("codes", "prompt", "audio") if getattr(self, name) is not None]
        asked += ["interactive"] if self.interactive else []
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)} exclude each other; keep one")
        if (self.codes is None) != (self.output is None):
            raise ValueError("codes and output belong together: they make a batch of samples; give both, or neither")
        require_sound_file("speak", self.speak)
        require_bounds("temperature", self.temperature, 0, 1e300, "0 is greedy")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} must lie in (0, 1]; 1 keeps every id")
        require_bounds("seed", self.seed, 0, 2**63 - 1, "0 is the default")
        self._require_parts()

    def _require_parts(self) -> None:
        """Refuse questions and answers in speech without the folders that they need."""
        if self.audio is not None and self.speech_tokenizer is None:
            raise ValueError(f"audio={self.audio} needs the speech tokenizer; give its folder as speech_tokenizer")
        if (self.speech_decoder is None) != (self.vocoder is None):
            raise ValueError("speech_decoder and vocoder belong together; give both, or neither")
        if self.speak is not None and self.speech_decoder is None:
            raise ValueError(
                f"speak={self.speak} needs the speech decoder; give the folders speech_decoder and vocoder"
            )
