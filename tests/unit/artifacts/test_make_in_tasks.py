"""Outputs made in tasks: what is made stays, one of many jobs reads little, and no join loses the shards of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts import make_in_tasks as module
from megatron_speech.artifacts.make_in_tasks import TaskedWork, make_in_tasks
from megatron_speech.artifacts.manifest import make_artifact, read_manifest
from megatron_speech.artifacts.tasks import make_task, tasks_folder
from megatron_speech.config.stages.spread import SpreadConfig

TASKS = 3


class Writer(PipelineStep):
    """Writes the square of each task's number, but for a task that does not end."""

    type, name = "WRITER", "squares"

    def __init__(self, folder: Path, *, lost: int | None) -> None:
        super().__init__()
        self.folder, self.lost = folder, lost

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        if rank != self.lost:
            make_task(
                self.folder / f"{rank:05d}",
                kind="square",
                config={},
                inputs={},
                write=lambda draft: (draft.folder / "square.tar").write_text(str(rank**2)) and None,
            )


class Stage:
    """A stage whose join moves shards; it counts what it is asked for."""

    def __init__(self, folder: Path, *, size: int = 1, source: str = "a", lost: int | None = None) -> None:
        self.output = folder / "made"
        self.settings, self.source, self.lost = {"size": size}, source, lost
        self.calls: list[str] = []
        self.killed_joining = False

    def make(self, part: Literal["all", "tasks", "finish"] = "all", *, read_at_once: bool = False, **job: int) -> None:
        make_in_tasks(
            self.output,
            kind="squares",
            identity=self.settings,
            inputs={"in": self.source} if read_at_once else self.inputs,
            begin=self.begin,
            run=SpreadConfig(part=part, **job),
            moves_shards=True,
        )

    def inputs(self) -> dict[str, str]:
        self.calls.append("inputs")
        return {"in": self.source}

    def begin(self) -> TaskedWork:
        self.calls.append("begin")
        step = Writer(tasks_folder(self.output), lost=self.lost)
        return TaskedWork(steps=[step], tasks=TASKS, finish=self.finish, require_ended=self.require_ended)

    def require_ended(self) -> None:
        if self.lost is not None:
            raise ValueError(f"task {self.lost} did not end")

    def finish(self) -> None:
        self.calls.append("finish")
        with make_artifact(self.output, kind="squares", config=self.settings, inputs={"in": self.source}) as draft:
            for task in range(TASKS):
                place = draft.folder / f"{task}.tar"
                if not place.exists():
                    (tasks_folder(self.output) / f"{task:05d}/square.tar").rename(place)
                if self.killed_joining:
                    raise InterruptedError

    @property
    def squares(self) -> list[int]:
        return [int((self.output / f"{task}.tar").read_text()) for task in range(TASKS)]


def test_jobs_make_what_one_process_makes_and_leave_no_parts(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for job in range(2):
        stage.make("tasks", job=job, jobs=2)
    assert not stage.output.exists() and "finish" not in stage.calls
    stage.make("finish")
    assert stage.squares == [0, 1, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_an_output_that_is_made_stays_and_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    Stage(tmp_path).make()
    tasks_folder(tmp_path / "made").mkdir()
    stage = Stage(tmp_path)
    stage.make()
    assert stage.calls == ["inputs"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_one_of_many_jobs_does_not_read_the_inputs_of_what_is_made(tmp_path: Path) -> None:
    Stage(tmp_path).make()
    stage = Stage(tmp_path, source="changed")
    stage.make("tasks")
    assert stage.calls == []
    with pytest.raises(ValueError, match=r"with other settings \(size: 1 -> 2\)"):
        Stage(tmp_path, size=2).make("tasks")
    for part, read_at_once in (("finish", False), ("all", False), ("tasks", True)):
        with pytest.raises(ValueError, match=r"from other inputs \(in: a -> changed\)"):
            stage.make(part, read_at_once=read_at_once)


@pytest.mark.parametrize("part", ["all", "tasks", "finish"])
def test_a_folder_of_others_is_in_the_way(tmp_path: Path, part: Any) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(FileExistsError, match="made is in the way"):
        Stage(tmp_path).make(part)


def test_a_join_that_was_killed_goes_on_and_is_refused_to_others(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.killed_joining = True
    with pytest.raises(InterruptedError):
        stage.make()
    other = Stage(tmp_path, size=2)
    for part in ("all", "finish"):
        with pytest.raises(ValueError, match=r"made.partial was begun with config.size: 1 -> 2; restore"):
            other.make(part)
    assert "begin" not in other.calls
    Stage(tmp_path).make("finish")
    assert stage.squares == [0, 1, 4]


@pytest.mark.parametrize("size", [1, 2])
def test_a_join_that_another_process_began_or_ended_meanwhile_is_seen(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while this process waits for the lock; with other settings it is killed then."""
    alone = module.alone

    @contextmanager
    def after_another(output: Path) -> Iterator[None]:
        monkeypatch.setattr(module, "alone", alone)
        another = Stage(tmp_path, size=size)
        another.killed_joining = size == 2
        try:
            another.make("finish")
        except InterruptedError:
            assert another.killed_joining
        with alone(output):
            yield

    stage = Stage(tmp_path)
    stage.make("tasks")
    monkeypatch.setattr(module, "alone", after_another)
    if size == 2:
        with pytest.raises(ValueError, match=r"made.partial was begun with config.size: 2 -> 1; restore"):
            stage.make("finish")
    else:
        stage.make("finish")
        assert stage.squares == [0, 1, 4]
    assert "finish" not in stage.calls


def test_a_task_that_did_not_end_stops_the_work_before_joining(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lost=1)
    with pytest.raises(ValueError, match="task 1 did not end"):
        stage.make()
    assert "finish" not in stage.calls
    Stage(tmp_path).make()
    assert read_manifest(stage.output).config == {"size": 1} and stage.squares == [0, 1, 4]
