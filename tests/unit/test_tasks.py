"""Tasks in several processes: a worker that is killed ends the run, and so does a task's first error."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifact import Draft
from megatron_speech.config.tokens import TokenizeRunConfig
from megatron_speech.tasks import make_task, run_tasks


class Writer(PipelineStep):
    """Writes the number of each task; one task does something else first, once."""

    type, name = "WRITER", "numbers"

    def __init__(self, folder: Path, *, fails: int | None = None, how: str = "kill") -> None:
        super().__init__()
        self.folder, self.fails, self.how = folder, fails, how
        self.unpicklable = lambda number: number * number  # as a user's filter may be

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        marker = self.folder / "failed"
        if rank == self.fails and not marker.exists():
            marker.touch()
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(f"task {rank}: no good; mend it")

        def write(draft: Draft) -> None:
            (draft.folder / "number").write_text(f"{self.unpicklable(rank)}")

        if self.how == "error":
            signal.pause()  # ended with the run
        make_task(self.folder / f"{rank:05d}", kind="number", config={}, inputs={}, write=write)


def run(folder: Path, **changes: Any) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    run_tasks([Writer(folder, **changes)], tasks=4, run=TokenizeRunConfig(workers=2), folder=folder)
    return {path.parent.name: path.read_text() for path in folder.glob("*/number")}


def test_a_killed_worker_ends_the_run_by_one_line_and_the_next_one_completes(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"^a worker was killed .* with [1-3] of 4 tasks not done \(.*2.*\); .* goes on",
    ):
        run(tmp_path / "killed", fails=2)
    assert not (tmp_path / "killed" / "00002").exists()
    assert run(tmp_path / "killed", fails=2) == {f"{rank:05d}": str(rank * rank) for rank in range(4)}


def test_the_first_error_ends_tasks_that_still_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^task 1: no good; mend it$"):
        run(tmp_path / "error", fails=1, how="error")


def test_only_numbers_go_through_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step holds, shards by the million perhaps, is sent once per worker and not with every task."""
    sent: list[int] = []
    monkeypatch.setattr(Writer, "__reduce__", lambda step: (sent.append(1), (Writer, (step.folder,)))[1])
    run(tmp_path / "whole")
    assert len(sent) == 1
