"""Runs a training from its settings to the finished folder; it can be stopped and resumed at any step.

Files are in ``<output>.partial`` until the folder is finished: indices, caches, checkpoints, TensorBoard. The same
command resumes from the newest checkpoint, on any number of ranks. Changed settings are refused, unless the result does
not depend on them.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch.distributed as dist

from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.manifest import PARTIAL, Draft, input_ids, is_made, make_artifact, require_same_draft
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.parallel.agree import Stopped, on_rank_zero
from megatron_speech.parallel.signals import StopRequest
from megatron_speech.parallel.world import world_from_environment
from megatron_speech.platform.device import where
from megatron_speech.speech_training.ranks import joined

logger = logging.getLogger(__name__)

WORK = "work"
"""Folder in the output for indices, caches and checkpoints; deleted when the output is finished."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training, as `run_training` runs it."""

    kind: str
    """Kind of the artifact that it makes."""
    output: Path
    """Folder of the artifact."""
    config: Any
    """Its settings."""
    no_part_of_result: Mapping[str, str]
    """Settings that do not change the result."""
    known_later: tuple[str, ...] = ()
    """Settings of later versions, which stand in no manifest where they have their default."""
    inputs: Callable[[], list[Path]]
    """Names what the result is made from; FileNotFoundError if something is missing."""
    binding: tuple[str, ...] = ("checkpoints",)
    """Folders in `WORK` whose contents took so long that changed settings are refused, and do not delete them."""
    make: Callable[[Draft, StopRequest, dist.ProcessGroup], str]
    """Trains and completes the draft. Collective. Returns what to add to the last line of the log."""

    def settings(self) -> dict[str, Any]:
        """Settings that determine the result; settings without effect on it have their defaults."""
        defaults: dict[str, Any] = {each.name: each.default for each in fields(self.config)}
        settings = {**to_dict(self.config), **{name: defaults[name] for name in self.no_part_of_result}}
        return {
            name: value for name, value in settings.items() if name not in self.known_later or value != defaults[name]
        }


def run_training(job: Job, *, world: tuple[int, int] | None = None, init_method: str | None = None) -> None:
    """Make the artifact, unless it is made. Every rank calls this.

    A stop signal ends the call without an error; finished work is kept. `world` (rank, size) and `init_method`
    (``file:///tmp/x/store``) are for ranks that torchrun did not start.
    """
    rank, world_size = world or world_from_environment()
    device_line = where(world_size)
    stopping = StopRequest(speaks=rank == 0)
    with stopping as stop_request, joined(rank, world_size, init_method) as steps, ExitStack() as stack:
        logger.info(device_line)
        on_rank_zero(lambda: stack.enter_context(alone(job.output)))  # entered by rank 0 alone
        inputs = on_rank_zero(lambda: input_ids(job.inputs()))
        if on_rank_zero(lambda: is_made(job.output, kind=job.kind, config=job.settings(), inputs=inputs)):
            logger.info("%s: already done", job.output)
        else:
            on_rank_zero(lambda: _require_same_run(job, inputs))
            try:
                said = _make(job, inputs, stop_request, steps)
                logger.info("%s: written, %d steps%s", job.output, job.config.steps, said)
            except Stopped as stopped:
                logger.info("stopped by a signal %s; run the same command again", stopped or "before the first step")
                return
        on_rank_zero(lambda: shutil.rmtree(job.output / WORK, ignore_errors=True))


def _require_same_run(job: Job, inputs: dict[str, str]) -> None:
    """Raise ValueError if the draft holds work of another configuration; deletes nothing."""
    work = job.output.with_name(job.output.name + PARTIAL) / WORK
    if any((work / name).is_dir() for name in job.binding):
        require_same_draft(job.output, kind=job.kind, config=job.settings(), inputs=inputs)


def _make(job: Job, inputs: dict[str, str], stop_request: StopRequest, steps: dist.ProcessGroup) -> str:
    """Train and finish the artifact, which rank 0 writes. Collective."""
    with ExitStack() as stack:
        making = make_artifact(job.output, kind=job.kind, config=job.settings(), inputs=inputs)
        draft = on_rank_zero(lambda: stack.enter_context(making))  # entered by rank 0 alone
        said = job.make(draft, stop_request, steps)
        on_rank_zero(stack.close)
    return said
