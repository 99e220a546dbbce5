"""Settings of the table over text-to-token models that learnt from different pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CurveRowConfig:
    """One model: which pairs it learns from."""

    utterances: int
    """Pairs, the first of the shards (whose order is random)."""
    spelling: Literal["letters", "sounds"] = "sounds"
    """What it reads (tools/build_vocabulary.py, spelling)."""

    def __post_init__(self) -> None:
        if self.utterances < 1:
            raise ValueError(f"utterances={self.utterances} of a row must be at least 1; raise it")


@dataclass(frozen=True, kw_only=True)
class TextToTokenCurveConfig:
    """Text-to-token models side by side: round trip against hours of pairs, at equal steps."""

    rows: dict[str, CurveRowConfig]
    """What is to be tried, in the order of the table."""
    folder: Path = Path("curve")
    """Holds <row>/documents, run, hf and round_trip of every row; `report.md` and `curve.png` are written into it."""
    reading: Path | None = None
    """Markdown file whose text is put above the table: what a person reads in it."""
    resamples: int = 2000
    """Bootstrap resamples, over texts, behind every 95 % interval."""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("rows={} names no row; give at least one as name: {utterances: 1000}")
        if self.resamples < 100:
            raise ValueError(f"resamples={self.resamples} must be at least 100 for a 95 % interval; 2000 is usual")
