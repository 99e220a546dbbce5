"""Lays the measured speed of a finished run beside the prediction, and names what is off.

A run folder tells tokens per second and the time that ranks waited for data, both since the line before. What remains
above the prediction after that waiting is computation or communication that the prediction takes for faster than it
was.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from megatron_speech.planning.search import Prediction

METRICS = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Measured against predicted, per GPU."""

    run: str
    steps: int
    """Steps that were measured; the first line, whose steps also warm up, is left out if there are others."""
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
    spans = _spans(folder)
    job = prediction.job
    measured = statistics.median(span.tokens_per_s for span in spans) / job.gpus
    step = job.global_batch * job.sequence / measured / job.gpus
    waiting = statistics.median(span.stalled_s / span.steps for span in spans)
    unexplained = step - waiting - prediction.step.total
    return Comparison(
        run=str(folder),
        steps=sum(span.steps for span in spans),
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


@dataclass(frozen=True)
class _Span:
    """What a line of the metrics tells of the steps since the line before."""

    steps: int
    tokens_per_s: float
    stalled_s: float


def _spans(folder: Path) -> list[_Span]:
    """The measured spans of steps; ValueError or FileNotFoundError if there are none."""
    path = folder / METRICS
    if not path.is_file():
        raise FileNotFoundError(f"from_run={folder} holds no {METRICS}; name the folder of a finished run")
    complete = path.read_bytes().split(b"\n")[:-1]  # a run that is killed, or still at work, cuts the last line short
    lines = [_record(path, number, text) for number, text in enumerate(complete, start=1)]
    if not lines:
        raise ValueError(f"from_run={folder}: {METRICS} holds no step; let the run train first")
    ends = [0, *(int(line["step"]) for line in lines)]
    spans = [
        _Span(after - before, line["tokens_per_s"], (line.get("reading") or {}).get("stalled_s", 0.0))
        for line, (before, after) in zip(lines, pairwise(ends), strict=True)
        if after > before
    ]
    return spans[1:] or spans


def _record(path: Path, number: int, text: bytes) -> dict[str, Any]:
    """A line of the metrics. ValueError unless it tells a step, its speed and, if anything, how long it waited."""
    try:
        found = json.loads(text.decode())
        values = [found["step"], found["tokens_per_s"], (found.get("reading") or {}).get("stalled_s", 0.0)]
        is_right = all(isinstance(each, int | float) and 0 <= each < math.inf for each in values)
        is_right = is_right and values[0] >= 1 and values[1] > 0
    except (ValueError, KeyError, TypeError, AttributeError):
        is_right = False
    if not is_right:
        raise ValueError(f"{path}, line {number}: no record of a training step; remove the line, or resume the run")
    return dict(found)


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
