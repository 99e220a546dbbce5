"""Lays the measured speed of a finished run beside the prediction, and names what is off.

A run folder tells tokens per second and the time that a step waited for data. What remains above the prediction after
that waiting is computation or communication that the prediction takes for faster than it was.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.planning.search import Prediction

METRICS = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Measured against predicted, per GPU."""

    run: str
    steps: int
    """Steps that were measured; the first one, which also warms up, is left out if there are others."""
    measured: float
    """Median tokens per second and GPU."""
    predicted: float
    low: float
    high: float
    is_inside: bool
    """Whether the measurement lies in the 90 % interval."""
    step_s: float
    predicted_step_s: float
    waiting_s: float
    """Of a step, for data."""
    unexplained_s: float
    """Of a step: longer than predicted, and not waiting for data."""
    verdict: str


def compare(folder: Path, prediction: Prediction) -> Comparison:
    """Compare the metrics in `folder` with `prediction`. FileNotFoundError or ValueError if there are none."""
    path = folder / METRICS
    if not path.is_file():
        raise FileNotFoundError(f"from_run={folder} holds no {METRICS}; name the folder of a finished run")
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    lines = [line for line in lines if line.get("tokens_per_s")]
    if not lines:
        raise ValueError(f"from_run={folder}: {METRICS} holds no step with tokens_per_s; let the run train first")
    lines = lines[1:] or lines
    job = prediction.job
    measured = statistics.median(line["tokens_per_s"] for line in lines) / job.gpus
    step = job.global_batch * job.sequence / measured / job.gpus
    waiting = statistics.median(line.get("reading", {}).get("stalled_s", 0.0) for line in lines)
    unexplained = step - waiting - prediction.step.total
    return Comparison(
        run=str(folder),
        steps=len(lines),
        measured=measured,
        predicted=prediction.speed,
        low=prediction.low,
        high=prediction.high,
        is_inside=prediction.low <= measured <= prediction.high,
        step_s=step,
        predicted_step_s=prediction.step.total,
        waiting_s=waiting,
        unexplained_s=unexplained,
        verdict=_verdict(prediction, step=step, waiting=waiting, unexplained=unexplained),
    )


def _verdict(prediction: Prediction, *, step: float, waiting: float, unexplained: float) -> str:
    if abs(step / prediction.step.total - 1) < 0.05:
        return "as predicted, within 5 %"
    if waiting > abs(unexplained):
        return f"waiting for data takes {100 * waiting / step:.0f} % of a step"
    parts = vars(prediction.step)
    largest = max(parts, key=lambda name: float(parts[name]))
    direction = "slower" if unexplained > 0 else "faster"
    return (
        f"kernels or communication are {direction} than predicted by {abs(unexplained):.3g} s a step; the largest "
        f"predicted part is {largest} ({parts[largest]:.3g} s)"
    )
