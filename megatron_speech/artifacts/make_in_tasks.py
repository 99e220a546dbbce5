"""Make an output in tasks: run them, by one process or by many jobs, then join their parts into one folder.

Every stage that works so goes through the same steps. An output that is made is left alone. A join that was begun with
other settings is refused. Then the tasks run, and one process at a time joins what they made. Between any two of these
steps a job may be killed, or another job may do the same work.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.manifest import MANIFEST, PARTIAL, is_made, read_manifest, require_same_draft
from megatron_speech.artifacts.tasks import run_tasks, tasks_folder
from megatron_speech.config.stages.spread import SpreadConfig

logger = logging.getLogger(__name__)

InputIds = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Identities of the inputs, or a function that reads all inputs to find them."""


@dataclass(frozen=True, kw_only=True)
class TaskedWork:
    """The work behind an output: a pipeline that runs in tasks, and what joins their parts."""

    steps: Sequence[PipelineStep]
    tasks: int
    finish: Callable[[], None]
    """Joins the parts of all tasks to the output; no other process joins at the same time."""
    require_ended: Callable[[], None] = lambda: None
    """Called after this job's tasks; raises ValueError if some of them did not end."""


def make_in_tasks(
    output: Path,
    *,
    kind: str,
    identity: Any,
    inputs: InputIds,
    begin: Callable[[], TaskedWork],
    run: SpreadConfig,
    moves_shards: bool,
) -> None:
    """Make the folder `output`, or the part of the work that `run` names; an output that is made stays.

    Args:
        identity: the settings that `output` depends on.
        inputs: if it is a function, a job that only runs tasks does not call it for an output that is made.
        begin: checks what the work needs and returns the work; not called if `output` is made.
        moves_shards: whether joining moves shards out of the parts. They are then the only copy, so a join of another
            identity that did not end is refused, not deleted.

    Raises:
        ValueError: `output`, or a join that did not end, was made from something else.
        FileExistsError: `output` is no finished output of any stage.
    """
    folder = tasks_folder(output)
    wanted = _Wanted(output, kind, identity, inputs)
    if wanted.is_made(may_skip_inputs=run.part == "tasks"):
        logger.info("%s is already made", output)
        shutil.rmtree(folder, ignore_errors=True)  # left by a kill between joining and removing the parts
        return
    if moves_shards and run.part != "tasks":
        wanted.refuse_other_join()
    work = begin()
    if run.part in ("all", "tasks"):
        run_tasks(work.steps, tasks=work.tasks, run=run, folder=folder)
        work.require_ended()
    if run.part in ("all", "finish"):
        with alone(output):
            if not wanted.is_made():  # it is where another process joined meanwhile
                if moves_shards:
                    wanted.refuse_other_join()
                work.finish()
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Wanted:
    """An output and what it is to be made from."""

    output: Path
    kind: str
    identity: Any
    inputs: InputIds

    def is_made(self, *, may_skip_inputs: bool = False) -> bool:
        """As `manifest.is_made`; does not call `inputs` without an output, or where it may skip them."""
        ids = self.inputs
        if callable(ids):
            if not self.output.exists():
                return False
            skips = may_skip_inputs and (self.output / MANIFEST).is_file()
            ids = read_manifest(self.output).inputs or {} if skips else ids()
        return is_made(self.output, kind=self.kind, config=self.identity, inputs=ids)

    def refuse_other_join(self) -> None:
        """ValueError if a join that did not end has moved shards, and was begun from something else."""
        if any(self.output.with_name(self.output.name + PARTIAL).rglob("*.tar")):
            ids = self.inputs() if callable(self.inputs) else self.inputs
            require_same_draft(self.output, kind=self.kind, config=self.identity, inputs=ids)
