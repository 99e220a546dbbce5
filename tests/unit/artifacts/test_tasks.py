"""Tasks in several processes: a worker that is killed ends the run, and so does a task's first error."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts.manifest import Draft
from megatron_speech.artifacts.tasks import make_task, run_tasks
from megatron_speech.config.stages.spread import SpreadConfig


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
    run_tasks([Writer(folder, **changes)], tasks=4, run=SpreadConfig(workers=2), folder=folder)
    return {path.parent.name: path.read_text() for path in folder.glob("*/number")}


def test_a_killed_worker_ends_the_run_by_one_line_and_the_next_one_completes(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"^a worker was killed .* with [1-3] of 4 tasks not done \(.*2.*\); .* run the same command again",
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


@pytest.mark.parametrize("fault", ["damaged", "other", "lost"])
def test_a_part_that_cannot_be_taken_is_made_again_and_says_why(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    def make(config: int, *, is_whole: bool = True) -> list[int]:
        calls: list[int] = []
        make_task(
            tmp_path / "part",
            kind="number",
            config={"n": config},
            inputs={},
            write=lambda _: calls.append(config),
            is_whole=lambda _: is_whole,
        )
        return calls

    assert make(1) == [1] and make(1) == []
    if fault == "damaged":
        (tmp_path / "part/manifest.json").write_text("{")
    with caplog.at_level(logging.INFO):
        assert make(2 if fault == "other" else 1, is_whole=fault != "lost")
    said = {"damaged": "is damaged", "other": "was made with other settings (n: 1 -> 2)", "lost": "lost files"}
    assert f"made again: it {said[fault]}" in caplog.text


LEAK = """
from megatron_speech.artifacts.tasks import in_processes
from tests.unit.artifacts.held_lock import lock
if __name__ == "__main__":
    print(sorted(in_processes(lock, [1, 2, 3], workers=2, number=int)))
"""


def test_workers_that_are_done_leave_no_semaphore_behind(tmp_path: Path) -> None:
    (tmp_path / "leak.py").write_text(LEAK)
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, tmp_path / "leak.py"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[1, 2, 3]\n" and "leaked" not in done.stderr
