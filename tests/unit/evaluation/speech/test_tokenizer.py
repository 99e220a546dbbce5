"""The report over a toy tokenizer: what it counts, what it shows, what it leaves out, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.artifacts.manifest import make_artifact, read_manifest
from megatron_speech.audio.shards import AudioRecord, read_audio_shards
from megatron_speech.config.reports.tokenizer_report import RobustnessConfig, TokenizerReportConfig
from megatron_speech.evaluation.speech.tokenizer import bits_per_second, tokenizer_report
from megatron_speech.metrics.word_errors import error_rates, utterance_edits
from megatron_speech.speech_tokenizer.model import save_model
from megatron_speech.speech_tokenizer.whisper_vq import WhisperVQTokenizer
from tests.toys import write_audio
from tests.unit.speech_tokenizer.toys import narrowed_config, noise, toy_model, write_toy_audio, write_toy_whisper


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_toy_whisper(folder / "whisper")
    write_toy_audio(folder / "audio", copies=2)
    write_audio(folder / "nobody", [])
    with make_artifact(folder / "tokenizer", kind="speech_tokenizer", config={}) as draft:
        config = narrowed_config(max_source_positions=1500)
        save_model(toy_model(config), draft.folder, text_from=folder / "whisper")
    tokenizer_report(settings(folder))
    return folder


def settings(world: Path, **changes: object) -> TokenizerReportConfig:
    config = TokenizerReportConfig(
        tokenizer=world / "tokenizer",
        whisper=world / "whisper",
        judge=world / "whisper",
        audio={"heldout": world / "audio", "human": world / "nobody"},
        output=world / "report",
        max_utterances=6,
        robustness=RobustnessConfig(gains_db=[-20.0], snrs_db=[5.0], rates=[8000], max_utterances=3),
        resamples=100,
    )
    return dataclasses.replace(config, **changes)


def test_every_reader_is_counted_with_an_interval(world: Path) -> None:
    facts = read_manifest(world / "report").facts
    readers = ("from codes", "without bottleneck", "judge whisper")
    assert list(facts["error_rates"]) == [f"heldout, {reader}" for reader in readers]
    assert facts["error_rates"]["heldout, judge whisper"] == facts["error_rates"]["heldout, without bottleneck"]
    lines = [json.loads(line) for line in (world / "report" / "heldout.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and set(lines[0]) == {"key", "voice", "said", *readers}
    for name, rates in [*facts["error_rates"].items(), *facts["error_rates_by_voice"]["heldout, from codes"].items()]:
        assert rates["wer_low"] <= rates["wer"] <= rates["wer_high"], name
        assert rates["cer_low"] <= rates["cer"] <= rates["cer_high"], name
    again = error_rates([line["said"] for line in lines], [line["from codes"] for line in lines])
    assert facts["error_rates"]["heldout, from codes"].items() >= again.items()


def test_codes_are_counted_in_codes_and_in_bits(world: Path) -> None:
    facts = read_manifest(world / "report").facts
    records = list(read_audio_shards(world / "audio"))[:6]
    codes = WhisperVQTokenizer.load(world / "tokenizer").encode([record.waveform for record in records])
    assert facts["code_counts"] == np.bincount(np.concatenate(codes), minlength=16).tolist()
    assert facts["codes_used"] + facts["codes_unseen"] == facts["codebook_size"] == 16
    own = facts["usage_by_set"]["heldout"]
    assert own["codes"] == sum(map(len, codes)) and own["utterances"] == 6
    assert own["codes_per_speech_second"] >= facts["frame_rate"] == 12.5, "a started code counts whole"
    assert facts["bits_per_second"] == 50 and 0 < facts["entropy_bits_per_second"] <= 50


def test_even_use_fills_every_bit_and_a_single_code_carries_none() -> None:
    assert bits_per_second(np.full(16, 3), 12.5) == {
        "codes_unseen": 0,
        "bits_per_second": 50.0,
        "entropy_bits_per_second": 50.0,
    }
    assert bits_per_second(np.array([5, 0, 0, 0]), 25.0)["entropy_bits_per_second"] == 0


def test_the_page_shows_everything(world: Path) -> None:
    text = (world / "report" / "report.md").read_text()
    figures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert figures == ["wer.png", "usage.png", "robustness-heldout.png"]
    assert all((world / "report" / figure).stat().st_size > 10_000 for figure in figures)
    assert "Left out: human, no utterance." in text
    assert "| GLM-4-Voice tokenizer | 12.5 | 175 | LibriSpeech clean / other | 2.10 % / 4.90 % |" in text
    assert "| **this tokenizer** | 12.5 | 50 | heldout |" in text and "not comparable" in text
    assert "| untouched |" in text and "| gain -20 dB |" in text and "| babble, 5 dB |" in text
    assert "None" not in text and "nan" not in text


def test_made_again_it_gives_the_same_manifest_and_transcripts(world: Path, tmp_path: Path) -> None:
    tokenizer_report(settings(world, output=tmp_path / "report"))
    once, twice = (read_manifest(folder / "report") for folder in (world, tmp_path))
    assert once.facts == twice.facts
    assert (world / "report/heldout.jsonl").read_bytes() == (tmp_path / "report/heldout.jsonl").read_bytes()
    timing = json.loads((tmp_path / "report/timings.json").read_text())["encode"]["heldout"]
    assert timing["speech_seconds"] > 0 and timing["cpu_seconds"] >= 0
    assert "cpu" not in json.dumps(twice.facts)


def test_readers_of_the_audio_and_disturbances_can_be_left_out(world: Path, tmp_path: Path) -> None:
    changes = {"whisper": None, "judge": None, "robustness": None}
    tokenizer_report(settings(world, output=tmp_path / "report", **changes))
    facts = read_manifest(tmp_path / "report").facts
    assert list(facts["error_rates"]) == ["heldout, from codes"] and facts["robustness"] == {}
    text = (tmp_path / "report" / "report.md").read_text()
    assert "No independent judge heard the audio." in text and "Robustness" not in text


def test_a_judge_that_is_not_there_is_left_out_with_a_word(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer_report(settings(world, output=tmp_path / "report", judge=tmp_path / "nobody", robustness=None))
    assert read_manifest(tmp_path / "report").facts["judge"] is None
    assert "goes without an independent judge" in caplog.text


def test_a_tokenizer_from_elsewhere_needs_no_manifest(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "tokenizer", tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "manifest.json").unlink()
    config = settings(world, tokenizer=tmp_path / "tokenizer", output=tmp_path / "report", robustness=None)
    tokenizer_report(config)
    inputs = read_manifest(tmp_path / "report").inputs
    assert str(tmp_path / "tokenizer" / "model.safetensors") in inputs and str(tmp_path / "tokenizer") not in inputs


def test_what_is_too_long_is_left_out_and_said(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """28.0001 s behind 28 s: with the silence that follows, Whisper's 30 s. The limit holds whoever reads."""
    lengths = {"a": 28 * 16000 + 1, "b": 8000, "c": 35 * 16000, "d": 28 * 16000}
    records = [AudioRecord(key=key, waveform=noise(size, 1), text="alpha") for key, size in lengths.items()]
    write_audio(tmp_path / "long", [records[2]])
    changes = {"whisper": None, "judge": None, "robustness": None, "resamples": 100, "output": tmp_path / "report"}
    config = settings(
        world, audio={"some": write_audio(tmp_path / "some", records), "all": tmp_path / "long"}, **changes
    )
    tokenizer_report(config)
    facts = read_manifest(tmp_path / "report").facts
    assert facts["too_long"] == {"some": 2, "all": 1} and facts["usage_by_set"]["some"]["utterances"] == 2
    assert facts["left_out"] == {"all": "no utterance up to 28 s"} and "longer than 28 s left out" in caplog.text
    text = (tmp_path / "report" / "report.md").read_text()
    assert "Left out of some: 2 utterances longer than 28 s." in text


def test_no_data_is_refused(world: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    with pytest.raises(ValueError, match="nobody: no utterance at all; name held-out speech"):
        tokenizer_report(settings(world, audio={"human": world / "nobody"}, output=output))
    with pytest.raises(FileNotFoundError, match=r"absent does not exist; correct the path"):
        tokenizer_report(settings(world, audio={"heldout": world / "absent"}, output=output))
    with pytest.raises(FileNotFoundError, match=r"absent/config\.json does not exist; give"):
        tokenizer_report(settings(world, tokenizer=world / "absent", output=output))
    with pytest.raises(ValueError, match=r"audio=\{\} must name"):
        settings(world, audio={})
    assert not output.exists()


def test_edits_of_utterances_add_up_to_the_rates() -> None:
    said, heard = ["cat dog bird", "...", "red green"], ["cat dogs", "x", "green green blue"]
    edits, rates = utterance_edits(said, heard), error_rates(said, heard)
    assert edits.word_edits.tolist() == [2, 2] and edits.words.tolist() == [3, 2]
    assert edits.word_edits.sum() / edits.words.sum() == rates["wer"]
    assert edits.character_edits.sum() / edits.characters.sum() == pytest.approx(rates["cer"])


def test_other_readers_may_be_left_out_as_the_help_says(tmp_path: Path) -> None:
    config = TokenizerReportConfig(tokenizer=tmp_path, audio={"a": tmp_path}, output=tmp_path / "report")
    assert config.whisper is None and config.judge is None
