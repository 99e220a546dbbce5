"""What cannot be learnt from is left out, named and counted; what cannot be meant is refused by name."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.artifacts.files import file_xxh3
from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.audio.quarantine import read_quarantine
from megatron_speech.audio.shards import AudioRecord
from megatron_speech.config.stages.train_speech_tokenizer import AugmentConfig, SpeechSourceConfig
from megatron_speech.speech_tokenizer.model import TextSide, load_config
from megatron_speech.speech_tokenizer.training import sources
from megatron_speech.speech_tokenizer.training.run import train_speech_tokenizer
from megatron_speech.speech_tokenizer.training.validation import Validation
from megatron_speech.speech_training.ranks import joined
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import noise
from tests.unit.speech_tokenizer.training.toys import training


def test_validation_leaves_out_what_is_too_long(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The judge's silence leaves 28 of 30 s; found when training begins, not when it first validates."""
    records = [AudioRecord(key=f"u{n}", waveform=noise(16000 * n, 0), text="word") for n in (29, 1, 28)]
    audio = write_audio(tmp_path / "audio", records)
    config = training(world, tmp_path / "out", validation={"words": audio}, validation_utterances=2)
    text = TextSide(config.whisper, 259)
    with joined(0, 1, None):
        validation = Validation(config, text, 30 * 16000)
        assert [record.key for record in validation.sets["words"]] == ["u1", "u28"]
        assert "validation.words: 1 utterances above 28 s left out" in caplog.text
        with pytest.raises(ValueError, match=r"validation\.words=.*: no utterance of -1 s or less"):
            Validation(config, text, 16000)


def faulty(folder: Path, *, good: int) -> Path:
    """Good words, and one utterance of every fault that shows in the audio or beside it."""
    records = [AudioRecord(key=f"g{n}", waveform=noise(8000, n), text="word") for n in range(good)]
    records += [
        AudioRecord(key="hush", waveform=noise(8000, 0) * 1e-3, text="word"),
        AudioRecord(key="mute", waveform=noise(8000, 0), text=" \n"),
        AudioRecord(key="hole", waveform=noise(8000, 0), text="word"),
    ]
    write_audio(folder, records, per_shard=1)
    path, hole = folder / "manifest.json", folder / f"audio-{good + 2:06d}.tar"
    data = hole.read_bytes()
    begin = data.index(b"fLaC")
    hole.chmod(0o644)
    hole.write_bytes(data[: begin + 200] + bytes(400) + data[begin + 600 :])
    manifest = json.loads(path.read_text())
    manifest["facts"]["shards"][-1]["xxh3"] = file_xxh3(hole)
    path.write_text(json.dumps(manifest))
    return folder


def test_what_cannot_be_learnt_from_is_left_out_named_and_counted(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"odd": SpeechSourceConfig(audio=faulty(tmp_path / "audio", good=6))}
    config = training(world, tmp_path / "out", sources=odd, steps=1, max_quarantined_share=0.4, seed=3)
    strict = dataclasses.replace(config, max_quarantined_share=0.3)
    with pytest.raises(ValueError, match=r"3 of 9 utterances are unusable \(.*\), more than max_quarantined_share=0.3"):
        train_speech_tokenizer(strict)
    caplog.set_level(logging.INFO)
    train_speech_tokenizer(config)
    reasons = {"hush": "silent", "mute": "no text", "hole": "not audio"}
    facts = read_manifest(config.output).facts
    assert facts["quarantined"] == {"odd": dict.fromkeys(sorted(reasons.values()), 1)}
    listed = read_quarantine(config.output / "quarantine.jsonl")
    assert {bad.key: bad.reason for bad in listed} == reasons and all(bad.message in caplog.text for bad in listed)
    assert f"{config.output}: written, 1 steps" in caplog.messages[-1]
    # Every number of the codebook says what it is counted over.
    size, frames = config.bottleneck.codebook_size, facts["kmeans_frames"]
    assert f"codebook: {size} codes placed by k-means of {frames:,} frames, of whose variance" in caplog.text
    assert re.search(rf"\(running average of the codebook\), \d+ of {size} codes unused in the last step,", caplog.text)


def test_one_silent_clip_stops_nothing_and_silence_is_an_option(world: Path, tmp_path: Path) -> None:
    records = [AudioRecord(key=f"u{n}", waveform=noise(8000, n) * 1e-4, text="word") for n in range(3)]
    hush = {"hush": SpeechSourceConfig(audio=write_audio(tmp_path / "audio", records))}
    config = training(world, tmp_path / "out", sources=hush, steps=1)
    with pytest.raises(ValueError, match=r"3 of 3 utterances are unusable \(silent 3\)"):
        train_speech_tokenizer(config)
    with joined(0, 1, None):
        heard = dataclasses.replace(config, silence_peak_dbfs=None)
        shape = load_config(config.whisper)
        found = sources.open_sources(heard, TextSide(config.whisper, shape.vocab_size), shape, tmp_path / "work")
    assert len(found[0].index) == 3 and not found[0].quarantined


@pytest.mark.parametrize(
    ("text", "seconds", "message"),
    [
        (" \n", 1, ":odd: its transcript is empty; transcribe it or leave it out"),
        ("word " * 20, 1, r":odd: 100 text tokens, Whisper's decoder writes 61; cut it"),
        ("word", 31, r":odd: lasts 31 s, longer than the 30 s .*; cut it"),
    ],
)
def test_what_cannot_be_learnt_is_named_before_the_first_step(
    world: Path, tmp_path: Path, text: str, seconds: int, message: str
) -> None:
    audio = write_audio(tmp_path / "audio", [AudioRecord(key="odd", waveform=noise(16000 * seconds, 0), text=text)])
    with pytest.raises(ValueError, match=message):
        train_speech_tokenizer(training(world, tmp_path / "out", sources={"odd": SpeechSourceConfig(audio=audio)}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": AugmentConfig(time_masks=2)}, "cache_states=true computes them once; set cache_states=false"),
        ({"sources": {}}, "sources: none has a weight above 0"),
        ({"micro_batch_seconds": 0.0}, "micro_batch_seconds=0.0 must lie in 0.001 to"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must lie in"),
        ({"dropout": 1.0}, r"dropout=1.0 must lie in \[0, 1\)"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training(tmp_path, tmp_path / "out", **changes)
