"""Settings of the training of a speech tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.stages.bottleneck import BottleneckConfig

NO_PART_OF_RESULT = {
    "read_threads": "clips are read ahead by any of them, and used in the order of the batches",
    "log_every_steps": "lines and points are read off the training, and nothing is drawn for them",
    "checkpoint_every_steps": "a run that goes on gives the bits of one that was not interrupted",
    "max_quarantined_share": "decides whether there is a result, not which",
}
"""Settings of training that change nothing of the tokenizer, and why: a run may go on with others, and a folder that
is made is made whatever they say."""
KNOWN_LATER = ("language", "silence_peak_dbfs")
"""Settings that came later. At their defaults they mean what every run did before, so folders without them count."""


@dataclass(frozen=True, kw_only=True)
class SpeechSourceConfig:
    """Transcribed speech to learn from."""

    audio: Path
    """Audio shards."""
    weight: float = 1.0
    """Share of the utterances drawn, relative to the other sources; 0 leaves the source out. The paper draws 1
    supervised utterance to 3 pseudo-labelled ones."""

    def __post_init__(self) -> None:
        require_bounds("weight", self.weight, 0, 1e15, "1 is even, 0 leaves the source out")


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
        require_bounds("augment.noise_probability", self.noise_probability, 0, 1, "0 is none")
        least, most = self.noise_snr_db
        if not -200 <= least <= most <= 200:
            raise ValueError(
                f"augment.noise_snr_db={list(self.noise_snr_db)} must be [least, greatest] in -200 to 200 dB; "
                "swap or correct them"
            )
        for name, most in (("time_masks", 1000), ("time_mask_seconds", 30), ("frequency_masks", 1000)):
            require_bounds(f"augment.{name}", getattr(self, name), 0, most, "0 is none")
        require_bounds("augment.frequency_mask_bins", self.frequency_mask_bins, 0, 128, "0 is none, Whisper has 80")

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
    language: str | None = None
    """Language that a multilingual Whisper is prompted to write, as its tokens name it (en, de, zh, ...); the
    tokenizer's folder says it to whoever loads it. Null: what whisper's folder says, else en. English-only models take
    en alone."""
    silence_peak_dbfs: float | None = -60.0
    """An utterance whose loudest sample lies below this level (decibels of full scale) is not learnt from; null learns
    from it."""
    max_quarantined_share: float = 0.01
    """Stop where more than this share of the sources' utterances is unusable: damaged, not audio, silent, without
    transcript, too long (a single one never stops it)."""
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
        for name, least, most, remedy in (
            ("steps", 1, 10**9, "300 is the default"),
            ("batch_seconds", 1e-3, 1e6, "120 is the default"),
            ("micro_batch_seconds", 1e-3, 1e6, "null is one part per rank"),
            ("learning_rate", 1e-30, 1, "1e-4 is the default"),
            ("gradient_clipping", 1e-30, 1e30, "1 is usual"),
            ("read_threads", 1, 1024, "2 is the default"),
            ("log_every_steps", 1, 10**9, "10 is the default"),
            ("checkpoint_every_steps", 1, 10**9, "500 is the default"),
            ("validation_utterances", 1, 10**9, "100 is the default"),
            ("validate_every_steps", 1, 10**9, "null validates after the last step only"),
            ("unfreeze_at_step", 0, 10**9, "null never does"),
            ("warmup_steps", 0, 10**9, "0 is none"),
            ("weight_decay", 0, 1e6, "0 is none"),
            ("front_learning_rate_scale", 0, 1e6, "0 leaves those layers as they are, 1 is the default"),
            ("silence_peak_dbfs", -1000, 0, "-60 is usual, null learns from silence too"),
            ("max_quarantined_share", 0, 1, "0.01 is usual"),
            ("seed", 0, MAX_SEED, "0 is the default"),
        ):
            require_bounds(name, getattr(self, name), least, most, remedy)
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1); 0 switches it off")
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
