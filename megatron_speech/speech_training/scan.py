"""Scans the audio shards of a source before the first step: builds its index and quarantines unusable utterances.

An utterance is unusable if its audio is damaged or silent, or if the training says so. Such utterances are listed,
counted and left out. If their share of a source exceeds `most_bad`, the run stops. Ranks divide the scan, which is
stored beside the checkpoints. Cost: all speech is decoded once more (`audio/index.py` gives the speed). Limitation:
damage after the scan stops the run at the step that reads it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch.distributed as dist

from megatron_speech.artifacts.files import naming_file, rename_synced, write_atomic
from megatron_speech.artifacts.left_out import LEAST_JUDGED, show
from megatron_speech.audio.index import AudioIndex, ScannedShard, joined_entries, scan_shard
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.quarantine import QUARANTINE, read_quarantine, require_few, write_quarantine
from megatron_speech.audio.shards import AudioShard, BadRecord, audio_shards
from megatron_speech.parallel.agree import divided, on_every_rank, on_rank_zero
from megatron_speech.progress import Progress

logger = logging.getLogger(__name__)

LISTED = 5
"""Number of unusable utterances per source named in the log. The finished folder lists all."""

Tables = Mapping[str, np.ndarray]
Examine = Callable[[AudioShard, ScannedShard, list[BadRecord]], tuple[list[int], Tables]]
"""Numbers of the utterances of a scanned shard that a training can use, and its tables about them; adds the others to
the list."""


@dataclass(frozen=True, kw_only=True)
class ScannedSource:
    """An indexed source of speech."""

    name: str
    weight: float
    index: AudioIndex
    tables: Tables
    """What the training keeps about the utterances, mapped from disk."""
    quarantined: list[BadRecord]
    """Unusable utterances, which are not in the index."""


@dataclass(frozen=True, kw_only=True)
class SourceScan:
    """How one source is scanned."""

    tool: str
    """The command, for its progress."""
    name: str
    weight: float
    folder: Path
    """Audio shards."""
    kept: Path
    """Folder for the finished scan."""
    examine: Examine
    join: Callable[[list[Tables]], Tables]
    """Joins the tables of all shards, in order."""
    silence_peak_dbfs: float | None
    most_bad: float
    """Largest share of unusable utterances."""
    remedy: str = "leave the source out"
    """What to do if no utterance is left."""

    def open(self, *, stop: Callable[[], bool] = lambda: False) -> ScannedSource:
        """Scan the source, unless a finished scan is stored, and open it. Collective.

        If `stop()` is true between two shards, Stopped is raised; finished shards are kept. Raises ValueError if too
        many utterances are unusable, or none is left.
        """
        shards = on_rank_zero(lambda: audio_shards(self.folder))
        names = [shard.path.name for shard in shards]
        if not on_rank_zero(self._finished.is_file):
            self._scan(shards, stop)
            on_rank_zero(lambda: self._join(names))
        entries = on_every_rank(lambda: np.load(self.kept / "entries.npy", allow_pickle=False))
        index = AudioIndex(self.folder, names, entries)
        quarantined = on_every_rank(lambda: read_quarantine(self.kept / QUARANTINE))
        self._report(index, quarantined)
        tables = on_every_rank(lambda: _read_tables(self.kept / "tables", mapped=True))
        return ScannedSource(name=self.name, weight=self.weight, index=index, tables=tables, quarantined=quarantined)

    @property
    def _finished(self) -> Path:
        return self.kept / "finished"

    def _report(self, index: AudioIndex, quarantined: list[BadRecord]) -> None:
        for bad in quarantined[:LISTED] if dist.get_rank() == 0 else []:
            logger.warning("source %s: left out: %s", self.name, bad.message)
        require_few(quarantined, len(index) + len(quarantined), self.most_bad)
        if not len(index):
            why = quarantined[0].message if quarantined else self.remedy
            raise ValueError(f"sources.{self.name}.audio={self.folder}: holds no usable utterance; {why}")
        logger.info(
            "source %s: %d utterances, %.2f hours, quarantined %s",
            *(self.name, len(index), index.samples.sum() / SAMPLE_RATE / 3600),
            show(Counter(bad.reason for bad in quarantined)),
        )

    def _scan(self, shards: list[AudioShard], stop: Callable[[], bool]) -> None:
        on_rank_zero(lambda: self.kept.mkdir(parents=True, exist_ok=True))
        own = len(range(dist.get_rank(), len(shards), dist.get_world_size()))
        with Progress(f"{self.tool} {self.name}: scan", unit="shards", total=own) as progress:

            def work(shard: AudioShard) -> None:
                self._scan_shard(shard)
                progress.add()

            divided(shards, work, stop=stop)

    def _scan_shard(self, shard: AudioShard) -> None:
        """Scan a shard and store its index entries, its tables and its unusable utterances."""
        part = self.kept / shard.path.name
        if part.with_name(part.name + ".finished").is_file():
            return
        bad: list[BadRecord] = []
        scan = scan_shard(shard, on_bad=bad.append, silence_peak_dbfs=self.silence_peak_dbfs)
        usable, tables = self.examine(shard, scan, bad)
        if shard.utterances >= LEAST_JUDGED:
            require_few(bad, shard.utterances, self.most_bad)
        write_quarantine(part.with_name(f"{part.name}.{QUARANTINE}"), bad)
        _write_array(part.with_name(part.name + ".npy"), scan.entries[usable])
        _write_tables(part.with_name(part.name + ".tables"), tables)
        write_atomic(part.with_name(part.name + ".finished"), "")  # last: marks the scan of the shard as finished

    def _join(self, names: list[str]) -> None:
        """Join the scans of all shards and delete them."""
        parts = [self.kept / name for name in names]
        entries = [np.load(part.with_name(part.name + ".npy"), allow_pickle=False) for part in parts]
        _write_array(self.kept / "entries.npy", joined_entries(entries))
        tables = [_read_tables(part.with_name(part.name + ".tables")) for part in parts]
        _write_tables(self.kept / "tables", self.join(tables))
        lists = [read_quarantine(part.with_name(f"{part.name}.{QUARANTINE}")) for part in parts]
        write_quarantine(self.kept / QUARANTINE, [bad for each in lists for bad in each])
        write_atomic(self._finished, "")  # last: marks the joined scan as finished
        for part in parts:
            for ending in (".npy", ".finished", f".{QUARANTINE}"):
                part.with_name(part.name + ending).unlink()
            for table in part.with_name(part.name + ".tables").iterdir():
                table.unlink()
            part.with_name(part.name + ".tables").rmdir()


def _write_tables(folder: Path, tables: Tables) -> None:
    folder.mkdir(exist_ok=True)
    for name, values in tables.items():
        _write_array(folder / f"{name}.npy", values)


def _read_tables(folder: Path, *, mapped: bool = False) -> Tables:
    mode: Literal["r"] | None = "r" if mapped else None  # an empty table cannot be mapped
    return {path.stem: np.load(path, mmap_mode=mode, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def _write_array(path: Path, values: np.ndarray) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with naming_file(temporary), temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    rename_synced(temporary, path)
