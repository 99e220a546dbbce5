"""A run decides its number format once: another machine that goes on with it computes in the same one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.config.run.training import CheckpointConfig
from megatron_speech.platform import number_format
from megatron_speech.training.run import pretrain
from tests.toy_runs import make_config, make_sources


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_sources(tmp_path_factory.mktemp("sources"))


def machine_has(monkeypatch: pytest.MonkeyPatch, *units: str) -> None:
    monkeypatch.setattr(number_format, "bfloat16_units", lambda: list(units))


@pytest.mark.parametrize(("first", "then"), [((), ("AMX",)), (("AMX",), ())])
def test_a_run_keeps_its_format_on_another_machine(
    tmp_path: Path, sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch, first, then
) -> None:
    resuming = CheckpointConfig(every_steps=3, resume="if_present")
    auto = PrecisionConfig(dtype="auto")
    config = make_config(tmp_path / "run", sources, steps=4, precision=auto, checkpoint=resuming)
    expected = "bfloat16" if first else "float32"
    machine_has(monkeypatch, *first)
    pretrain(replace(config, train=replace(config.train, stop_at_step=2)), world=(0, 1))
    machine_has(monkeypatch, *then)
    pretrain(config, world=(0, 1))
    pretrain(config, world=(0, 1))  # a finished run is recognised, too
    log = (config.folder / "logs/rank_0.log").read_text()
    assert f"precision.dtype=auto: {expected}, the format that this run began in" in log
    assert "is already done: 4 steps" in log
    assert "chooses" not in log and ("8 to 70 times" in log) == (expected == "bfloat16")
    assert yaml.safe_load((config.folder / "config.yaml").read_text())["precision"]["dtype"] == expected
    states = (config.folder / "checkpoints").glob("step_*/state.json")
    assert {json.loads(path.read_text())["dtype"] for path in states} == {expected}


def test_bfloat16_asked_for_on_a_slow_machine_is_done_and_said(
    tmp_path: Path, sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_has(monkeypatch)
    config = make_config(tmp_path / "run", sources, steps=1, precision=PrecisionConfig(dtype="bfloat16"))
    pretrain(config, world=(0, 1))
    log = (config.folder / "logs/rank_0.log").read_text()
    assert "precision.dtype=bfloat16: this CPU has neither AVX512-BF16 nor AMX and takes 8 to 70 times" in log
    state = json.loads((config.folder / "checkpoints/step_1/state.json").read_text())
    assert state["dtype"] == "bfloat16"
