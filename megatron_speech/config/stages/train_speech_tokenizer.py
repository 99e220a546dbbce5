"""Settings of speech tokenizer training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import AudioFolder, WhisperOrTokenizerFolder
from megatron_speech.config.stages.bottleneck import BottleneckConfig

NO_PART_OF_RESULT = {
    "read_threads": "threads read clips ahead, but batches use them in a fixed order",
    "log_every_steps": "logging draws no random numbers",
    "checkpoint_every_steps": "a resumed run gives the same bits as an uninterrupted one",
    "max_quarantined_share": "decides whether there is a result, not which",
}
"""Settings that do not affect the trained tokenizer, with the reason. A resumed run may change them, and a finished
folder counts as made with any value."""
KNOWN_LATER = ("language", "silence_peak_dbfs")
"""Settings added in later versions. Their defaults reproduce the earlier behaviour, so folders without them stay
valid."""


@dataclass(frozen=True, kw_only=True)
class SpeechSourceConfig:
    """One source of transcribed speech."""

    audio: AudioFolder
    """Folder of audio shards."""
    weight: float = 1.0
    """Share of the sampled utterances, relative to the other sources; 0 leaves the source out. The paper samples 1
    supervised utterance per 3 pseudo-labelled ones."""

    def __post_init__(self) -> None:
        require_bounds("weight", self.weight, 0, 1e15, "1 is even, 0 leaves the source out")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Noise and SpecAugment masks on training clips; off by default."""

    noise_probability: float = 0.0
    """Probability that a clip gets white noise."""
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    """Lowest and highest signal-to-noise ratio in dB, sampled uniformly."""
    time_masks: int = 0
    """Time masks per clip; SpecAugment usually has 2."""
    time_mask_seconds: float = 1.0
    """Longest time mask, limited to a fifth of the clip; lengths are sampled uniformly from 0."""
    frequency_masks: int = 0
    """Frequency masks per clip; 2 is usual."""
    frequency_mask_bins: int = 27
    """Largest number of mel bins per frequency mask, sampled uniformly from 0."""

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
        """Whether augmentation is on."""
        return self.noise_probability > 0 or self.time_masks > 0 or self.frequency_masks > 0


@dataclass(frozen=True, kw_only=True)
class TrainSpeechTokenizerConfig:
    """Train a speech tokenizer from a Whisper model, by speech recognition on transcribed speech."""

    output: Path
    """Folder for the tokenizer: config.json, model.safetensors, text tokenizer, tensorboard. Checkpoints lie in
    <output>.partial until training is complete; the same command resumes from the newest."""
    whisper: WhisperOrTokenizerFolder
    """Hugging Face folder to start from: a Whisper model, or a tokenizer of the same shape (its codebook is kept)."""
    sources: dict[str, SpeechSourceConfig]
    """Training data, by name."""
    language: str | None = None
    """Language token for prompting a multilingual Whisper (en, de, zh, ...), recorded in the tokenizer's folder. Null:
    as the folder of `whisper` says, else en. English-only models accept only en."""
    silence_peak_dbfs: float | None = -60.0
    """Skip an utterance if its peak lies below this level (decibels of full scale); null also trains on silence."""
    max_quarantined_share: float = 0.01
    """Stop if more than this share of the utterances is unusable; a single one never stops it. Unusable means damaged,
    not audio, silent, without transcript, or too long."""
    validation: dict[str, AudioFolder] = field(default_factory=dict)
    """Audio shards for validation, by name: word error rate from codes, and once from the Whisper model without
    bottleneck."""
    validation_utterances: int = 100
    """Number of utterances from the start of each validation set."""
    validate_every_steps: int | None = None
    """Steps between two validations; null validates only after the last step."""
    bottleneck: BottleneckConfig = field(default_factory=BottleneckConfig)
    """Shape and training of the codebook."""
    steps: int = 300
    """Optimizer steps."""
    batch_seconds: float = 120.0
    """Seconds of padded speech per optimizer step, over all ranks."""
    micro_batch_seconds: float | None = None
    """Largest number of seconds of padded speech that a rank processes at once; gradients are accumulated over the
    parts of a step. Null processes a rank's share at once."""
    learning_rate: float = 1e-4
    """Peak learning rate of AdamW. A rate five times as high forgets what Whisper knew (see
    examples/speech_tokenizer)."""
    front_learning_rate_scale: float = 1.0
    """Factor on the learning rate of all layers before the codebook."""
    warmup_steps: int = 20
    """Steps of linear warm-up, followed by cosine decay to a twentieth of the peak."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, applied to matrices only."""
    gradient_clipping: float = 1.0
    """Largest gradient norm over all weights."""
    dropout: float = 0.1
    """Dropout rate in trained layers."""
    label_smoothing: float = 0.0
    """Probability mass that label smoothing spreads over all ids."""
    unfreeze_at_step: int | None = None
    """Step from which the layers before the pooling are trained too (about 10 times the work per step); null: never."""
    cache_states: bool = True
    """Cache the states behind the frozen layers on disk (float16), beside the checkpoints until training ends; a step
    then takes a tenth of the time. An hour of speech needs 35 MB for Whisper tiny, 115 MB for large. Disable it for
    augmentation and for corpora larger than the disk."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Noise and masks; needs cache_states=false."""
    precision: Literal["float32", "bf16"] = "float32"
    """Number format of matrix products (autocast); weights, codebook search and moving averages stay float32."""
    seed: int = 0
    """Seed of k-means, order, dropout, augmentation and codebook restarts."""
    read_threads: int = 2
    """Threads per rank that read and decode audio ahead."""
    log_every_steps: int = 10
    """Steps between two log lines and TensorBoard points."""
    checkpoint_every_steps: int = 500
    """Steps between two checkpoints; the newest two are kept."""

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
        """Whether any step reads cached states."""
        return self.cache_states and self.unfreeze_at_step != 0
