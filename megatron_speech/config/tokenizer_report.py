"""Settings of the speech tokenizer's report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TokenizerReportConfig:
    """Word error rates with and without the bottleneck, and how the codebook is used."""

    tokenizer: Path
    """Folder of the speech tokenizer."""
    whisper: Path
    """Hugging Face folder of the Whisper model it started from: the bound without bottleneck."""
    judge: Path
    """Hugging Face folder of an independent Whisper model; left out with a word where absent."""
    audio: dict[str, Path]
    """Audio shards by name, all of which should be held out."""
    output: Path
    """Folder for the report's manifest and per-utterance transcripts."""
    max_utterances: int = 200
    """Utterances of each folder, the first of the shards."""

    def __post_init__(self) -> None:
        if not self.audio:
            raise ValueError("audio={} must name at least one folder of audio shards, as heldout: audio/heldout")
        if self.max_utterances < 1:
            raise ValueError(f"max_utterances={self.max_utterances} must be at least 1; use a positive number")
