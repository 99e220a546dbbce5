"""Settings of encoding audio shards to shards of codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.stages.spread import SpreadConfig


@dataclass(frozen=True, kw_only=True)
class TokenizeSpeechConfig:
    """Encode audio shards to shards of bare codes, keys and metadata kept."""

    tokenizer: Path
    """Folder of the speech tokenizer."""
    audio: Path
    """Audio shards."""
    output: Path
    """Folder for the code shards; the parts lie in <output>.tasks until all are done."""
    cut: Literal["overlap", "restart"] | None = None
    """Speech longer than the encoder takes (30 s): 'restart' encodes each 30 s alone, as the released tokenizer and
    every stream do; 'overlap' encodes windows with context on both sides, whose codes are dropped, for bidirectional
    tokenizers only (no stream has such codes). null: restart for a causal tokenizer, else overlap."""
    overlap_seconds: float = 1.0
    """Context on each side of a window, rounded up to whole codes; no meaning where cut is restart. Codes behind two
    layers of Whisper tiny hear about 0.3 s to either side; deeper encoders hear further."""
    silence_peak_dbfs: float | None = -60.0
    """An utterance whose loudest sample lies below this level (decibels of full scale) is quarantined as silent; null
    encodes it."""
    max_quarantined_share: float = 0.01
    """Stop where more than this share of the utterances is unusable: of a task's once it has read 1,000, of all when
    the tasks are joined (a single one never stops it)."""
    features: Literal["torch", "dali", "dali_gpu"] = "torch"
    """What computes the log-mel frames: torch, the reference, or NVIDIA DALI's operators (extra [dali])."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the encoder runs; the workers of one machine share its GPU."""
    blocks: Literal["exact", "masked"] = "exact"
    """How a causal tokenizer encodes: 'exact', block by block and clip by clip, gives a stream's codes, every one;
    'masked' encodes batches of clips, which a GPU needs to be busy, and near ties may fall otherwise. No meaning for a
    bidirectional tokenizer."""
    batch_seconds: float = 30.0
    """Seconds of padded speech encoded at a time. More pads more: 1 % at 30, 6 % at 120 (clips of 1 to 30 s); a GPU
    needs more to be busy."""
    tasks: int | None = None
    """Parts of consecutive shards that are done and kept as a whole, at most one per shard; null for one per shard. No
    part of the result."""
    run: SpreadConfig = field(default_factory=SpreadConfig)
    """How the work is spread over processes and jobs; no part of the result."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_quarantined_share <= 1:
            raise ValueError(f"max_quarantined_share={self.max_quarantined_share} must lie in 0 to 1; 0.01 is usual")
        if not 0 <= self.overlap_seconds < 15:
            raise ValueError(f"overlap_seconds={self.overlap_seconds} must lie in 0 to 15, half a window; 1 is usual")
        require_bounds("silence_peak_dbfs", self.silence_peak_dbfs, -1000, 0, "-60 is usual, null encodes silence too")
        require_bounds("batch_seconds", self.batch_seconds, 1e-3, 1e6, "30 suits a CPU")
        require_bounds("tasks", self.tasks, 1, 10**9, "null makes one per shard")
