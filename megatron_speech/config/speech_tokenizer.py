"""Settings of the speech tokenizer and of its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """Where Whisper's encoder is narrowed, and to what."""

    frame_rate: float = 12.5
    """Codes per second: 50, 25, 12.5 or 6.25."""
    codebook_size: int = 1024
    """Number of codes; the released tokenizer has 16,384 at 12.5 Hz."""
    pooling_position: int = 2
    """Encoder layers before the average pooling."""
    quantize_position: int = 2
    """Encoder layers before the codebook; at least pooling_position."""
    subtract_position_means: bool = True
    """Quantise states less the mean state of their position. Whisper's middle layers still hold the time of every frame
    (a third of the variance after layer 2 of tiny.en); without this, codes are spent on it."""
    ema_decay: float = 0.99
    """Weight of the past in the codebook's running averages."""
    commit_coefficient: float = 0.25
    """Weight of the commitment loss."""
    restart_interval: int = 100
    """Steps between two restarts of unused codes."""
    kmeans_iterations: int = 12
    """Rounds of k-means that place the codebook before training."""

    def __post_init__(self) -> None:
        if self.frame_rate not in (50, 25, 12.5, 6.25):
            raise ValueError(
                f"bottleneck.frame_rate={self.frame_rate} must be 50, 25, 12.5 or 6.25; 12.5 is the paper's choice"
            )
        for name in ("codebook_size", "restart_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"bottleneck.{name}={getattr(self, name)} must be at least 1; use a positive number")
        if not 0 <= self.pooling_position <= self.quantize_position:
            raise ValueError(
                f"bottleneck.pooling_position={self.pooling_position} must lie in 0..quantize_position="
                f"{self.quantize_position}; pooling comes first"
            )
        if not 0 < self.ema_decay < 1:
            raise ValueError(f"bottleneck.ema_decay={self.ema_decay} must lie in (0, 1); 0.99 is usual")
        if self.commit_coefficient < 0 or self.kmeans_iterations < 0:
            raise ValueError("bottleneck.commit_coefficient and kmeans_iterations must not be negative; use 0 for none")


@dataclass(frozen=True, kw_only=True)
class TrainSpeechTokenizerConfig:
    """Train a speech tokenizer through recognition, from a Whisper model and transcribed speech."""

    output: Path
    """Folder for the tokenizer: config.json, model.safetensors, text tokenizer."""
    whisper: Path
    """Hugging Face folder of the Whisper model to start from."""
    audio: Path
    """Audio shards to learn from."""
    bottleneck: BottleneckConfig = field(default_factory=BottleneckConfig)
    """Shape and upkeep of the codebook."""
    steps: int = 300
    """Optimizer steps."""
    batch_seconds: float = 120.0
    """Seconds of padded speech per step."""
    learning_rate: float = 5e-4
    """Peak of AdamW's learning rate."""
    warmup_steps: int = 20
    """Steps of linear warm-up; a cosine to a tenth of the peak follows."""
    weight_decay: float = 0.01
    """Of AdamW, on matrices."""
    dropout: float = 0.1
    """In the layers that are trained."""
    label_smoothing: float = 0.0
    """Share of the target probability spread over all ids."""
    unfreeze_at_step: int | None = None
    """From this step on the layers before the pooling learn too (about 10 times the work per step); null: never."""
    seed: int = 0
    """Of k-means, order, dropout and restarts."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_seconds", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0; use a positive number")
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative; use 0 for none")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1); 0 switches it off")
        if self.unfreeze_at_step is not None and self.unfreeze_at_step < 0:
            raise ValueError(f"unfreeze_at_step={self.unfreeze_at_step} must not be negative; use null for never")
