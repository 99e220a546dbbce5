"""Settings of evaluation data sets, read as their publishers lay them out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_speech.config.parsing.inputs import CodesFolder


@dataclass(frozen=True, kw_only=True)
class DataSetConfig:
    """A user's own copy of an evaluation data set."""

    layout: str
    """Name of its layout, such as `llama_questions`; an unknown name lists them."""
    folder: Path
    """Folder of the data set, or one of its tables."""
    codes: CodesFolder | None = None
    """Codes of spoken questions, for `own_items`; null asks in writing only."""
    right: str = ""
    """Word in the names of right recordings, for `wav_pairs`; empty takes known words, such as correct."""
    wrong: str = ""
    """Word in the names of wrong recordings, for `wav_pairs`; empty takes known words, such as incorrect."""

    def __post_init__(self) -> None:
        if bool(self.right) != bool(self.wrong) or (self.right and self.right == self.wrong):
            raise ValueError(f"right={self.right!r} and wrong={self.wrong!r} must be two words; give both or neither")
        if self.codes is not None and self.layout != "own_items":
            raise ValueError(f"codes={self.codes} belong to layout=own_items, not to layout={self.layout}; drop them")

    @property
    def paths(self) -> list[Path]:
        """All that it names."""
        return [self.folder, *([self.codes] if self.codes else [])]
