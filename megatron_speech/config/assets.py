"""Settings of the tools that fetch, unpack and speak what the miniature is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AssetsConfig:
    """Settings of `fetch_assets.py` and `unpack_assets.py`."""

    folder: Path
    """Where packages, and the models unpacked from them, are kept; can be shared between runs."""
    set: Literal["ci", "full"] = "full"
    """ci: 194 MB, enough for every step; full: 456 MB, adds the vocoder, the independent judge and more voices."""


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Settings of `prepare_corpus.py`."""

    assets: Path
    """Folder that `fetch_assets.py` filled."""
    output: Path
    """Folder of the JSONL files."""
    heldout_share: float = 0.13
    """Share of the articles that no model trains on; at 0.13 more than 300 of them make a cloze item."""
    cloze_items: int = 320
    """Most cloze items to make, all from held-out articles."""

    def __post_init__(self) -> None:
        if not 0 < self.heldout_share < 1:
            raise ValueError(f"heldout_share={self.heldout_share} must lie between 0 and 1; 0.13 gives 300 cloze items")
        if self.cloze_items < 1:
            raise ValueError(f"cloze_items={self.cloze_items} must be at least 1")
