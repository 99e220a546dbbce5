"""Settings of the report on one run of the miniature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Run folder to report on, and the report's title."""

    folder: Path = Path()
    """Run folder of the miniature; `report.md` and its plots (PNG) are written into it."""
    title: str = "A speech-text model, small and real"
    """Heading of the report."""
