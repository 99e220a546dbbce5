"""Utterances of audio shards by number: where each lies in its tar, how long it lasts, and one read to get it.

A shard is scanned once, and everything in it is decoded: so whoever reads by number later meets nothing unusable, and
an order that was drawn up holds. What is kept is 32 bytes per utterance, so a training run over ten million utterances
holds 320 MB, whatever the audio weighs, and reads any of them with one seek. Price: the scan reads every byte twice and
decodes it (an hour of speech per second of a core); later reads trust it, FLAC's own frame checksums, and the number
of samples.
"""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from megatron_speech.audio.checks import LONGEST_S, AudioError
from megatron_speech.audio.io import SAMPLE_RATE, decode
from megatron_speech.audio.quarantine import silence
from megatron_speech.audio.shards import AudioRecord, AudioShard, BadRecord, key_of, record_of

logger = logging.getLogger(__name__)

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
    """What one pass over a shard found of use; all lists in tar order."""

    entries: np.ndarray
    """ENTRY [utterances]; `shard` is 0."""
    keys: list[str]
    texts: list[str]


def scan_shard(
    shard: AudioShard,
    *,
    on_bad: Callable[[BadRecord], None] | None = None,
    silence_peak_dbfs: float | None = None,
) -> ScannedShard:
    """The usable utterances of one shard, which is checked against what its manifest says.

    FileNotFoundError or ValueError names the file. An utterance that lacks a part or its duration, cannot be decoded or
    lies below `silence_peak_dbfs` is an `AudioError`, or is handed to `on_bad` and left out.
    """
    shard.check()
    path = shard.path
    entries, keys, texts = [], [], []
    several_channels: list[str] = []
    count = 0
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        members = (member for member in tar if member.isfile())
        for key, group in groupby(members, key=lambda member: key_of(member.name)[0]):
            count += 1
            try:
                entry, record = _entry(shard, key, {key_of(member.name)[1]: member for member in group}, file.fileno())
                bad = silence(shard, record, silence_peak_dbfs)
            except AudioError as error:
                bad = BadRecord(shard=path.name, key=key, reason=error.reason, message=str(error))
            if bad is None:
                entries.append(entry)
                keys.append(key)
                texts.append(record.text)
                several_channels += [key] * (record.channels > 1)
            elif on_bad is None:
                raise AudioError(bad.message, bad.reason)
            else:
                on_bad(bad)
    if several_channels:
        message = "%s: %d utterances have several channels, one of each is used; one of them is %s"
        logger.warning(message, path, len(several_channels), several_channels[0])
    if count != shard.utterances:
        raise ValueError(f"{path}: {count} utterances, its manifest says {shard.utterances}; make the audio again")
    return ScannedShard(entries=np.array(entries, ENTRY), keys=keys, texts=texts)


def _entry(
    shard: AudioShard, key: str, members: Mapping[str, tarfile.TarInfo], handle: int
) -> tuple[tuple[int, ...], AudioRecord]:
    """An utterance and its line in the index; AudioError where it cannot be used."""
    record = record_of(
        shard.path, {"key": key.encode(), **{suffix: _read(handle, member) for suffix, member in members.items()}}
    )
    seconds = record.meta.get("duration_s")
    if not isinstance(seconds, int | float) or not 0 < seconds < LONGEST_S:
        raise AudioError(f"{shard.path}:{key}: duration_s={seconds} in its json; make the audio again", "metadata")
    samples = round(seconds * SAMPLE_RATE)
    if abs(len(record.waveform) - samples) > 1:
        found = f"{len(record.waveform)} samples, its json says {samples}"
        raise AudioError(f"{shard.path}:{key}: {found}; make the audio again", "metadata")
    flac, txt = members["flac"], members["txt"]
    return (0, samples, flac.offset_data, flac.size, txt.offset_data, txt.size), record


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
        return f"{self._path(entry)}: utterance {key_of(header.name)[0]}"

    def text(self, number: int) -> str:
        """The transcript of an utterance."""
        entry = self.entries[number]
        return self._bytes(entry, "text").decode()

    def waveform(self, number: int) -> np.ndarray:
        """Mono float32 [samples] at 16 kHz; ValueError names an utterance that is damaged or at another rate."""
        entry = self.entries[number]
        try:
            # Of its channels the scan has told.
            waveform, rate, _, _ = decode(self._bytes(entry, "audio"), name="its audio")
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
