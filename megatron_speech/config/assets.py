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
