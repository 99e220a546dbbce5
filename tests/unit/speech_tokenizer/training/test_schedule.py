"""Learning rates, the curve and the progress of a training are what their settings and files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.speech_tokenizer import CurvePoint
from megatron_speech.speech_tokenizer.training.checkpoint import RunState
from megatron_speech.speech_tokenizer.training.schedule import Curve, learning_rate
from megatron_speech.speech_training.order import Cursor
from tests.unit.speech_tokenizer.training.toys import training


def test_learning_rate_warms_up_and_falls(tmp_path: Path) -> None:
    config = training(tmp_path, tmp_path / "out", steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0.05 < rates[-1] < 0.06


def test_the_curve_is_means_of_consecutive_steps() -> None:
    curve = Curve(250, [])
    for step in range(1, 251):
        curve.add(step, cross_entropy=float(step), commitment=step / 8)
    assert len(curve.points) == 84
    assert curve.rounded()[0] == CurvePoint(step=3, cross_entropy=2.0, commitment=0.25)
    assert curve.rounded()[-1] == CurvePoint(step=250, cross_entropy=250.0, commitment=31.25)


PROGRESS = (
    '{"step": 2, "cursor": {"stretch": 1, "batch": 3}, "drawn": {"a": 4}, "restarted": 1, "start": %s, "curve": '
    '[{"step": 1, "cross_entropy": 0.5, "commitment": 0.0}], "error_rates": [{"step": 1, "heldout": 0.5}], '
    '"error_rates_without_bottleneck": {"heldout": 0.25}}'
)


@pytest.mark.parametrize("start", ["{}", '{"kmeans_frames": 7, "kmeans_residual": 0.25, "kmeans_perplexity": 3.5}'])
def test_the_progress_of_a_run_is_written_again_with_the_same_bytes(start: str) -> None:
    state = RunState.from_json(json.loads(PROGRESS % start))
    assert state.curve == [CurvePoint(step=1, cross_entropy=0.5, commitment=0.0)]
    assert state.cursor == Cursor(stretch=1, batch=3)
    assert state.start.kmeans_frames == json.loads(start).get("kmeans_frames")
    assert json.dumps(state.to_json()) == PROGRESS % start
