"""What a source teaches: the paper's choice by task, an explicit one wins, nonsense is named."""

from pathlib import Path

import pytest

from megatron_speech.config.parsing.parse import parse_config
from megatron_speech.config.run.data import DataConfig, LossConfig, SourceConfig
from megatron_speech.config.run.training import PretrainConfig

FOLDER = Path("packed")


@pytest.mark.parametrize(
    ("task", "tokens"),
    [
        ("text", "all"),
        ("speech", "all"),
        ("interleaved", "all"),
        ("recognition", "target"),
        ("synthesis", "target"),
        ("dialogue", "target"),
    ],
)
def test_the_papers_choice(task: str, tokens: str):
    source = SourceConfig(folder=FOLDER, task=task)
    assert source.policy == LossConfig(tokens=tokens)


def test_an_explicit_choice_wins():
    loss = LossConfig(tokens="all", speech_weight=0.5)
    assert SourceConfig(folder=FOLDER, task="recognition", loss=loss).policy == loss


def test_weights_are_listed_by_source():
    sources = {
        "interleaved": SourceConfig(folder=FOLDER, task="interleaved", loss=LossConfig(speech_weight=0)),
        "text": SourceConfig(folder=FOLDER, task="text", loss=LossConfig(text_weight=2)),
    }
    assert DataConfig(sources=sources).loss_weights == [(1, 0), (2, 1)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text_weight": -1.0}, r"loss\.text_weight=-1\.0 must lie in"),
        ({"speech_weight": float("nan")}, r"loss\.speech_weight=nan must lie in"),
        ({"text_weight": 0.0, "speech_weight": 0.0}, "leave nothing to learn"),
    ],
)
def test_nonsense_weights_are_refused(values: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        LossConfig(**values)


def test_the_policy_is_written_in_yaml_and_overridden_by_key(tmp_path: Path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "folder: run\ndata:\n  sources:\n"
        "    mixed: {folder: packed, task: interleaved, loss: {speech_weight: 0}}\n"
        "    asr: {folder: packed, task: recognition}\n"
    )
    args = ["--config", str(path), "--data.sources.asr.loss.tokens", "all"]
    config = parse_config(PretrainConfig, description="Test.", args=args)
    assert config.data.sources["mixed"].policy == LossConfig(tokens="all", speech_weight=0)
    assert config.data.sources["asr"].policy.tokens == "all"


@pytest.mark.parametrize("source", ["{folder: packed}", "{folder: packed, task: asr}"])
def test_a_source_without_a_known_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str):
    (tmp_path / "run.yaml").write_text(f"folder: run\ndata: {{sources: {{asr: {source}}}}}\n")
    with pytest.raises(SystemExit) as caught:
        parse_config(PretrainConfig, description="Test.", args=["--config", str(tmp_path / "run.yaml")])
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and len(lines) == 1 and "task" in lines[0]
