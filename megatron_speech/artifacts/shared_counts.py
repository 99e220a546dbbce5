"""Counts of tasks that several processes do: each writes those of its own tasks, and the parent reads all.

The numbers lie in a temporary file that all processes of this machine map into memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from megatron_speech.progress import Count, Progress

_NUMBERS = ("done", "share", "early")


class TaskCount:
    """What one process counts of one task."""

    def __init__(self, numbers: NDArray[Any]) -> None:
        self._numbers = numbers

    @classmethod
    def unseen(cls) -> Self:
        """Counts that nobody sees."""
        return cls(np.zeros(len(_NUMBERS)))

    def add(self, number: float = 1, *, of: float | None = None) -> None:
        """Count `number` more things, of all `of` of the task where that is known."""
        self._numbers[0] += number
        if of:
            self.share(self._numbers[0] / of)

    def share(self, share: float) -> None:
        """State which share of the task is done, from 0 to 1."""
        self._numbers[1] = min(1.0, share)

    def end(self) -> None:
        """State that the task is done; one that counted nothing was done by an earlier attempt."""
        self._numbers[2] = not self._numbers[:2].any()
        self._numbers[1] = 1.0


class SharedCounts:
    """Counts of all tasks.

    Args:
        about: what is done to what, such as "tokenize_text books".
        weights: size of each task, in any unit.
        unit: plural of what tasks count.
        counted: whether `weights` are the numbers of things that tasks count; otherwise these are not known.
    """

    def __init__(self, about: str, weights: Sequence[float], *, unit: str, counted: bool = False) -> None:
        self.about, self.unit, self.counted = about, unit, counted
        self.weights = np.array(weights, np.float64)
        self._tasks = range(0)
        self._path: Path | None = None

    @contextmanager
    def shown(self, tasks: range) -> Iterator[None]:
        """Show the progress of `tasks`. A process that gets a copy of this object meanwhile takes part."""
        with tempfile.NamedTemporaryFile(prefix="megatron_speech_counts_") as file:
            file.truncate(len(self.weights) * len(_NUMBERS) * 8)
            self._path, self._tasks = Path(file.name), tasks
            total = float(self._own_weights().sum()) if self.counted else None
            try:
                with Progress(self.about, unit=self.unit, total=total, count=self.read):
                    yield
            finally:
                self._path = None

    def of_task(self, number: int) -> TaskCount:
        """Counts of a task, for the process that does it; nobody sees them unless `shown` is open."""
        return TaskCount(self._numbers()[number]) if self._path else TaskCount.unseen()

    def read(self) -> Count:
        """Sum over the tasks that are shown."""
        numbers, weights = self._numbers()[self._tasks.start : self._tasks.stop], self._own_weights()
        whole = max(float(weights.sum()), 1e-9)
        share = min(1.0, float(weights @ numbers[:, 1]) / whole)
        early = float(weights @ (numbers[:, 2] * numbers[:, 1])) / whole
        return Count(share * whole if self.counted else float(numbers[:, 0].sum()), share, early)

    def _own_weights(self) -> NDArray[Any]:
        return self.weights[self._tasks.start : self._tasks.stop]

    def _numbers(self) -> NDArray[Any]:
        mapped = np.memmap(str(self._path), np.float64, "r+", shape=(len(self.weights), len(_NUMBERS)))
        return mapped.view(np.ndarray)
