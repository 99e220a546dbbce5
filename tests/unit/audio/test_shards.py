"""Audio shards: same records, same bytes; a short, damaged or wrongly sampled shard is an error."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import webdataset

from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.io import encode_flac
from megatron_speech.audio.shards import AudioRecord, BadRecord, read_audio_shards, write_audio_shards
from tests.toys import write_audio


def records(count: int = 5) -> Iterator[AudioRecord]:
    for number in range(count):
        waveform = np.random.default_rng(number).uniform(-0.5, 0.5, 800 + number).astype(np.float32)
        yield AudioRecord(key=f"item-{number}", waveform=waveform, text=f"text {number}", meta={"voice": "noise"})


def make(folder: Path, *, count: int = 5) -> Path:
    return write_audio(folder, records(count), name="part", per_shard=2)


def rewrite_facts(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["facts"]["shards"][0] |= changes
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_records_come_back_in_order_with_their_facts(tmp_path: Path) -> None:
    folder = make(tmp_path / "audio")
    found = list(read_audio_shards(folder))
    assert [(r.key, r.text) for r in found] == [(r.key, r.text) for r in records()]
    for mine, theirs in zip(records(), found, strict=True):
        np.testing.assert_allclose(mine.waveform, theirs.waveform, atol=1 / 32767)
        assert theirs.meta["voice"] == "noise" and theirs.meta["id"] == mine.key and theirs.meta["text"] == mine.text
        assert theirs.meta["duration_s"] == round(len(mine.waveform) / 16000, 4)
    facts = json.loads((folder / "manifest.json").read_text())["facts"]
    assert facts["utterances"] == 5 and len(facts["shards"]) == 3


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    for path in sorted(one.glob("*.tar")):
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_webdataset_streams_them(tmp_path: Path) -> None:
    urls = [str(path) for path in sorted(make(tmp_path / "audio").glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [r.key for r in records()]
    assert {"flac", "txt", "json"} <= samples[0].keys()


def test_members_are_plain_ustar_without_a_clock(tmp_path: Path) -> None:
    with tarfile.open(make(tmp_path / "audio") / "part-000000.tar") as tar:
        assert {(member.mtime, member.uid, member.gid) for member in tar} == {(0, 0, 0)}
        assert not tar.pax_headers


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_shard_is_refused_before_its_first_record(tmp_path: Path, damage: str) -> None:
    path = make(tmp_path / "audio") / "part-000000.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(bytes(data) if damage == "flip" else bytes(data[: len(data) // 2]))
    with pytest.raises(ValueError, match=r"part-000000\.tar: damaged"):
        next(read_audio_shards(tmp_path / "audio"))


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "audio")
    (folder / "part-000001.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"part-000001\.tar: the shard is in the manifest but not"):
        list(read_audio_shards(folder))


def test_a_short_shard_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "audio")
    rewrite_facts(folder, utterances=3)
    with pytest.raises(ValueError, match="2 utterances, its manifest says 3"):
        list(read_audio_shards(folder))


def test_another_sample_rate_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "audio")
    path = folder / "part-000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for suffix, data in (
            ("flac", encode_flac(np.zeros(99, np.float32), sample_rate=24000)),
            ("txt", b"x"),
            ("json", b"{}"),
        ):
            source = tmp_path / suffix
            source.write_bytes(data)
            tar.add(source, arcname=f"a.{suffix}")
    rewrite_facts(folder, xxh3=file_xxh3(path), utterances=1)
    with pytest.raises(ValueError, match="24000 samples per second, not 16000; resample it"):
        list(read_audio_shards(folder))


def test_an_incomplete_utterance_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "audio")
    path = folder / "part-000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("a.txt"))
    rewrite_facts(folder, xxh3=file_xxh3(path), utterances=1)
    with pytest.raises(ValueError, match="utterance a lacks flac, json; make the audio again"):
        list(read_audio_shards(folder))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a.b", "must be letters.*; rename it"),
        ("a/b", "must be letters.*; rename it"),
        ("item-0", "appears twice; give each"),
    ],
)
def test_keys_become_file_names(tmp_path: Path, key: str, reason: str) -> None:
    extra = AudioRecord(key=key, waveform=np.zeros(10, np.float32), text="")
    with pytest.raises(ValueError, match=reason):
        write_audio_shards(tmp_path, [*records(1), extra], name="part")


def test_an_unfinished_folder_cannot_be_read(tmp_path: Path) -> None:
    write_audio_shards(tmp_path, records(), name="part")
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json"):
        list(read_audio_shards(tmp_path))


def test_bad_records_are_handed_over_by_name_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "audio", count=2)
    path = folder / "part-000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, data in (("a", b"no audio"), ("b", encode_flac(np.ones(99, np.float32)))):
            for suffix, content in (("flac", data), ("txt", b""), ("json", b"{}")):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    rewrite_facts(folder, xxh3=file_xxh3(path), utterances=2)
    bad: list[BadRecord] = []
    assert [record.key for record in read_audio_shards(folder, on_bad=bad.append)] == ["b"]
    assert [(record.shard, record.key, record.reason) for record in bad] == [("part-000000.tar", "a", "not audio")]
    with pytest.raises(AudioError, match=r"part-000000.tar:a.flac: not readable as audio"):
        list(read_audio_shards(folder))
    rewrite_facts(folder, xxh3="0" * 32)
    with pytest.raises(ValueError, match=r"part-000000\.tar: damaged"):
        list(read_audio_shards(folder, on_bad=bad.append))
