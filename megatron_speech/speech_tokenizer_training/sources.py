"""The speech to learn from: every source's index and the text ids in use, found in one scan that ranks divide.

Everything that can be wrong with an utterance and shows without decoding it is found here, before the first step: a
damaged shard, an empty transcript, speech longer than Whisper hears, text longer than its decoder writes. The scan is
kept beside the checkpoints. Price: what shows in the samples alone (NaN, another rate) stops the run at its step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megatron_speech.artifact import naming_file, read_json, rename_synced, write_atomic
from megatron_speech.audio.index import AudioIndex, joined_entries, scan_shard
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import AudioShard, audio_shards
from megatron_speech.config.speech_tokenizer import SpeechSourceConfig
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.model import TextSide
from megatron_speech.speech_tokenizer_training.ranks import agree, divided, together

log = logging.getLogger(__name__)

LISTED = 5
"""Utterances that an error lists; it counts all of them."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Transcribed speech with an index."""

    name: str
    weight: float
    index: AudioIndex
    text_ids: list[int]
    """Text ids that its transcripts use, ascending."""


def open_sources(
    configs: dict[str, SpeechSourceConfig],
    text: TextSide,
    shape: WhisperVQConfig,
    work: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> list[Source]:
    """The sources by name, those without weight left out; `work` keeps their indices. Collective.

    `stop` is asked between two shards, and raises `Stopped`; a shard that was scanned is not scanned again.
    """
    chosen = {name: config for name, config in sorted(configs.items()) if config.weight > 0}
    return [
        _open(name, config, text, shape, work / f"index-{number}", stop)
        for number, (name, config) in enumerate(chosen.items())
    ]


def _open(
    name: str,
    config: SpeechSourceConfig,
    text: TextSide,
    shape: WhisperVQConfig,
    kept: Path,
    stop: Callable[[], bool],
) -> Source:
    folder = config.audio
    shards = together(lambda: audio_shards(folder))
    names = [shard.path.name for shard in shards]
    if not together(lambda: (kept / "text_ids.json").is_file()):
        together(lambda: kept.mkdir(parents=True, exist_ok=True))
        faults = divided(shards, lambda shard: _scan(shard, text, shape, kept), stop=stop)
        bad = [each for part in faults for each in part]
        if bad:
            raise ValueError("; ".join([*bad[:LISTED], f"sources.{name}: {len(bad)} such utterances in all"]))
        together(lambda: _join(kept, names))
    index = agree(lambda: AudioIndex(folder, names, np.load(kept / "entries.npy", allow_pickle=False)))
    if not len(index):
        raise ValueError(f"sources.{name}.audio={folder}: holds no utterance; leave the source out")
    log.info("source %s: %d utterances, %.2f hours", name, len(index), index.samples.sum() / SAMPLE_RATE / 3600)
    ids = agree(lambda: read_json(kept / "text_ids.json"))
    return Source(name=name, weight=config.weight, index=index, text_ids=ids)


def _scan(shard: AudioShard, text: TextSide, shape: WhisperVQConfig, kept: Path) -> list[str]:
    """Keep a shard's entries and text ids, or say of each utterance that cannot be learnt from why."""
    name = shard.path.name
    if (kept / f"{name}.json").is_file():
        return []
    scan = scan_shard(shard)
    used: set[int] = set()
    bad: list[str] = []
    for key, words, samples in zip(scan.keys, scan.texts, scan.entries["samples"].tolist(), strict=True):
        ids = text.encode(words)
        if why := _fault(words, ids, samples, text, shape):
            bad.append(f"{shard.path.parent}: utterance {key}: {why}")
        used.update(ids)
    if not bad:
        _write_entries(kept / f"{name}.npy", scan.entries)
        write_atomic(kept / f"{name}.json", str(sorted(used)))  # last: it says that the rest is there
    return bad


def _fault(words: str, ids: list[int], samples: int, text: TextSide, shape: WhisperVQConfig) -> str | None:
    """Why an utterance cannot be learnt from, if it cannot."""
    room = shape.max_target_positions - len(text.prompt) - 1
    if samples > shape.max_samples:
        return (
            f"lasts {samples / SAMPLE_RATE:g} s, longer than the {shape.max_samples / SAMPLE_RATE:g} s "
            "that Whisper's encoder takes at once; cut it or leave it out"
        )
    if not words.strip():
        return "its transcript is empty; transcribe it or leave it out"
    if len(ids) > room:
        return f"{len(ids)} text tokens, Whisper's decoder writes {room}; cut it or leave it out"
    return None


def _join(kept: Path, names: list[str]) -> None:
    """Make the scans of all shards one, and drop them."""
    scans = [kept / name for name in names]
    entries = joined_entries([np.load(f"{scan}.npy", allow_pickle=False) for scan in scans])
    ids = sorted({token for scan in scans for token in read_json(scan.with_name(scan.name + ".json"))})
    _write_entries(kept / "entries.npy", entries)
    write_atomic(kept / "text_ids.json", str(ids))  # last: it says that the rest is there
    for scan in scans:
        for ending in (".npy", ".json"):
            scan.with_name(scan.name + ending).unlink()


def _write_entries(path: Path, entries: np.ndarray) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with naming_file(temporary), temporary.open("wb") as file:
        np.save(file, entries, allow_pickle=False)
    rename_synced(temporary, path)
