"""What an import says of itself: which channels were heard, with which settings, and which rows contradict others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.audio.shards import read_audio_shards
from tests.sources import write_tar
from tests.unit.audio.toys import recordings, run, table, tone


def test_the_last_line_says_which_of_several_channels_was_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    both = np.stack([tone(200), tone(300)], axis=1)
    for name, sound in (("two", both), ("late", both * [0, 1]), ("one", tone(400)), ("said", both)):
        soundfile.write(tmp_path / "in" / f"{name}.wav", sound, 16000)
    rows = [{"audio": f"{name}.wav", "text": name, "id": name} for name in ("two", "late", "one")]
    table(tmp_path / "in", [*rows, {"audio": "said.wav", "text": "said", "id": "said", "channel": "B"}])
    for choice, said in {
        "first": "2 utterances come from recordings with several channels: the first is used (in 1 it",
        "loudest": "; 2 utterances come from recordings with several channels: the loudest is used",
    }.items():
        caplog.clear()
        with caplog.at_level("INFO"):
            audio = run(tmp_path, choice, channels=choice)
        assert said in caplog.messages[-1]
        channels = [record.meta.get("source_channel") for record in read_audio_shards(audio)]
        assert channels == [None, None, None, 1]
    (tmp_path / "in" / "table.jsonl").write_text('{"audio": "one.wav", "text": "x"}\n')
    with caplog.at_level("INFO"):
        run(tmp_path, "mono")
    assert "channel" not in caplog.messages[-1]


def test_the_last_line_names_what_is_left_out_and_the_rule(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recordings(tmp_path / "in", 1)
    rows = [{"audio": name, "text": "x"} for name in ("r0.wav", "gone.wav", "lost.wav")]
    table(tmp_path / "in", rows[:2])
    with caplog.at_level("INFO"):
        audio = run(tmp_path)  # one of two is more than the share, but one recording alone stops nothing
    assert "gone.wav" in caplog.messages[-1] and f"all in {audio}/quarantine.jsonl" in caplog.messages[-1]
    assert "two or more stop the import if they are above max_quarantined_share=0.01 of all" in caplog.messages[-1]
    table(tmp_path / "in", rows)
    with pytest.raises(ValueError, match=r"2 of 3 utterances are unusable"):
        run(tmp_path, "other")


def test_the_manifest_tells_the_settings_that_were_used(tmp_path: Path) -> None:
    recordings(tmp_path / "in")
    table(tmp_path / "in", [{"audio": "r0.wav", "text": "x"}])
    made = read_manifest(run(tmp_path, workers=2, max_quarantined_share=0.5)).config
    assert made["utterances_per_shard"] == 2 and not made.keys() & {"workers", "max_quarantined_share"}
    run(tmp_path, workers=1)


@pytest.mark.parametrize("layout", ["nemo", "webdataset"])
def test_a_member_of_a_tar_that_stands_whole_with_other_words_is_refused(tmp_path: Path, layout: str) -> None:
    recordings(tmp_path / "in", 1)
    content = (tmp_path / "in" / "r0.wav").read_bytes()
    settings: dict[str, Any]
    if layout == "nemo":
        table(tmp_path / "in", [{"audio_filepath": name, "text": name} for name in ("a.wav", "a-sub1.wav")])
        settings = {"table": tmp_path / "in" / "table.jsonl", "tars": str(tmp_path / "t.tar")}
        write_tar(tmp_path / "t.tar", [("a.wav", content)])
    else:
        settings = {"tars": str(tmp_path / "t.tar")}
        members = [
            (f"{name}.{kind}", data) for name in "ab" for kind, data in (("wav", content), ("txt", name.encode()))
        ]
        write_tar(tmp_path / "t.tar", members)
    with pytest.raises(ValueError, match=r"names the same whole recording as .*, with other words"):
        run(tmp_path, **settings)
    assert len(list(read_audio_shards(run(tmp_path, metadata=("text",), **settings)))) == 2


@pytest.mark.parametrize("per_shard", [1, 2])
def test_a_recording_whose_bytes_stand_whole_in_several_rows_of_parquet_is_refused(
    tmp_path: Path, per_shard: int
) -> None:
    recordings(tmp_path / "in", 1)
    content = (tmp_path / "in" / "r0.wav").read_bytes()
    rows = {"audio": [content] * 2, "text": ["one", "two"], "piece": ["p1", "p2"], "speaker": ["s", "s"]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
    settings = {"table": tmp_path / "t.parquet", "utterances_per_shard": per_shard}
    with pytest.raises(ValueError, match=r"t.parquet:2: names the same .* as .*t.parquet:1, .* may be in piece; map"):
        run(tmp_path, **settings)
    audio = run(tmp_path, metadata=("piece",), **settings)
    assert [record.text for record in read_audio_shards(audio)] == ["one", "two"]
