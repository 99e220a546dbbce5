"""Settings of the tools that encode audio shards to code shards, or one recording to codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import AudioFolder, SoundFile, SpeechTokenizerFolder
from megatron_speech.config.stages.spread import SpreadConfig


@dataclass(frozen=True, kw_only=True)
class TokenizeSpeechConfig:
    """Encode audio shards to shards of bare speech codes with the same keys and metadata."""

    tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer."""
    audio: AudioFolder
    """Folder of audio shards."""
    output: Path
    """Folder of code shards to create; parts lie in <output>.tasks until all are done."""
    cut: Literal["overlap", "restart"] | None = None
    """How to encode speech longer than the encoder's 30 s. 'restart' encodes every 30 s separately, like the released
    tokenizer and every stream. 'overlap' encodes windows with extra context on both sides and drops the context's
    codes; only for bidirectional tokenizers. Null: restart for a causal tokenizer, else overlap."""
    overlap_seconds: float = 1.0
    """Context on each side of an overlap window, rounded up to whole codes; unused with restart. Codes behind two
    layers of Whisper tiny depend on about 0.3 s to either side, those of deeper encoders on more."""
    silence_peak_dbfs: float | None = -60.0
    """Quarantine an utterance as silent if its peak lies below this level (decibels of full scale); null encodes it."""
    max_quarantined_share: float = 0.01
    """Stop if more than this share of the utterances is unusable; a single one never stops it. Checked within a task
    after 1,000 utterances, and over all when tasks are joined."""
    features: Literal["torch", "dali", "dali_gpu"] = "torch"
    """Implementation of the log-mel features: torch (the reference) or NVIDIA DALI (install the extra [dali])."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device of the encoder; all workers of a machine share its GPU."""
    blocks: Literal["exact", "masked"] = "exact"
    """How a causal tokenizer encodes; unused for a bidirectional one. 'exact' encodes block by block and clip by clip,
    with exactly the codes of a stream. 'masked' encodes batches of clips, which keeps a GPU busy; near ties may give
    other codes."""
    batch_seconds: float = 30.0
    """Seconds of padded speech per batch. Larger batches waste more on padding: 1 % at 30, 6 % at 120 (clips of 1 to 30
    s). A GPU needs larger ones."""
    tasks: int | None = None
    """Number of tasks, each of consecutive shards, completed and kept as a whole; null for one per shard. Does not
    affect the result."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is divided over processes and jobs; does not affect the result."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_quarantined_share <= 1:
            raise ValueError(f"max_quarantined_share={self.max_quarantined_share} must lie in 0 to 1; 0.01 is usual")
        if not 0 <= self.overlap_seconds < 15:
            raise ValueError(f"overlap_seconds={self.overlap_seconds} must lie in 0 to 15, half a window; 1 is usual")
        require_bounds("silence_peak_dbfs", self.silence_peak_dbfs, -1000, 0, "-60 is usual, null encodes silence too")
        require_bounds("batch_seconds", self.batch_seconds, 1e-3, 1e6, "30 suits a CPU")
        require_bounds("tasks", self.tasks, 1, 10**9, "null makes one per shard")


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """Encode one recording to speech codes."""

    audio: SoundFile
    """Recording, at any sample rate."""
    tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer."""
    output: Path | None = None
    """JSON file for the codes; null prints them."""
