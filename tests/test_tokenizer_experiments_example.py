"""examples/speech_tokenizer/run.sh with a python that only notes what it is asked for: which rows, and how often."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.reports.settings import require_as_listed
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.training.start import narrow
from tests import example_runs

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "speech_tokenizer"
ROWS: dict[str, str] = yaml.safe_load((EXAMPLE / "experiments.yaml").read_text())["rows"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return example_runs.make_root(tmp_path)


def run(root: Path, *words: str, fail: str = "") -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """What the script says, and the commands that it ran."""
    return example_runs.run(root, "speech_tokenizer", "--run-dir", str(root / "run"), *words, fail=fail)


def test_rows_are_trained_reported_and_then_left_alone(root: Path) -> None:
    done, commands = run(root, "--rows", "base one_voice")
    assert done.returncode == 0, done.stderr
    trained = [words for words in commands if words[0] == "train_speech_tokenizer"]
    assert trained[0][-2:] == ["--output", "experiments/base/tokenizer"] and "--sources" not in trained[0]
    assert "{synthetic: {audio: audio/one_voice}}" in trained[1], "words with spaces stay one word"
    reported = [words for words in commands if words[0] == "tokenizer_report"]
    assert "--judge" not in reported[0] and "--judge" in reported[1], "what hears the audio hears it once"
    assert sum(words[0] == "speak_corpus" for words in commands) == 5
    timing = (root / "run/experiments/base/timings.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in timing] == ["tokenizer", "report"]
    assert all(json.loads(line)["cpu_seconds"] >= 0 for line in timing)
    _, again = run(root, "--rows", "base one_voice")
    assert not any(words[0] in ("train_speech_tokenizer", "tokenizer_report") for words in again)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_command_line_of_the_training(row: str) -> None:
    settings = ["--config", str(EXAMPLE / "tokenizer.yaml"), *shlex.split(ROWS[row])]
    config = to_dict(parse_config(TrainSpeechTokenizerConfig, description="", args=settings))
    require_as_listed(Path(row), config, ROWS[row])


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_shape_that_a_real_whisper_can_take(row: str) -> None:
    settings = ["--config", str(EXAMPLE / "tokenizer.yaml"), *shlex.split(ROWS[row])]
    config = parse_config(TrainSpeechTokenizerConfig, description="", args=settings)
    shape = WhisperVQConfig(encoder_layers=6 if row == "whisper_base" else 4, max_source_positions=1500)
    narrow(shape, config.bottleneck, dropout=config.dropout)
    shape.require_supported(row)
    assert 29.9 < shape.max_samples / 16000 <= 30


@pytest.mark.parametrize("part", ["tokenizer", "report"])
def test_a_failed_row_does_not_stop_the_others(root: Path, part: str) -> None:
    done, commands = run(root, "--rows", "base rate_6 rate_25", fail=f"--output experiments/rate_6/{part}")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: failed: rate_6/{part}; mend")
    assert (root / "run/experiments/rate_25/report/manifest.json").is_file()
    assert not (root / "run/experiments/rate_6/report").exists()
    assert sum(words[0] == "tokenizer_experiments" for words in commands) == 3
    assert run(root, "--rows", "base rate_6 rate_25")[0].returncode == 0


def test_a_table_that_fails_is_named_after_all_rows(root: Path) -> None:
    done, _ = run(root, "--rows", "base rate_25", fail="tokenizer_experiments")
    assert done.returncode == 1 and "error: failed: table; mend" in done.stderr
    assert (root / "run/experiments/rate_25/report/manifest.json").is_file()


def test_a_failed_row_is_named_with_its_log(root: Path) -> None:
    done, _ = run(root, "--rows", "base", fail="tokenizer_report")
    assert done.returncode == 1 and "base/report failed; its output is in" in done.stderr
    assert "no luck" in (root / "run/experiments/base/report.log").read_text()
    assert (root / "run/experiments/base/tokenizer/manifest.json").is_file()
    assert "--tokenizer" in run(root, "--rows", "base")[1][-2], "what was done is kept, what failed is done again"


def test_a_row_that_is_not_listed_is_refused_before_any_work(root: Path) -> None:
    done, commands = run(root, "--rows", "base rate_13")
    assert done.returncode == 2 and "rate_13 is no row of experiments.yaml; name one of base, rate_50" in done.stderr
    assert not commands
