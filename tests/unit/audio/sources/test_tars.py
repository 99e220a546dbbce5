"""Tars as people make them are read; what repeats, lies apart, or is cut short is an error with its places."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from megatron_speech.audio.shards import AudioRecord
from megatron_speech.audio.sources.archive import split_name
from megatron_speech.audio.sources.listed import ListedUtterance
from tests.sources import read_sources, write_tar, written
from tests.toys import write_audio

PAIR = [("a.wav", b"A"), ("a.txt", b"one\n"), ("b.flac", b"B"), ("b.json", b'{"text": "two", "speaker": "s"}')]


def read(path: Path) -> list[ListedUtterance]:
    return read_sources(tars=str(path))


def facts(sources: list[ListedUtterance]) -> list[tuple[str, object, str | None]]:
    return [(source.name, source.audio, source.text) for source in sources]


def test_a_tar_of_pairs_is_read_packed_or_not(tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "a.tar", PAIR)
    for name, pack in {"a.tar.gz": gzip, "a.tgz": gzip, "a.tar.bz2": bz2, "a.tar.xz": lzma}.items():
        (tmp_path / name).write_bytes(pack.compress(plain.read_bytes()))
        assert facts(read(tmp_path / name)) == [("a", b"A", "one"), ("b", b"B", "two")]
    assert read(plain)[1].meta == {"speaker": "s"}


def test_webdatasets_own_writer_is_read(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        writer.write({"__key__": "x/001", "wav": b"W", "txt": "hello", "json": {"lang": "en"}})
    (source,) = read(tmp_path / "w.tar")
    assert (source.name, source.audio, source.text, source.meta) == ("x/001", b"W", "hello", {"lang": "en"})


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_endings_dots_depths_and_scripts_are_read(tmp_path: Path, form: int) -> None:
    names = ["spk1.utt1", "spk1.utt2", "a.b/c", "../up", "./dot/x", "张三_001", "é", "v1.2.3"]
    long = ["n" * 300, "d/" * 150 + "x"] if form != tarfile.USTAR_FORMAT else []
    members = [(f"{name}{end}", b"1") for name in [*names, *long] for end in (".WAV", ".TxT")]
    found = read(write_tar(tmp_path / "n.tar", members, format=form))
    assert [source.name for source in found] == [name.removeprefix("./") for name in [*names, *long]]
    assert {source.text for source in found} == {"1"} and len({source.key for source in found}) == len(found)


def test_names_that_are_no_utf_8_are_read_and_differ(tmp_path: Path) -> None:
    names = [b"caf\xe9.wav", b"caf\xe8.wav"]
    members = [(name.decode("utf-8", "surrogateescape"), b"A") for name in names]
    found = read(write_tar(tmp_path / "n.tar", members, format=tarfile.GNU_FORMAT))
    assert [source.name for source in found] == ["caf\\xe9", "caf\\xe8"]
    assert len({source.key for source in found}) == 2


def test_what_macos_adds_and_folders_are_passed_over(tmp_path: Path) -> None:
    companions = [(f"{path}", b"x") for path in ("._a.wav", "d/._a.txt", ".DS_Store", "__MACOSX/._a.wav")]
    path = write_tar(tmp_path / "a.tar", [companions[0], PAIR[0], companions[1], PAIR[1], *companions[2:]])
    with tarfile.open(path, "a") as tar:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert facts(read(path)) == [("a", b"A", "one")]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([*PAIR[:2], *PAIR[:2]], r"s.tar: utterance 'a' has its .wav twice, as member 1 and as member 3"),
        ([*PAIR[:2], *PAIR[2:], *PAIR[:2]], r"utterance 'a' has its .wav twice, as member 1 and as member 5"),
        ([("a.wav", b"A"), ("a.WAV", b"B")], r"utterance 'a' has its .wav twice, as member 1 and as member 2"),
        ([("a.wav", b""), ("b.wav", b""), ("a.txt", b"")], r"begins with member 1, and its .txt is member 3, .*neigh"),
        ([("a.txt", b""), ("b.txt", b""), ("a.wav", b"")], r"begins with member 1, and its .wav is member 3, .*neigh"),
        ([("1/2/1-2-0.flac", b""), ("1/2/1-2.trans.txt", b"")], r"1-2.trans.txt has the words of a chapter, .*unpack"),
        ([], r"no recording in it; its members end in nothing, it is empty"),
        ([("a.png", b"x"), ("b.png", b"x"), ("c.lab", b"x")], r"its members end in .png 2, .lab 1, known are .flac"),
    ],
)  # fmt: skip
def test_what_repeats_lies_apart_or_is_unknown_is_an_error(
    tmp_path: Path, members: list[tuple[str, bytes | None]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(write_tar(tmp_path / "s.tar", members))


def test_a_link_two_recordings_and_broken_metadata_go_to_quarantine_with_their_reason(tmp_path: Path) -> None:
    members = [("a.wav", None), ("a.txt", b"x"), ("b.wav", b"B"), ("b.flac", b"F"), ("c.wav", b"C"), ("c.json", b"[1]")]
    members += [("d.wav", b"D"), ("d.txt", b"\xff"), ("e.txt", b"alone"), ("f.wav", b"F")]
    members += [("f.json", b'{"text": 5}'), ("g.wav", b"G"), ("g.json", b'{"text": "x", "offset": "soon"}')]
    found = read(write_tar(tmp_path / "a.tar", members))
    assert [source.defect and source.defect[0] for source in found] == [
        *("link", "several recordings", "metadata", "metadata", None, "metadata", "metadata"),
    ]
    assert found[4].audio is None and found[4].place.endswith("a.tar, member 9 (.txt)")


def test_damage_is_named_wherever_it_is(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.wav", b"A" * 9000), ("a.txt", b"x"), ("b.wav", b"B" * 9000)])
    data = path.read_bytes()
    headers = [0, 512 + 9216, 512 + 9216 + 1024]
    for end in [0, 100, *(header + more for header in headers for more in (100, 512, 700))]:
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"a.tar: (damaged, or no tar|ends after member)"):
            read(path)
    path.write_bytes(data[: headers[2] + 512 + 9216])
    with pytest.raises(ValueError, match=r"a.tar: ends after member 3 without an end mark: truncated"):
        read(path)
    for header in headers:
        path.write_bytes(data[: header + 3] + b"\xff" + data[header + 4 :])
        with pytest.raises(ValueError, match=r"a.tar: (damaged, or no tar|data without a member follow member)"):
            read(path)
    packed = gzip.compress(data)
    for content in (packed[: len(packed) // 2], packed[:-1], packed[:-6] + b"\1" + packed[-5:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a.tar: damaged, or no tar"):
            read(path)


def test_tars_joined_by_cat_lose_nothing_silently(tmp_path: Path) -> None:
    first, second = (write_tar(tmp_path / name, [(f"{name}.wav", b"A")]) for name in ("a", "b"))
    (tmp_path / "c.tar").write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(ValueError, match=r"data without a member follow member 1: damaged, or tars joined by cat"):
        read(tmp_path / "c.tar")


def test_a_part_in_a_tars_metadata_is_honoured_or_refused(tmp_path: Path) -> None:
    def tar(meta: dict[str, object]) -> Path:
        return write_tar(tmp_path / "a.tar", [("a.wav", b"A"), ("a.json", json.dumps(meta).encode())])

    (source,) = read(tar({"text": "x", "duration": 2.0, "id": "other"}))
    assert (source.whole_duration_s, source.meta) == (2.0, {"original_id": "other"})
    (source,) = read(tar({"text": "x", "duration": 2.0, "offset": 1.0}))
    assert (source.start_s, source.duration_s) == (1.0, 2.0)
    with pytest.raises(ValueError, match=r"a.tar, member 1 \(.wav, .json\): start=1.0 may say which part"):
        read(tar({"text": "x", "start": 1.0}))


def test_our_own_shards_come_back_with_the_names_they_had(tmp_path: Path) -> None:
    names = ("张三", "b")
    wave = np.ones(800, np.float32) / 2
    sources = [ListedUtterance(name=name, place="", audio=None, text="x") for name in names]
    records = [AudioRecord(key=s.key, waveform=wave, text="x", meta={"source_id": s.name, "v": 1}) for s in sources]
    folder = write_audio(tmp_path / "audio", records)
    found = read_sources(tars=str(folder / "*.tar"))
    assert [(s.name, s.key) for s in found] == [(s.name, s.key) for s in sources]
    assert [s.meta for s in found] == [{"v": 1}] * 2 and [s.whole_duration_s for s in found] == [0.05] * 2


def test_the_rows_of_a_manifest_find_their_members(tmp_path: Path) -> None:
    for shard in (0, 1):
        write_tar(
            tmp_path / f"audio_{shard}.tar", [("x.wav", b"%d" % shard), (f"only{shard}.wav", b"o"), ("-.wav", b"")]
        )
    rows = [
        {"audio_filepath": "x.wav", "text": "one", "duration": 1.0, "offset": 0.0, "shard_id": 0},
        {"audio_filepath": "x-sub1.wav", "text": "two", "duration": 1.0, "offset": 1.0, "shard_id": 0},
        {"audio_filepath": "x.wav", "text": "three", "duration": 2.0, "shard_id": 1},
        {"audio_filepath": "gone.wav", "text": "four", "duration": 2.0, "shard_id": 1},
    ]
    table = written(tmp_path, rows, "tarred_audio_manifest.json")
    found = read_sources(table, tars=str(tmp_path / "audio_*.tar"))
    assert [(s.text, s.audio, s.start_s, s.duration_s, s.whole_duration_s) for s in found] == [
        ("one", b"0", 0.0, 1.0, None),
        ("two", b"0", 1.0, 1.0, None),
        ("three", b"1", 0.0, None, 2.0),
        ("four", None, 0.0, None, 2.0),
    ]
    assert found[3].defect is not None and "gone.wav is no member" in found[3].defect[1]
    for shard in (0, 1):
        (tmp_path / f"audio_{shard}.tar").rename(tmp_path / f"padded_{shard:03d}.tar")
    assert [s.audio for s in read_sources(table, tars=str(tmp_path / "padded_*.tar"))][:3] == [b"0", b"0", b"1"]
    members = [("x-sub1.wav", b"S"), ("x.wav", b"X")]
    (source,) = read_sources(written(tmp_path, rows[1:2], "m.json"), tars=str(write_tar(tmp_path / "m.tar", members)))
    assert source.audio == b"S"
    with pytest.raises(ValueError, match=r"m.json:1: 'x-sub1.wav' may be the member 'x.wav' too; rename one"):
        read_sources(tmp_path / "m.json", tars=str(write_tar(tmp_path / "m.tar", members[::-1])))
    for number in (3, 4):
        write_tar(tmp_path / f"other_{number}.tar", PAIR)
    with pytest.raises(ValueError, match=r"manifest.json:1: no tar's name ends in the number of shard_id=0"):
        read_sources(written(tmp_path, rows[:1], "manifest.json"), tars=str(tmp_path / "other_*.tar"))


@given(name=st.text(min_size=1, max_size=20))
def test_any_member_splits_at_the_last_dot_of_its_file(name: str) -> None:
    for base in (name.replace("/", ""), name):
        if base and not base.endswith("/"):
            assert split_name(f"{base}.WAV") == (base, "wav")
