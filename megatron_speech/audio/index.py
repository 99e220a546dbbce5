"""Utterances of audio shards by number: where each lies in its tar, how long it lasts, and one read to get it.

A shard is scanned once: its checksum, its tar headers, its transcripts and durations. What is kept is 32 bytes per
utterance, so a training run over ten million utterances holds 320 MB, whatever the audio weighs, and reads any of them
with one seek. Price: the scan reads every byte once for the checksum; later reads trust it, FLAC's own frame checksums,
and the number of samples.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from megatron_speech.audio.io import SAMPLE_RATE, decode_audio
from megatron_speech.audio.shards import AudioShard, text_and_meta

ENTRY = np.dtype(
    [
        ("shard", "<i4"),
        ("samples", "<i4"),
        ("audio", "<i8"),
        ("audio_bytes", "<i4"),
        ("text", "<i8"),
        ("text_bytes", "<i4"),
    ]
)
"""Number of the shard, duration, and where in it the FLAC and the transcript begin and how long they are."""


@dataclass(frozen=True, kw_only=True)
class ScannedShard:
    """What one pass over a shard found; all lists in tar order."""

    entries: np.ndarray
    """ENTRY [utterances]; `shard` is 0."""
    keys: list[str]
    texts: list[str]


def scan_shard(shard: AudioShard) -> ScannedShard:
    """The utterances of one shard, which is checked against what its manifest says.

    FileNotFoundError or ValueError names the file, or the utterance that lacks a part or its duration.
    """
    shard.check()
    path = shard.path
    entries, keys, texts = [], [], []
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        for key, group in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            members = {member.name.partition(".")[2]: member for member in group}
            if missing := sorted({"flac", "txt", "json"} - members.keys()):
                raise ValueError(f"{path}: utterance {key} lacks {', '.join(missing)}; make the audio again")
            flac, txt = members["flac"], members["txt"]
            text, meta = text_and_meta(
                f"{path}: utterance {key}", _read(file.fileno(), txt), _read(file.fileno(), members["json"])
            )
            seconds = meta.get("duration_s")
            if not isinstance(seconds, int | float) or not 0 < seconds < 1e5:
                raise ValueError(f"{path}: utterance {key}: duration_s={seconds} in its json; make the audio again")
            samples = round(seconds * SAMPLE_RATE)
            entries.append((0, samples, flac.offset_data, flac.size, txt.offset_data, txt.size))
            keys.append(key)
            texts.append(text)
    if len(keys) != shard.utterances:
        raise ValueError(f"{path}: {len(keys)} utterances, its manifest says {shard.utterances}; make the audio again")
    return ScannedShard(entries=np.array(entries, ENTRY), keys=keys, texts=texts)


def joined_entries(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The entries of a folder's shards, in their order, as one ENTRY array."""
    entries = np.concatenate([np.empty(0, ENTRY), *parts])
    entries["shard"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return entries


class AudioIndex:
    """Random access to the utterances of a folder of audio shards; safe to use from several threads."""

    def __init__(self, folder: Path, shards: list[str], entries: np.ndarray) -> None:
        assert entries.dtype == ENTRY, f"{entries.dtype=} is no index"
        self.folder, self.shards, self.entries = folder, shards, entries

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def samples(self) -> np.ndarray:
        """Duration of each utterance, int32 [utterances]; one sample off at most, as written durations are rounded."""
        samples: np.ndarray = self.entries["samples"]
        return samples

    def name(self, number: int) -> str:
        """What errors call an utterance."""
        entry = self.entries[number]
        with self._path(entry).open("rb") as file:
            file.seek(int(entry["audio"]) - tarfile.BLOCKSIZE)
            header = tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        return f"{self._path(entry)}: utterance {header.name.partition('.')[0]}"

    def text(self, number: int) -> str:
        """The transcript of an utterance."""
        entry = self.entries[number]
        return self._bytes(entry, "text").decode()

    def waveform(self, number: int) -> np.ndarray:
        """Mono float32 [samples] at 16 kHz; ValueError names an utterance that is damaged or at another rate."""
        entry = self.entries[number]
        try:
            waveform, rate = decode_audio(self._bytes(entry, "audio"), name="its audio")
        except ValueError as error:
            raise ValueError(f"{self.name(number)}: {error}") from error
        if rate != SAMPLE_RATE:
            raise ValueError(f"{self.name(number)}: {rate} samples per second, not {SAMPLE_RATE}; resample it")
        if abs(len(waveform) - int(entry["samples"])) > 1:
            raise ValueError(
                f"{self.name(number)}: {len(waveform)} samples, its json says {entry['samples']}; make the audio again"
            )
        return waveform

    def _bytes(self, entry: np.void, part: str) -> bytes:
        with self._path(entry).open("rb", buffering=0) as file:
            file.seek(int(entry[part]))
            return file.read(int(entry[f"{part}_bytes"]))

    def _path(self, entry: np.void) -> Path:
        return self.folder / self.shards[int(entry["shard"])]


def _read(handle: int, member: tarfile.TarInfo) -> bytes:
    return os.pread(handle, member.size, member.offset_data)
