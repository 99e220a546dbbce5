"""Settings of the report on the paper's claim: training arms with different shares of sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import MarkdownFile


@dataclass(frozen=True, kw_only=True)
class ArmConfig:
    """One training arm: shares of its training tokens, by source."""

    text: float = 0.0
    """Written documents."""
    interleaved: float = 0.0
    """Interleaved documents."""
    recognition: float = 0.0
    """Speech, then its text."""
    synthesis: float = 0.0
    """Text, then its speech."""
    documents: str = "interleaved"
    """Which interleaved documents are trained on: a folder under packed/."""
    settings: dict[str, str] = field(default_factory=dict)
    """Other settings of `pretrain`, by dotted key."""

    def __post_init__(self) -> None:
        for name, share in self.shares.items():
            require_bounds(name, share, 0, 1, "it is a share of the tokens")

    @property
    def shares(self) -> dict[str, float]:
        """Shares by source."""
        return {
            "text": self.text,
            "interleaved": self.interleaved,
            "recognition": self.recognition,
            "synthesis": self.synthesis,
        }

    @property
    def changes(self) -> dict[str, str]:
        """What differs from other arms beside the shares."""
        return ({} if self.documents == "interleaved" else {"documents": self.documents}) | self.settings


@dataclass(frozen=True, kw_only=True)
class ClaimReportConfig:
    """Compare training arms with and without interleaved data on written and spoken questions."""

    arms: dict[str, ArmConfig]
    """Arms by name, in the order of the table."""
    baseline: str = "paired"
    """Arm with which the others are compared, question by question; without it they are not compared."""
    amounts: list[str] = field(default_factory=list)
    """Arms that differ in their number of interleaved tokens alone, in ascending order: the curve and the trend."""
    folder: Path = Path("arms")
    """Folder with <arm>/<seed>/run and evaluation; report.md, claim.png and along.png are written into it."""
    keep: Path | None = None
    """Write the report here instead, with copies of the answers and summaries, from which it can be made again."""
    reading: MarkdownFile | None = None
    """Markdown file with a person's interpretation of the table, placed above it."""
