"""Settings of encoding speech while it is being spoken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds


@dataclass(frozen=True, kw_only=True)
class StreamSpeechConfig:
    """Encode speech block by block as it arrives: JSON lines of codes."""

    tokenizer: Path
    """Folder of a speech tokenizer with blocks."""
    audio: Path | None = None
    """Audio file; null: standard input, raw 16-bit little-endian samples, one channel, 16 kHz, as from
    `arecord -t raw -f S16_LE -r 16000`."""
    channels: Literal["first", "loudest", "mix"] = "first"
    """What is heard of a file's channels: the first (where it is silent, the first that speaks), the one of most
    energy, or their mean."""
    chunk_seconds: float = 0.1
    """Seconds taken at a time, at most; codes do not depend on it."""

    def __post_init__(self) -> None:
        require_bounds("chunk_seconds", self.chunk_seconds, 1e-9, 3600, "0.1 is usual")
