"""The logs of a run that goes on: a gap is named, and no damage stops it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from megatron_speech.training.history import METRICS, VALIDATION, gaps, resume_logs

NAMES = ("step", "consumed_samples", "loss", "lr", "grad_norm", "tokens_per_s")
SECTIONS = ("tokens", "losses", "loss_by_task", "loss_by_modality")


def _line(step: int) -> str:
    return json.dumps({**dict.fromkeys(NAMES, step), **{name: {} for name in SECTIONS}}) + "\n"


@pytest.mark.parametrize(
    ("steps", "upto", "every", "missing"),
    [
        (list(range(1, 101)), 100, 1, []),
        (list(range(10, 101, 10)), 105, 10, []),
        ([10, 20, 30, 31, 32, 33], 33, 1, []),  # 10 steps a line first, then 1
        ([1, 2, 3, 10, 20], 20, 10, []),
        ([10, 20, 25, 30, 40], 40, 10, []),  # stopped after step 25
        ([1, 2, 5, 6], 6, 1, [(3, 4)]),
        ([4, 5, 6], 6, 1, [(1, 3)]),
        ([1, 2, 3], 9, 1, [(4, 9)]),
        ([], 9, 1, [(1, 9)]),
        ([], 9, 10, []),
        ([], 0, 1, []),
        ([10, 20, 50, 60, 70, 100], 100, 10, [(21, 49), (71, 99)]),
    ],
)
def test_gaps_are_where_a_line_was_due(steps: list[int], upto: int, every: int, missing: list[tuple[int, int]]) -> None:
    assert gaps(steps, upto=upto, every_steps=every) == missing


@pytest.mark.parametrize("damage", ["absent", "empty", "truncated", "binary"])
def test_damaged_logs_stop_nothing_and_their_gap_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    whole = "".join(map(_line, range(1, 21))).encode()
    content = {"empty": b"", "truncated": whole[: len(whole) // 2], "binary": bytes(range(256)) * 9}
    if damage != "absent":
        (tmp_path / METRICS).write_bytes(content[damage])
        (tmp_path / VALIDATION).write_bytes(content[damage])
    with caplog.at_level(logging.WARNING):
        resume_logs(tmp_path, step=20, validated=20, every_steps=1)
    first = 11 if damage == "truncated" else 1
    assert f"{METRICS} has no line of steps {first} to 20" in caplog.messages[-1]


def test_a_damaged_line_in_the_middle_keeps_the_lines_behind_it(tmp_path: Path) -> None:
    lines = [_line(step) for step in range(1, 101)]
    lines[2] = lines[2].replace('"step"', '"stdp"')
    (tmp_path / METRICS).write_text("".join(lines))
    resume_logs(tmp_path, step=100, validated=100, every_steps=1)
    assert len((tmp_path / METRICS).read_text().splitlines()) == 99
    assert (tmp_path / "metrics.damaged.jsonl").read_text() == lines[2]
