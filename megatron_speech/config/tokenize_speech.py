"""Settings of encoding audio shards to shards of codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TokenizeSpeechConfig:
    """Encode audio shards to shards of bare codes, keys and metadata kept."""

    tokenizer: Path
    """Folder of the speech tokenizer."""
    audio: Path
    """Audio shards."""
    output: Path
    """Folder for the code shards."""
    features: Literal["torch", "dali", "dali_gpu"] = "torch"
    """What computes the log-mel frames: torch, the reference, or NVIDIA DALI's operators (extra [dali])."""
