"""Audio shards: WebDataset tars of ``<key>.flac`` (16 kHz mono), ``<key>.txt`` (transcript) and ``<key>.json``.

Any WebDataset reader can stream them. Tars are plain USTAR with time 0 and fixed owners, so the same records give the
same bytes and the same checksum. `read_audio_shards` compares the checksum of a shard with the manifest before the
first record, and the number of records after the last. So a truncated shard is an error, never a smaller corpus. An
utterance that cannot be decoded is an error too, unless the caller passes `on_bad`.

Cost: a shard is read twice, once to hash it (about 1 GB/s) and once to decode it.
"""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from megatron_speech.artifacts.facts.audio import AudioFacts, AudioShardFacts
from megatron_speech.artifacts.facts.record import Record
from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.artifacts.manifest import read_facts, read_manifest
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.io import SAMPLE_RATE, decode, encode_flac
from megatron_speech.grouping import grouped

logger = logging.getLogger(__name__)

LONGEST_KEY = 95
"""Longest key in characters; with ``.flac`` it fits into the 100 bytes of a name in a plain tar."""


@dataclass(frozen=True, kw_only=True)
class AudioRecord:
    """One utterance."""

    key: str
    """Unique in its shard; ASCII letters, digits, ``-`` and ``_``."""
    waveform: np.ndarray
    """Mono float32 [samples] at 16 kHz."""
    text: str
    """Transcript."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Metadata of JSON types; `duration_s` is added when the record is written."""
    channels: int = 1
    """Number of channels of the source file; `waveform` is one channel, or the mean of all."""

    @property
    def voice(self) -> str | None:
        """`voice` of the metadata, or else `speaker`, or None."""
        voice = self.meta.get("voice", self.meta.get("speaker"))
        return None if voice is None else str(voice)

    @property
    def name(self) -> str:
        """Name for error messages."""
        return f"utterance {self.key}"

    @property
    def duration_s(self) -> float:
        """Duration in seconds, rounded to four decimals as in the file."""
        return round(len(self.waveform) / SAMPLE_RATE, 4)


@dataclass(frozen=True, kw_only=True)
class BadRecord(Record):
    """An unusable utterance of a shard."""

    shard: str
    """File name of its shard."""
    key: str
    reason: str
    """Kind of defect in a word or two, for counting."""
    message: str
    """Full message in one line, with the file."""


@dataclass(frozen=True, kw_only=True)
class AudioShard:
    """A shard as described in the manifest of its folder."""

    path: Path
    utterances: int
    seconds: float
    bytes: int
    xxh3: str
    """xxh3_128 of the file."""

    @classmethod
    def of(cls, folder: Path, facts: AudioShardFacts) -> AudioShard:
        """The shard in `folder` that its manifest describes."""
        return cls(
            path=folder / facts.name,
            utterances=facts.utterances,
            seconds=facts.seconds,
            bytes=facts.bytes,
            xxh3=facts.xxh3,
        )

    def bad(self, key: str, reason: str, why: str) -> BadRecord:
        """Entry for the unusable utterance `key`; `why` describes the defect."""
        return BadRecord(shard=self.path.name, key=key, reason=reason, message=f"{self.path}:{key}: {why}")

    def check(self) -> None:
        """Read the file and compare its checksum; FileNotFoundError if it is missing, ValueError if it differs."""
        if not self.path.is_file():
            raise FileNotFoundError(
                f"{self.path}: the shard is in the manifest but not in the folder; make the audio again"
            )
        if file_xxh3(self.path) != self.xxh3:
            raise ValueError(
                f"{self.path}: damaged, {self.path.stat().st_size} bytes do not match the manifest's checksum (of "
                f"{self.bytes} bytes); make the audio again"
            )

    def read(self, *, on_bad: Callable[[BadRecord], None] | None = None) -> Iterator[AudioRecord]:
        """Records in written order; see `read_audio_shards`."""
        self.check()
        count = several_channels = 0
        with self.path.open("rb") as file:
            for members in members_by_key(file):
                count += 1
                try:
                    record = record_of(self.path, members)
                except AudioError as error:
                    if on_bad is None:
                        raise
                    key = members["key"].decode()
                    on_bad(BadRecord(shard=self.path.name, key=key, reason=error.reason, message=str(error)))
                    continue
                several_channels += record.channels > 1
                yield record
        if several_channels:
            logger.warning("%s: %d utterances have several channels, one of each is used", self.path, several_channels)
        if count != self.utterances:
            raise ValueError(
                f"{self.path}: {count} utterances, its manifest says {self.utterances}; make the audio again"
            )


def write_audio_shards(
    folder: Path, records: Iterable[AudioRecord], *, name: str, utterances_per_shard: int = 1000
) -> AudioFacts:
    """Write shards ``<name>-<NNNNNN>.tar`` to `folder`; return the facts for the manifest (`audio_facts`).

    The caller has to write the facts into the manifest of the folder, because reading needs them.
    """
    shards = [
        write_audio_shard(folder / f"{name}-{number:06d}.tar", batch)
        for number, batch in enumerate(grouped(records, utterances_per_shard))
    ]
    return audio_facts(shards)


def write_audio_shard(path: Path, records: Iterable[AudioRecord]) -> AudioShardFacts:
    """Write one shard atomically; return its name, checksum and totals."""
    temporary = path.with_name(path.name + ".tmp")
    keys: set[str] = set()
    seconds = 0.0
    with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for record in records:
            check_record(record)
            if record.key in keys:
                raise ValueError(f"utterance key {record.key!r} appears twice; give each utterance its own")
            keys.add(record.key)
            seconds += record.duration_s
            _add(tar, f"{record.key}.flac", encode_flac(record.waveform))
            for suffix, content in _words(record).items():
                _add(tar, f"{record.key}.{suffix}", content)
    temporary.replace(path)
    return AudioShardFacts(
        name=path.name,
        utterances=len(keys),
        seconds=round(seconds, 2),
        bytes=path.stat().st_size,
        xxh3=file_xxh3(path),
    )


def audio_facts(shards: Sequence[AudioShardFacts]) -> AudioFacts:
    """Facts for the manifest: totals over `shards`, and `shards` themselves."""
    return AudioFacts(
        utterances=sum(shard.utterances for shard in shards),
        hours=round(sum(shard.seconds for shard in shards) / 3600, 4),
        sample_rate=SAMPLE_RATE,
        shards=tuple(shards),
    )


def audio_shards(folder: Path) -> list[AudioShard]:
    """Shards of `folder` in written order, by its manifest; ValueError if it is not an audio folder."""
    kind = read_manifest(folder).kind
    if kind != "audio":
        raise ValueError(
            f"{folder} holds {kind}, not audio; give a folder made by megatron-speech import_speech or speak_corpus"
        )
    return [AudioShard.of(folder, shard) for shard in read_facts(folder, AudioFacts).shards]


def read_audio_shards(folder: Path, *, on_bad: Callable[[BadRecord], None] | None = None) -> Iterator[AudioRecord]:
    """Records of `folder` in written order.

    Args:
        on_bad: receives utterances that cannot be decoded, which are left out; None raises `AudioError`.

    Raises:
        FileNotFoundError: a shard is missing.
        ValueError: a shard is damaged or truncated (regardless of `on_bad`).
    """
    for shard in audio_shards(folder):
        yield from shard.read(on_bad=on_bad)


def check_record(record: AudioRecord) -> None:
    """Raise `AudioError` if a shard cannot hold `record`: bad key, text not UTF-8, or metadata not JSON."""
    key = record.key
    if not key.replace("-", "").replace("_", "").isalnum() or not key.isascii():
        raise AudioError(f"utterance key {key!r} must be letters, digits, '-' and '_', as a file name; rename it", "id")
    if len(key) > LONGEST_KEY:
        raise AudioError(f"utterance key {key!r} has more than {LONGEST_KEY} letters; shorten it", "id")
    try:
        _words(record)
    except (TypeError, ValueError) as error:
        message = f"utterance {key}: its text is no UTF-8 or its metadata no JSON ({error}); correct it"
        raise AudioError(message, "metadata") from error


def _words(record: AudioRecord) -> dict[str, bytes]:
    """Contents of the .txt and .json members, by suffix."""
    meta = {**record.meta, "id": record.key, "text": record.text, "duration_s": record.duration_s}
    written = to_json(meta, ensure_ascii=False, sort_keys=True)
    return {"txt": record.text.encode(), "json": written.encode()}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o444
    tar.addfile(member, io.BytesIO(data))


def members_by_key(file: BinaryIO) -> Iterator[dict[str, bytes]]:
    """Contents of the members of each key, in tar order: {"key": ..., "flac": ..., "txt": ..., "json": ...}.

    As in WebDataset, a key is the path up to the first dot of the file name. Folders and links are skipped.
    """
    group: dict[str, bytes] = {}
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None:
                continue
            name, suffix = key_of(member.name)
            key = name.encode()
            if group and group["key"] != key:
                yield group
                group = {}
            group |= {"key": key, suffix: content.read()}
    if group:
        yield group


def key_of(name: str) -> tuple[str, str]:
    """Key and suffix of a tar member: the path up to the first dot of the file name, and the rest."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", suffix


def keys_in(file: BinaryIO) -> Iterator[str]:
    """Keys of `members_by_key`; reads only the tar headers."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        yield from (key for key, _ in groupby(key_of(member.name)[0] for member in tar if member.isfile()))


def record_of(path: Path, members: dict[str, bytes]) -> AudioRecord:
    """Decode the utterance from its `members` (`members_by_key`) in the shard `path`; AudioError if it is unusable."""
    key = members["key"].decode()
    missing = {"flac", "txt", "json"} - members.keys()
    if missing:
        message = f"{path}: utterance {key} lacks {', '.join(sorted(missing))}; make the audio again"
        raise AudioError(message, "incomplete")
    name = f"{path}:{key}"
    waveform, rate, channels, _ = decode(members["flac"], name=f"{name}.flac")
    if rate != SAMPLE_RATE:
        message = f"{name}.flac: {rate} samples per second, not {SAMPLE_RATE}; resample it"
        raise AudioError(message, "sample rate")
    text, meta = _text_and_meta(name, members["txt"], members["json"])
    return AudioRecord(key=key, waveform=waveform, text=text, meta=meta, channels=channels)


def _text_and_meta(name: str, txt: bytes, meta: bytes) -> tuple[str, dict[str, Any]]:
    """Transcript and metadata from the bytes of their files; AudioError (with `name`) if they are damaged."""
    try:
        text, values = txt.decode(), json.loads(meta)
    except ValueError as error:
        message = f"{name}: its .txt is not UTF-8 or its .json no JSON ({error}); make the audio again"
        raise AudioError(message, "metadata") from error
    if not isinstance(values, dict):
        raise AudioError(f"{name}: its .json is {values!r:.60}, not an object; make the audio again", "metadata")
    return text, values
