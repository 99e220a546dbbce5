"""A finished run tells `plan_run` what it trained; what must agree with it is refused if it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.checkpoint.checksums import checksums, write_checksums
from megatron_speech.checkpoint.folder import write_facts
from megatron_speech.checkpoint.run_settings import with_settings_of_run
from megatron_speech.config.inspection.plan_run import PlanRunConfig
from megatron_speech.config.parsing.given import Word
from megatron_speech.config.run.model import ModelConfig
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.vocabulary import Vocabulary

VOCABULARY = Vocabulary(num_text_ids=300, num_speech_ids=64, mapped_ids=(("<|begin_of_audio|>", 7),))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("train: {global_batch_size: 16}\nmodel: {num_layers: 2}\n")
    checkpoint = tmp_path / "checkpoints" / "step_3"
    checkpoint.mkdir(parents=True)
    state = CheckpointState(step=3, layout={"world_size": 4})
    write_facts(checkpoint, model=ModelConfig(num_layers=2), vocabulary=VOCABULARY, state=state)
    write_checksums(checkpoint, checksums(sorted(checkpoint.iterdir())))
    return tmp_path


def test_settings_ranks_and_vocabulary_are_the_runs(run: Path) -> None:
    found = with_settings_of_run(PlanRunConfig, {"from_run": Word(run), "gpu": Word("H200")})
    assert found["train"] == {"global_batch_size": 16}
    assert (found["gpus"], found["gpu"]) == (4, "H200")
    planned = Vocabulary(num_text_ids=found["num_text_ids"], num_speech_ids=found["num_speech_ids"])
    assert planned.size == VOCABULARY.size


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus": Word("8")}, "gpus=8, but from_run=.* was trained with 4; leave it out"),
        ({"train": {"global_batch_size": 32}}, "train.global_batch_size=32, but .* was trained with 16"),
        ({"model": Word("{num_layers: 3}")}, "model.num_layers=3, but .* was trained with 2"),
    ],
)
def test_what_must_agree_is_refused(run: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}"):
        with_settings_of_run(PlanRunConfig, {"from_run": Word(run), **given})


def test_a_folder_without_settings_needs_them_from_elsewhere(tmp_path: Path) -> None:
    values = {"from_run": Word(tmp_path), "model": {}}
    assert with_settings_of_run(PlanRunConfig, values) == values
    with pytest.raises(FileNotFoundError, match=r"^from_run=.* holds no config\.yaml"):
        with_settings_of_run(PlanRunConfig, {"from_run": Word(tmp_path)})


def test_other_commands_are_left_alone() -> None:
    assert with_settings_of_run(PretrainConfig, {"from_run": "x"}) == {"from_run": "x"}
