"""Settings of making audio shards of one's own speech."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds

ImportLayout = Literal[
    "auto", "plain", "common_voice", "nemo", "audio_folder", "lhotse", "shar", "librispeech", "kaldi"
]
COLUMNS = (
    *("audio", "text", "id", "speaker", "channel"),
    *("start", "end", "duration", "start_ms", "end_ms", "duration_ms"),
)
"""What a column may be."""


@dataclass(frozen=True, kw_only=True)
class ImportSpeechConfig:
    """Recordings and their transcripts to audio shards: 16 kHz mono FLAC, text and metadata."""

    output: Path
    """Folder of the audio shards."""
    table: Path | None = None
    """What lists the recordings: a table with a row each (.jsonl or .json with an object per line, .csv or .tsv with a
    header, .parquet), a pattern of such tables, or a folder in the layout of LibriSpeech, Kaldi, Lhotse Shar or
    AudioFolder."""
    tars: str | None = None
    """WebDataset tars instead, as a pattern ('data/*.tar'): <key>.flac or .wav, .mp3, .ogg, .opus, with <key>.txt and,
    where there is metadata, <key>.json. A tar becomes a shard. With a table too, its rows name members of the tars."""
    layout: ImportLayout = "auto"
    """Which columns or files mean what; auto: as they show, or an error names them. plain: audio, text, id."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns of the table by what they are, where the layout does not say it: audio (a path), text, id, speaker, and
    of a part of a recording start, end, duration (seconds; or start_ms, end_ms, duration_ms) and channel (from 0)."""
    metadata: tuple[str, ...] = ()
    """Columns that are metadata, though they may say which part or channel of a recording a row is; with text among
    them, rows may give one whole recording several texts."""
    root: Path | None = None
    """Folder that relative paths start at; null: the folder of the table."""
    transcripts: bool = True
    """Whether an utterance without text is quarantined; false keeps it, with an empty text."""
    channels: Literal["first", "loudest", "mix", "split"] = "first"
    """What is heard of several channels, where a row does not say: the first (where it is silent, the first that
    speaks), the one of most energy, their mean (quarantined where they cancel each other), or each that speaks as an
    utterance of its own, <key>_ch1, <key>_ch2, ... without text (transcripts: false, as one text fits no two)."""
    silence_peak_dbfs: float | None = -60.0
    """An utterance whose loudest sample lies below this level (decibels of full scale) is quarantined as silent; a
    constant offset is no sound. Null keeps it. A silent channel is one below it, too (null: -60)."""
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
        if self.table is None and self.tars is None:
            raise ValueError("table=None and tars=None: give a table, tars, or a table of what is in tars")
        if self.table is None and (self.layout != "auto" or "audio" in self.columns):
            raise ValueError("layout and columns.audio are of a table, and there is none; leave them out")
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown:
            raise ValueError(f"columns={{{unknown[0]}: ...}} is nothing a column can be; use {', '.join(COLUMNS)}")
        twice = [name for name in ("start", "end", "duration") if {name, f"{name}_ms"} <= self.columns.keys()]
        if twice:
            raise ValueError(f"columns has {twice[0]} and {twice[0]}_ms; give one of them")
        if not 0 <= self.max_quarantined_share <= 1:
            raise ValueError(f"max_quarantined_share={self.max_quarantined_share} must lie in 0 to 1; 0.01 is usual")
        for name in ("utterances_per_shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1; leave it out for the default")
        require_bounds("silence_peak_dbfs", self.silence_peak_dbfs, -1000, 0, "-60 is usual, null keeps silence too")
