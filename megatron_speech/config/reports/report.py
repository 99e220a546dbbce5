"""Settings of the report over a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What to read, and how to call it."""

    folder: Path = Path()
    """Run folder of the miniature; `report.md` and its PNG files are written into it."""
    title: str = "A speech-text model, small and real"
    """Heading of the report."""
