"""Resuming rules, and what a run folder says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.artifacts.facts.training import FollowedPlan, RunSummary
from megatron_speech.config.run.training import CheckpointConfig
from megatron_speech.training.run_folder import checkpoint_to_resume, read_done, read_plan, write_done
from megatron_speech.training.state import TrainState
from tests.kept import kept_record


def test_an_existing_checkpoint_is_never_shadowed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step_5").mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r"step_5 exists and checkpoint.resume=never; set checkpoint.resume"):
        checkpoint_to_resume(tmp_path, CheckpointConfig(resume="never"))


def test_a_missing_checkpoint_is_never_a_silent_start(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step_5.partial").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"holds no complete checkpoint and checkpoint.resume=required"):
        checkpoint_to_resume(tmp_path, CheckpointConfig(resume="required"))


@pytest.mark.parametrize("resume", ["required", "if_present"])
def test_the_newest_complete_checkpoint_is_taken(tmp_path: Path, resume: str) -> None:
    for name in ("step_9", "step_10", "step_11.partial", "notes"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    found = checkpoint_to_resume(tmp_path, CheckpointConfig(resume=resume))
    assert found == tmp_path / "checkpoints" / "step_10"
    assert checkpoint_to_resume(tmp_path / "new", CheckpointConfig(resume="if_present")) is None


def test_done_is_absent_until_written(tmp_path: Path) -> None:
    assert read_done(tmp_path) is None
    summary = RunSummary.from_json(kept_record("done"))
    write_done(tmp_path, summary)
    wanted = FollowedPlan(steps=summary.steps, consumed_samples=summary.consumed_samples, plan=summary.plan)
    assert read_done(tmp_path) == wanted


def test_state_counts_and_survives_json() -> None:
    state = (
        TrainState()
        .after(samples=8, text_tokens=100, speech_tokens=20)
        .after(samples=8, text_tokens=1, speech_tokens=2)
    )
    assert state == TrainState(step=2, consumed_samples=16, text_tokens=101, speech_tokens=22)
    saved = CheckpointState(**vars(state), plan="x").to_json()
    assert list(saved) == ["step", "consumed_samples", "text_tokens", "speech_tokens", "plan"]
    assert TrainState.saved_in(CheckpointState.from_json(json.loads(json.dumps(saved)))) == state


def test_a_plan_of_an_older_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"fingerprint": "abc", "sources": []}')
    with pytest.raises(ValueError, match=r"plan.json is of an older version.*start in another folder"):
        read_plan(tmp_path, "abc")
