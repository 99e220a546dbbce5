"""Settings of the import of recordings into audio shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds

COLUMNS = (
    *("audio", "text", "id", "speaker", "channel"),
    *("start", "end", "duration", "start_ms", "end_ms", "duration_ms"),
)
"""Possible roles of a table's column."""


@dataclass(frozen=True, kw_only=True)
class ImportSpeechConfig:
    """Convert recordings and transcripts to audio shards: 16 kHz mono FLAC, text and metadata."""

    output: Path
    """Folder of audio shards to create."""
    table: Path | None = None
    """List of the recordings: a table with one row each, a glob pattern of such tables, or a folder. Tables are .jsonl,
    .json (one object per line), .csv or .tsv with a header, or .parquet. A folder has the layout of LibriSpeech, Kaldi,
    Lhotse Shar or AudioFolder."""
    tars: str | None = None
    """Glob pattern of WebDataset tars ('data/*.tar'). A sample is <key>.flac, .wav, .mp3, .ogg or .opus with <key>.txt
    and, optionally, <key>.json. Each tar becomes a shard. If table is given too, its rows name members of the tars."""
    layout: str = "auto"
    """Meaning of columns and files: plain (audio, text, id), common_voice, nemo, audio_folder, lhotse, kaldi, shar or
    librispeech. 'auto' detects it, or fails with an error that names the columns or files."""
    columns: dict[str, str] = field(default_factory=dict)
    """Column names by role, for what the layout leaves open: audio (a path), text, id, speaker. For a part of a
    recording: start, end and duration in seconds (or start_ms, end_ms, duration_ms), and channel (from 0)."""
    metadata: tuple[str, ...] = ()
    """Columns to treat as metadata although they may name a part or channel of a recording. If text is listed, several
    rows may give different texts for one whole recording."""
    root: Path | None = None
    """Folder that relative paths start from; null for the table's folder."""
    transcripts: bool = True
    """Quarantine utterances without text; false keeps them with an empty text."""
    channels: Literal["first", "loudest", "mix", "split"] = "first"
    """Channel to use if a row names none. 'first': the first channel that is not silent. 'loudest': the one with the
    most energy. 'mix': the mean, quarantined if the channels cancel each other. 'split': every channel that is not
    silent, as utterances <key>_ch1, <key>_ch2, ... without text; needs transcripts: false."""
    silence_peak_dbfs: float | None = -60.0
    """Quarantine an utterance as silent if its peak lies below this level (decibels of full scale), ignoring a constant
    offset. Null keeps silent utterances. The level also decides which channels are silent (null: -60)."""
    utterances_per_shard: int = 1000
    """Rows of the table per shard."""
    licence: str | None = None
    """Licence of the recordings, as an SPDX name or a link; recorded in the manifests of all later outputs too."""
    language: str | None = None
    """Language of the speech, as a BCP 47 tag such as en; recorded in the manifests of all later outputs too."""
    max_quarantined_share: float = 0.01
    """Stop if more than this share of the utterances is unusable; a single unusable utterance never stops the
    import."""
    workers: int = 1
    """Number of processes; does not affect the result."""

    def __post_init__(self) -> None:
        if self.table is None and self.tars is None:
            raise ValueError("table=None and tars=None: give a table, tars, or both (a table of the tars' members)")
        if self.table is None and (self.layout != "auto" or "audio" in self.columns):
            raise ValueError("layout and columns.audio describe a table, but table is not given; leave them out")
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown:
            raise ValueError(f"columns={{{unknown[0]}: ...}} is not a role of a column; use {', '.join(COLUMNS)}")
        twice = [name for name in ("start", "end", "duration") if {name, f"{name}_ms"} <= self.columns.keys()]
        if twice:
            raise ValueError(f"columns has {twice[0]} and {twice[0]}_ms; give one of them")
        if not 0 <= self.max_quarantined_share <= 1:
            raise ValueError(f"max_quarantined_share={self.max_quarantined_share} must lie in 0 to 1; 0.01 is usual")
        for name in ("utterances_per_shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; leave it out for the default")
        require_bounds("silence_peak_dbfs", self.silence_peak_dbfs, -1000, 0, "-60 is usual, null keeps silence too")
