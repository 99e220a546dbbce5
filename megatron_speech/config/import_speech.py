"""Settings of making audio shards of one's own speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ImportSpeechConfig:
    """Recordings and their transcripts to audio shards: 16 kHz mono FLAC, text and metadata."""

    output: Path
    """Folder of the audio shards."""
    table: Path | None = None
    """A .jsonl file with one object per line, or a .tsv file with a header: audio (a path, relative to the folder of
    the table), text, id (without one: the row's number), and any metadata. libsndfile reads the recordings."""
    tars: str | None = None
    """WebDataset tars instead, as a pattern ('data/*.tar'): <key>.flac or .wav, .mp3, .ogg, .opus, with <key>.txt and,
    where there is metadata, <key>.json. A tar becomes a shard."""
    transcripts: bool = True
    """Whether an utterance without text is quarantined; false keeps it, with an empty text."""
    utterances_per_shard: int = 1000
    """Rows of the table that make one shard."""
    licence: str | None = None
    """Licence of the recordings, as an SPDX name or a link; goes into this manifest and all that are made from it."""
    language: str | None = None
    """Language of the speech, as a BCP 47 tag such as en; likewise."""
    max_quarantined_share: float = 0.01
    """Stop where more than this share of the utterances is unusable (a single one never stops it)."""
    workers: int = 1
    """Processes; no part of the result."""

    def __post_init__(self) -> None:
        if (self.table is None) == (self.tars is None):
            raise ValueError(f"table={self.table} and tars={self.tars}: give exactly one of them")
        if self.table is not None and self.table.suffix not in (".jsonl", ".tsv"):
            raise ValueError(f"table={self.table} must end in .jsonl or .tsv; convert it")
        if not 0 <= self.max_quarantined_share <= 1:
            raise ValueError(f"max_quarantined_share={self.max_quarantined_share} must lie in 0 to 1; 0.01 is usual")
        for name in ("utterances_per_shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; leave it out for the default")
