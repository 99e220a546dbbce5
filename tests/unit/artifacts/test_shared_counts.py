"""Tasks of several processes are one progress: the parent sums up what they count, without those done before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from datatrove.pipeline.base import PipelineStep

from megatron_speech import progress
from megatron_speech.artifacts.shared_counts import SharedCounts
from megatron_speech.artifacts.tasks import run_tasks
from megatron_speech.config.stages.spread import SpreadConfig

TASKS = 4


class Counter(PipelineStep):
    """Tasks of three things each; the first was done before."""

    type, name = "WRITER", "counts"

    def __init__(self, counts: SharedCounts) -> None:
        super().__init__()
        self.counts = counts

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        count = self.counts.of_task(rank)
        for _ in range(3 if rank else 0):
            count.add(of=3)
            time.sleep(0.02)
        count.end()


def counts(*, counted: bool = False) -> SharedCounts:
    return SharedCounts("count web", [3, 3, 3, 6], unit="things", counted=counted)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("counted", [False, True])
def test_all_processes_are_one_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], workers: int, counted: bool
) -> None:
    monkeypatch.setattr(progress, "FIRST_S", 0.01)
    shared = counts(counted=counted)
    run_tasks(
        [Counter(shared)], tasks=TASKS, run=SpreadConfig(workers=workers), folder=tmp_path / "parts", counts=shared
    )
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == ("count web: 15 things" if counted else "count web ...")
    assert all(line.startswith("count web") for line in lines)
    assert lines[-1].startswith(f"count web: {15 if counted else 9} things in ")


def test_what_was_done_before_took_no_time() -> None:
    shared = counts()
    with shared.shown(range(TASKS)):
        shared.of_task(0).end()
        shared.of_task(3).add(2, of=4)
        found = shared.read()
    assert (found.done, found.share, found.early) == (2, pytest.approx((3 + 3) / 15), pytest.approx(3 / 15))


def test_a_job_of_an_array_sums_its_own_tasks() -> None:
    shared = counts(counted=True)
    with shared.shown(range(2, 4)):
        shared.of_task(2).add(of=3)
        found = shared.read()
    assert (found.done, found.share) == (pytest.approx(1), pytest.approx(1 / 9))


def test_counts_that_nobody_sees_cost_no_file() -> None:
    shared = counts()
    shared.of_task(1).add(of=2)
    with shared.shown(range(TASKS)):
        assert shared.read().share == 0
