"""Settings of the causal speech decoder: the shapes of its networks, and how it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds

MOST_STEPS = 100
"""Largest number of solver steps; more change nothing that can be heard."""


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """Shape of the network that predicts the prior, a first mel spectrogram, from speech codes."""

    look_ahead: int = 3
    """Tokens after its own that a frame may depend on; a stream waits for them."""
    token_channels: int = 256
    """Channels at the token rate, where width and context are cheap."""
    token_layers: int = 6
    """Residual convolutions at the token rate."""
    frame_channels: int = 128
    """Channels at the mel frame rate, where they cost seven times as much."""
    frame_layers: int = 2
    """Residual convolutions at the mel frame rate, with dilations 1, 3, 1, 3, ..."""
    kernel_size: int = 5
    """Kernel size of every convolution: a token or frame and those before it."""
    dropout: float = 0.1
    """Dropout rate of channels inside a residual block."""

    def __post_init__(self) -> None:
        require_bounds("prior.look_ahead", self.look_ahead, 0, 100, "3 is the default, 0 waits for nothing")
        for name in ("token_channels", "token_layers", "frame_channels", "frame_layers", "kernel_size"):
            require_bounds(f"prior.{name}", getattr(self, name), 1, 10**5, "use a positive number")
        require_bounds("prior.dropout", self.dropout, 0, 0.99, "0 switches it off")


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Shape of the flow, the network that adds to the prior what codes leave open."""

    channels: int = 192
    """Channels of every layer."""
    layers: int = 6
    """Residual convolutions at the mel frame rate, with dilations 1, 2, 4, 1, 2, 4, ..."""
    kernel_size: int = 3
    """Kernel size of every convolution: a frame and those before it."""

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "kernel_size"):
            require_bounds(f"flow.{name}", getattr(self, name), 1, 10**5, "use a positive number")


@dataclass(frozen=True, kw_only=True)
class SpeakingConfig:
    """How a speech decoder speaks; the defaults fit every decoder."""

    voice: str | None = None
    """Name of the voice, for a decoder of several; null is no voice in particular."""
    steps: int | None = None
    """Solver steps of the flow: more take longer, and 0 speaks with the prior alone. Null: as the decoder's folder
    says."""
    temperature: float = 0.8
    """Scale of the noise that the flow starts from."""
    schedule: Literal["uniform", "cosine"] = "uniform"
    """Lengths of the solver steps: all equal, or short at the beginning and long at the end."""
    token_guidance: float = 0.0
    """How much further the flow goes away from what it does without codes; 0 is none."""
    voice_guidance: float = 0.0
    """How much further the flow goes away from what it does without a voice; 0 is none."""
    seed: int = 0
    """Seed of the noise. Equal seeds give equal sound, however the codes arrive."""

    def __post_init__(self) -> None:
        if self.steps is not None:
            require_bounds("steps", self.steps, 0, MOST_STEPS, "0 is the prior alone, 10 is usual")
        require_bounds("temperature", self.temperature, 0, 10, "0.8 is the default")
        for name in ("token_guidance", "voice_guidance"):
            require_bounds(name, getattr(self, name), 0, 100, "0 is none, 0.7 is usual")
        require_bounds("seed", self.seed, 0, MAX_SEED, "0 is the default")
