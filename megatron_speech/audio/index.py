"""Index of the utterances in audio shards: offset, size and duration of each, for random access with one seek.

A scan decodes every utterance once and drops unusable ones. So later reads by number meet only usable utterances, and
a fixed order stays valid. The index needs 32 bytes per utterance: 320 MB for ten million.

Cost: the scan reads every byte twice and decodes it (about an hour of speech per second and core). Later reads check
only FLAC's frame checksums and the number of samples.
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
"""Number of the shard, duration in samples, and offset and size (bytes) of FLAC and transcript in the shard."""


@dataclass(frozen=True, kw_only=True)
class ScannedShard:
    """Usable utterances of one shard; all lists in tar order."""

    entries: np.ndarray
    """ENTRY [utterances]; `shard` is 0."""
    keys: list[str]
    texts: list[str]
    voices: list[str | None]


def scan_shard(
    shard: AudioShard,
    *,
    on_bad: Callable[[BadRecord], None] | None = None,
    silence_peak_dbfs: float | None = None,
) -> ScannedShard:
    """Scan one shard, check it against its manifest, and return its usable utterances.

    An utterance is unusable if a part or its duration is missing, it cannot be decoded, or its peak is below
    `silence_peak_dbfs`. It raises `AudioError`, or is passed to `on_bad` and left out.

    Raises FileNotFoundError or ValueError (names the file) if the shard is missing or damaged.
    """
    shard.check()
    path = shard.path
    # Decode and judge every utterance.
    entries, keys, texts, voices = [], [], [], []
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
                voices.append(record.voice)
                several_channels += [key] * (record.channels > 1)
            elif on_bad is None:
                raise AudioError(bad.message, bad.reason)
            else:
                on_bad(bad)
    # Report, and compare with the manifest.
    if several_channels:
        message = "%s: %d utterances have several channels, one of each is used; one of them is %s"
        logger.warning(message, path, len(several_channels), several_channels[0])
    if count != shard.utterances:
        raise ValueError(f"{path}: {count} utterances, its manifest says {shard.utterances}; make the audio again")
    return ScannedShard(entries=np.array(entries, ENTRY), keys=keys, texts=texts, voices=voices)


def _entry(
    shard: AudioShard, key: str, members: Mapping[str, tarfile.TarInfo], handle: int
) -> tuple[tuple[int, ...], AudioRecord]:
    """Index entry and record of an utterance; raises AudioError if it is unusable."""
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
    """Join the entries of a folder's shards, in order, into one ENTRY array, and number the shards."""
    entries = np.concatenate([np.empty(0, ENTRY), *parts])
    entries["shard"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return entries


class AudioIndex:
    """Random access to the utterances of a folder of audio shards; thread-safe."""

    def __init__(self, folder: Path, shards: list[str], entries: np.ndarray) -> None:
        assert entries.dtype == ENTRY, f"{entries.dtype=} is no index"
        self.folder, self.shards, self.entries = folder, shards, entries

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def samples(self) -> np.ndarray:
        """Duration of each utterance, int32 [utterances]; at most one sample off, because durations are rounded."""
        samples: np.ndarray = self.entries["samples"]
        return samples

    def name(self, number: int) -> str:
        """Name of an utterance for error messages."""
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
        """Mono float32 [samples] at 16 kHz; ValueError (names the utterance) if it is damaged or at another rate."""
        entry = self.entries[number]
        try:
            # The scan has already warned about several channels.
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
