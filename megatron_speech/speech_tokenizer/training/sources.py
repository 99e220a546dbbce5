"""Scans the training sources before the first step: builds their indices and quarantines unusable utterances.

An utterance is unusable if its audio is damaged or silent, its transcript is empty, or either is too long for Whisper.
Such utterances are listed, counted and left out. If their share of a source exceeds `max_quarantined_share`, the run
stops. Ranks divide the scan, which is stored beside the checkpoints. Cost: all speech is decoded once more
(`audio/index.py` gives the speed). Limitation: damage after the scan stops the run at the step that reads it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.distributed as dist

from megatron_speech.artifacts.files import naming_file, read_json, rename_synced, write_atomic
from megatron_speech.artifacts.left_out import LEAST_JUDGED, show
from megatron_speech.audio.index import AudioIndex, joined_entries, scan_shard
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.quarantine import (
    QUARANTINE,
    read_quarantine,
    require_few,
    write_quarantine,
)
from megatron_speech.audio.shards import AudioShard, BadRecord, audio_shards
from megatron_speech.config.stages.train_speech_tokenizer import SpeechSourceConfig, TrainSpeechTokenizerConfig
from megatron_speech.parallel.agree import divided, on_every_rank, on_rank_zero
from megatron_speech.progress import Progress
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.model import TextSide

logger = logging.getLogger(__name__)

LISTED = 5
"""Number of unusable utterances per source named in the log. The tokenizer's folder lists all."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An indexed source of transcribed speech."""

    name: str
    weight: float
    index: AudioIndex
    text_ids: list[int]
    """Text ids that occur in the transcripts, ascending."""
    quarantined: list[BadRecord]
    """Unusable utterances, which are not in the index."""


def open_sources(
    config: TrainSpeechTokenizerConfig,
    text: TextSide,
    shape: WhisperVQConfig,
    work: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> list[Source]:
    """Scan the sources of `config` and open them, ordered by name; sources of weight 0 are skipped. Collective.

    The scans are stored in `work`. If `stop()` is true between two shards, Stopped is raised; finished shards are kept.
    Raises ValueError if too many utterances of a source are unusable, or none is left.
    """
    chosen = {name: source for name, source in sorted(config.sources.items()) if source.weight > 0}
    return [
        _open(name, source, config, text, shape, work / f"scan-{number}", stop)
        for number, (name, source) in enumerate(chosen.items())
    ]


def _open(
    name: str,
    source: SpeechSourceConfig,
    config: TrainSpeechTokenizerConfig,
    text: TextSide,
    shape: WhisperVQConfig,
    kept: Path,
    stop: Callable[[], bool],
) -> Source:
    # Scan the shards, unless a finished scan is stored.
    folder = source.audio
    shards = on_rank_zero(lambda: audio_shards(folder))
    names = [shard.path.name for shard in shards]
    if not on_rank_zero(lambda: (kept / "text_ids.json").is_file()):
        on_rank_zero(lambda: kept.mkdir(parents=True, exist_ok=True))
        own = len(range(dist.get_rank(), len(shards), dist.get_world_size()))
        with Progress(f"train_speech_tokenizer {name}: scan", unit="shards", total=own) as progress:

            def work(shard: AudioShard) -> None:
                _scan(shard, config, text, shape, kept)
                progress.add()

            divided(shards, work, stop=stop)
        on_rank_zero(lambda: _join(kept, names))
    # Open the scan, and report the unusable utterances.
    index = on_every_rank(lambda: AudioIndex(folder, names, np.load(kept / "entries.npy", allow_pickle=False)))
    quarantined = on_every_rank(lambda: read_quarantine(kept / QUARANTINE))
    for bad in quarantined[:LISTED] if dist.get_rank() == 0 else []:
        logger.warning("source %s: left out: %s", name, bad.message)
    require_few(quarantined, len(index) + len(quarantined), config.max_quarantined_share)
    if not len(index):
        why = quarantined[0].message if quarantined else "leave the source out"
        raise ValueError(f"sources.{name}.audio={folder}: holds no usable utterance; {why}")
    logger.info(
        "source %s: %d utterances, %.2f hours, quarantined %s",
        *(name, len(index), index.samples.sum() / SAMPLE_RATE / 3600),
        show(Counter(bad.reason for bad in quarantined)),
    )
    ids = on_every_rank(lambda: read_json(kept / "text_ids.json"))
    return Source(name=name, weight=source.weight, index=index, text_ids=ids, quarantined=quarantined)


def _scan(
    shard: AudioShard, config: TrainSpeechTokenizerConfig, text: TextSide, shape: WhisperVQConfig, kept: Path
) -> None:
    """Scan a shard and store its index entries, its text ids and its unusable utterances."""
    name = shard.path.name
    if (kept / f"{name}.json").is_file():
        return
    bad: list[BadRecord] = []
    scan = scan_shard(shard, on_bad=bad.append, silence_peak_dbfs=config.silence_peak_dbfs)
    # Check each utterance's transcript and length.
    used: set[int] = set()
    usable: list[int] = []
    samples = scan.entries["samples"].tolist()
    for number, (key, words) in enumerate(zip(scan.keys, scan.texts, strict=True)):
        ids = text.encode(words)
        if fault := _fault(words, ids, samples[number], text, shape):
            bad.append(shard.bad(key, *fault))
        else:
            usable.append(number)
            used.update(ids)
    if shard.utterances >= LEAST_JUDGED:
        require_few(bad, shard.utterances, config.max_quarantined_share)
    write_quarantine(kept / f"{name}.{QUARANTINE}", bad)
    _write_entries(kept / f"{name}.npy", scan.entries[usable])
    write_atomic(kept / f"{name}.json", str(sorted(used)))  # last: marks the scan of the shard as finished


def _fault(words: str, ids: list[int], samples: int, text: TextSide, shape: WhisperVQConfig) -> tuple[str, str] | None:
    """Reason and message if an utterance cannot be used for training, else None."""
    room = shape.max_target_positions - len(text.prompt) - 1
    if samples > shape.max_samples:
        return "too long", (
            f"lasts {samples / SAMPLE_RATE:g} s, longer than the {shape.max_samples / SAMPLE_RATE:g} s "
            "that Whisper's encoder takes at once; cut it or leave it out"
        )
    if not words.strip():
        return "no text", "its transcript is empty; transcribe it or leave it out"
    if len(ids) > room:
        return "too much text", f"{len(ids)} text tokens, Whisper's decoder writes {room}; cut it or leave it out"
    return None


def _join(kept: Path, names: list[str]) -> None:
    """Join the scans of all shards and delete them."""
    scans = [kept / name for name in names]
    entries = joined_entries([np.load(f"{scan}.npy", allow_pickle=False) for scan in scans])
    ids = sorted({token for scan in scans for token in read_json(scan.with_name(scan.name + ".json"))})
    _write_entries(kept / "entries.npy", entries)
    lists = [read_quarantine(scan.with_name(f"{scan.name}.{QUARANTINE}")) for scan in scans]
    write_quarantine(kept / QUARANTINE, [bad for part in lists for bad in part])
    write_atomic(kept / "text_ids.json", str(ids))  # last: marks the joined scan as finished
    for scan in scans:
        for ending in (".npy", ".json", f".{QUARANTINE}"):
            scan.with_name(scan.name + ending).unlink()


def _write_entries(path: Path, entries: np.ndarray) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with naming_file(temporary), temporary.open("wb") as file:
        np.save(file, entries, allow_pickle=False)
    rename_synced(temporary, path)
