"""Utterances by number: what the index reads is what the shards hold, and what is wrong has a name."""

from __future__ import annotations

import io
import json
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.index import AudioIndex, joined_entries, scan_shard
from megatron_speech.audio.io import encode_flac
from megatron_speech.audio.shards import AudioRecord, AudioShard, BadRecord, audio_shards, read_audio_shards
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import noise


def records(count: int) -> list[AudioRecord]:
    keys = [*(f"u-{number}" for number in range(count - 1)), "k" * 90]
    return [
        AudioRecord(key=key, waveform=noise(1000 + 37 * number, number), text=f"word {number} é")
        for number, key in enumerate(keys)
    ]


def index_of(folder: Path) -> AudioIndex:
    shards = audio_shards(folder)
    scans = [scan_shard(shard) for shard in shards]
    return AudioIndex(folder, [shard.path.name for shard in shards], joined_entries([scan.entries for scan in scans]))


def test_every_utterance_is_what_a_sequential_reader_gets(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "audio", records(11), per_shard=4)
    index, read = index_of(folder), list(read_audio_shards(folder))
    assert len(index) == 11
    with ThreadPoolExecutor(4) as pool:
        waves = list(pool.map(index.waveform, reversed(range(11))))[::-1]
    for number, record in enumerate(read):
        assert np.array_equal(waves[number], record.waveform)
        assert index.text(number) == record.text
        assert abs(int(index.samples[number]) - len(record.waveform)) <= 1
        assert index.name(number).endswith(f".tar: utterance {record.key}")


def test_a_damaged_shard_is_refused_before_it_is_used(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "audio", records(3))
    path = folder / "audio-000000.tar"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"audio-000000\.tar: damaged.*make the audio again"):
        index_of(folder)


def test_damage_after_the_scan_is_named(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "audio", records(3))
    index = index_of(folder)
    path = folder / "audio-000000.tar"
    content = bytearray(path.read_bytes())
    start = int(index.entries[1]["audio"])
    content[start : start + 40] = bytes(40)
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"utterance u-1: its audio: not readable as audio"):
        index.waveform(1)
    assert len(index.waveform(0)) == 1000


def shard_with(path: Path, flac: bytes, meta: Any, text: bytes = b"words") -> AudioShard:
    """A shard of one utterance, as someone else may have written it."""
    with tarfile.open(path, "w") as tar:
        for suffix, data in (("flac", flac), ("txt", text), ("json", json.dumps(meta).encode())):
            member = tarfile.TarInfo(f"one.{suffix}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return AudioShard(path=path, utterances=1, seconds=0.1, bytes=path.stat().st_size, xxh3=file_xxh3(path))


@pytest.mark.parametrize("duration", [None, "long", 0, float("inf")])
def test_an_utterance_without_its_duration_is_named(tmp_path: Path, duration: Any) -> None:
    shard = shard_with(tmp_path / "a.tar", encode_flac(noise(100, 0)), {"duration_s": duration})
    with pytest.raises(ValueError, match=r"a\.tar:one: duration_s=.* in its json"):
        scan_shard(shard)


@pytest.mark.parametrize(
    ("flac", "message"),
    [
        (encode_flac(noise(1600, 0), sample_rate=8000), r"a\.tar:one\.flac: 8000 samples per second, not 16000"),
        (encode_flac(noise(1500, 0)), r"a\.tar:one: 1500 samples, its json says 1600"),
        (b"this is no audio", r"a\.tar:one\.flac: not readable as audio"),
    ],
)
def test_audio_that_cannot_be_used_is_named(tmp_path: Path, flac: bytes, message: str) -> None:
    shard = shard_with(tmp_path / "a.tar", flac, {"duration_s": 0.1})
    with pytest.raises(AudioError, match=message):
        scan_shard(shard)
    bad: list[BadRecord] = []
    assert not scan_shard(shard, on_bad=bad.append).keys
    assert [(each.shard, each.key) for each in bad] == [("a.tar", "one")] and re.search(message, bad[0].message)


def test_of_several_channels_the_clip_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([noise(1600, 0), noise(1600, 1)], axis=1), 16000, format="FLAC")
    scan = scan_shard(shard_with(tmp_path / "a.tar", buffer.getvalue(), {"duration_s": 0.1}))
    assert "a.tar: 1 utterances have several channels, one of each is used; one of them is one" in caplog.text
    caplog.clear()
    heard = AudioIndex(tmp_path, ["a.tar"], joined_entries([scan.entries])).waveform(0)
    assert np.allclose(heard, noise(1600, 0), atol=1e-4) and not caplog.text


def test_a_transcript_or_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    flac = encode_flac(noise(100, 0))
    with pytest.raises(ValueError, match=r"a\.tar:one: its \.json is \[1\], not an object"):
        scan_shard(shard_with(tmp_path / "a.tar", flac, [1]))
    with pytest.raises(ValueError, match=r"b\.tar:one: its \.txt is not UTF-8"):
        scan_shard(shard_with(tmp_path / "b.tar", flac, {"duration_s": 0.1}, b"\xff"))


def test_an_utterance_that_lacks_a_part_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("one.flac"), io.BytesIO())
    shard = AudioShard(path=path, utterances=1, seconds=0.0, bytes=0, xxh3=file_xxh3(path))
    with pytest.raises(ValueError, match="utterance one lacks json, txt"):
        scan_shard(shard)
