"""The speech to learn from: every source's index and the text ids in use, found in one scan that ranks divide.

Everything that can be wrong with an utterance and shows without decoding it is found here, before the first step: a
damaged shard, an empty transcript, speech longer than Whisper hears, text longer than its decoder writes. The scan is
kept beside the checkpoints. Price: what shows in the samples alone (NaN, another rate) stops the run at its step.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megatron_speech.artifact import read_json, write_atomic
from megatron_speech.audio.index import AudioIndex, joined_entries, scan_shard
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import AudioShard, audio_shards
from megatron_speech.config.speech_tokenizer import SpeechSourceConfig
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.model import TextSide
from megatron_speech.speech_tokenizer_training.ranks import divided, together

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Transcribed speech with an index."""

    name: str
    weight: float
    index: AudioIndex
    text_ids: list[int]
    """Text ids that its transcripts use, ascending."""


def open_sources(
    configs: dict[str, SpeechSourceConfig], text: TextSide, shape: WhisperVQConfig, work: Path
) -> list[Source]:
    """The sources by name, those without weight left out; `work` keeps their indices. Collective."""
    chosen = {name: config for name, config in sorted(configs.items()) if config.weight > 0}
    return [
        _open(name, config.audio, config.weight, text, shape, work / f"index-{number}")
        for number, (name, config) in enumerate(chosen.items())
    ]


def _open(name: str, folder: Path, weight: float, text: TextSide, shape: WhisperVQConfig, kept: Path) -> Source:
    shards = together(lambda: audio_shards(folder))
    names = [shard.path.name for shard in shards]
    if not together(lambda: (kept / "text_ids.json").is_file()):
        scans = divided(shards, lambda shard: _scan(shard, text, shape))
        entries = joined_entries([part for part, _ in scans])
        ids = sorted({token for _, used in scans for token in used})
        together(lambda: _keep(kept, entries, ids))
    index = AudioIndex(folder, names, np.load(kept / "entries.npy", allow_pickle=False))
    if not len(index):
        raise ValueError(f"sources.{name}.audio={folder}: holds no utterance; leave the source out")
    log.info("source %s: %d utterances, %.2f hours", name, len(index), index.samples.sum() / SAMPLE_RATE / 3600)
    return Source(name=name, weight=weight, index=index, text_ids=read_json(kept / "text_ids.json"))


def _scan(shard: AudioShard, text: TextSide, shape: WhisperVQConfig) -> tuple[np.ndarray, set[int]]:
    """A shard's entries and the text ids that it uses; ValueError names what cannot be learnt from."""
    scan = scan_shard(shard)
    used: set[int] = set()
    room = shape.max_target_positions - len(text.prompt) - 1
    for key, words, samples in zip(scan.keys, scan.texts, scan.entries["samples"].tolist(), strict=True):
        name = f"{shard.path.parent}: utterance {key}"
        if samples > shape.max_samples:
            raise ValueError(
                f"{name}: lasts {samples / SAMPLE_RATE:g} s, longer than the {shape.max_samples / SAMPLE_RATE:g} s "
                "that Whisper's encoder takes at once; cut it or leave it out"
            )
        ids = text.encode(words)
        if not words.strip():
            raise ValueError(f"{name}: its transcript is empty; transcribe it or leave it out")
        if len(ids) > room:
            raise ValueError(f"{name}: {len(ids)} text tokens, Whisper's decoder writes {room}; cut it or leave it out")
        used.update(ids)
    return scan.entries, used


def _keep(kept: Path, entries: np.ndarray, ids: list[int]) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    np.save(kept / "entries.npy", entries, allow_pickle=False)
    write_atomic(kept / "text_ids.json", str(ids))  # last: it says that the rest is there
