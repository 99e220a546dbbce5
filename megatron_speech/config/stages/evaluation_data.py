"""Settings of evaluation data sets, read as their publishers lay them out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DataSetConfig:
    """A user's own copy of an evaluation data set."""

    layout: str
    """Name of its layout, such as `llama_questions`; an unknown name lists them."""
    folder: Path
    """Folder of the data set, or one of its tables."""
    right: str = ""
    """Word in the names of right recordings, for `wav_pairs`; empty takes known words, such as correct."""
    wrong: str = ""
    """Word in the names of wrong recordings, for `wav_pairs`; empty takes known words, such as incorrect."""

    def __post_init__(self) -> None:
        if bool(self.right) != bool(self.wrong) or (self.right and self.right == self.wrong):
            raise ValueError(f"right={self.right!r} and wrong={self.wrong!r} must be two words; give both or neither")
