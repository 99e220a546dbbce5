"""The speech to learn from: every source's index and the text ids in use, found in one scan that ranks divide.

Everything that can be wrong with an utterance is found here, before the first step: audio that is damaged or silent, an
empty transcript, speech longer than Whisper hears, text longer than its decoder writes. Such utterances are listed,
counted and left out; more than a small share of a source stops the run. The scan is kept beside the checkpoints. Price:
all speech is decoded once more (audio/index.py says how fast); damage that comes later stops the run at its step.
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
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.model import TextSide

logger = logging.getLogger(__name__)

LISTED = 5
"""Unusable utterances of a source that the log names; it counts all of them, and the tokenizer's folder lists them."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Transcribed speech with an index."""

    name: str
    weight: float
    index: AudioIndex
    text_ids: list[int]
    """Text ids that its transcripts use, ascending."""
    quarantined: list[BadRecord]
    """Utterances that were left out; the index does not hold them."""


def open_sources(
    config: TrainSpeechTokenizerConfig,
    text: TextSide,
    shape: WhisperVQConfig,
    work: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> list[Source]:
    """The sources by name, those without weight left out; `work` keeps their indices. Collective.

    `stop` is asked between two shards, and raises `Stopped`; a shard that was scanned is not scanned again.
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
    folder = source.audio
    shards = on_rank_zero(lambda: audio_shards(folder))
    names = [shard.path.name for shard in shards]
    if not on_rank_zero(lambda: (kept / "text_ids.json").is_file()):
        on_rank_zero(lambda: kept.mkdir(parents=True, exist_ok=True))
        divided(shards, lambda shard: _scan(shard, config, text, shape, kept), stop=stop)
        on_rank_zero(lambda: _join(kept, names))
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
    """Keep a shard's entries, its text ids and its unusable utterances."""
    name = shard.path.name
    if (kept / f"{name}.json").is_file():
        return
    bad: list[BadRecord] = []
    scan = scan_shard(shard, on_bad=bad.append, silence_peak_dbfs=config.silence_peak_dbfs)
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
    write_atomic(kept / f"{name}.json", str(sorted(used)))  # last: it says that the rest is there


def _fault(words: str, ids: list[int], samples: int, text: TextSide, shape: WhisperVQConfig) -> tuple[str, str] | None:
    """Why an utterance cannot be learnt from, in a word and in full, if it cannot."""
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
    """Make the scans of all shards one, and drop them."""
    scans = [kept / name for name in names]
    entries = joined_entries([np.load(f"{scan}.npy", allow_pickle=False) for scan in scans])
    ids = sorted({token for scan in scans for token in read_json(scan.with_name(scan.name + ".json"))})
    _write_entries(kept / "entries.npy", entries)
    lists = [read_quarantine(scan.with_name(f"{scan.name}.{QUARANTINE}")) for scan in scans]
    write_quarantine(kept / QUARANTINE, [bad for part in lists for bad in part])
    write_atomic(kept / "text_ids.json", str(ids))  # last: it says that the rest is there
    for scan in scans:
        for ending in (".npy", ".json", f".{QUARANTINE}"):
            scan.with_name(scan.name + ending).unlink()


def _write_entries(path: Path, entries: np.ndarray) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with naming_file(temporary), temporary.open("wb") as file:
        np.save(file, entries, allow_pickle=False)
    rename_synced(temporary, path)
