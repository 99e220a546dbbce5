"""Settings of the table that compares text-to-token models trained on different amounts of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.inputs import MarkdownFile


@dataclass(frozen=True, kw_only=True)
class CurveRowConfig:
    """One model of the table: the pairs that it is trained on."""

    utterances: int
    """Number of pairs, taken from the start of the shards (which are in random order)."""
    spelling: Literal["letters", "sounds"] = "sounds"
    """Form of the text that the model reads; see `spelling` of `build_vocabulary`."""

    def __post_init__(self) -> None:
        if self.utterances < 1:
            raise ValueError(f"utterances={self.utterances} of a row must be at least 1; raise it")


@dataclass(frozen=True, kw_only=True)
class TextToTokenCurveConfig:
    """Compare text-to-token models at equal steps: round-trip word error rate against hours of pairs."""

    rows: dict[str, CurveRowConfig]
    """Models to train, by name, in the order of the table."""
    folder: Path = Path("curve")
    """Folder with <row>/documents, run, hf and round_trip for every row; `report.md` and `curve.png` are written into
    it."""
    reading: MarkdownFile | None = None
    """Markdown file with a person's interpretation of the table, placed above it."""
    resamples: int = 2000
    """Bootstrap resamples over texts for every 95 % interval."""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("rows={} names no row; give at least one as name: {utterances: 1000}")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 2000 is usual")
