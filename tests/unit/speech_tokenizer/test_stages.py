"""Train, encode and report on a toy world, from audio shards to manifests; and the ways a person can go wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from megatron_speech.artifacts.manifest import read_manifest
from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.config.reports.tokenizer_report import TokenizerReportConfig
from megatron_speech.config.stages.bottleneck import BottleneckConfig
from megatron_speech.config.stages.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.config.stages.train_speech_tokenizer import SpeechSourceConfig, TrainSpeechTokenizerConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.evaluation.speech.tokenizer import tokenizer_report
from megatron_speech.speech_tokenizer.corpus.run import tokenize_speech
from megatron_speech.speech_tokenizer.model import load_model
from megatron_speech.speech_tokenizer.training.run import train_speech_tokenizer
from megatron_speech.speech_tokenizer.whisper import WhisperRecognizer
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from megatron_speech.vocabulary import Vocabulary
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import WORDS, noise, write_toy_audio, write_toy_whisper

FRONT = ("conv1.weight", "layers.0.fc1.weight")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_toy_whisper(folder / "whisper")
    write_toy_audio(folder / "audio", copies=16)
    return folder


def training(world: Path, output: str, **changes: object) -> TrainSpeechTokenizerConfig:
    bottleneck = BottleneckConfig(codebook_size=32, pooling_position=1, quantize_position=2, kmeans_iterations=4)
    config = TrainSpeechTokenizerConfig(
        output=world / output,
        whisper=world / "whisper",
        sources={"words": SpeechSourceConfig(audio=world / "audio")},
        bottleneck=bottleneck,
        steps=150,
        batch_seconds=20.0,
        learning_rate=3e-3,
        warmup_steps=5,
        dropout=0.0,
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def tokenizer_folder(world: Path) -> Path:
    train_speech_tokenizer(training(world, "tokenizer"))
    return world / "tokenizer"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in sorted(file.keys())}


def test_recognition_through_codes_is_learnt(world: Path, tokenizer_folder: Path) -> None:
    facts = read_manifest(tokenizer_folder).facts
    curve = [point["cross_entropy"] for point in facts["curve"]]
    assert curve[-1] < 0.3 * curve[0]
    tokenizer = WhisperVQTokenizer.load(tokenizer_folder)
    records = list(read_audio_shards(world / "audio"))[:8]
    heard = tokenizer.recognize(tokenizer.encode([record.waveform for record in records]))
    assert sum(text == record.text for text, record in zip(heard, records, strict=True)) >= 6
    assert set(WORDS) >= {record.text for record in records}


def test_front_stays_frozen(world: Path, tokenizer_folder: Path) -> None:
    before, after = weights(world / "whisper"), weights(tokenizer_folder)
    for name in FRONT:
        assert torch.equal(before[f"model.encoder.{name}"], after[f"model.encoder.{name}"])
    assert torch.equal(before["model.decoder.embed_tokens.weight"], after["model.decoder.embed_tokens.weight"])
    assert not torch.equal(before["model.encoder.layers.2.fc1.weight"], after["model.encoder.layers.2.fc1.weight"])


def test_front_learns_from_the_step_asked_for(world: Path) -> None:
    train_speech_tokenizer(training(world, "unfrozen", steps=4, unfreeze_at_step=2))
    before, after = weights(world / "whisper"), weights(world / "unfrozen")
    for name in FRONT:
        assert not torch.equal(before[f"model.encoder.{name}"], after[f"model.encoder.{name}"])


def test_same_seed_gives_the_same_weights(world: Path) -> None:
    for name in ("once", "twice"):
        train_speech_tokenizer(training(world, name, steps=3))
    once, twice = weights(world / "once"), weights(world / "twice")
    assert all(torch.equal(once[key], twice[key]) for key in once)


def test_codes_are_whole_frames_in_range_and_blind_to_the_batch(tokenizer_folder: Path) -> None:
    tokenizer = WhisperVQTokenizer.load(tokenizer_folder)
    assert (tokenizer.facts.sample_rate, tokenizer.facts.frame_rate, tokenizer.facts.codebook_size) == (16000, 12.5, 32)
    clips = [noise(length, seed) for seed, length in enumerate((1, 1280, 1281, 16000, 30000))]
    codes = tokenizer.encode(clips, batch_seconds=100.0)
    assert [len(row) for row in codes] == [1, 1, 2, 13, 24]
    assert all(row.dtype == np.int32 and row.min() >= 0 and row.max() < 32 for row in codes)
    for alone, together in zip((tokenizer.encode([clip])[0] for clip in clips), codes, strict=True):
        assert np.array_equal(alone, together)
    assert all(map(np.array_equal, tokenizer.encode(clips[::-1], batch_seconds=2.0), codes[::-1]))


def test_audio_shards_become_code_shards(world: Path, tokenizer_folder: Path) -> None:
    config = TokenizeSpeechConfig(tokenizer=tokenizer_folder, audio=world / "audio", output=world / "codes")
    tokenize_speech(config)
    tokenize_speech(config)
    tokenizer = WhisperVQTokenizer.load(tokenizer_folder)
    vocabulary = Vocabulary.of_codes(32, tokenizer.facts.fingerprint)
    documents = list(read_documents(world / "codes", vocabulary=vocabulary))
    records = list(read_audio_shards(world / "audio"))
    assert [document.key for document in documents] == [record.key for record in records]
    assert records[3].meta.items() <= documents[3].meta.items()
    assert np.array_equal(documents[3].tokens, tokenizer.encode([records[3].waveform])[0])
    facts = read_manifest(world / "codes").facts
    assert sum(facts["code_counts"]) == facts["speech_tokens"] == sum(len(document.tokens) for document in documents)
    assert 1 <= facts["perplexity"] <= facts["codes_used"] <= 32


def test_report_measures_each_reader_by_voice(world: Path, tokenizer_folder: Path) -> None:
    config = TokenizerReportConfig(
        tokenizer=tokenizer_folder,
        whisper=world / "whisper",
        judge=world / "no-judge",
        audio={"heldout": world / "audio"},
        output=world / "report",
        max_utterances=8,
    )
    tokenizer_report(config)
    facts = read_manifest(world / "report").facts
    rates = facts["error_rates"]
    assert set(rates) == {"heldout, without bottleneck", "heldout, from codes"}
    assert rates["heldout, from codes"]["wer"] < rates["heldout, without bottleneck"]["wer"]
    assert set(facts["error_rates_by_voice"]["heldout, from codes"]) == {"high", "low"}
    assert facts["judge"] is None
    lines = (world / "report" / "heldout.jsonl").read_text().splitlines()
    assert len(lines) == 8 and json.loads(lines[0])["said"] == "alpha"


def test_encoder_alone_encodes_but_does_not_recognise(tokenizer_folder: Path, tmp_path: Path) -> None:
    values = json.loads((tokenizer_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "quantize_encoder_only": True}))
    (tmp_path / "model.safetensors").symlink_to(tokenizer_folder / "model.safetensors")
    whole, part = WhisperVQTokenizer.load(tokenizer_folder), WhisperVQTokenizer.load(tmp_path)
    clip = noise(16000, 1)
    assert np.array_equal(part.encode([clip])[0], whole.encode([clip])[0])
    with pytest.raises(ValueError, match="cannot recognise; use the folder"):
        part.recognize([np.array([1, 2])])


def test_a_code_outside_the_codebook_is_refused(tokenizer_folder: Path) -> None:
    tokenizer = WhisperVQTokenizer.load(tokenizer_folder)
    with pytest.raises(ValueError, match=r"sequence 1 has a code outside 0\.\.31; use"):
        tokenizer.recognize([np.array([1]), np.array([32])])
    with pytest.raises(ValueError, match="sequence 0 has 376 codes, the recogniser reads at most 375; cut it"):
        tokenizer.recognize([np.zeros(376, np.int32)])
    assert tokenizer.recognize([np.array([], dtype=np.int32)]) == [""]


def test_speech_that_is_too_long_is_named_by_its_utterance(world: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    record = AudioRecord(key="sermon", waveform=noise(480001, 0), text="alpha")
    audio = write_audio(tmp_path / "audio", [record])
    message = r"no usable utterance; .*sermon: lasts 30.0001 s, longer than the 30 s .*; cut it"
    with pytest.raises(ValueError, match=message):
        train_speech_tokenizer(training(world, "too-long", sources={"sermons": SpeechSourceConfig(audio=audio)}))
    with pytest.raises(ValueError, match="no utterance at all; name held-out speech"):  # it is left out, and counted
        tokenizer_report(
            TokenizerReportConfig(
                tokenizer=tokenizer_folder,
                whisper=world / "whisper",
                judge=world / "no-judge",
                audio={"long": audio},
                output=tmp_path / "report",
                robustness=None,
            )
        )


def test_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist; give the folder"):
        WhisperVQTokenizer.load(tmp_path / "nowhere")


def test_whisper_is_no_tokenizer(world: Path) -> None:
    with pytest.raises(ValueError, match="without codebook"):
        WhisperVQTokenizer.load(world / "whisper")


def test_weights_of_another_shape_are_refused(world: Path, tmp_path: Path) -> None:
    values = json.loads((world / "whisper" / "config.json").read_text())
    (tmp_path / "model.safetensors").symlink_to(world / "whisper" / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**values, "encoder_ffn_dim": 48}))
    with pytest.raises(ValueError, match=r"config\.json says \(48.*; name a folder"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**values, "encoder_layers": 4}))
    with pytest.raises(ValueError, match=r"lacks \d+ weights.*; name a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_toy_whisper(tmp_path / "whisper")
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(ValueError, match=rf"{name}.* is damaged"):
        WhisperRecognizer.load(folder)


def test_failed_training_leaves_no_folder(world: Path) -> None:
    bottleneck = BottleneckConfig(codebook_size=100_000, pooling_position=1, quantize_position=2)
    with pytest.raises(ValueError, match="codebook_size=100000 needs"):
        train_speech_tokenizer(training(world, "failed", bottleneck=bottleneck))
    assert not (world / "failed").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_rate": 10}, "frame_rate=10 must be 50, 25, 12.5 or 6.25"),
        ({"pooling_position": 3, "quantize_position": 2}, "pooling_position=3 must lie in"),
        ({"ema_decay": 1.0}, r"ema_decay=1.0 must lie in \(0, 1\)"),
    ],
)
def test_impossible_bottlenecks_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BottleneckConfig(**changes)
