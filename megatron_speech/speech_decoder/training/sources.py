"""Scans the sources of a decoder's training: joins audio and codes by key, and keeps codes and voices in tables.

Cost: every rank holds the codes of a source in memory while it scans (about 0.3 kB per utterance); afterwards they are
mapped from disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from megatron_speech.artifacts.facts.speech_tokenizer import SpeechTokenizerIdentity
from megatron_speech.artifacts.manifest import read_facts
from megatron_speech.audio.index import ScannedShard
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import AudioShard, BadRecord
from megatron_speech.config.stages.train_causal_decoder import DecoderSourceConfig, TrainCausalDecoderConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.parallel.agree import on_every_rank
from megatron_speech.speech_decoder.folder import DecoderIdentity
from megatron_speech.speech_training.scan import ScannedSource, SourceScan, Tables
from megatron_speech.vocabulary import Vocabulary

LEAST_TOKENS = 2
"""Fewest codes of an utterance to learn from; the mel frames of less are mostly padding."""
SLACK_TOKENS = 1.5
"""Largest difference between an utterance's codes and its duration, in codes."""


class Source:
    """A scanned source with the codes and the voice of every utterance."""

    def __init__(self, scanned: ScannedSource) -> None:
        self.scanned, self.name, self.index = scanned, scanned.name, scanned.index
        lengths = scanned.tables["lengths"].astype(np.int64)
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths

    def codes(self, utterance: int) -> torch.Tensor:
        """Codes of an utterance, int64 [N]."""
        part = self.scanned.tables["codes"][self._starts[utterance] : self._ends[utterance]]
        return torch.from_numpy(part.astype(np.int64))

    def voice(self, utterance: int) -> str:
        """Voice of an utterance; empty if it has none."""
        return str(self.scanned.tables["voices"][utterance])

    def voices(self) -> set[str]:
        """All voices of the source."""
        return {str(voice) for voice in np.unique(self.scanned.tables["voices"])} - {""}


def open_sources(
    config: TrainCausalDecoderConfig, work: Path, *, stop: Callable[[], bool] = lambda: False
) -> list[Source]:
    """Scan the training sources, ordered by name; sources of weight 0 are skipped. Raises as `SourceScan.open`."""
    chosen = {name: source for name, source in config.sources.items() if source.weight > 0}
    return _open(config, chosen, work, "scan", stop)


def open_validation(
    config: TrainCausalDecoderConfig, work: Path, *, stop: Callable[[], bool] = lambda: False
) -> list[Source]:
    """Scan the validation sets, ordered by name. Raises as `SourceScan.open`."""
    return _open(config, config.validation, work, "validation", stop)


def require_identity(config: TrainCausalDecoderConfig) -> DecoderIdentity:
    """Facts of the speech tokenizer; ValueError if it did not make the codes of all sources, or says no rate."""
    facts = read_facts(config.tokenizer, SpeechTokenizerIdentity)
    if facts.frame_rate is None:
        raise ValueError(f"tokenizer={config.tokenizer}: its manifest says no frame_rate; make it again")
    for name, source in (*config.sources.items(), *config.validation.items()):
        made_by = Vocabulary.load(source.codes).speech_fingerprint
        if made_by != facts.fingerprint:
            raise ValueError(
                f"{name}: codes={source.codes} were made by speech tokenizer {made_by[:12]}, not by "
                f"tokenizer={config.tokenizer} ({facts.fingerprint[:12]}); encode the audio again"
            )
    return DecoderIdentity(
        codebook_size=facts.codebook_size, frame_rate=facts.frame_rate, speech_fingerprint=facts.fingerprint
    )


def _open(
    config: TrainCausalDecoderConfig,
    sources: Mapping[str, DecoderSourceConfig],
    work: Path,
    place: str,
    stop: Callable[[], bool],
) -> list[Source]:
    rate = on_every_rank(lambda: require_identity(config)).frame_rate
    return [
        Source(
            SourceScan(
                tool="train_causal_decoder",
                name=name,
                weight=source.weight,
                folder=source.audio,
                kept=work / f"{place}-{number}",
                examine=partial(_Join(source.codes).examine, rate, frozenset(config.voices)),
                join=_concatenated,
                silence_peak_dbfs=config.silence_peak_dbfs,
                most_bad=config.max_quarantined_share,
                remedy=f"check that voices={list(config.voices)} stand in its metadata as voice or speaker",
            ).open(stop=stop)
        )
        for number, (name, source) in enumerate(sorted(sources.items()))
    ]


class _Join:
    """Joins scanned shards with the codes in a folder, which are read at the first shard."""

    def __init__(self, codes: Path) -> None:
        self._folder = codes
        self._codes: dict[str, np.ndarray] | None = None

    def examine(
        self, rate: float, voices: frozenset[str], shard: AudioShard, scan: ScannedShard, bad: list[BadRecord]
    ) -> tuple[list[int], Tables]:
        """Utterances of `voices` (empty: all) with the codes of their duration, their codes and their voices."""
        if self._codes is None:
            self._codes = {document.key: document.tokens for document in read_documents(self._folder)}
        usable: list[int] = []
        kept: list[np.ndarray] = []
        for number, (key, voice) in enumerate(zip(scan.keys, scan.voices, strict=True)):
            codes = self._codes.get(key)
            if voices and voice not in voices:
                continue
            if fault := _fault(codes, int(scan.entries["samples"][number]) / SAMPLE_RATE, rate, self._folder):
                bad.append(shard.bad(key, *fault))
            elif codes is not None:
                usable.append(number)
                kept.append(codes)
        tables = {
            "codes": np.concatenate([np.empty(0, np.int32), *kept]).astype(np.int32),
            "lengths": np.array([len(codes) for codes in kept], np.int32),
            "voices": np.array([scan.voices[number] or "" for number in usable], np.str_),
        }
        return usable, tables


def _fault(codes: np.ndarray | None, seconds: float, rate: float, folder: Path) -> tuple[str, str] | None:
    """Reason and message if an utterance cannot be used for training, else None."""
    if codes is None:
        return "without codes", f"has no codes in {folder}; encode the audio again"
    if len(codes) < LEAST_TOKENS:
        return "too short", f"has {len(codes)} codes, {LEAST_TOKENS} are needed; leave it out"
    if abs(len(codes) - seconds * rate) > SLACK_TOKENS:
        return "other codes", (
            f"has {len(codes)} codes for {seconds:.2f} s of audio, not {rate:g} per second; encode the audio again"
        )
    return None


def _concatenated(tables: list[Tables]) -> Tables:
    empty = {"codes": np.empty(0, np.int32), "lengths": np.empty(0, np.int32), "voices": np.empty(0, np.str_)}
    return {name: np.concatenate([none, *(each[name] for each in tables)]) for name, none in empty.items()}
