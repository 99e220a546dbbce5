"""Encoding a corpus: the codes depend on the audio alone, nothing is lost by a kill, what is unusable is named."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from datatrove.data import Document

from megatron_speech.artifacts.facts.audio import AudioShardFacts
from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.artifacts.manifest import make_artifact, read_manifest
from megatron_speech.audio.io import encode_flac
from megatron_speech.audio.shards import AudioRecord, audio_facts, read_audio_shards
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.speech_tokenizer.corpus import input as tokenize_input
from megatron_speech.speech_tokenizer.corpus import steps as tokenize_steps
from megatron_speech.speech_tokenizer.corpus.input import PLACED_RECORD, PlacedRecord
from megatron_speech.speech_tokenizer.corpus.run import code_writer, tokenize_speech
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.toys import write_audio
from tests.unit.speech_tokenizer.corpus.toys import SECOND, clip, config_of, corpus, digest
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, placed_model

WINDOW = 4
"""Seconds that the toy encoder takes at once."""


def test_tasks_and_jobs_change_no_byte(tmp_path: Path, tokenizer: Path) -> None:
    corpus(tmp_path / "audio")
    for tasks in (None, 1, 2, 7, 99):
        tokenize_speech(config_of(tmp_path, f"of-{tasks}", tasks=tasks))
    for job in (1, 0, 2, 1):  # in any order, one of them twice
        tokenize_speech(config_of(tmp_path, "jobs", {"part": "tasks", "job": job, "jobs": 3}, tasks=2))
    tokenize_speech(config_of(tmp_path, "jobs", {"part": "finish"}, tasks=2))
    for part in ("tasks", "finish", "all"):  # requeued when all was done
        tokenize_speech(config_of(tmp_path, "jobs", {"part": part}))
    results = [tmp_path / name for name in ("of-None", "of-1", "of-2", "of-7", "of-99", "jobs")]
    assert all(digest(folder) == digest(results[0]) for folder in results)
    assert all(read_manifest(folder).facts == read_manifest(results[0]).facts for folder in results)
    assert not list(tmp_path.glob("*.tasks")) and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(("cut", "overlap"), [("restart", 0), ("overlap", 7)])
def test_codes_are_those_of_the_clip_and_long_speech_is_whole(
    tmp_path: Path, tokenizer: Path, cut: Any, overlap: int
) -> None:
    corpus(tmp_path / "audio")
    tokenize_speech(config_of(tmp_path, cut=cut))
    encoder = WhisperVQTokenizer.load(tokenizer)
    documents = list(read_documents(tmp_path / "codes"))
    records = list(read_audio_shards(tmp_path / "audio"))
    assert [document.key for document in documents] == [record.key for record in records]
    long = 0
    for document, record in zip(documents, records, strict=True):
        samples = len(record.waveform)
        assert len(document.tokens) == -(-samples // 1280)
        own = {"samples": samples, "audio_shard": f"audio-{int(record.key[1:]) // 2:06d}.tar"}
        assert document.meta == {**record.meta, **own} and document.meta["duration_s"] == round(samples / SECOND, 4)
        if samples <= WINDOW * SECOND:
            assert np.array_equal(document.tokens, encoder.encode([record.waveform])[0])
            continue
        long += 1
        first, begin = 50 - overlap, 50 - 2 * overlap
        assert np.array_equal(document.tokens[:first], encoder.encode([record.waveform[: 50 * 1280]])[0][:first])
        second = encoder.encode([record.waveform[begin * 1280 : (begin + 50) * 1280]])[0]
        until = min(first + 50 - 2 * overlap, len(document.tokens))
        assert np.array_equal(document.tokens[first:until], second[overlap : overlap + until - first])
    facts = read_manifest(tmp_path / "codes").facts
    assert facts["utterances_cut"] == long > 0
    assert sum(facts["code_counts"]) == facts["speech_tokens"] == sum(len(document.tokens) for document in documents)
    assert facts["seconds"] == round(facts["speech_tokens"] / 12.5, 2) and facts["utterances"] == facts["documents"]
    listed = read_manifest(tmp_path / "audio").facts["shards"]
    assert facts["audio_shards"] == [
        {"name": shard["name"], "xxh3": shard["xxh3"], "utterances": 2, "quarantined": 0} for shard in listed
    ]


def test_long_speech_has_the_codes_of_its_stream(tmp_path: Path) -> None:
    """10 s with an encoder that takes 4, at default settings; blocks of 1.2 s do not divide its 4 s."""
    waveform = noise(10 * SECOND, 3)
    shape = narrowed_config(quantize_encoder_only=True, quantize_causal_block_size=60, log_mel_floor="block")
    model = placed_model(shape, waveform[:64_000])
    save_model(model, tmp_path / "tokenizer", text_from=tmp_path)
    write_audio(tmp_path / "audio", [AudioRecord(key="long", waveform=waveform, text="")])
    tokenize_speech(config_of(tmp_path))
    (document,) = read_documents(tmp_path / "codes")
    stream = WhisperVQTokenizer.load(tmp_path / "tokenizer").streaming()
    heard = next(read_audio_shards(tmp_path / "audio")).waveform
    expected = np.concatenate([stream.push(heard), stream.finish()])
    assert len(set(expected.tolist())) > 8
    assert np.array_equal(document.tokens, expected)
    with pytest.raises(ValueError, match=r"cut=overlap: .*tokenizer is causal, .* use restart"):
        tokenize_speech(config_of(tmp_path, "others", cut="overlap"))


def test_what_is_encoded_together_is_bounded_and_of_one_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize_steps, "GATHER_SECONDS", 2)
    lengths = [(0, 1.0), (0, 0.9), (0, 0.2), (0, 5.0), (0, 0.5), (1, 0.5)]
    documents = [
        Document(
            text="", id="", metadata={PLACED_RECORD: PlacedRecord(record=clip("a", length), shard=shard, number=0)}
        )
        for shard, length in lengths
    ]
    assert [len(some) for some in tokenize_steps.gather(documents)] == [2, 1, 1, 1, 1]


def sound(samples: np.ndarray, rate: int = SECOND, kind: str = "FLAC", subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


GOOD = encode_flac(noise(SECOND // 2, 1))
NO_FRAMES = (
    b"fLaC\x80\x00\x00\x22" + (4096).to_bytes(2) * 2 + bytes(6) + ((16000 << 44) + (15 << 36)).to_bytes(8) + bytes(16)
)
"""A FLAC file of no samples, as the reference encoder writes it: STREAMINFO and nothing else."""
BAD = {
    "noise": (b"\x00 this is no audio", "not audio"),
    "nothing": (b"", "zero length"),
    "no-frames": (NO_FRAMES, "zero length"),
    "no-samples": (sound(np.zeros(0), kind="WAV"), "zero length"),
    "nan": (sound(np.full(99, np.nan), kind="WAV", subtype="FLOAT"), "not finite"),
    "slow": (encode_flac(noise(999, 1), sample_rate=8000), "sample rate"),
    "cut": (GOOD[: len(GOOD) // 2], "cut short"),
    "zeros": (encode_flac(np.zeros(SECOND, np.float32)), "silent"),
    "hush": (encode_flac(noise(SECOND, 1) * 1e-3), "silent"),
    "no-json": (GOOD, "incomplete"),
    "no-object": (GOOD, "metadata"),
}


def write_members(folder: Path, clips: dict[str, bytes], *, text: str = "", per_shard: int = 100) -> Path:
    """Audio shards with these bytes as their .flac members, whatever they are."""
    keys = list(clips)
    with make_artifact(folder, kind="audio", config={}) as draft:
        shards = []
        for number in range(0, len(keys), per_shard):
            path = draft.folder / f"audio-{number // per_shard:06d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for key in keys[number : number + per_shard]:
                    members = {
                        "flac": clips[key],
                        "txt": text.encode(),
                        "json": b"[1]" if key == "no-object" else b"{}",
                    }
                    for suffix, data in members.items():
                        if (key, suffix) != ("no-json", "json"):
                            member = tarfile.TarInfo(f"{key}.{suffix}")
                            member.size = len(data)
                            tar.addfile(member, io.BytesIO(data))
            count = len(keys[number : number + per_shard])
            size, xxh3 = path.stat().st_size, file_xxh3(path)
            shards.append(AudioShardFacts(name=path.name, utterances=count, seconds=1.0, bytes=size, xxh3=xxh3))
        draft.facts = audio_facts(shards)
    return folder


def test_unusable_utterances_are_listed_by_reason_and_nothing_else_is_lost(tmp_path: Path, tokenizer: Path) -> None:
    good = {f"good-{number}": GOOD for number in range(3)}
    clips = {"good-a": GOOD, **{key: data for key, (data, _) in BAD.items()}, **good}
    write_members(tmp_path / "audio", clips)  # their transcripts are empty, which is no obstacle
    with pytest.raises(
        ValueError, match=r"11 of 15 utterances are unusable \(.*\), more than .*=0.01; the first: .*000000"
    ):
        tokenize_speech(config_of(tmp_path))
    task = tmp_path / "codes.tasks" / "00000"
    (task / "mark").touch()
    config = config_of(tmp_path, max_quarantined_share=0.8)
    tokenize_speech(dataclasses.replace(config, run=SpreadConfig(part="tasks")))
    assert (task / "mark").exists(), "raising the limit must not throw away what is done"
    tokenize_speech(config)
    assert [document.key for document in read_documents(tmp_path / "codes")] == ["good-a", *good]
    lines = [json.loads(line) for line in (tmp_path / "codes" / "quarantine.jsonl").read_text().splitlines()]
    assert [(line["shard"], line["key"], line["reason"]) for line in lines] == [
        ("audio-000000.tar", key, reason) for key, (_, reason) in BAD.items()
    ]
    assert all(f"audio-000000.tar:{line['key']}" in line["message"] or line["key"] == "no-json" for line in lines)
    facts = read_manifest(tmp_path / "codes").facts
    reasons = [reason for _, reason in BAD.values()]
    assert facts["quarantined"] == {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    assert facts["utterances_without_text"] == 4
    assert facts["utterances"] == 15 and facts["documents"] == 4 and facts["audio_shards"][0]["quarantined"] == 11


def test_one_bad_clip_of_ten_stops_nothing_and_silence_is_an_option(tmp_path: Path, tokenizer: Path) -> None:
    write_members(tmp_path / "audio", {**{f"g{n}": GOOD for n in range(9)}, "hush": BAD["hush"][0]})
    tokenize_speech(config_of(tmp_path))
    facts = read_manifest(tmp_path / "codes").facts
    assert facts["quarantined"] == {"silent": 1} and facts["utterances_without_text"] == 9
    for name, level in (("low", -90.0), ("null", None)):
        tokenize_speech(config_of(tmp_path, name, silence_peak_dbfs=level))
        assert read_manifest(tmp_path / name).facts["documents"] == 10


def test_too_many_bad_clips_stop_a_task_early(tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize_input, "LEAST_JUDGED", 10)
    clips = {f"g{number}": GOOD for number in range(8)} | {f"b{number}": b"" for number in range(50)}
    write_members(tmp_path / "audio", clips)
    with pytest.raises(ValueError, match=r"2 of 10 utterances are unusable \(zero length 2\), more than .*=0.1; .*:b0"):
        tokenize_speech(config_of(tmp_path, max_quarantined_share=0.1))
    assert not (tmp_path / "codes").exists()


def test_a_shard_without_one_good_clip_is_no_obstacle(tmp_path: Path, tokenizer: Path) -> None:
    clips = {"b0": b"", "b1": b""} | {f"g{number}": GOOD for number in range(4)}
    write_members(tmp_path / "audio", clips, per_shard=2)
    tokenize_speech(config_of(tmp_path, max_quarantined_share=0.5))
    assert len(list(read_documents(tmp_path / "codes"))) == 4
    write_members(tmp_path / "bad", {"b0": b""})
    with pytest.raises(ValueError, match="holds no documents"):
        tokenize_speech(config_of(tmp_path, "none", audio=tmp_path / "bad"))


def test_of_several_channels_the_first_is_encoded_and_counted(
    tmp_path: Path, tokenizer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left, right = noise(SECOND, 1), noise(SECOND, 2)
    clips = {"two": sound(np.stack([left, right], axis=1)), "one": sound(left)}
    write_members(tmp_path / "audio", clips)
    tokenize_speech(config_of(tmp_path))
    two, one = read_documents(tmp_path / "codes")
    assert np.array_equal(two.tokens, one.tokens)
    assert read_manifest(tmp_path / "codes").facts["utterances_of_several_channels"] == 1
    assert "audio-000000.tar: 1 utterances have several channels, one of each is used" in caplog.text


def test_a_damaged_shard_stops_the_job_by_name(tmp_path: Path, tokenizer: Path) -> None:
    path = corpus(tmp_path / "audio", clips=4) / "audio-000001.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"audio-000001\.tar: damaged, .* bytes do not match"):
        tokenize_speech(config_of(tmp_path, max_quarantined_share=1.0))
    assert not (tmp_path / "codes").exists()


def test_a_key_that_repeats_in_another_shard_is_named(tmp_path: Path, tokenizer: Path) -> None:
    write_audio(tmp_path / "audio", [clip("a"), clip("b")], per_shard=1)
    shards = read_manifest(tmp_path / "audio").facts["shards"]
    manifest = json.loads((tmp_path / "audio" / "manifest.json").read_text())
    (tmp_path / "audio" / "again.tar").write_bytes((tmp_path / "audio" / shards[0]["name"]).read_bytes())
    manifest["facts"]["shards"] = [*shards, {**shards[0], "name": "again.tar"}]
    (tmp_path / "audio" / "manifest.json").write_text(json.dumps(manifest))
    message = r"again.tar, utterance 1: its id already stands at .*audio-000000.tar, utterance 1; "
    with pytest.raises(ValueError, match=message):
        tokenize_speech(config_of(tmp_path))
    assert not (tmp_path / "codes.tasks").exists(), "nothing is encoded for it"
    tokenize_speech(config_of(tmp_path, run={"part": "tasks"}))  # as one of many jobs, which do not look
    with pytest.raises(ValueError, match=message):
        tokenize_speech(config_of(tmp_path, run={"part": "finish"}))


def test_what_its_headers_do_not_tell_is_left_to_the_reader(tmp_path: Path, tokenizer: Path) -> None:
    write_audio(tmp_path / "audio", [clip("a"), clip("b")], per_shard=1)
    path = tmp_path / "audio" / "audio-000001.tar"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"audio-000001\.tar: damaged, 700 bytes do not match"):
        tokenize_speech(config_of(tmp_path))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"audio-000001\.tar: the shard is in the manifest but not"):
        tokenize_speech(config_of(tmp_path))


def test_joining_names_the_task_that_is_missing_or_of_other_settings(tmp_path: Path, tokenizer: Path) -> None:
    corpus(tmp_path / "audio", clips=4)
    tokenize_speech(config_of(tmp_path, run={"part": "tasks", "job": 0, "jobs": 2}))
    with pytest.raises(ValueError, match=r"tasks/00001 is not made: task 1 \(audio-000001.tar\) has not run or failed"):
        tokenize_speech(config_of(tmp_path, run={"part": "finish"}))
    tokenize_speech(config_of(tmp_path, run={"part": "tasks"}))
    with pytest.raises(ValueError, match=r"cut: overlap -> restart.*run task 0 \(audio-000000.tar\) again"):
        tokenize_speech(config_of(tmp_path, run={"part": "finish"}, cut="restart"))
    tokenize_speech(config_of(tmp_path, cut="restart"))  # makes them again
    with pytest.raises(ValueError, match="made with other settings"):
        tokenize_speech(config_of(tmp_path))


def test_a_task_knows_every_setting_that_its_codes_depend_on(tmp_path: Path, tokenizer: Path) -> None:
    corpus(tmp_path / "audio", clips=2)
    config = config_of(tmp_path, cut="overlap")
    others = {"tokenizer", "audio", "output", "max_quarantined_share", "tasks", "run"}
    named = set(code_writer(config, tokenizer_id="").settings())
    assert named | others == {field.name for field in dataclasses.fields(config)} and not named & others


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overlap_seconds": 15.0}, "overlap_seconds=15.0 must lie in 0 to 15"),
        ({"max_quarantined_share": 1.1}, "max_quarantined_share=1.1 must lie in 0 to 1"),
        ({"silence_peak_dbfs": 3.0}, "silence_peak_dbfs=3.0 must lie in -1,000 to 0"),
        ({"batch_seconds": 0.0}, r"batch_seconds=0.0 must lie in 0.001 to 1e\+06"),
        ({"tasks": 0}, "tasks=0 must lie in 1 to"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(tmp_path, **change)


def test_an_overlap_wider_than_the_encoder_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    corpus(tmp_path / "audio", clips=2)
    with pytest.raises(ValueError, match="overlap of 25 tokens on both sides leaves nothing of a window of 50"):
        tokenize_speech(config_of(tmp_path, overlap_seconds=2.0))


def test_audio_without_a_shard_is_refused() -> None:
    with pytest.raises(ValueError, match="audio: the folder holds no shards"):
        tokenize_input.audio_tasks([], None)
