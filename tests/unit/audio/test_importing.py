"""A user's recordings become audio shards: nothing lost, what is unusable named, a kill forgiven."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.audio import importing
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.inspection.shards import IndexShardsConfig, InspectShardsConfig
from megatron_speech.data.shards.inspect import inspect_shards
from megatron_speech.data.shards.rebuild import index_shards
from megatron_speech.data.shards.verify import verify_folder
from tests.unit.audio.toys import recordings, run, table, tone


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def test_a_table_comes_back_whole_from_any_number_of_workers(tmp_path: Path) -> None:
    rows = recordings(tmp_path / "in")
    table(tmp_path / "in", rows)
    audio = run(tmp_path, licence="CC0-1.0", language="en")
    found = list(read_audio_shards(audio))
    assert [(r.key, r.text, r.meta["speaker"], r.meta["audio"]) for r in found] == [
        (row["id"], row["text"], "s", row["audio"]) for row in rows
    ]
    np.testing.assert_allclose(found[0].waveform, tone(200), atol=1e-4)
    manifest = read_manifest(audio)
    assert manifest.licences == ("CC0-1.0",) and manifest.languages == ("en",)
    assert manifest.facts["utterances"] == 5 and len(manifest.facts["shards"]) == 3
    assert sorted(path.name for path in audio.iterdir() if path.suffix != ".tar") == [
        "manifest.json",
        "quarantine.jsonl",
    ]
    assert digest(run(tmp_path, "again", workers=2)) == digest(audio)


def test_a_tsv_is_a_table_and_ids_may_be_missing_or_no_file_names(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 2)
    (tmp_path / "in" / "t.tsv").write_text('audio\ttext\tid\nr0.wav\tsay "it"\ta/b.c\nr1.flac\ttwo\t\n')
    first, second = read_audio_shards(run(tmp_path, table=tmp_path / "in" / "t.tsv"))
    assert (first.meta["source_id"], first.text) == ("a/b.c", 'say "it"') and first.key.startswith("a-b-c--")
    assert (second.key, second.text) == ("000000001", "two") and "source_id" not in second.meta


def test_of_two_channels_at_44_khz_the_first_comes_at_16(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    both = np.stack([tone(300, 44100, 1.0), tone(3000, 44100, 1.0)], axis=1)
    soundfile.write(tmp_path / "in" / "two.wav", both, 44100)
    table(tmp_path / "in", [{"audio": "two.wav", "text": "x"}])
    audio = run(tmp_path)
    (record,) = read_audio_shards(audio)
    np.testing.assert_allclose(record.waveform[500:15500], tone(300, 16000, 1.0)[500:15500], atol=2e-3)
    assert read_manifest(audio).facts["utterances_of_several_channels"] == 1


def test_rows_of_one_recording_become_its_parts_from_any_number_of_workers(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sound = np.stack([tone(300, 44100, 2.0), tone(900, 44100, 2.0)], axis=1)
    soundfile.write(tmp_path / "in" / "long.flac", sound, 44100)
    parts = [(0.0, 0.5), (0.5, 0.25), (0.75, 1.25), (0.1, 0.3), (1.9, 0.2)]
    rows = [
        {"audio": "long.flac", "text": f"{n}", "id": f"p{n}", "offset": a, "duration": b}
        for n, (a, b) in enumerate(parts)
    ]
    table(tmp_path / "in", rows)
    audio = run(tmp_path)
    found = list(read_audio_shards(audio))
    assert [record.meta["duration_s"] for record in found] == [b for _, b in parts[:4]]
    np.testing.assert_allclose(found[1].waveform[500:3500], tone(300, 16000, 0.25)[500:3500], atol=2e-3)
    (line,) = (audio / "quarantine.jsonl").read_text().splitlines()
    assert "table.jsonl:5 (p4): no part from 1.9 s to 2.1 s in a recording of 2.000 s" in line
    assert digest(run(tmp_path, "again", workers=2)) == digest(audio)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_channel_may_become_an_utterance(tmp_path: Path, workers: int) -> None:
    (tmp_path / "in").mkdir()
    two = np.stack([tone(300), tone(900)], axis=1)
    soundfile.write(tmp_path / "in" / "two.wav", two, 16000)
    soundfile.write(tmp_path / "in" / "dead.wav", two * [0, 1], 16000)
    table(tmp_path / "in", [{"audio": f"{name}.wav", "text": "x", "id": name} for name in ("two", "dead")])
    audio = run(tmp_path, channels="split", transcripts=False, workers=workers)
    found = {record.key: record for record in read_audio_shards(audio)}
    assert list(found) == ["two_ch1", "two_ch2", "dead_ch2"] and {record.text for record in found.values()} == {""}
    np.testing.assert_allclose(found["dead_ch2"].waveform, tone(900), atol=1e-4)
    facts = read_manifest(run(tmp_path, "first")).facts
    assert facts["utterances_of_several_channels"] == 2 and facts["utterances_of_silent_first_channel"] == 1


def test_a_kill_between_shards_costs_none_that_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "in", recordings(tmp_path / "in"))
    whole = run(tmp_path, "whole")
    write, made = importing.write_audio_shard, []

    def write_one(path: Path, records: Any) -> dict[str, Any]:
        made.append(path.name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return write(path, records)

    monkeypatch.setattr(importing, "write_audio_shard", write_one)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert not (tmp_path / "audio").exists()
    assert digest(run(tmp_path, max_quarantined_share=0.5)) == digest(whole)
    assert made == ["audio-000000.tar", "audio-000001.tar", "audio-000001.tar", "audio-000002.tar"]


def test_what_is_unusable_is_listed_and_too_much_of_it_stops(tmp_path: Path) -> None:
    rows = recordings(tmp_path / "in")
    (tmp_path / "in" / "noise.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "in" / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "in" / "mute.wav", tone(700), 16000)
    bad = {"noise.wav": "not audio", "empty.wav": "zero length", "gone.wav": "unreadable", "mute.wav": "no text"}
    rows += [{"audio": name, "text": " " if name == "mute.wav" else "x", "id": f"bad-{name}"} for name in bad]
    table(tmp_path / "in", rows)
    with pytest.raises(ValueError, match=r"4 of 9 utterances are unusable .* the first: .*table.jsonl:6 \(bad-noise"):
        run(tmp_path)
    audio = run(tmp_path, max_quarantined_share=0.5)
    lines = [json.loads(line) for line in (audio / "quarantine.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == list(bad.values())
    assert read_manifest(audio).facts["quarantined"] == dict.fromkeys(bad.values(), 1)
    assert len(list(read_audio_shards(audio))) == 5
    free = run(tmp_path, "free", max_quarantined_share=0.5, transcripts=False)
    assert [record.text for record in read_audio_shards(free)][-1] == " "


def test_tars_and_parquet_are_read_in_worker_processes_too(tmp_path: Path) -> None:
    rows = recordings(tmp_path / "in", 4)
    contents = [(tmp_path / "in" / row["audio"]).read_bytes() for row in rows]
    for number, content in enumerate(contents):
        write_tar(tmp_path / f"{number}.tar", {f"r{number}.{('wav', 'flac', 'ogg')[number % 3]}": content})
    audio = [{"bytes": content, "path": row["audio"]} for content, row in zip(contents, rows, strict=True)]
    table = pyarrow.table({"audio": audio, "text": [row["text"] for row in rows], "id": [row["id"] for row in rows]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    changes: dict[str, Any]
    for name, changes in {
        "tars": {"tars": str(tmp_path / "*.tar"), "transcripts": False},
        "parquet": {"table": tmp_path / "t.parquet"},
    }.items():
        one, two = (run(tmp_path, f"{name}{workers}", workers=workers, **changes) for workers in (1, 2))
        assert digest(one) == digest(two)
        assert [record.key for record in read_audio_shards(one)] == [row["id"] for row in rows]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("share", [0.01, 1.0])
def test_where_nothing_is_usable_the_reasons_are_shown(tmp_path: Path, count: int, share: float) -> None:
    (tmp_path / "in").mkdir()
    table(tmp_path / "in", [{"audio": "gone.wav", "text": "x"}] * count)
    with pytest.raises(ValueError, match=rf"unreadable {count}\).* the first: .*table.jsonl:1 .*gone.wav"):
        run(tmp_path, max_quarantined_share=share)
    write_tar(tmp_path / "t.tar", {f"{number}.wav": b"noise" for number in range(count)})
    with pytest.raises(ValueError, match=rf"no text {count}\).* the first: .*t.tar, member 1 \(.wav\)"):
        run(tmp_path, tars=str(tmp_path / "t.tar"), max_quarantined_share=share)


def test_utterances_whose_source_shows_a_defect_are_listed_with_it(tmp_path: Path) -> None:
    rows = recordings(tmp_path / "in", 3)
    rows[1] |= {"offset": 1.0, "duration": -1.0}
    table(tmp_path / "in", rows)
    audio = run(tmp_path)
    (line,) = (audio / "quarantine.jsonl").read_text().splitlines()
    assert (json.loads(line)["key"], json.loads(line)["reason"]) == ("r1", "segment")
    assert "table.jsonl:2 (r1): the part from 1 s" in line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio": "r0.wav", "text": "x", "id": "r1"}', r"table.jsonl:6: id 'r1' already stands at .*table.jsonl:2"),
        ("{", r"table.jsonl:6: no JSON"),
        ('{"text": "x"}', r"table.jsonl:6: must be a row with the path 'audio'"),
        ('{"audio": "r0.wav", "text": 5}', r"table.jsonl:6: text=5 must be a string"),
        ('{"audio": "r0.wav", "text": "x", "id": true}', r"table.jsonl:6: id=True must be a string or a whole number"),
    ],
)
def test_a_row_that_cannot_be_is_named_by_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = table(tmp_path / "in", recordings(tmp_path / "in"))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=message):
        run(tmp_path)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_webdataset_tars_go_through_the_same_writer(tmp_path: Path) -> None:
    recordings(tmp_path / "in", 3)
    wav, flac = (tmp_path / "in" / "r0.wav").read_bytes(), (tmp_path / "in" / "r1.flac").read_bytes()
    write_tar(tmp_path / "a.tar", {"./d/x.wav": wav, "./d/x.txt": b"one", "./d/x.json": b'{"speaker": "s"}'})
    write_tar(tmp_path / "b.tar", {"y.flac": flac, "y.json": b'{"text": "two"}', "z.txt": b"no audio"})
    x, y = read_audio_shards(run(tmp_path, tars=str(tmp_path / "*.tar")))
    assert (x.text, x.meta["speaker"], x.meta["source_id"]) == ("one", "s", "d/x") and x.key.startswith("d-x--")
    assert (y.key, y.text) == ("y", "two")
    np.testing.assert_allclose(y.waveform, tone(240), atol=1e-4)
    write_tar(tmp_path / "c.tar", {"y.flac": flac, "y.txt": b"again"})
    with pytest.raises(ValueError, match=r"c.tar, member 1 .*: id 'y' already stands at .*b.tar"):
        run(tmp_path, "more", tars=str(tmp_path / "*.tar"))
    (tmp_path / "c.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:700])
    with pytest.raises(ValueError, match=r"c.tar: damaged, or no tar"):
        run(tmp_path, "more", tars=str(tmp_path / "c.tar"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": None}, "table=None and tars=None: give a table, tars"),
        ({"columns": {"words": "x"}}, r"columns=\{words: ...\} is not a role of a column; use audio, text"),
        ({"columns": {"start": "a", "start_ms": "b"}}, "columns has start and start_ms; give one"),
        ({"workers": 0}, "workers=0 must be at least 1"),
        ({"max_quarantined_share": 2.0}, "max_quarantined_share=2.0 must lie in 0 to 1"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **changes)


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"table.jsonl does not exist"):
        run(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"fits no file"):
        run(tmp_path, tars=str(tmp_path / "*.tar"))


def test_recordings_without_a_licence_do_not_look_licensed(tmp_path: Path) -> None:
    table(tmp_path / "in", recordings(tmp_path / "in"))
    assert read_manifest(run(tmp_path)).licences == ("not recorded",)


def test_tools_for_token_shards_say_that_a_folder_holds_audio(tmp_path: Path) -> None:
    table(tmp_path / "in", recordings(tmp_path / "in"))
    audio = run(tmp_path)
    for work in (
        lambda: list(verify_folder(audio, ids=False)),
        lambda: list(inspect_shards(InspectShardsConfig(folder=audio))),
        lambda: index_shards(IndexShardsConfig(folder=audio)),
    ):
        with pytest.raises(ValueError, match=r"holds audio shards, no token shards; give a folder of documents"):
            work()
