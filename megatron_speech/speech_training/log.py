"""Progress and TensorBoard of a training, on rank 0 only; a resumed run removes the steps that it repeats."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import torch.distributed as dist
from torch.utils.tensorboard import SummaryWriter

from megatron_speech.progress import Progress

Result = TypeVar("Result")


class StepLog(Generic[Result]):
    """Collects results of steps, and shows how far the training is."""

    def __init__(self, tool: str, folder: Path, *, first_step: int, steps: int, every_steps: int) -> None:
        self.steps, self._every = steps, every_steps
        self.progress = Progress(tool, unit="steps", total=steps, done=first_step)
        self.progress.__enter__()
        self.results: list[Result] = []
        """Results since the last line."""
        self._since = time.perf_counter()
        self._board = None
        if dist.get_rank() == 0:
            self._board = SummaryWriter(str(folder), purge_step=first_step + 1)

    def is_due(self, result: Result, *, step: int, last: bool) -> bool:
        """Add the result of a step; true where the results since the last line shall be logged."""
        self.progress.add()
        if self._board is None:
            return False
        self.results.append(result)
        return last or step % self._every == 0

    @property
    def seconds(self) -> float:
        """Seconds since the last line."""
        return max(time.perf_counter() - self._since, 1e-9)

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Write points of TensorBoard."""
        if self._board is not None:
            for name, value in scalars.items():
                self._board.add_scalar(name, value, step)

    def restart_clock(self) -> None:
        """Start a new mean, without the time of validation or saving in its rate."""
        self.results, self._since = [], time.perf_counter()

    def close(self) -> None:
        """End the progress, and close the TensorBoard file if there is one."""
        self.progress.__exit__(None, None, None)
        if self._board is not None:
            self._board.close()
