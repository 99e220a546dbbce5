"""Makes an output in offline tasks, run by one process or by many jobs, and joins their parts into one folder.

Every such stage has the same steps. A finished output is left alone. An unfinished join with other settings is refused.
The tasks run, then one process joins their parts. Between any two steps a job may be killed, or another job may do the
same work.
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
from megatron_speech.artifacts.shared_counts import SharedCounts
from megatron_speech.artifacts.tasks import run_tasks, tasks_folder
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.progress import Progress

logger = logging.getLogger(__name__)

InputIds = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Identities of the inputs, or a function that computes them by reading all inputs."""


@dataclass(frozen=True, kw_only=True)
class TaskedWork:
    """The work for an output: a pipeline that runs in tasks, and the function that joins their parts."""

    steps: Sequence[PipelineStep]
    tasks: int
    finish: Callable[[], None]
    """Joins the parts of all tasks into the output; called by one process at a time."""
    require_ended: Callable[[], None] = lambda: None
    """Called after this job's tasks; raises ValueError if some are not finished."""
    counts: SharedCounts | None = None
    """What the steps count, to be shown."""


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
    """Make the folder `output`, or do the part of the work that `run` names. Does nothing if `output` is finished.

    Args:
        identity: settings that `output` depends on.
        inputs: identities of the inputs. A function is not called if `output` is finished and this job only runs tasks.
        begin: checks the inputs and returns the work; not called if `output` is finished.
        moves_shards: whether the join moves shards out of the parts. The draft then has the only copy, so an unfinished
            join with another identity is refused, not deleted.

    Raises:
        ValueError: `output`, or an unfinished join, was made from something else.
        FileExistsError: `output` exists and no stage made it.
    """
    # Leave a finished output alone.
    folder = tasks_folder(output)
    wanted = _Wanted(output, kind, identity, inputs)
    if wanted.is_made(may_skip_inputs=run.part == "tasks"):
        logger.info("%s is already made", output)
        shutil.rmtree(folder, ignore_errors=True)  # a kill after the join leaves the parts
        return
    if moves_shards and run.part != "tasks":
        wanted.refuse_other_join()
    # Run this job's tasks, then join.
    work = begin()
    if run.part in ("all", "tasks"):
        run_tasks(work.steps, tasks=work.tasks, run=run, folder=folder, counts=work.counts)
        work.require_ended()
    if run.part in ("all", "finish"):
        with alone(output), Progress(f"join the parts of {output.name}", late=True):
            if not wanted.is_made():  # another process may have joined meanwhile
                if moves_shards:
                    wanted.refuse_other_join()
                work.finish()
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Wanted:
    """An output, with the identity it must have."""

    output: Path
    kind: str
    identity: Any
    inputs: InputIds

    def is_made(self, *, may_skip_inputs: bool = False) -> bool:
        """As `manifest.is_made`; does not compute `inputs` without an output, or if it may skip them."""
        ids = self.inputs
        if callable(ids):
            if not self.output.exists():
                return False
            skips = may_skip_inputs and (self.output / MANIFEST).is_file()
            ids = read_manifest(self.output).inputs or {} if skips else ids()
        return is_made(self.output, kind=self.kind, config=self.identity, inputs=ids)

    def refuse_other_join(self) -> None:
        """Raise ValueError if an unfinished join of another identity has moved shards."""
        if any(self.output.with_name(self.output.name + PARTIAL).rglob("*.tar")):
            ids = self.inputs() if callable(self.inputs) else self.inputs
            require_same_draft(self.output, kind=self.kind, config=self.identity, inputs=ids)
