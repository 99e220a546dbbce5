"""A resumed run tells which settings are no longer those of its checkpoint, and when it cannot tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from megatron_speech.artifacts.facts.checkpoint import CheckpointState
from megatron_speech.config.run.data import SourceConfig
from megatron_speech.training.settings import changed_settings, deciding_settings
from tests.toy_runs import make_config


def test_changes_are_told_by_key_and_so_is_what_cannot_be_compared(tmp_path: Path) -> None:
    config = make_config(tmp_path, {"text": SourceConfig(folder=tmp_path / "text", task="text")})
    state = CheckpointState(step=3, settings=deciding_settings(config))
    assert changed_settings(state, config) == []
    other = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, lr=0.5))
    (change,) = changed_settings(state, other)
    assert change == "was saved with other settings; from here on optimizer.lr: 0.01 -> 0.5"
    (unknown,) = changed_settings(CheckpointState(step=3), config)
    assert "was saved without its settings" in unknown
