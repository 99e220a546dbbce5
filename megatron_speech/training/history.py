"""Cuts the logs of a resumed run back to the step that it resumes from.

A damaged log never stops a run: `jsonl_log` sets damaged lines aside, and missing lines are reported here.
"""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.jsonl_log import Record, cut_log

logger = logging.getLogger(__name__)

METRICS, VALIDATION = "metrics.jsonl", "validation.jsonl"
_NUMBERS = ("consumed_samples", "loss", "lr", "grad_norm", "tokens_per_s")
_SECTIONS = ("tokens", "losses", "loss_by_task", "loss_by_modality")


def resume_logs(folder: Path, *, step: int, validated: int, every_steps: int) -> None:
    """Drop the lines of metrics.jsonl after `step`, and those of validation.jsonl after step `validated`.

    One warning names the steps that are missing in metrics.jsonl.
    """
    path = folder / VALIDATION
    cut_log(path, is_record=_is_validation, stays=lambda record: record["step"] <= validated, rising="step")
    kept = read_metrics(folder, upto=step)
    if missing := gaps([record["step"] for record in kept], upto=step, every_steps=every_steps):
        spans = ", ".join(f"{first} to {last}" if first < last else str(first) for first, last in missing)
        logger.warning("%s has no line of steps %s, which this run did; its curve has a gap", folder / METRICS, spans)


def read_metrics(folder: Path, *, upto: float = math.inf) -> list[Record]:
    """Records of metrics.jsonl up to step `upto`; the file loses later records, and damaged ones are set aside."""
    return cut_log(folder / METRICS, is_record=_is_metrics, stays=lambda record: record["step"] <= upto, rising="step")


def gaps(steps: list[int], *, upto: int, every_steps: int) -> list[tuple[int, int]]:
    """(first, last) step of each gap in the logged `steps`, among steps 1 to `upto`.

    The distance between two lines may change when a run resumes. So a distance counts as a gap only if it exceeds the
    distances on both sides and `every_steps`, the distance now.
    """
    ends = [0, *steps, upto + 1]
    distances = [after - before for before, after in pairwise(ends)]
    found = []
    for at, (before, after) in enumerate(pairwise(ends)):
        usual = max([every_steps, *distances[max(at - 1, 0) : at], *distances[at + 1 : at + 2]])
        if distances[at] > usual:
            found.append((before + 1, after - 1))
    return found


def _is_metrics(record: Record) -> bool:
    return (
        _has_step(record)
        and all(_is_number(record.get(name)) for name in _NUMBERS)
        and all(isinstance(record.get(name), dict) for name in _SECTIONS)
    )


def _is_validation(record: Record) -> bool:
    return _has_step(record) and isinstance(record.get("losses"), dict)


def _has_step(record: Record) -> bool:
    return type(record.get("step")) is int and record["step"] >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
