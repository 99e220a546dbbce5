"""What a run writes about itself: every scalar of a step, and no step twice after a resumption."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from megatron_speech.artifacts.facts.training import ReadingRecord
from megatron_speech.config.run.data import DataConfig, SourceConfig
from megatron_speech.training.metrics import MetricsLog
from megatron_speech.training.state import TrainState


def _steps(folder: Path, *, after: int, upto: int, loss: float) -> None:
    data = DataConfig(sources={"a": SourceConfig(folder=folder, task="interleaved")})
    log = MetricsLog(folder, data=data, first_step=after, total_steps=9, enabled=True)
    for step in range(after + 1, upto + 1):
        sums = torch.tensor([[[loss, 1.0], [3 * loss, 2.0]]], dtype=torch.float64)
        reading = ReadingRecord(rows={"a": step}, reading={"stalled_s": 0.5})
        log.log_step(TrainState(step=step), sums, lr=0.1, grad_norm=2.0, reading=reading)
    log.close()


def test_a_resumed_run_shows_each_step_once(tmp_path: Path) -> None:
    _steps(tmp_path, after=0, upto=4, loss=1.0)
    _steps(tmp_path, after=2, upto=5, loss=2.0)  # from a checkpoint of step 2
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(record["step"], record["losses"]["a"]["text"]) for record in records] == [
        (1, 1.0),
        (2, 1.0),
        (3, 2.0),
        (4, 2.0),
        (5, 2.0),
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss/a/speech")] == [
        (1, 1.5),
        (2, 1.5),
        (3, 3.0),
        (4, 3.0),
        (5, 3.0),
    ]
    assert {
        "loss",
        "loss/a/text",
        "loss_by_task/interleaved/text",
        "loss_by_modality/speech",
        "tokens/text",
        "lr",
        "grad_norm",
        "tokens_per_s",
        "reading/stalled_s",
    } <= set(board.Tags()["scalars"])
