"""Settings of the speech tokenizer and of its training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


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
    block_seconds: float | None = None
    """Attention reaches up to the end of blocks of so many seconds, so that speech can be encoded while it is spoken: 2
    in the paper, 4 in the released model; null: bidirectional."""
    causal_convolution: bool = False
    """Convolutions see the past only, as in the released model."""
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
        tokens = None if self.block_seconds is None else self.block_seconds * self.frame_rate
        if tokens is not None and (round(tokens) < 1 or abs(tokens - round(tokens)) > 1e-9):
            raise ValueError(
                f"bottleneck.block_seconds={self.block_seconds} must hold a whole number of codes at frame_rate="
                f"{self.frame_rate}; use a multiple of {1 / self.frame_rate:g}, or null"
            )
        if not 0 < self.ema_decay < 1:
            raise ValueError(f"bottleneck.ema_decay={self.ema_decay} must lie in (0, 1); 0.99 is usual")
        if self.commit_coefficient < 0 or self.kmeans_iterations < 0:
            raise ValueError("bottleneck.commit_coefficient and kmeans_iterations must not be negative; use 0 for none")

    @property
    def block_frames(self) -> int | None:
        """Encoder frames (50 Hz) per block; None for bidirectional attention."""
        return None if self.block_seconds is None else round(self.block_seconds * 50)


@dataclass(frozen=True, kw_only=True)
class SpeechSourceConfig:
    """Transcribed speech to learn from."""

    audio: Path
    """Audio shards."""
    weight: float = 1.0
    """Share of the utterances drawn, relative to the other sources; 0 leaves the source out. The paper draws 1
    supervised utterance to 3 pseudo-labelled ones."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight={self.weight} must not be negative; 1 is even, 0 leaves the source out")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Noise and SpecAugment masks on what is trained on; all off by default."""

    noise_probability: float = 0.0
    """Share of clips that get white noise."""
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    """Least and greatest level of the speech above the noise, drawn evenly."""
    time_masks: int = 0
    """Masks per clip over stretches of time; SpecAugment's usual policy has 2."""
    time_mask_seconds: float = 1.0
    """Longest such stretch, and at most a fifth of the clip; its length is drawn evenly from 0."""
    frequency_masks: int = 0
    """Masks per clip over mel bins; 2 is usual."""
    frequency_mask_bins: int = 27
    """Most bins under one mask; their number is drawn evenly from 0."""

    def __post_init__(self) -> None:
        if not 0 <= self.noise_probability <= 1:
            raise ValueError(f"augment.noise_probability={self.noise_probability} must lie in 0..1; 0 is none")
        if not self.noise_snr_db[0] <= self.noise_snr_db[1]:
            raise ValueError(f"augment.noise_snr_db={list(self.noise_snr_db)} must be [least, greatest]; swap them")
        for name in ("time_masks", "time_mask_seconds", "frequency_masks", "frequency_mask_bins"):
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name}={getattr(self, name)} must not be negative; use 0 for none")

    @property
    def changes_anything(self) -> bool:
        """Whether a clip is ever heard otherwise than it was recorded."""
        return self.noise_probability > 0 or self.time_masks > 0 or self.frequency_masks > 0


@dataclass(frozen=True, kw_only=True)
class TrainSpeechTokenizerConfig:
    """Train a speech tokenizer through recognition, from a Whisper model and transcribed speech."""

    output: Path
    """Folder for the tokenizer: config.json, model.safetensors, text tokenizer, tensorboard. Until it is complete,
    checkpoints lie in <output>.partial, and the same command goes on from the newest."""
    whisper: Path
    """Hugging Face folder to start from: a Whisper model, or a tokenizer of the same shape, whose codebook is kept."""
    sources: dict[str, SpeechSourceConfig]
    """What to learn from, by name."""
    validation: dict[str, Path] = field(default_factory=dict)
    """Audio shards whose word error rate is measured, by name: from codes, and once by the Whisper model itself."""
    validation_utterances: int = 100
    """Utterances of each, from the first."""
    validate_every_steps: int | None = None
    """Steps between two validations; null: after the last step only."""
    bottleneck: BottleneckConfig = field(default_factory=BottleneckConfig)
    """Shape and upkeep of the codebook."""
    steps: int = 300
    """Optimizer steps."""
    batch_seconds: float = 120.0
    """Seconds of padded speech per step, over all ranks."""
    micro_batch_seconds: float | None = None
    """Seconds of padded speech that a rank computes at once: a step is cut into as many parts, whose gradients add up.
    Null: one part per rank."""
    learning_rate: float = 1e-4
    """Peak of AdamW's learning rate. Five times as much forgets what Whisper knew (examples/speech_tokenizer)."""
    front_learning_rate_scale: float = 1.0
    """Factor on the learning rate of all layers before the codebook."""
    warmup_steps: int = 20
    """Steps of linear warm-up; a cosine to a twentieth of the peak follows."""
    weight_decay: float = 0.01
    """Of AdamW, on matrices."""
    gradient_clipping: float = 1.0
    """Longest gradient over all weights."""
    dropout: float = 0.1
    """In the layers that are trained."""
    label_smoothing: float = 0.0
    """Share of the target probability spread over all ids."""
    unfreeze_at_step: int | None = None
    """From this step on the layers before the pooling learn too (about 10 times the work per step); null: never."""
    cache_states: bool = True
    """Compute the states behind the frozen layers once and keep them on disk beside the checkpoints until training ends
    (float16; 35 MB per hour of speech for Whisper tiny, 115 MB for large): a step then costs a tenth. Turn it off for
    corpora larger than the disk, and to augment."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Noise and masks; needs cache_states=false."""
    precision: Literal["float32", "bf16"] = "float32"
    """What matrices are multiplied in (autocast). Weights, codebook search and running averages stay float32."""
    seed: int = 0
    """Of k-means, order, dropout, augmentation and restarts."""
    read_threads: int = 2
    """Threads of a rank that read and decode ahead."""
    log_every_steps: int = 10
    """Steps between two lines in the log and two points in TensorBoard."""
    checkpoint_every_steps: int = 500
    """Steps between two checkpoints, of which the newest two are kept."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_seconds",
            "learning_rate",
            "gradient_clipping",
            "read_threads",
            "log_every_steps",
            "checkpoint_every_steps",
            "validation_utterances",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0; use a positive number")
        for name in ("warmup_steps", "weight_decay", "front_learning_rate_scale"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative; use 0 for none")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1); 0 switches it off")
        for name in ("micro_batch_seconds", "validate_every_steps"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0; use null for none")
        if self.unfreeze_at_step is not None and self.unfreeze_at_step < 0:
            raise ValueError(f"unfreeze_at_step={self.unfreeze_at_step} must not be negative; use null for never")
        if not any(source.weight > 0 for source in self.sources.values()):
            raise ValueError("sources: none has a weight above 0; name the speech to learn from")
        if self.augment.changes_anything and self.caches:
            raise ValueError(
                "augment changes what the layers before the pooling hear, but cache_states=true computes them once; "
                "set cache_states=false"
            )

    @property
    def caches(self) -> bool:
        """Whether any step reads kept states."""
        return self.cache_states and self.unfreeze_at_step != 0
