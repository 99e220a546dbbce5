"""Scans the training sources: an utterance needs a transcript, and neither may be too long for Whisper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from megatron_speech.audio.index import ScannedShard
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import AudioShard, BadRecord
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.model import TextSide
from megatron_speech.speech_training.scan import ScannedSource, SourceScan, Tables

TEXT_IDS = "text_ids"
"""Table of the text ids that occur in the transcripts of a source, ascending."""


def open_sources(
    config: TrainSpeechTokenizerConfig,
    text: TextSide,
    shape: WhisperVQConfig,
    work: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> list[ScannedSource]:
    """Scan the sources of `config` and open them, ordered by name; sources of weight 0 are skipped. Collective.

    Raises as `SourceScan.open`.
    """
    chosen = {name: source for name, source in sorted(config.sources.items()) if source.weight > 0}
    return [
        SourceScan(
            tool="train_speech_tokenizer",
            name=name,
            weight=source.weight,
            folder=source.audio,
            kept=work / f"scan-{number}",
            examine=partial(_examine, text, shape),
            join=_union,
            silence_peak_dbfs=config.silence_peak_dbfs,
            most_bad=config.max_quarantined_share,
        ).open(stop=stop)
        for number, (name, source) in enumerate(chosen.items())
    ]


def _examine(
    text: TextSide, shape: WhisperVQConfig, shard: AudioShard, scan: ScannedShard, bad: list[BadRecord]
) -> tuple[list[int], Tables]:
    """Check each utterance's transcript and length, and collect the text ids."""
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
    return usable, {TEXT_IDS: np.array(sorted(used), np.int64)}


def _union(tables: list[Tables]) -> Tables:
    none = np.empty(0, np.int64)
    return {TEXT_IDS: np.unique(np.concatenate([none, *(each[TEXT_IDS] for each in tables)]))}


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
